"""BPE in the core: the words of every pre-tokenizer, and all that a Tokenizer does with a text."""

from __future__ import annotations

from functools import cache
from itertools import pairwise, product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spm import Tokenizer
from spm.errors import SpmError
from spm.native import core
from spm.text.byte_level import LETTERS
from spm.text.pretokenize import words
from spm.text.word_stages import stages_of
from spm.vocab.pretokenizers import PRE_TOKENIZERS
from tests.making import specified
from tests.test_fast import answer
from tests.test_properties import data
from tools.golden_bpe import ALPHABET, write

pytestmark = [
    pytest.mark.skipif(core is None, reason="the compiled core is not built"),
    pytest.mark.filterwarnings("ignore::spm.errors.DoubleBOSWarning"),
]

ISAS = [] if core is None else [i for i in range(len(core.ISAS)) if core.supports(i)]
SPECIFIED = {
    "chameleon", "exaone-moe", "jais-2", "kimi-k2", "spark2_5", "superbpe", "whitespace", "youtu",
}  # fmt: skip
IN_CORE = {
    pre.patterns: name for name, pre in PRE_TOKENIZERS.items() if stages_of(pre.patterns)
}  # a name for each row of patterns


# ---- words

ASCII = [chr(code) for code in range(0x80)]
CASES = [
    " ", " ", "  ", "\n", "\r", "\t", "'", "'s", "'re", "'LL", "a", "B", "s", "1", "23", "!", "!!",
    "/", "é", "É", "ǅ", "ª", "中", "の", "ー", "・", "。", "\u3000", "\u00a0", "\u0085", "\u0301",
    "\u200d", "😀", "٣", "²", "\u0378", "\x01", "$", "`", "~", "(", "…", "한", "ㄱ", "क", "ि",
    "𐐀", "\uff11", "\uff01", "\u017f", "\u1680", "\x1c", "豈",
]  # fmt: skip
texts = st.one_of(
    st.lists(st.sampled_from(CASES), max_size=30).map("".join),
    st.lists(st.sampled_from([*ASCII, *CASES[:18]]), min_size=60, max_size=200).map("".join),
)


def ends(found: Any, text: str) -> list[int]:
    ends: list[int] = found.ends(text.encode())
    return ends


def specified_ends(text: str, name: str) -> list[int]:
    """Where words end, in bytes."""
    return [len(text[:end].encode()) for end in words(text, PRE_TOKENIZERS[name])[1:] if text]


@cache
def words_of(name: str, isa: int) -> Any:
    assert core is not None
    return core.Words(stages_of(PRE_TOKENIZERS[name].patterns), isa)


def test_what_the_core_does_not_know_is_said() -> None:
    unknown = {name for name, pre in PRE_TOKENIZERS.items() if not stages_of(pre.patterns)}
    assert unknown == SPECIFIED


@given(st.sampled_from(sorted(IN_CORE.values())), texts)
def test_words_are_the_specification_s(name: str, text: str) -> None:
    expected = specified_ends(text, name)
    for isa in ISAS:
        assert expected == ends(words_of(name, isa), text)


@given(st.sampled_from(sorted(IN_CORE.values())), texts)
def test_a_safe_border_parts_words_whatever_stands_around(name: str, text: str) -> None:
    found = words_of(name, ISAS[0])
    whole = ends(found, text)
    for at in range(1, len(text)):
        if found.may_cut(ord(text[at - 1]), ord(text[at])):
            left, right = text[:at], text[at:]
            size = len(left.encode())
            assert whole == ends(found, left) + [size + end for end in ends(found, right)]


@pytest.mark.parametrize("name", ["granite-embed-multi-97m", "gpt-4o", "tekken"])
def test_cases_in_every_short_word(name: str) -> None:
    for size in range(1, 6):
        for letters in product("Ba\u0301é's", repeat=size):
            text = "".join(letters)
            assert specified_ends(text, name) == ends(words_of(name, ISAS[0]), text)


