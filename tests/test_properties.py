"""What holds for every vocabulary and every text, tried on small ones that are full of ties.

The vocabularies are random: a few pieces over five letters, few and often equal scores, improper
ones among them (a piece may score better than its halves, or be unreachable).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from spm import Tokenizer, TokenType, Vocab
from spm.errors import SpmError
from spm.text.cuts import Joins
from spm.text.spm import merge
from spm.text.utf8 import characters
from spm.vocab import Normalization
from tests.making import (
    BYTES,
    HEAD,
    Piece,
    model,
    normalizer_spec,
    piece,
    pieces,
    processor,
    specified,
    trainer_spec,
)

pytestmark = pytest.mark.filterwarnings("ignore::spm.errors.DoubleBOSWarning")

DIALECTS = ["llama.cpp", "sentencepiece"]
LETTERS = ["a", "b", "c", "▁", "é"]
SCORES = [0.0, -0.0, -1.0, -1.0, -2.0, -3.0, 1.0, -1e9, float("inf"), float("-inf")]

words = st.lists(st.sampled_from(LETTERS), min_size=1, max_size=4).map("".join)
scores = st.sampled_from(SCORES)
ranks = st.dictionaries(words.map(str.encode), scores, max_size=25)


def vocab_of(entries: list[Piece], **changes: Any) -> Vocab:
    fields: dict[str, Any] = {
        "source": "made",
        "pieces": tuple(entry.text for entry in entries),
        "scores": np.array([entry.score for entry in entries], np.float32),
        "types": tuple(TokenType(entry.type) for entry in entries),
        "special_ids": {"bos": 1, "eos": 2, "unk": 0},
        "add_bos": True,
        "add_eos": False,
        "add_space_prefix": True,
        "normalization": Normalization(remove_extra_whitespaces=False),
    }
    return Vocab(**{**fields, **changes})


@st.composite
def vocabs(draw: st.DrawFn, kinds: tuple[int, ...] = (1, 1, 1, 1, 3, 4, 5)) -> Vocab:
    """▁, every byte, and some pieces of the given types."""
    drawn = draw(st.dictionaries(words, st.tuples(scores, st.sampled_from(kinds)), max_size=20))
    extra = [piece(text, *rest) for text, rest in drawn.items() if text != "▁"]
    prefix, eos = draw(st.booleans()), draw(st.booleans())
    rules = Normalization(
        add_dummy_prefix=prefix, remove_extra_whitespaces=draw(st.booleans()),
        treat_whitespace_as_suffix=draw(st.booleans()),
    )  # fmt: skip
    return vocab_of(
        [*HEAD, *BYTES, *pieces("▁:-4"), *extra],
        add_space_prefix=prefix, add_eos=eos, normalization=rules,
    )  # fmt: skip


@st.composite
def tokenizers(draw: st.DrawFn, kinds: tuple[int, ...] = (1, 1, 1, 1, 3, 4, 5)) -> Tokenizer:
    return Tokenizer(draw(vocabs(kinds)), draw(st.sampled_from(DIALECTS)))


SPELLED = ["<s>", "</s>", "<unk>", "<0x0A>", "<0x00>"]
letters = st.lists(
    st.sampled_from([*LETTERS, " ", " ", "  ", "\n", "😀", *SPELLED]), max_size=14
).map("".join)
texts = letters | st.text(max_size=10)
data = (
    texts.map(str.encode)
    | st.binary(max_size=12)
    | st.tuples(texts.map(str.encode), st.binary(max_size=3), texts.map(str.encode)).map(b"".join)
)


# ---- round trips


@given(vocabs(kinds=(1,)), texts, st.sampled_from(DIALECTS))
@example(vocab_of([*HEAD, *BYTES, *pieces("▁")]), "  a \n<s>\0", "llama.cpp")
def test_decode_encode_round_trip(vocab: Vocab, text: str, dialect: str) -> None:
    """Any text without a literal ▁ comes back, if every piece is NORMAL or a byte.

    ▁ itself decodes as a space. Other types do not come back: CONTROL and UNUSED pieces are silent,
    after a USER_DEFINED one llama.cpp puts another space. sentencepiece's own round trip needs its
    white space left alone.
    """
    text = text.replace("▁", "_")
    rules = Normalization(add_dummy_prefix=vocab.add_space_prefix, remove_extra_whitespaces=False)
    vocab = vocab_of(
        [*map(Piece, vocab.pieces, vocab.scores.tolist(), vocab.types)],
        normalization=rules, add_space_prefix=vocab.add_space_prefix,
    )  # fmt: skip
    tok = Tokenizer(vocab, dialect)

    assert tok.decode(tok.encode(text, add_special=False)) == text


@given(tokenizers())
def test_every_id_decodes(tok: Tokenizer) -> None:
    for i in range(len(tok.vocab)):
        for skip in (False, True):
            stream = tok.stream_decoder(skip_special=skip)
            streamed = stream.push(i) + stream.push(i) + stream.flush()
            assert streamed == tok.decode([i, i], skip_special=skip)


@given(tokenizers(), data)
def test_every_id_of_an_encoding_is_an_id(tok: Tokenizer, text: bytes) -> None:
    assert all(0 <= i < len(tok.vocab) for i in tok.encode(text))


# ---- merging


@given(ranks, letters, st.sets(st.integers(0, 14), max_size=3))
def test_no_legal_merge_left(ranks: dict[bytes, float], text: str, frozen: set[int]) -> None:
    """A fixed point: no two neighbours of the result, neither frozen, are a piece together."""
    symbols = characters(text.encode())

    row = merge(symbols, ranks, frozen)

    assert b"".join(row) == b"".join(symbols)
    whole = {len(b"".join(symbols[:i])) for i in frozen if i < len(symbols)}
    begin = 0
    for left, right in pairwise(row):
        middle = begin + len(left)
        if not {begin, middle} & whole:
            assert left + right not in ranks
        begin = middle
    begins = {len(b"".join(row[:k])) for k in range(len(row))}
    assert whole <= begins  # and a frozen symbol is a symbol still


@given(tokenizers(), data)
def test_explain_equals_encode(tok: Tokenizer, text: bytes) -> None:
    """The agenda against the definition: look at all neighbours again before every merge."""
    found = tok.explain(text)

    assert found.ids == tok.encode(text, add_special=False)
    for step in found.parts:
        if step.merges:
            assert merge(
                list(step.symbols), tok._dialect.score_merging.ranks, _frozen(tok, step.symbols)
            ) == list(step.merges[-1].symbols)


def _frozen(tok: Tokenizer, symbols: tuple[bytes, ...]) -> set[int]:
    if tok.dialect == "llama.cpp":
        return set()
    whole = {p for p, t in zip(tok.vocab.pieces, tok.vocab.types) if t == TokenType.USER_DEFINED}
    return {i for i, symbol in enumerate(symbols) if symbol in whole}


def encoding(text: str, ranks: dict[bytes, float]) -> list[bytes]:
    return merge(characters(text.encode()), ranks)


@given(ranks, letters)
def test_cut_lemma(ranks: dict[bytes, float], text: str) -> None:
    """Where no piece contains the pair of characters xy, nothing merges across x|y."""
    whole, joins = encoding(text, ranks), Joins(ranks)
    for at in range(1, len(text)):
        x, y = text[at - 1].encode(), text[at].encode()
        inside = any(pair == (x, y) for key in ranks for pair in pairwise(characters(key)))
        assert ((x, y) in joins.pairs) == inside
        if not inside:
            assert encoding(text[:at], ranks) + encoding(text[at:], ranks) == whole


@given(vocabs(kinds=(1,)), letters, st.sampled_from(DIALECTS))
def test_texts_are_encoded_apart_wherever_there_is_a_cut(
    vocab: Vocab, text: str, dialect: str
) -> None:
    rules = Normalization(add_dummy_prefix=False, remove_extra_whitespaces=False)
    flags = {"add_space_prefix": False, "add_bos": False, "add_eos": False}
    vocab = replace(vocab, normalization=rules, **flags)
    tok = Tokenizer(vocab, dialect)
    symbols = [c.replace(" ", "▁").encode() for c in text]
    for each in (tok, specified(tok)):
        for at in range(1, len(text)):
            if any(tok._dialect.score_merging.joins.cuts(symbols[at - 1 : at + 1])):
                apart = each.encode(text[:at]) + each.encode(text[at:])
                assert apart == each.encode(text)


@given(ranks, letters)
def test_substring_lemma(ranks: dict[bytes, float], text: str) -> None:
    """A contiguous run of an encoding is the encoding of its own text."""
    whole = encoding(text, ranks)
    for first in range(len(whole)):
        for last in range(first + 1, len(whole) + 1):
            run = whole[first:last]
            assert merge(characters(b"".join(run)), ranks) == run


@given(ranks, letters)
def test_gluing_lemma(ranks: dict[bytes, float], text: str) -> None:
    """If the encodings of A·B and of B·C share the tokens of B, they splice."""
    whole = encoding(text, ranks)
    for first in range(len(text)):
        rest = encoding(text[first:], ranks)
        for last in range(first + 1, len(text) + 1):
            start = encoding(text[:last], ranks)
            shared = [run for run in tails(start) if b"".join(run) == text[first:last].encode()]
            if shared and rest[: len(shared[0])] == shared[0]:
                assert start + rest[len(shared[0]) :] == whole


def tails(row: list[bytes]) -> Iterator[list[bytes]]:
    return (row[i:] for i in range(len(row)))


@given(ranks, st.lists(words, min_size=1, max_size=6))
def test_neighbour_lemma(ranks: dict[bytes, float], parts: list[str]) -> None:
    """A row of whole pieces is the encoding of its text if and only if every pair of them is."""
    row = [part.encode() for part in parts]
    alone = all(merge(characters(part), ranks) == [part] for part in row)
    pairs = all(merge(characters(a + b), ranks) == [a, b] for a, b in pairwise(row))

    if alone:
        assert (merge(characters(b"".join(row)), ranks) == row) == pairs


# ---- streams


@given(tokenizers(), st.data(), st.booleans())
def test_stream_decoder_equals_decode_for_every_split(
    tok: Tokenizer, drawn: st.DataObject, skip: bool
) -> None:
    last = len(tok.vocab) - 1
    kinds = st.sampled_from([0, 1, 2, 3 + 0xE2, 3 + 0x96, 3 + 0x81, 3 + 0x20, 3 + 0xFF])
    ids = drawn.draw(st.lists(kinds | st.integers(259, max(last, 259)), max_size=9))
    whole = tok.decode(ids, skip_special=skip)
    for end in range(len(ids) + 1):
        decoder = tok.stream_decoder(skip_special=skip)
        certain = "".join(decoder.push(i) for i in ids[:end])
        assert whole.startswith(certain)
        assert certain + decoder.flush() == tok.decode(ids[:end], skip_special=skip)


@given(tokenizers(), texts, st.lists(st.integers(0, 14), max_size=5))
def test_stream_encoder_equals_encode_for_every_split(
    tok: Tokenizer, text: str, cuts: list[int]
) -> None:
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    encoder = tok.stream_encoder()
    parts = [text[begin:end] for begin, end in pairwise(places)]

    assert [i for part in parts for i in encoder.push(part)] + encoder.flush() == tok.encode(text)


# ---- safety


@given(vocabs(), st.lists(st.sampled_from([*SPELLED, "a", " ", "<", ">"]), max_size=8).map("".join))
def test_special_text_is_inert_unless_asked_for(vocab: Vocab, text: str) -> None:
    """Nothing that is typed becomes CONTROL, UNKNOWN or a byte that was not typed.

    llama.cpp lets CONTROL pieces be merge results, so for it the pieces must not spell them: here
    none has a '<', and CONTROL ones of letters are left out.
    """
    kinds = dict(zip(range(len(vocab)), vocab.types))
    silent = (TokenType.CONTROL, TokenType.UNKNOWN)
    strict = Tokenizer(vocab, "sentencepiece")
    assert not [i for i in strict.encode(text, add_special=False) if kinds[i] in silent]

    lax = Tokenizer(vocab_of([*HEAD, *BYTES, *pieces("▁ a aa ▁a")]), "llama.cpp")
    ids = lax.encode(text, add_special=False)
    assert not set(ids) & {0, 1, 2}
    assert lax.decode(ids) == text
    if "<s>" in text:
        assert 1 in lax.encode(text, add_special=False, parse_special=True)


@given(tokenizers(), data, st.booleans())
def test_never_anything_but_SpmError_on_any_bytes(  # noqa: N802
    tok: Tokenizer, text: bytes, parse_special: bool
) -> None:
    bare = Tokenizer(vocab_of([*HEAD, *pieces("a b ab")], byte_fallback=False), tok.dialect)
    for each in (tok, bare):
        for ask in (each.encode, each.count, each.explain, each.encode_offsets):
            refused = ""
            try:
                ask(text, parse_special=parse_special)  # type: ignore[operator]
            except SpmError as error:
                refused = str(error)
            assert "\n" not in refused


@given(st.binary(max_size=60), st.integers(0, 200), st.integers(0, 60))
def test_never_anything_but_SpmError_on_any_model(  # noqa: N802
    noise: bytes, at: int, size: int
) -> None:
    good = model([*HEAD, *pieces("a b ab:-1")], trainer=trainer_spec(byte_fallback=False))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "m.model")
        for content in (noise, good[:at] + noise + good[at + size :]):
            path.write_bytes(content)
            refused = ""
            try:
                tok = Tokenizer.from_sentencepiece(path)
                tok.decode(tok.encode(noise))
            except SpmError as error:
                refused = str(error)
            assert "\n" not in refused


# ---- counting and cutting


@given(tokenizers(), data, st.booleans())
def test_count_equals_len(tok: Tokenizer, text: bytes, special: bool) -> None:
    ids = tok.encode(text, add_special=special)

    assert tok.count(text, add_special=special) == len(ids)
    assert tok.encode_array(text, add_special=special).tolist() == ids
    assert tok.encode_batch([text, b"", text], add_special=special).to_lists() == [
        ids, tok.encode(b"", add_special=special), ids,
    ]  # fmt: skip


@given(tokenizers(), texts, st.integers(-1, 12), st.booleans())
def test_truncate_fits_and_is_a_prefix(tok: Tokenizer, text: str, room: int, special: bool) -> None:
    """And with llama.cpp the longest that ends where a token ends and where no character is cut.

    sentencepiece drops spaces at the end, so there some longer beginnings have no more ids.
    """
    cut = tok.truncate(text, room, add_special=special)

    assert text.startswith(cut)
    if cut:
        assert tok.count(cut, add_special=special) <= room
    _, spans = tok.encode_offsets(text, add_special=False, unit="byte")
    raw = text.encode()
    for end in {len(raw), *spans[:, 1].tolist()} if tok.dialect == "llama.cpp" else ():
        inside = raw[end : end + 1] and raw[end] & 0xC0 == 0x80
        if not inside and tok.count(raw[:end], add_special=special) <= room:
            assert end <= len(cut.encode())


@given(tokenizers(), data)
def test_offsets_are_monotone_and_within(tok: Tokenizer, text: bytes) -> None:
    ids, spans = tok.encode_offsets(text, unit="byte")

    assert ids == tok.encode(text)
    begins, ends = spans.T.tolist()
    assert begins == sorted(begins)
    assert ends == sorted(ends)
    assert all(0 <= begin <= end <= len(text) for begin, end in spans.tolist())
    if tok.dialect == "llama.cpp":  # which keeps every byte
        assert b"".join(text[begin:end] for begin, end in spans.tolist()) == text


@given(tokenizers(), texts)
def test_offsets_in_characters_are_those_in_bytes(tok: Tokenizer, text: str) -> None:
    _, in_bytes = tok.encode_offsets(text, unit="byte")
    _, in_chars = tok.encode_offsets(text)

    raw = text.encode()
    for (begin, end), (first, last) in zip(in_bytes.tolist(), in_chars.tolist()):
        inside = raw[end : end + 1] and raw[end] & 0xC0 == 0x80
        if not inside:
            assert raw[begin:end].decode("utf-8", "ignore") == text[first:last]


# ---- against the library itself


any_scores = scores | st.sampled_from([float("nan"), -float("nan"), 1e-45, -1e-45])


@given(
    st.dictionaries(
        words, st.tuples(any_scores, st.sampled_from([1, 1, 1, 1, 3, 4, 5])), max_size=20
    ),
    st.lists(data, min_size=1, max_size=5),
    st.booleans(), st.booleans(), st.booleans(), st.booleans(),
)  # fmt: skip
def test_random_models_are_read_as_sentencepiece_reads_them(
    drawn: dict[str, tuple[float, int]],
    given_texts: list[bytes],
    byte_fallback: bool, prefix: bool, remove: bool, suffix: bool,
) -> None:  # fmt: skip
    extra = [piece(text, *rest) for text, rest in drawn.items()]
    content = model(
        [*HEAD, *(BYTES if byte_fallback else []), *extra],
        trainer=trainer_spec(byte_fallback=byte_fallback, suffix=suffix),
        normalizer=normalizer_spec(prefix=prefix, remove=remove),
    )
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "m.model").write_bytes(content)
        tok = Tokenizer.from_sentencepiece(Path(folder, "m.model"))
    real = processor(content)

    for text in given_texts:
        expected = real.Encode(text, return_type="offset_mapping")
        ids, spans = tok.encode_offsets(text, unit="byte")
        assert ids == expected["ids"]
        assert spans.tolist() == [list(span) for span in expected["offsets"]]
        assert tok.decode_bytes(ids) == real.Decode(ids, out_type=bytes)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_vocabularies_of_these_tests_are_vocabularies(dialect: str) -> None:
    assert Tokenizer(vocab_of([*HEAD, *BYTES, *pieces("▁")]), dialect).encode("a") == [1, 259, 100]
