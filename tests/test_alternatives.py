"""N-best lists equal sentencepiece's; encodings by chance come up as often as they should.

The expected shares are sums over all rows of pieces, found by trying every one; sentencepiece's own
samples are held against the same shares. Seeds are fixed: nothing here is left to chance.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from spm import EncodeError, Tokenizer
from spm.vocab.protobuf import Message
from tests.making import (
    BPE,
    BYTES,
    CHAR,
    HEAD,
    HELLO,
    UNIGRAM,
    UNUSED,
    USER_DEFINED,
    WORD,
    Piece,
    piece,
    pieces,
    processor,
    trained,
)
from tests.test_unigram import TEXTS, tokenizer, typed, vocabularies

Ids = tuple[int, ...]

AB = [*HEAD, *pieces("a:-1 b:-1.5 c:-2 ab:-1 bc:-4.25 abc:-5 ca:-1.5 aa:-3.75")]
SAMPLES = 2000


def sentencepieces(real: Any, text: str | bytes, n: int) -> list[tuple[list[int], float]]:
    """Ids and scores out of a serialized NBestSentencePieceText."""
    data = real.NBestEncode(text, nbest_size=n, return_type="serialized_proto")
    rows = [Message(row, "row", (2, 3)) for row in Message(data, "rows", (1,)).all(1)]
    return [
        ([Message(p, "piece", (2,)).integer(2, 0) for p in row.all(2)], row.real(3, 0))
        for row in rows
    ]


# ---- n-best


@settings(deadline=None)
@given(vocabularies(), TEXTS, st.sampled_from([-3, 0, 1, 2, 3, 8, 100]))
def test_nbest_is_sentencepieces(entries: list[Piece], text: bytes, n: int) -> None:
    data = typed(entries, UNIGRAM)
    try:
        real = processor(data)
    except RuntimeError:
        return
    assert repr(sentencepieces(real, text, n)) == repr(tokenizer(data).nbest_encode(text, n))


@pytest.mark.parametrize("scores", ["a:-1 aa:-2 aaa:-3 aaaa:-4", "a:-1 aa:-1.3 aaa:-2.1"])
@pytest.mark.parametrize("size", [5, 13, 70])
def test_ties_come_in_sentencepieces_order(scores: str, size: int) -> None:
    data = typed([*HEAD, *pieces(scores)], UNIGRAM)
    real, tok = processor(data), tokenizer(data)

    for n in (2, 7, 60, 512):
        assert sentencepieces(real, "a" * size, n) == tok.nbest_encode("a" * size, n)


@pytest.mark.parametrize(
    ("text", "n", "rows"),
    [
        ("a" * 60, 512, 512),  # the agenda is cut back once
        ("a" * 120, 512, 512),  # several times
        ("a" * 700, 30, 1),  # too often
        ("x" * 700 + "ab" * 12, 300, 300),  # cut back since so much was made
        ("x" * 1200 + "ab" * 12, 512, 1),  # so much was made that it is given up
    ],
)
def test_an_agenda_that_grows_too_large_is_cut_back_or_given_up(
    text: str, n: int, rows: int
) -> None:
    ladder = [piece("a" * n, -0.9 * n - 1e-3 / n) for n in range(1, 17)]
    data = typed([*HEAD, *ladder, *pieces("x:-1 b:-1.1 ab:-2.1 ba:-2.2")], UNIGRAM)
    found = tokenizer(data).nbest_encode(text, n)

    assert rows == len(found)
    assert sentencepieces(processor(data), text, n) == found


def test_nbest_of_a_trained_model() -> None:
    data = trained("nmt_nfkc", model_type="unigram")
    real, tok = processor(data), tokenizer(data)

    for text in ("the quick brown fox", "12 + 84 = 96", "日本語の文章", "ﬁne ｆｕｌｌ①½ ?"):
        assert sentencepieces(real, text, 30) == tok.nbest_encode(text, 30)


def test_of_a_text_that_is_nothing_there_is_one_encoding() -> None:
    assert [([], 0.0)] == tokenizer(typed(AB, UNIGRAM)).nbest_encode("", 5)


# ---- by chance


def rows_of(text: str, scores: dict[str, float]) -> list[tuple[list[str], float]]:
    """Every row of pieces, and the sum of its scores."""
    found = [([], 0.0)] if not text else []
    for spelled, score in scores.items():
        if text.startswith(spelled):
            rest = rows_of(text[len(spelled) :], scores)
            found += [([spelled, *row], score + total) for row, total in rest]
    return found


def shares(text: str, entries: Sequence[Piece], alpha: float) -> dict[Ids, float]:
    """How often each encoding should come up."""
    scores = {e.text.decode(): float(e.score) for e in entries if e.type == 1}
    ids = {e.text.decode(): i for i, e in enumerate(entries)}
    weights = {tuple(ids[p] for p in row): math.exp(alpha * s) for row, s in rows_of(text, scores)}
    return {row: weight / sum(weights.values()) for row, weight in weights.items()}


def is_likely(expected: dict[Ids, float], counts: Counter[Ids]) -> bool:
    """Pearson's chi-square, below what one of a thousand million samples exceeds.

    That is six standard deviations of its cube root (Wilson and Hilferty, 1931).
    """
    n = counts.total()
    if not counts.keys() <= expected.keys():
        return False
    rare = sum(share for share in expected.values() if n * share < 5)
    cells = [(n * s, counts[row]) for row, s in expected.items() if n * s >= 5]
    cells += [(n * rare, n - sum(count for _, count in cells))] if rare else []
    square = sum((count - wanted) ** 2 / max(wanted, 1e-9) for wanted, count in cells)
    spread = 2 / (9 * max(len(cells) - 1, 1))
    return square <= max(len(cells) - 1, 1) * (1 - spread + 6 * math.sqrt(spread)) ** 3


def ours(tok: Tokenizer, text: str, **options: Any) -> Counter[Ids]:
    return Counter(tuple(tok.sample_encode(text, seed=i, **options)) for i in range(SAMPLES))


def theirs(real: Any, text: str, alpha: float, nbest_size: int = -1) -> Counter[Ids]:
    sentencepiece.set_random_generator_seed(17)
    options = {"enable_sampling": True, "alpha": alpha, "nbest_size": nbest_size}
    return Counter(tuple(real.Encode(text, **options)) for _ in range(SAMPLES))


@pytest.mark.parametrize("alpha", [0.0, 0.2, 1.0, 3.0])
def test_every_encoding_comes_up_as_its_probability_to_the_alpha(alpha: float) -> None:
    data, text = typed(AB, UNIGRAM), "abcaabca"
    expected = shares(text, AB, alpha)

    assert len(expected) > 15
    assert is_likely(expected, ours(tokenizer(data), text, alpha=alpha))
    assert is_likely(expected, theirs(processor(data), text, alpha))
    assert not is_likely(
        shares(text, AB, 1.3 * alpha + 0.4), ours(tokenizer(data), text, alpha=alpha)
    )


@pytest.mark.parametrize("alpha", [0.0, 0.5, 2.0])
def test_of_the_best_encodings_as_well(alpha: float) -> None:
    data, text, n = typed(AB, UNIGRAM), "abcaabca", 6
    tok = tokenizer(data)
    weights = {tuple(ids): math.exp(alpha * score) for ids, score in tok.nbest_encode(text, n)}
    expected = {row: weight / sum(weights.values()) for row, weight in weights.items()}

    assert len(expected) == n
    assert is_likely(expected, ours(tok, text, alpha=alpha, nbest_size=n))
    assert is_likely(expected, theirs(processor(data), text, alpha, n))


def with_unknown() -> list[Piece]:
    return [
        *HEAD,
        *BYTES,
        *pieces("a:-1 aa:-3"),
        piece("b", 0, USER_DEFINED),
        piece("c", 0, UNUSED),
    ]


@pytest.mark.parametrize("alpha", [0.1, 1.0])
def test_unknown_characters_and_other_types_by_chance(alpha: float) -> None:
    data, text = typed(with_unknown(), UNIGRAM), "aabaacé"
    a, aa = 259, 260
    around = [[a, a], [aa]]
    tail = [ord(byte) + 3 for byte in "c"] + [byte + 3 for byte in "é".encode()]
    weigh = {a: 1.0, aa: 3.0}
    weights = {
        (*x, 261, *y, *tail): math.exp(-alpha * sum(weigh[i] for i in x + y))
        for x in around
        for y in around
    }
    expected = {row: weight / sum(weights.values()) for row, weight in weights.items()}

    assert is_likely(expected, ours(tokenizer(data), text, alpha=alpha))
    assert is_likely(expected, theirs(processor(data), text, alpha))


def test_a_long_text_by_chance_is_its_text() -> None:
    data = typed([*HEAD, *pieces("a:-1 aa:-2.1 b:-2 ab:-3")], UNIGRAM)
    tok, text = tokenizer(data), "aababaaab" * 500

    for alpha in (0.0, 1.0, 100.0, 1e30):
        assert text == tok.decode(tok.sample_encode(text, alpha=alpha, seed=4))


def test_a_seed_decides() -> None:
    tok = tokenizer(typed(AB, UNIGRAM))
    text = "abcaabca" * 5

    assert tok.sample_encode(text, alpha=0.1, seed=5) == tok.sample_encode(text, alpha=0.1, seed=5)
    assert len({tuple(tok.sample_encode(text, alpha=0.1)) for _ in range(9)}) > 1


@pytest.mark.parametrize("nbest_size", [0, 1])
def test_one_of_the_best_one_is_the_best(nbest_size: int) -> None:
    tok = tokenizer(typed(AB, UNIGRAM))

    assert tok.encode("abcaabca") == tok.sample_encode("abcaabca", alpha=0, nbest_size=nbest_size)


# ---- BPE-dropout


def dropout_shares(text: str, entries: Sequence[Piece], alpha: float) -> dict[Ids, float]:
    """By trying both ways wherever a merge may be dropped.

    A bigram that was dropped comes back only when a neighbour's merge makes it anew.
    """
    scores = {e.text.decode(): float(e.score) for e in entries if e.type == 1}
    ids = {e.text.decode(): i for i, e in enumerate(entries)}
    found: Counter[Ids] = Counter()

    def go(row: list[str], dropped: set[int], share: float) -> None:
        bigrams = [
            (-scores[a + b], i)
            for i, (a, b) in enumerate(pairwise(row))
            if a + b in scores and i not in dropped
        ]
        if not bigrams or share == 0:
            found[tuple(ids[p] for p in row)] += share  # type: ignore[assignment]
            return
        i = min(bigrams)[1]
        go(row, dropped | {i}, share * alpha)
        kept = {d if d < i else d - 1 for d in dropped if d not in (i - 1, i, i + 1)}
        go([*row[:i], row[i] + row[i + 1], *row[i + 2 :]], kept, share * (1 - alpha))

    go(list(text), set(), 1.0)
    return dict(found)


@pytest.mark.parametrize("alpha", [0.0, 0.1, 0.5, 0.9, 1.0, 7.5])
@pytest.mark.parametrize("text", ["hello", "hellohe"])
def test_dropout(alpha: float, text: str) -> None:
    data = typed(HELLO, BPE)
    expected = dropout_shares(text, HELLO, min(alpha, 1))

    assert is_likely(expected, ours(tokenizer(data), text, alpha=alpha))
    assert is_likely(expected, theirs(processor(data), text, alpha))


def test_unused_pieces_are_taken_apart_behind_dropout_too() -> None:
    entries = [*HEAD, *pieces("a b ab:-1 abab:-2"), piece("aba", -1.5, UNUSED)]
    data = typed(entries, BPE)
    counts, real = ours(tokenizer(data), "ababa", alpha=0.4), theirs(processor(data), "ababa", 0.4)

    assert counts.keys() == real.keys()
    both = counts + real  # half of each row's is expected in either
    assert is_likely({row: n / both.total() for row, n in both.items()}, counts)


# ---- what is refused


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (lambda tok: tok.nbest_encode("a", 513), "n is 513, expected at most 512"),
        (lambda tok: tok.sample_encode("a", alpha=1, nbest_size=513), "nbest_size is 513"),
        (lambda tok: tok.sample_encode("a", alpha=-0.1), "alpha is -0.1, expected 0 or more"),
        (lambda tok: tok.sample_encode("a", alpha=math.nan), "alpha is nan"),
        (lambda tok: tok.sample_encode("a", alpha=math.inf), "alpha is inf"),
    ],
)
def test_bad_options(asked: Callable[[Tokenizer], object], expected: str) -> None:
    with pytest.raises(EncodeError, match=expected):
        asked(tokenizer(typed(AB, UNIGRAM)))


@pytest.mark.parametrize("kind", [WORD, CHAR])
def test_words_and_characters_have_one_encoding(kind: int) -> None:
    tok = tokenizer(typed(AB, kind))

    with pytest.raises(EncodeError, match="expected Unigram in the sentencepiece dialect"):
        tok.sample_encode("abc", alpha=0.5)
    with pytest.raises(EncodeError, match="expected Unigram in the sentencepiece dialect"):
        tok.nbest_encode("abc", 2)


def test_llama_cpp_has_one_encoding() -> None:
    for kind in (BPE, UNIGRAM):
        tok = tokenizer(typed(AB, kind), dialect="llama.cpp")
        with pytest.raises(EncodeError, match=r"in the llama\.cpp dialect, expected Unigram"):
            tok.sample_encode("abc", alpha=0.5)
