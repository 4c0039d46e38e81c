r"""RWKV against its definition, escapes as llama.cpp reads them, and what it never ends on."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spm import Tokenizer
from spm.errors import EncodeError, VocabError
from spm.text.rwkv import unescape
from tests.making import CONTROL, UNKNOWN, piece, write_vocab

TEXTS = [r"\n", "a", "ab", "abc", "d", r"\xe4\xbd", r"\xe4", "aaaa", "aa", "b", r"\\"]
TEXTS += [r"d\\n", r"c\xff"]
BYTES = [
    b"<s>",
    b"<unk>",
    b"\n",
    b"a",
    b"ab",
    b"abc",
    b"d",
    b"\xe4\xbd",
    b"\xe4",
    b"aaaa",
    b"aa",
    b"b",
    b"\\",
]
BYTES += [b"d\\n", b"c\xff"]
UNK = 1


def write(path: Path, texts: list[str], **keys: Any) -> Path:
    entries = [piece("<s>", 0, CONTROL), piece("<unk>", 0, UNKNOWN), *map(piece, texts)]
    keys = {"unknown_token_id": np.uint32(UNK), **keys}
    return write_vocab(path, entries, model="rwkv", scores=None, **keys)


@pytest.fixture(scope="module")
def tok(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return Tokenizer.from_gguf(write(tmp_path_factory.mktemp("rwkv") / "v.gguf", TEXTS))


# Answered by llama_detokenize of llama-cpp-python 0.3.36 for a vocabulary of these pieces.
UNESCAPED = [
    (b"plain", b"plain"),
    (rb"\n", b"\n"),
    (rb"\t", b"\t"),
    (rb"\r", b"\r"),
    (rb"\\", b"\\"),
    (rb"\'", b"'"),
    (rb"\q", b"q"),
    (rb"\x41", b"A"),
    (rb"\xe4\xbd", b"\xe4\xbd"),
    (rb"\xAB", b'"'),
    (rb"\xGg", b"\x80"),
    (rb"\x g", b"\x10"),
    (b"\\x\xc3\xa9z", b"\xa9z"),
    (rb"\x4", b""),
    (rb"a\x", b"a"),
    (b"a\\", b"a"),
    (rb"\\x41", rb"\x41"),
    (rb"\x5cx41", rb"\x41"),
    (rb"\x\n1", b"\xd71"),
    (b"\\\xc3\xa9", b"\xc3\xa9"),
]


@pytest.mark.parametrize(("escaped", "expected"), UNESCAPED)
def test_escapes_good_and_broken(escaped: bytes, expected: bytes) -> None:
    assert unescape(escaped) == expected


@given(st.binary())
def test_what_python_escapes_is_read_back(data: bytes) -> None:
    assert unescape(repr(data)[2:-1].encode()) == data


def longest_pieces(text: bytes) -> list[int] | None:
    """The definition; None where pieces begin with a byte and none is there."""
    ids = []
    while text:
        found = [piece for piece in BYTES if text.startswith(piece)]
        if not found and any(piece[:1] == text[:1] for piece in BYTES):
            return None
        longest = max(found, key=len, default=b"")
        ids.append(BYTES.index(longest) if longest else UNK)
        text = text[len(longest) or 1 :]
    return ids


texts = st.text(r"aaabbcd\n" "\n" "é你x", max_size=20).map(str.encode) | st.binary(max_size=10)
texts |= st.lists(st.sampled_from(BYTES), max_size=9).map(b"".join)


@given(texts)
def test_always_the_longest_piece(tok: Tokenizer, text: bytes) -> None:
    expected = longest_pieces(text)
    if expected is None:
        with pytest.raises(EncodeError, match="expected one of the pieces that begin with it"):
            tok.encode(text)
    else:
        assert expected == tok.encode(text)
        known = b"".join(b"" if i <= UNK else BYTES[i] for i in expected)
        assert known == tok.decode_bytes(expected)


@given(st.text("ab\n", max_size=30), st.lists(st.integers(0, 30), max_size=4).map(sorted))
def test_a_stream_gives_the_ids_of_the_whole(tok: Tokenizer, text: str, cuts: list[int]) -> None:
    encoder = tok.stream_encoder()
    parts = [encoder.push(text[a:b]) for a, b in pairwise([0, *cuts, len(text)])]

    assert tok.encode(text) == [i for part in [*parts, encoder.flush()] for i in part]


def test_offsets_are_bytes(tok: Tokenizer) -> None:
    ids, spans = tok.encode_offsets(b"abcabx", unit="byte")
    assert (ids, spans.tolist()) == ([5, 4, UNK], [[0, 3], [3, 5], [5, 6]])


def test_of_two_spellings_of_the_same_bytes_the_last(tmp_path: Path) -> None:
    path = write(tmp_path / "v.gguf", [r"\n", "a", r"\x61"])
    assert Tokenizer.from_gguf(path).encode("aa") == [4, 4]


def test_nothing_is_put_around_a_text(tmp_path: Path) -> None:
    flags = {"add_bos_token": True, "add_eos_token": True}  # and no such ids
    tok = Tokenizer.from_gguf(write(tmp_path / "v.gguf", TEXTS, **flags))

    assert tok.encode("a") == [3]
    assert tok.encode("<s>a", parse_special=True) == [0, 3]


def test_a_byte_without_a_piece_where_there_is_no_unk_id(tmp_path: Path) -> None:
    tok = Tokenizer.from_gguf(write(tmp_path / "v.gguf", TEXTS, unknown_token_id=None))

    with pytest.raises(EncodeError, match="byte 2 of the text is 0x78, expected the beginning of"):
        tok.encode("abx")


def test_no_line_feed_but_pieces_that_begin_with_one(tmp_path: Path) -> None:
    with pytest.raises(VocabError, match="pieces begin with a line feed, but none is one"):
        Tokenizer.from_gguf(write(tmp_path / "v.gguf", [r"\nb", "a"]))


def test_a_long_piece_and_a_long_text(tmp_path: Path) -> None:
    n = 50_000
    tok = Tokenizer.from_gguf(write(tmp_path / "v.gguf", ["a" * n + "b", "a", "z" * n]))

    assert tok.encode("a" * n + "c") == [3] * n + [UNK]
    assert tok.encode("a" * (n + 1) + "b") == [3, 2]