@pytest.mark.parametrize("name", sorted(IN_CORE.values()))
def test_windows_at_every_place(name: str) -> None:
    """What 64 characters tell must not depend on where they begin."""
    text = "It's  a\n\n  \n x'll\t!!\n/ 12345 'Re \r\n\n  HeLLo9'd's ..'t  \t\n  B" * 3
    for begin in range(len(text) // 3):
        part = text[begin:]
        for isa in ISAS:
            assert specified_ends(part, name) == ends(words_of(name, isa), part)


@pytest.mark.parametrize("most", [1, 2, 4, 7, 63, 64])
def test_words_of_so_many_digits_at_most(most: int) -> None:
    """llama.cpp's pre-tokenizers count to one or three; the core takes any number."""
    pre = PRE_TOKENIZERS["llama-bpe"]
    begins, classes, (stage,) = stages_of(pre.patterns) or pytest.fail("not in the core")
    assert ("words", 3) == (stage[0], stage[4])
    patterns = tuple(each.replace("{1,3}", f"{{1,{most}}}") for each in pre.patterns)
    counted = pre._replace(patterns=patterns)
    text = "".join(f"{'7' * n} a\t" for n in range(1, 140))

    expected = [len(text[:end].encode()) for end in words(text, counted)[1:]]

    for isa in ISAS:
        found = core.Words((begins, classes, ((*stage[:4], most, *stage[5:]),)), isa)
        assert expected == ends(found, text)


# ---- ids


PIECES = [*"abcs'", " ", "é", "中"]


@st.composite
def tokenizers(draw: st.DrawFn) -> Tokenizer:
    """Merges of bytes or of characters, some of which make no piece."""
    name = draw(
        st.sampled_from(["gpt-2", "llama3", "qwen2", "tekken", "falcon", "gemma4", "bloom"])
    )
    by_bytes = PRE_TOKENIZERS[name].byte_level
    alphabet = [c.decode() for c in LETTERS] if by_bytes else [*"abcs'▁é中\n", *"xyz"]
    known = [alphabet[byte] for p in PIECES for byte in p.encode()] if by_bytes else alphabet[:9]
    rows, merges = list(known), []
    for _ in range(draw(st.integers(0, 14))):
        left, right = draw(st.sampled_from(rows)), draw(st.sampled_from(rows))
        merges.append(f"{left} {right}")
        rows.append(left + right)
    made = [row for row in rows[len(known) :] if draw(st.integers(0, 5))]
    lost = draw(st.sets(st.sampled_from(alphabet), max_size=2))
    special = [("<s>", 3), ("<u>", 4), *((f"<0x{byte:02X}>", 6) for byte in (0xC3, 0xE4))]
    pieces = [(piece, 1) for piece in dict.fromkeys([*alphabet, *made]) if piece not in lost]
    keys = {"pre": name, "pieces": [*pieces, *special], "merges": merges}
    with TemporaryDirectory() as folder:
        return Tokenizer.from_gguf(write(Path(folder) / "v.gguf", keys), cache_bytes=0)


letters = st.lists(
    st.sampled_from([*PIECES, "  ", "\n", "\n\n", "1", "!", "<s>", "<u>", "<"]), max_size=14
)
any_text = letters.map("".join).map(str.encode) | data | st.just(b"ab\xed\xa0\x80\xc0\x80\xf0\x9f")


@given(tokenizers(), any_text, st.booleans(), st.booleans(), st.integers(-1, 9))
def test_every_way_is_the_specification_s(
    tok: Tokenizer, text: bytes, special: bool, parse: bool, room: int
) -> None:
    pure, options = specified(tok), {"add_special": special, "parse_special": parse}
    assert tok._fast is not None
    assert pure._fast is None

    expected = answer(pure.encode, text, **options)
    assert expected == answer(tok.encode, text, **options)
    assert expected == answer(tok.encode_array, text, threads=2, **options)
    assert answer(pure.count, text, **options) == answer(tok.count, text, **options)
    for unit in ("byte", "char"):
        places = answer(pure.encode_offsets, text, unit=unit, **options)
        assert places == answer(tok.encode_offsets, text, unit=unit, **options)
    if not isinstance(expected, str):
        shorter = answer(pure.truncate, text, room, **options)
        assert shorter == answer(tok.truncate, text, room, **options)


@given(tokenizers(), letters.map("".join), st.lists(st.integers(0, 20), max_size=5), st.booleans())
def test_a_stream_of_parts_is_the_whole(
    tok: Tokenizer, text: str, cuts: list[int], parse: bool
) -> None:
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    encoder = tok.stream_encoder(parse_special=parse)
    found = [i for begin, end in pairwise(places) for i in encoder.push(text[begin:end])]
    assert tok.encode(text, parse_special=parse) == [*found, *encoder.flush()]


@given(tokenizers(), st.data(), st.booleans())
def test_texts_of_ids_are_the_specification_s(
    tok: Tokenizer, drawn: st.DataObject, skip: bool
) -> None:
    ids = drawn.draw(st.lists(st.integers(0, len(tok.vocab) - 1), max_size=12))
    pure = specified(tok)
    assert pure.decode_bytes(ids, skip_special=skip) == tok.decode_bytes(ids, skip_special=skip)
    assert pure.decode(ids, skip_special=skip) == tok.decode(ids, skip_special=skip)
    decoder = tok.stream_decoder(skip_special=skip)
    shown = "".join(map(decoder.push, ids)) + decoder.flush()
    assert shown == pure.decode(ids, skip_special=skip)


@cache
def of_letters(name: str) -> Tokenizer:
    merges = ["a a", "aa aa", "a b", "ab ab", "b a", "aaaa aaaa", "Ġ a", "Ġ Ġ", "ĠĠ ĠĠ", "Ċ Ċ"]
    pieces = [(merge.replace(" ", ""), 1) for merge in merges]
    keys = {"pre": name, "pieces": [*ALPHABET, *pieces], "merges": merges}
    with TemporaryDirectory() as folder:
        return Tokenizer.from_gguf(write(Path(folder) / "v.gguf", keys))


@pytest.mark.parametrize("name", ["gpt-2", "llama3", "gpt-4o", "deepseek-v3", "deepseek-llm"])
@pytest.mark.parametrize(
    "part", ["a", "ab", " ", "\n", " \n", "\r\n \t", "1", "!", "\u0301", "É", "a'"]
)
def test_long_texts_of_one_kind(name: str, part: str) -> None:
    """Rows of every size up to and beyond what registers hold, and texts that could be slow."""
    tok = of_letters(name)
    for size in (60, 61, 62, 63, 64, 65, 127, 128, 129, 500):
        text = part * size + "."
        assert specified(tok).encode(text) == tok.encode(text)
    text = part * 100_000
    assert len(tok.encode(text)) == tok.count(text)


def test_code_points_beyond_unicode_are_refused_by_place() -> None:
    for tok in (of_letters("gpt-2"), specified(of_letters("gpt-2"))):
        with pytest.raises(SpmError, match=r"^text: byte 2 begins code point 0x110000, expected"):
            tok.encode(b"ab\xf4\x90\x80\x80")
