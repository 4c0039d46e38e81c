"""Unigram in the compiled core: its lemma, and long texts in which sums come to their limit."""

from __future__ import annotations

import random
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spm import Tokenizer
from spm.native import core
from spm.text.trie import Trie
from spm.text.unigram import LLAMA_CPP, SENTENCEPIECE, Lexicon, best_row
from tests.making import (
    BYTES,
    FIRST,
    HEAD,
    UNIGRAM,
    USER_DEFINED,
    Piece,
    model,
    normalizer_spec,
    piece,
    pieces,
    processor,
    trained,
    trainer_spec,
)

pytestmark = pytest.mark.skipif(core is None, reason="the compiled core is not built")

UNKNOWN = 999
LETTERS = ["a", "b", "é", "▁", "日", "😀"]
NEAR = [-1.0, -1.0001, -0.9999, -2.0, -2.0001, -2.01, -3.0, -2.99, -0.003, -17.25, 0.0, 0.3]

texts = st.lists(st.sampled_from([*LETTERS, " ", "ab"]), min_size=1, max_size=12).map("".join)
scored = st.dictionaries(
    st.lists(st.sampled_from(LETTERS), min_size=1, max_size=4).map("".join),
    st.sampled_from(NEAR).map(lambda score: struct.unpack("f", struct.pack("f", score))[0]),
    min_size=1,
    max_size=14,
)
sums = st.lists(st.floats(-98_000, 98_000, width=32), min_size=8, max_size=8)


def made(scores: dict[str, float], kind: str = "UnigramSentencePiece", unknown: float = -13) -> Any:
    assert core is not None
    return getattr(core, kind)(
        [text.encode() for text in scores],
        np.array(list(scores.values()), np.float32),
        np.arange(len(scores), dtype=np.int32),
        unknown,
        UNKNOWN,
        np.full(256, -1, np.int32),
    )


@given(scored, texts, sums)
def test_settled_lemma(scores: dict[str, float], unit: str, before: list[float]) -> None:
    unigram = made(scores)
    ids = unigram.settle(unit.encode())
    if ids is None:
        return
    for height in before:
        decided, _, behind = unigram.decide(unit.encode(), height)
        assert ids == decided
        assert unigram.follow(np.array(ids, np.int32), height) in (behind, None)


def test_open_is_what_depends_on_what_stands_before() -> None:
    unigram = made({"a": -0.301, "b": -0.301, "ab": -0.6021})

    assert ([0, 1], [2]) == tuple(unigram.decide(b"ab", height)[0] for height in (0.0, -70000.0))
    assert unigram.settle(b"ab") is None
    assert [0, 0] == unigram.settle(b"aa")


def test_equal_sums_are_open() -> None:
    unigram = made({"a": -1.0, "b": -1.0, "ab": -2.0})

    assert unigram.settle(b"ab") is None
    assert [2] == unigram.decide(b"ab", 0)[0]


@pytest.mark.parametrize("height", [98_999.0, -98_999.0])
def test_near_the_limit_nothing_is_certain(height: float) -> None:
    unigram = made({"a": -1.0})

    assert unigram.follow(np.array([0], np.int32), height) is None
    assert unigram.follow(np.array([0], np.int32), height / 2) == height / 2 - 1


@given(scored, texts, st.sampled_from(["UnigramSentencePiece", "UnigramLlamaCpp"]))
def test_what_is_decided_is_the_specifications(
    scores: dict[str, float], text: str, kind: str
) -> None:
    symbols = [char.encode() for char in text.replace(" ", "▁")]
    trie = Trie((piece.encode(), i) for i, piece in enumerate(scores))
    lexicon = Lexicon(trie, list(scores.values()), UNKNOWN, -13)
    rules = SENTENCEPIECE if kind == "UnigramSentencePiece" else LLAMA_CPP

    ids, spans, _ = made(scores, kind).decide(text.replace(" ", "▁").encode(), 0)

    row = best_row(symbols, lexicon, rules)
    assert [last.id for last in row] == ids
    assert [(last.begin, last.end) for last in row] == spans
    assert ids == made(scores, kind).decide(text.replace("▁", " ").encode(), 0)[0]


# ---- the trie of all pieces

ALPHABET = [chr(code) for code in [*range(0x4E00, 0x4E00 + 700), *range(0x20000, 0x20000 + 300)]]


@pytest.mark.parametrize("seed", range(4))
def test_pieces_of_many_letters_are_all_found(seed: int) -> None:
    rng = random.Random(seed)
    wide = [first + second for first in ALPHABET[:9] for second in rng.sample(ALPHABET, 400)]
    deep = ["".join(rng.choices(ALPHABET, k=k)) for k in (2, 3, 5, 9) for _ in range(300)]
    beginnings = [text[:-1] for text in deep if len(text) > 2]
    texts = list(dict.fromkeys([*ALPHABET[::2], *wide, *deep, *beginnings]))
    unigram = made(dict.fromkeys(texts, -1.0))

    for i, text in enumerate(texts):
        assert ([i], [(0, len(text.encode()))]) == unigram.decide(text.encode(), 0)[:2]
    for absent in {a + b for a, b in zip(ALPHABET[1::2], ALPHABET[::2])} - set(texts):
        assert UNKNOWN == unigram.decide(absent.encode(), 0)[0][0]


