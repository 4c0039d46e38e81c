"""All that a Tokenizer does with a text in the core is what the specification does."""

from __future__ import annotations

import copy
import multiprocessing
import os
import pickle
import random
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from itertools import chain, pairwise
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spm import Tokenizer, TokenType
from spm.errors import DoubleBOSWarning, EncodeError, SpmError, VocabError
from spm.native import core
from spm.text import fast
from spm.text.spm import merge
from spm.text.utf8 import characters
from spm.vocab import Normalization
from tests.golden_vocabs import VOCABS, golden
from tests.making import (
    BYTES,
    HEAD,
    Piece,
    normalizer_spec,
    piece,
    pieces,
    specified,
    trainer_spec,
    write_model,
    write_vocab,
)
from tests.test_properties import data, scores, vocab_of, words
from tools.golden import questions
from tools.golden.cases import ROOT, read

pytestmark = [
    pytest.mark.skipif(core is None, reason="the compiled core is not built"),
    pytest.mark.filterwarnings("ignore::spm.errors.DoubleBOSWarning"),
    pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning"),
]

ISAS = [] if core is None else [n for i, n in enumerate(core.ISAS) if core.supports(i)]


def answer(ask: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """What is returned, as lists, or the error."""
    try:
        found = ask(*args, **options)
    except SpmError as error:
        return str(error)
    if isinstance(found, tuple):
        return [part.tolist() if isinstance(part, np.ndarray) else part for part in found]
    return found.tolist() if isinstance(found, np.ndarray) else found


def with_isa(tok: Tokenizer, isa: str) -> Tokenizer:
    with mock.patch.dict(os.environ, {"SPM_ISA": isa}):
        return copy.copy(tok)


# ---- every vocabulary, every text

KINDS = (1, 1, 1, 1, 3, 4, 5)
SPECIAL = ["<s>", "[MASK]", "<|endoftext|>", "<u>"]


@st.composite
def tokenizers(draw: st.DrawFn) -> Tokenizer:
    """Every dialect, with and without bytes, special pieces that swallow white space."""
    drawn = draw(st.dictionaries(words, st.tuples(scores, st.sampled_from(KINDS)), max_size=15))
    stray = draw(
        st.lists(st.sampled_from([b"\xc3", b"\xa9\xa9", b"\xa9a", b"\xe2\x96"]), max_size=2)
    )
    dialect = draw(st.sampled_from(["llama.cpp", "sentencepiece"]))
    spelled = [piece(text, 0, 3 if i else 4) for i, text in enumerate(["<u>", *SPECIAL[1:3]])]
    odd = draw(st.sets(st.sampled_from(["a b", "  ", "\ufffd\ufffd", "▁▁"]), max_size=2))
    whole = 4 if dialect == "llama.cpp" else 1  # user-defined pieces of stray bytes have no core
    entries = [
        *HEAD, *(BYTES if draw(st.booleans()) else []), *pieces("a b"), *spelled,
        *(piece(p, -1, draw(st.sampled_from([1, whole]))) for p in {*stray}),
        *(piece(p, 0, 4) for p in odd),
        *(piece(text, *rest) for text, rest in drawn.items() if text not in {"a", "b", *odd}),
    ]  # fmt: skip
    prefix = draw(st.booleans())
    vocab = vocab_of(
        entries,
        byte_fallback=any(entry.type == 6 for entry in entries),
        add_space_prefix=prefix,
        add_eos=draw(st.booleans()),
        name_rule=draw(st.sampled_from(["", "phi-3", "[MASK]"])),
        normalization=Normalization(
            add_dummy_prefix=prefix,
            remove_extra_whitespaces=draw(st.sampled_from([False, False, True])),
        ),
    )
    return Tokenizer(vocab, dialect, cache_bytes=0)


letters = st.lists(
    st.sampled_from([*"abé▁\n😀\ufffd", " ", " ", "  ", "   ", *SPECIAL, "<", "<u"]), max_size=12
).map("".join)
any_text = letters.map(str.encode) | data


@given(tokenizers(), any_text, st.booleans(), st.booleans(), st.integers(-1, 9))
def test_every_way_is_the_specification_s(
    tok: Tokenizer, text: bytes, special: bool, parse: bool, room: int
) -> None:
    pure = specified(tok)
    options = {"add_special": special, "parse_special": parse and tok.dialect == "llama.cpp"}

    expected = answer(pure.encode, text, **options)
    assert expected == answer(tok.encode, text, **options)
    assert expected == answer(tok.encode_array, text, **options)
    assert expected == answer(tok.encode_array, text, threads=2, **options)
    assert answer(pure.count, text, **options) == answer(tok.count, text, **options)
    for unit in ("byte", "char"):
        places = answer(pure.encode_offsets, text, unit=unit, **options)
        assert places == answer(tok.encode_offsets, text, unit=unit, **options)
    if isinstance(expected, str):
        return  # the core looks no further than what fits, and may not come to the error
    for cut in (text, text.decode("utf-8", "ignore")):
        shorter = answer(pure.truncate, cut, room, **options)
        assert shorter == answer(tok.truncate, cut, room, **options)


@given(tokenizers(), any_text, st.integers(-1, 9), st.booleans(), st.booleans())
def test_truncate_is_its_definition(
    tok: Tokenizer, text: bytes, room: int, special: bool, parse: bool
) -> None:
    """Of all beginnings that end where a token does and have no more ids than fit, the longest."""
    options = {"add_special": special, "parse_special": parse and tok.dialect == "llama.cpp"}
    for each in (tok, specified(tok)):
        try:
            _, spans = each.encode_offsets(text, unit="byte", **options)
        except EncodeError:
            return
        ends = {*spans[:, 1].tolist(), len(text)}
        fits = [e for e in ends if each.count(text[:e], **options) <= room]
        cut = each.truncate(text, room, **options)

        assert text.startswith(cut)
        assert cut == b"" or len(cut) in fits
        if not (tok._dialect.score_merging.unused or rewrites(tok)):
            assert len(cut) == max(fits, default=0)


def rewrites(tok: Tokenizer) -> bool:
    """Whether a piece of the text may be found twice, at two places: places are less exact then."""
    rules, vocab = tok.vocab.normalization, tok.vocab
    whole = b"".join(vocab.pieces[i] for i in vocab.ids_of_type(TokenType.USER_DEFINED))
    twice = any(char.encode() in whole for char in " ▁\ufffd")
    return tok.dialect == "sentencepiece" and (twice or not (rules and rules.only_spaces_change))


@given(
    tokenizers(), letters, st.lists(st.integers(0, 20), max_size=6), st.booleans(), st.booleans()
)
def test_a_stream_of_parts_is_the_whole(
    tok: Tokenizer, text: str, cuts: list[int], special: bool, parse: bool
) -> None:
    options = {"add_special": special, "parse_special": parse and tok.dialect == "llama.cpp"}
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    for each in (tok, specified(tok)):
        encoder = each.stream_encoder(**options)
        try:
            expected = each.encode(text, **options)
        except EncodeError:
            return
        parts = [encoder.push(text[a:b]) for a, b in pairwise(places)]
        assert expected == list(chain(*parts)) + encoder.flush()
        by_character = [i for char in text for i in encoder.push(char)]
        assert expected == by_character + encoder.flush()


@given(tokenizers(), st.lists(any_text, max_size=8), st.sampled_from([1, 2, 5, None]))
def test_a_batch_is_its_texts_one_by_one(
    tok: Tokenizer, texts: list[bytes], threads: int | None
) -> None:
    pure = specified(tok)
    mixed = [text.decode() if is_text(text) and i % 2 else text for i, text in enumerate(texts)]
    try:
        expected = [pure.encode(text) for text in texts]
    except EncodeError:
        with pytest.raises(EncodeError):
            tok.encode_batch(mixed, threads=threads)
        return

    assert expected == tok.encode_batch(mixed, threads=threads).to_lists()
    assert expected == tok.encode_batch(iter(texts), threads=threads).to_lists()


def is_text(text: bytes) -> bool:
    return text.decode("utf-8", "ignore").encode() == text


# ---- lemmas of the core


@given(st.dictionaries(words, scores, max_size=25), st.data())
def test_spine_lemma(drawn: dict[str, float], choice: st.DataObject) -> None:
    """What stands at a border tells whether two whole pieces stay apart."""
    entries = [*HEAD, *(piece(text, score) for text, score in drawn.items())]
    tok = Tokenizer(vocab_of(entries), "llama.cpp", cache_bytes=0)
    ranks, encoder = tok._dialect.score_merging.ranks, tok._fast
    whole = [p for p in map(str.encode, drawn) if merge(characters(p), ranks) == [p]]

    assert whole == [p for p in map(str.encode, drawn) if encoder.is_whole(p)]
    for left in whole:
        for right in whole:
            expected = merge(characters(left + right), ranks) == [left, right]
            assert expected == encoder.may_meet(left, right)


ab_words = st.text("ab", min_size=1, max_size=6)


@given(
    st.dictionaries(ab_words, scores, max_size=30),
    st.lists(st.text("ab", min_size=33, max_size=150), min_size=1, max_size=3),
)
def test_long_units_are_searched_from_the_left(drawn: dict[str, float], texts: list[str]) -> None:
    """Once long units have come often, their tokens are tried one by one: docs in spines.hpp."""
    drawn = {"aa": -5.0, "ab": -5.0, "ba": -5.0, "bb": -5.0, **drawn}
    entries = [*HEAD, *BYTES, *pieces("▁"), *(piece(p, s) for p, s in drawn.items())]
    tok = Tokenizer(vocab_of(entries), "llama.cpp", cache_bytes=0)
    tok.count("ab" * (1 << 13))  # what is spent on the agenda first

    pure = specified(tok)
    for text in texts:
        assert pure.encode(text) == tok.encode(text)


@given(tokenizers(), st.lists(any_text, min_size=1, max_size=3), st.randoms())
def test_units_do_not_depend_on_what_was_encoded_before(
    tok: Tokenizer, texts: list[bytes], rng: random.Random
) -> None:
    expected = [answer(copy.copy(tok).encode, text) for text in texts]
    noise = [bytes(rng.choices(b"ab \xc3\xa9<u>", k=40)) for _ in range(20)]
    for text in noise:
        answer(tok.encode, text)

    for _ in range(2):
        assert expected == [answer(tok.encode, text) for text in texts]


def test_an_unused_character_among_others_is_the_specification_s(tmp_path: Path) -> None:
    """Characters that nothing joins are emitted without being merged; one that is UNUSED is not."""
    unused = piece("\u65e5", 0, 5)
    entries = [*HEAD, *BYTES, *pieces("▁ a \u672c"), unused]
    rules = {
        "trainer": trainer_spec(byte_fallback=True),
        "normalizer": normalizer_spec(remove=False),
    }
    tok = Tokenizer.from_sentencepiece(write_model(tmp_path / "v.model", entries, **rules))
    for text in ("\u672c" * 6 + "\u65e5" + "\u672c" * 6, " " * 15 + "\u65e5", "a\u65e5"):
        assert specified(tok).encode(text) == tok.encode(text)
        assert len(entries) - 1 not in tok.encode(text)


def test_units_do_not_depend_on_a_table_that_overflows() -> None:
    rng = random.Random(5)
    texts = [bytes(rng.choices(b"abcdefgh .,\n", k=3000)) for _ in range(40)]
    tiny, large = (golden("identity.gguf", cache_bytes=n) for n in (0, 1 << 26))
    expected = [specified(tiny).encode(text) for text in texts[:4]]

    for _ in range(2):
        assert [tiny.encode(text) for text in texts] == [large.encode(text) for text in texts]
        assert expected == [tiny.encode(text) for text in texts[:4]]


# ---- spaces apart from what follows them


def spaced(tmp_path: Path, entries: Sequence[Piece]) -> Tokenizer:
    path = write_vocab(tmp_path / "v.gguf", [*HEAD, *BYTES, *entries], add_space_prefix=False)
    return Tokenizer.from_gguf(path)


@pytest.mark.parametrize(
    "told",
    [
        "▁▁:-1 ▁a:-2 a",  # a space alone is spelled as bytes
        "▁▁:-1 ▁▁▁:-2 ▁ab:-3 a",
        "▁ ▁▁:-1 ▁a:-1 a ▁▁a:-3",
        "▁ a ▁▁:-1 aa:-2 aaaa:-3 " + " ".join(f"{'a' * (8 << k)}:-{k + 4}" for k in range(6))
        + f" ▁{'a' * 256}:-50",  # longer than any spine that is known
    ],
)  # fmt: skip
def test_spaces_and_what_follows_are_one_unit(tmp_path: Path, told: str) -> None:
    tok = spaced(tmp_path, pieces(told))
    pure = specified(tok)
    for n in [*range(1, 12), 100, 255, 256, 257, 258, 300]:
        for rest in ("", "a", "aa", "ab", "a" * 20, "a" * 256, "b"):
            text = " " * n + rest
            assert pure.encode(text) == tok.encode(text) == tok.encode(text)


def test_spaces_that_are_spelled_by_pieces_of_one_byte(tmp_path: Path) -> None:
    bytewise = [piece(bytes([byte]), -9) for byte in "▁".encode()]
    entries = [*HEAD, *pieces("▁▁:-1 ▁a:-2 a"), *bytewise]
    path = write_vocab(tmp_path / "v.gguf", entries, add_space_prefix=False)
    tok = Tokenizer.from_gguf(path)

    assert [1, 3, 4] == [*tok.encode("   a")]
    for n in range(1, 12):
        assert specified(tok).encode(" " * n + "a") == tok.encode(" " * n + "a")


# ---- instruction sets


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("folder", ["llama.cpp", "sentencepiece"])
def test_every_instruction_set_gives_the_golden_ids(folder: str, isa: str) -> None:
    for path in sorted((ROOT / "ids" / folder).glob("*.jsonl")):
        header = read(path).header
        gguf = header["vocab"].endswith(".gguf")
        make = Tokenizer.from_gguf if gguf else Tokenizer.from_sentencepiece
        with mock.patch.dict(os.environ, {"SPM_ISA": isa}):
            tok = make(VOCABS / header["vocab"], dialect=header["oracle"], cache_bytes=0)
        for asked in questions.encodings(read(path)):
            expected = [] if asked.expected is None else asked.expected
            try:
                assert expected == tok.encode(asked.given, **asked.options), (path, asked.label)
            except EncodeError:
                assert asked.expected is None


SIZES = [
    *range(1, 20),
    31,
    32,
    33,
    *range(60, 68),
    *range(126, 131),
    *range(4093, 4100),
    8191,
    8193,
]


@pytest.mark.parametrize("name", ["identity.gguf", "runs.gguf", "no_bytes.model", "special.gguf"])
def test_instruction_sets_cut_alike_at_every_border(name: str) -> None:
    rng = random.Random(name)
    toks = [with_isa(golden(name), isa) for isa in ISAS]
    words = ["a", "the ", "Hello", " ", "é", "日", "▁", "🦙", ".", "ab", "\n", "\x80é", "ĀĀ"]
    for size in SIZES:
        for weight in (1, 20):
            parts = rng.choices(words, [weight] * 4 + [1] * (len(words) - 4), k=size)
            text = "".join(parts).encode()[:size].decode("utf-8", "ignore")
            for pad in ("", "x" * (size - len(text.encode()))):
                found = [tok.encode(pad + text, add_special=False) for tok in toks]
                assert found == [found[0]] * len(ISAS)
        assert specified(toks[0]).encode(text, add_special=False) == toks[0].encode(
            text, add_special=False
        )


def test_cuts_at_the_border_of_a_block() -> None:
    """A unit that begins just before byte 4096 of what is scanned at once, and just behind it."""
    toks = [with_isa(golden("identity.gguf"), isa) for isa in ISAS]
    pure = specified(toks[0])
    for n in range(4075, 4100):
        for text in ("." * n + " the Hello", "a" * n + "é, b", ". " * (n // 2) + "日本語 the"):
            expected = pure.encode(text)
            assert [expected] * len(ISAS) == [tok.encode(text) for tok in toks]


def test_an_instruction_set_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPM_ISA", "mmx")

    with pytest.raises(VocabError, match=r"SPM_ISA is 'mmx', expected .*portable on this machine"):
        Tokenizer.from_gguf(VOCABS / "identity.gguf")


def test_without_a_name_the_best_instruction_set_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPM_ISA", raising=False)

    assert Tokenizer.from_gguf(VOCABS / "ties.gguf").encode("a")


# ---- long units

LENGTHS = [1, 14, 15, 16, 31, 32, 33, 16383, 16384, 16385, 100_000]


@pytest.mark.parametrize("unit", ["a", " ", "▁", "ab"])
def test_what_is_long_and_never_cut_equals_the_specification(unit: str) -> None:
    for name in ("identity.gguf", "runs.gguf"):
        tok = golden(name)
        pure = specified(tok)
        for n in LENGTHS:
            assert pure.encode(unit * n) == tok.encode(unit * n)


def test_random_letters_of_a_vocabulary_equal_the_specification() -> None:
    tok = golden("identity.model")
    rng = random.Random(8)
    common = [p.decode() for p in tok.vocab.pieces[300:] if p.isalpha() and p.isascii()]
    for n in LENGTHS:
        text = "".join(rng.choices(common, k=n))[:n]
        assert specified(tok).encode(text) == tok.encode(text)


# ---- batches and threads


@pytest.fixture(scope="module")
def unknown(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    """Without bytes: a run of unknown characters is one UNK, wherever a text is cut."""
    entries = [*HEAD, *pieces("▁ a b ab:-1 ▁a:-2"), piece("<u>", 0, 4), piece("ba", 0, 4)]
    path = tmp_path_factory.mktemp("unknown") / "v.model"
    return Tokenizer.from_sentencepiece(write_model(path, entries))


@pytest.mark.parametrize("threads", [1, 2, 5, None])
def test_a_huge_text_among_small_ones(threads: int | None) -> None:
    tok = golden("identity.gguf")
    line = "The quick brown fox, naïve as ever. "
    huge = line * (5_000_000 // len(line))
    texts = ["a", "", b"\xff", huge, "é", "日本", "🦙", huge[:70_000], ""]

    batch = tok.encode_batch(texts, threads=threads)

    assert [0, *np.cumsum([tok.count(text) for text in texts])] == batch.offsets.tolist()
    for text, ids in zip(texts, batch):
        assert np.array_equal(ids, tok.encode_array(text, threads=1))


@pytest.mark.parametrize("name", ["identity.gguf", "no_bytes.model", "user_defined.model",
                                  "nmt_nfkc.model", "special.gguf", "unknown"])  # fmt: skip
def test_the_parts_of_a_long_text_on_threads(name: str, unknown: Tokenizer) -> None:
    tok = unknown if name == "unknown" else golden(name)
    rng = random.Random(name)
    seams = "".join(
        rng.choices(["ab", "日本語 ", "é", " x y", "<|user|>", "...", "▁▁", "ba"], k=5000)
    )
    text = seams * (2_500_000 // len(seams.encode()))
    uncut = "éç" * 700_000  # unknown from end to end, or never cut

    for each in (text, text.encode(), b"\xff" + text.encode(), uncut):
        one = tok.encode_array(each, threads=1)
        assert np.array_equal(one, tok.encode_array(each, threads=2))
        assert np.array_equal(one, tok.encode_array(each))
        assert tok.count(each) == len(one)
    assert np.array_equal(
        tok.encode_array(text, threads=1),
        tok.encode_offsets(text, unit="byte")[0],
    )
    short = seams[:3000]
    assert specified(tok).encode(short) == tok.encode(short)


def test_runs_of_unknown_characters_across_the_parts_of_a_text(unknown: Tokenizer) -> None:
    runs = "é" * 30_000 + "a" + "日 " * 30_000
    expected = specified(unknown).encode_offsets(runs)

    ids, spans = unknown.encode_offsets(runs)

    assert expected[0] == ids == unknown.encode(runs)
    assert expected[1].tolist() == spans.tolist()
    assert len(ids) == unknown.count(runs)


@pytest.mark.parametrize("threads", [1, 2, 5, None])
@pytest.mark.parametrize("wrong", ["a\udc80", "ĀĀ\ud800", "🦙\udfff"])
def test_an_error_in_one_text_is_the_batch_s(wrong: str, threads: int | None) -> None:
    tok = golden("identity.gguf")

    with pytest.raises(EncodeError, match="lone surrogate") as in_batch:
        tok.encode_batch(["a", wrong, b"b" * 100_000], threads=threads)
    with pytest.raises(EncodeError) as pure:
        specified(tok).encode(wrong)
    assert str(pure.value) == str(in_batch.value)


def test_what_is_no_text_in_a_batch_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="text is int, expected str or bytes"):
        golden("identity.gguf").encode_batch(["a", 5])  # type: ignore[list-item]


@pytest.mark.parametrize("text", ["plain", "na\xefve", "\u0100\u65e5", "\U0001f999 a", "\x80\xff"])
def test_every_width_of_a_str(text: str) -> None:
    tok = golden("identity.gguf")
    for repeated in (text, text * 50, text * 6000):
        assert tok.encode(repeated.encode()) == tok.encode(repeated)
        assert tok.encode_batch([repeated]).to_lists() == [tok.encode(repeated)]
    assert specified(tok).encode(text) == tok.encode(text)


@pytest.mark.parametrize("before", ["\xe9" * 40_000, "\u65e5" * 20_000, "a\U0001f999" * 20_000])
def test_half_a_surrogate_pair_is_told_of_before_a_byte_without_a_piece(
    tmp_path: Path, before: str
) -> None:
    entries = [*HEAD, *pieces("▁ a")]  # which spell neither
    tok = Tokenizer.from_gguf(write_vocab(tmp_path / "v.gguf", entries))
    for text, told in ((before, "has no piece"), (before + "\udc80", f"character {len(before)},")):
        with pytest.raises(EncodeError, match=told) as core:
            tok.encode(text)
        with pytest.raises(EncodeError) as specification:
            specified(tok).encode(text)
        assert str(specification.value) == str(core.value)


def test_a_second_bos_in_a_batch_is_warned_of_where_it_was_asked_for() -> None:
    tok = golden("identity.gguf")
    for each in (tok, specified(tok)):
        with pytest.warns(DoubleBOSWarning, match="there are two now") as caught:
            each.encode_batch(["a", "<s>a"], parse_special=True)
        assert [__file__] == [warning.filename for warning in caught]
    with pytest.warns(DoubleBOSWarning) as caught:
        tok.count("<s>a", parse_special=True)
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DoubleBOSWarning):
            tok.encode_batch(["<s>a"], parse_special=True)


# ---- calls


def test_a_text_may_be_given_by_name() -> None:
    tok = golden("identity.gguf")
    for each in (tok, specified(tok)):
        assert tok.encode("a") == each.encode(text="a") == each.encode_array(text="a").tolist()
        assert each.count(text="a") == len(tok.encode("a"))


@pytest.mark.parametrize(
    ("args", "options"), [((), {}), (("a", True), {}), (("a",), {"x": 1}), (("a",), {"text": "b"})]
)
def test_calls_that_python_would_refuse(args: tuple[Any, ...], options: dict[str, Any]) -> None:
    for each in (golden("identity.gguf"), specified(golden("identity.gguf"))):
        for ask in (each.encode, each.encode_array, each.count):
            with pytest.raises(TypeError, match=r"argument"):
                ask(*args, **options)


@pytest.mark.parametrize("threads", [0, -1, -(1 << 80)])
def test_threads_are_positive_in_the_core_too(threads: int) -> None:
    for each in (golden("identity.gguf"), specified(golden("identity.gguf"))):
        with pytest.raises(EncodeError, match=r"threads is .*, expected 1 or more"):
            each.encode_array("a", threads=threads)


@pytest.mark.parametrize("threads", [1 << 61, 1 << 80, 3000])
def test_any_number_of_threads_is_as_many_as_there_can_be(threads: int) -> None:
    tok = golden("identity.gguf")

    assert tok.encode("a") == tok.encode_array("a", threads=threads).tolist()
    assert [tok.encode("a")] == tok.encode_batch(["a"], threads=threads).to_lists()


def test_threads_are_a_number() -> None:
    for each in (golden("identity.gguf"), specified(golden("identity.gguf"))):
        with pytest.raises(TypeError):
            each.encode_array("a", threads="2")  # type: ignore[arg-type]


# ---- copies, processes


class Shouting(Tokenizer):
    def encode(self, text: Any, **options: Any) -> list[int]:
        return super().encode(text.upper(), **options)


def test_what_a_subclass_overrides_stays_overridden() -> None:
    path = VOCABS / "identity.gguf"
    loud, tok = Shouting.from_gguf(path), Tokenizer.from_gguf(path)

    for each in (loud, pickle.loads(pickle.dumps(loud)), copy.copy(loud), copy.deepcopy(loud)):
        assert tok.encode("HELLO") == each.encode("hello")
        assert tok.count("hello") == each.count("hello")


@pytest.mark.parametrize("cache_bytes", [0, 1, 1 << 20, 1 << 30])
def test_copies_encode_as_the_original(cache_bytes: int) -> None:
    tok = Tokenizer.from_gguf(VOCABS / "identity.gguf", cache_bytes=cache_bytes)
    text = "Hello world, naïve"
    for each in (copy.copy(tok), copy.deepcopy(tok), pickle.loads(pickle.dumps(tok))):
        assert each._fast is not None
        assert each._cache_bytes == cache_bytes
        assert tok.encode(text) == each.encode(text) == specified(tok).encode(text)


def encode_pooled(text: str) -> list[int]:
    return golden("identity.gguf").encode(text * 1000)


def picked_threads(text: str) -> int:
    return fast.pick_threads()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_pool_of_processes() -> None:
    expected = encode_pooled("Hello ")

    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert [expected] * 6 == pool.map(encode_pooled, ["Hello "] * 6)
        assert [1, 1] == pool.map(picked_threads, ["", ""])  # the other cores have their own worker


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_while_threads_encode() -> None:
    tok = golden("identity.gguf")
    text = "The quick brown fox " * 5000
    expected, done = tok.count(text), threading.Event()

    def work() -> None:
        while not done.is_set():
            tok.encode_array(text, threads=2)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(5):
            pid = os.fork()
            if pid == 0:
                os._exit(
                    0
                    if tok.count(text) == tok.encode_array(text, threads=2).size == expected
                    else 1
                )
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    finally:
        done.set()
        for thread in threads:
            thread.join()


def test_more_threads_than_scratches_are_kept() -> None:
    tok = Tokenizer.from_gguf(VOCABS / "identity.gguf", cache_bytes=0)
    text = "Hello world, " * 3000
    expected, found = tok.encode(text), [0] * 8

    def work(i: int) -> None:
        found[i] = sum(tok.encode(text) == expected for _ in range(3))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [3] * 8 == found


def test_threads_that_are_worth_it_are_picked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast.sys, "modules", {**sys.modules, "multiprocessing.process": None})
    assert fast.pick_threads() >= 1
    worker = mock.Mock(parent_process=lambda: "somebody")
    monkeypatch.setattr(fast.sys, "modules", {**sys.modules, "multiprocessing.process": worker})
    assert fast.pick_threads() == 1  # the other cores have workers of their own
    monkeypatch.setattr(fast.sys, "modules", {**sys.modules, "multiprocessing.process": None})
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert fast.pick_threads() == 1


def test_a_vocabulary_that_is_too_large_for_the_core_is_the_specification_s(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("spm.text.fast.MAX_PIECES", 10)

    tok = Tokenizer.from_gguf(VOCABS / "identity.gguf")

    assert tok._fast is None
    assert golden("identity.gguf").encode("Hello") == tok.encode("Hello")


# ---- what a cold reading found


def test_a_name_that_is_no_text_is_a_type_error_too() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument"):
        golden("identity.gguf").encode("a", **{"\ud800": 1})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["encode", "encode_array", "count"])
def test_a_warning_that_is_an_error_is_raised(name: str) -> None:
    tok = golden("identity.gguf")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DoubleBOSWarning):
            getattr(tok, name)("<s>a", parse_special=True)


def test_a_stream_refuses_what_encode_refuses() -> None:
    tok = golden("identity.model")
    for each in (tok, specified(tok)):
        stream = each.stream_encoder(parse_special=True)
        with pytest.raises(EncodeError, match="parse_special"):
            [*stream.push("hello <s> world"), *stream.flush()]


def test_numbers_and_flags_that_python_would_take() -> None:
    tok = golden("identity.gguf")
    assert tok.truncate("ab", 10**30) == "ab"
    assert tok.encode_offsets("a", parse_special=1)[0] == tok.encode("a", parse_special=True)  # type: ignore[arg-type]
    assert tok.encode_batch(["a"], add_special=2)[0].tolist() == tok.encode("a")  # type: ignore[arg-type]


@pytest.mark.parametrize("cache_bytes", [-1, 1 << 70])
def test_cache_bytes_that_nobody_has(cache_bytes: int) -> None:
    with pytest.raises(VocabError, match=r"cache_bytes is -?1.*, expected 0 or more"):
        Tokenizer.from_gguf(VOCABS / "identity.gguf", cache_bytes=cache_bytes)


def test_bound_methods_go_to_other_processes() -> None:
    tok = golden("identity.gguf")
    assert pickle.loads(pickle.dumps(tok.encode))("Hello") == tok.encode("Hello")


def test_an_override_counts_for_what_calls_it() -> None:
    class Counting(Tokenizer):
        def encode_array(self, text: Any, **options: Any) -> Any:  # type: ignore[override]
            return np.array([7], np.int32)

    assert Counting.from_gguf(VOCABS / "identity.gguf").encode("Hello") == [7]


def test_a_character_that_is_unused_costs_no_more_than_another(tmp_path: Path) -> None:
    """It is spelled by its bytes without asking the specification."""
    entries = [*HEAD, *BYTES, *pieces("▁ a"), piece("\u65e5", 0, 5)]
    rules = {
        "trainer": trainer_spec(byte_fallback=True),
        "normalizer": normalizer_spec(remove=False),
    }
    tok = Tokenizer.from_sentencepiece(write_model(tmp_path / "v.model", entries, **rules))
    with mock.patch.object(tok, "_dialect", None):
        ids = tok.encode("a\u65e5a", add_special=False)
    assert specified(tok).encode("a\u65e5a", add_special=False) == ids