def test_a_trie_that_would_be_too_large_stays_with_the_specification(tmp_path: Path) -> None:
    rng = random.Random(0)
    letters = [chr(0x20000 + i) for i in range(100_000)]
    entries = [piece(a + b, -1.0) for a in letters[:120] for b in rng.sample(letters, 1000)]
    path = tmp_path / "wide.model"
    path.write_bytes(unigram_model([*HEAD, *BYTES, *entries]))

    tok = Tokenizer.from_sentencepiece(path)

    assert tok._fast is None
    assert FIRST + 5 == tok.encode(entries[5].text.decode())[-1]


# ---- whole texts

PARTS = ["a", "b", "ab", "ba", "é", "日", "日本", "😀", " ", "\n", "zz", " ab", "aaaaaaaaaaaaaaaaa"]
NEAR_TIES = [
    *HEAD,
    *pieces("▁:-3 a:-2 b:-2.0001 ab:-4.0002 ba:-4.0001 aa:-4 aba:-6.0003 ▁a:-5 ▁ab:-7 ▁b:-4.99"),
    *pieces("é:-5 日:-6 本:-6.5 日本:-12.4999 z:-40 aaaa:-8.0005 😀:-7"),
]


def unigram_model(entries: list[Piece], **rules: bool) -> bytes:
    spec = trainer_spec(model_type=UNIGRAM, byte_fallback=len(entries) > 256)
    return model(entries, trainer=spec, normalizer=normalizer_spec(**rules))


def opened(path: Path, data: bytes) -> Tokenizer:
    path.write_bytes(data)
    tok = Tokenizer.from_sentencepiece(path)
    assert tok._fast is not None
    return tok


@pytest.mark.parametrize("head", [[], BYTES])
@pytest.mark.parametrize("remove", [True, False])
def test_long_texts_come_to_the_limit_many_times(
    tmp_path: Path, head: list[Piece], remove: bool
) -> None:
    data = unigram_model([*NEAR_TIES, *head], remove=remove)
    real, tok = processor(data), opened(tmp_path / "m.model", data)
    rng = random.Random(len(head) + remove)
    for k in (1, 3, 10, 30, 100, 60_000):
        text = "".join(rng.choices(PARTS, k=k))
        expected = real.Encode(text)

        assert expected == tok.encode(text)
        assert expected == tok.encode_array(text.encode(), threads=4).tolist()
        assert len(expected) == tok.count(text)
        assert [expected, expected[:0], expected] == tok.encode_batch([text, "", text]).to_lists()
        stream = tok.stream_encoder()
        ids = stream.push(text[: k // 2]) + stream.push(text[k // 2 :]) + stream.flush()
        assert expected == ids


@pytest.mark.parametrize(
    "extra", ["a:-2e5 b:-4 ab:-2e5", "a:-30000 b:30000 ab:0.5", "a:-990 b:-990 ab:-1990"]
)
def test_scores_near_the_limit(tmp_path: Path, extra: str) -> None:
    data = unigram_model([*HEAD, *pieces("▁:-1 é:-2 aa:-3"), *pieces(extra)])
    real, tok = processor(data), opened(tmp_path / "m.model", data)
    rng = random.Random(extra)
    for k in (3, 30, 3000):
        text = "".join(rng.choices(PARTS, k=k))
        assert real.Encode(text) == tok.encode(text)


def test_user_defined_pieces_lift_sums(tmp_path: Path) -> None:
    whole = [piece("x" * 600, 0, USER_DEFINED), piece("xy", -5, USER_DEFINED)]
    data = unigram_model([*HEAD, *pieces("▁:-1 a:-2 x:-3 y:-0.5 xa:-1"), *whole])
    real, tok = processor(data), opened(tmp_path / "m.model", data)
    rng = random.Random(1)
    for k in (10, 300):
        text = "".join(
            rng.choices(["x" * 2000, "x" * 1999, "xy", "a", " "], weights=[9, 1, 2, 2, 1], k=k)
        )
        assert real.Encode(text) == tok.encode(text)


def test_where_ids_stand_in_a_long_text(tmp_path: Path) -> None:
    data = unigram_model(NEAR_TIES)
    real, tok = processor(data), opened(tmp_path / "m.model", data)
    text = "".join(random.Random(5).choices(PARTS, k=30_000))
    ids, spans = tok.encode_offsets(text, unit="byte")

    told = real.Encode(text.encode(), return_type="offset_mapping")
    assert list(told["ids"]) == ids
    assert [list(span) for span in told["offsets"]] == spans.tolist()


def test_a_trained_vocabulary_on_real_words(tmp_path: Path) -> None:
    data = trained(model_type="unigram", vocab_size=420)
    real, tok = processor(data), opened(tmp_path / "m.model", data)
    rng = random.Random(7)
    words = [p.decode().replace("▁", " ") for p in tok.vocab.pieces[3:]]
    text = "".join(rng.choices(words, k=60_000))
    assert real.Encode(text) == tok.encode(text)
