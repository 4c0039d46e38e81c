"""PLaMo-2 against all the ways to part a text, and what llama.cpp refuses."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spm import Tokenizer
from spm.errors import VocabError
from tests.making import BYTE, BYTES, CONTROL, UNKNOWN, Piece, piece, write_vocab

HEAD = [piece("<unk>", 0, UNKNOWN), *(piece(f"<{i}>", 0, CONTROL) for i in range(3))]
FIRST = len(HEAD) + len(BYTES)
SCORES = {  # times 10,000: -2.00005 is -20000.5 and becomes -20001, farther from 0
    "a": -20_000, "b": -20_000, "c": -20_000, "ab": -40_000, "bc": -39_999, "abc": -60_000,
    "aa": -40_001, "bca": -60_001, "日": -30_000, "日本": -130_000, "aba": 5_000, "cc": -1,
}  # fmt: skip
UNUSED = [
    piece("zz", -2000),
    piece("yy", -1999.9999),
    piece("bb", float("nan")),
    piece("aaa", float("-inf")),
]
BYTES_COST = 10_000_000


def write(path: Path, entries: list[Piece], **keys: Any) -> Path:
    return write_vocab(path, entries, model="plamo2", **keys)


@pytest.fixture(scope="module")
def tok(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    table = [piece(text, score / 10_000) for text, score in SCORES.items()]
    path = tmp_path_factory.mktemp("plamo2") / "v.gguf"
    return Tokenizer.from_gguf(write(path, [*HEAD, *BYTES, *table, *UNUSED]))


def rows(text: str) -> Iterator[list[str]]:
    """All the ways to part a text into pieces and single characters."""
    if not text:
        yield []
    for size in range(1, len(text) + 1):
        if size == 1 or text[:size] in SCORES:
            yield from ([text[:size], *rest] for rest in rows(text[size:]))


def cheapest(text: str) -> list[str]:
    """Of equally cheap rows the one whose pieces are longest, the first ones first."""
    return min(
        rows(text),
        key=lambda row: (
            sum(-SCORES[t] if t in SCORES else BYTES_COST for t in row),
            [-len(t) for t in row],
        ),
    )


def ids_of(text: str) -> list[int]:
    if text in SCORES:
        return [FIRST + list(SCORES).index(text)]
    return [len(HEAD) + byte for byte in text.encode()]


texts = st.text("aabbcc日本é😀", max_size=10)


@given(texts)
def test_the_cheapest_row_of_pieces(tok: Tokenizer, text: str) -> None:
    assert [i for part in cheapest(text) for i in ids_of(part)] == tok.encode(text)
    assert text == tok.decode(tok.encode(text))


@given(texts, st.lists(st.integers(0, 10), max_size=4).map(sorted))
def test_a_stream_gives_the_ids_of_the_whole(tok: Tokenizer, text: str, cuts: list[int]) -> None:
    encoder = tok.stream_encoder()
    parts = [encoder.push(text[a:b]) for a, b in pairwise([0, *cuts, len(text)])]

    assert tok.encode(text) == [i for part in [*parts, encoder.flush()] for i in part]


def test_the_example_of_its_file(tmp_path: Path) -> None:
    entries = [*HEAD, *BYTES, *(piece(t, s) for t, s in zip(["a", "b", "c"], [-2.0] * 3))]
    entries += [piece("ab", -3), piece("bc", -5)]
    tok = Tokenizer.from_gguf(write(tmp_path / "v.gguf", entries))

    assert tok.encode("abc") == [FIRST + 3, FIRST + 2]
    assert tok.encode("bc") == [FIRST + 1, FIRST + 2]


def test_halves_are_rounded_away_from_zero(tmp_path: Path) -> None:
    # 2^-5 * 10,000 = 312.5 costs 313, and so twice as much is 626, one more than 2^-4 costs
    entries = [*HEAD, *BYTES, piece("a", -(2.0**-5)), piece("aa", -(2.0**-4)), piece("b", 2.0**-5)]
    entries += [piece("bb", 0.0625)]
    tok = Tokenizer.from_gguf(write(tmp_path / "v.gguf", entries))

    assert tok.encode("aa") == [FIRST + 1]  # 625 < 626
    assert tok.encode("bb") == [FIRST + 2] * 2  # -626 < -625


def test_at_minus_2000_a_piece_is_not_used(tok: Tokenizer) -> None:
    ids = [len(HEAD) + ord(c) for c in "zz"]
    assert tok.encode("zz") == ids  # though two characters by their bytes cost no less
    assert tok.encode("yy") == [FIRST + len(SCORES) + 1]


def test_a_piece_at_minus_1000_ends_a_row(tmp_path: Path) -> None:
    entries = [piece("ab", -1000), piece("a", -1), piece("bc", -1), piece("b", -1), piece("x", -1)]
    tok = Tokenizer.from_gguf(write(tmp_path / "v.gguf", [*HEAD, *BYTES, *entries]))
    encoder = tok.stream_encoder()

    assert tok.encode("ab") == [FIRST]  # a and b, which are cheaper, are not seen
    assert tok.encode("xab") == [len(HEAD) + ord("x"), FIRST]  # nor is x, in front of it
    assert [*encoder.push("xab"), *encoder.push("cx"), *encoder.flush()] == tok.encode("xabcx")


def test_a_stream_cut_inside_a_character(tmp_path: Path) -> None:
    tok = Tokenizer.from_gguf(write(tmp_path / "v.gguf", [*HEAD, *BYTES, piece("aé", -1)]))
    marked = tok.stream_encoder()

    assert tok._dialect.settled("xaé".encode()[:-1], False) == (1, False)
    assert [*marked.push("x\ufeff"), *marked.push("x"), *marked.flush()] == tok.encode("x\ufeffx")


def test_a_byte_order_mark_in_front_goes_away(tok: Tokenizer) -> None:
    mark = [len(HEAD) + byte for byte in (0xEF, 0xBB, 0xBF)]

    assert tok.encode("\ufeffab") == tok.encode("ab")
    assert tok.encode("\ufeff\ufeffab") == [*mark, *tok.encode("ab")]
    assert tok.encode("\ufeff") == []


def test_what_is_no_utf8_is_read_as_code_points(tok: Tokenizer) -> None:
    def by_bytes(data: bytes) -> list[int]:
        return [len(HEAD) + byte for byte in data]

    assert tok.encode(b"\xff") == by_bytes("\ufffd".encode())
    assert tok.encode(b"\xc1\xa1") == ids_of("a")  # overlong
    assert tok.encode(b"\xed\xa0\x80") == by_bytes(b"\xed\xa0\x80")  # a surrogate
    assert tok.encode(b"\xf7\xbf\xbf\xbf") == by_bytes(b"\xf7\xbf\xbf\xbf")  # beyond Unicode


def refusal(path: Path, entries: list[Piece]) -> str:
    with pytest.raises(VocabError) as error:
        Tokenizer.from_gguf(write(path, entries))
    return str(error.value).removeprefix(f"{path}: ")


def test_every_byte_needs_a_piece_that_is_not_id_0(tmp_path: Path) -> None:
    path = tmp_path / "v.gguf"
    missing = refusal(path, [*HEAD, *BYTES[:-1]])
    first = refusal(path, [BYTES[7], *HEAD, *BYTES[:7], *BYTES[8:]])

    assert missing == "<0xFF> has no id, expected a BYTE piece with another id"
    assert first == "<0x07> has id 0, expected a BYTE piece with another id"


def test_a_score_that_overflows_and_a_piece_beyond_unicode(tmp_path: Path) -> None:
    path = tmp_path / "v.gguf"
    score = refusal(path, [*HEAD, *BYTES, piece("a", -3e5)])
    beyond = refusal(path, [*HEAD, *BYTES, piece(b"\xf4\x90\x80\x80", 0)])

    assert score.startswith("the score of id 260 is -300000.0, expected what times 10000 fits")
    assert beyond == r"id 260 is '\xf4\x90\x80\x80', expected code points up to 0x10FFFF"


def test_a_byte_piece_is_a_byte_and_others_are_shown_as_they_are(tmp_path: Path) -> None:
    tok = Tokenizer.from_gguf(write(tmp_path / "v.gguf", [*HEAD, *BYTES, piece("▁a", -1)]))

    assert tok.decode_bytes([FIRST, len(HEAD) + 0xFF]) == "▁a".encode() + b"\xff"
    assert tok.vocab.types[len(HEAD)] == BYTE


def test_a_long_piece_and_a_long_text(tmp_path: Path) -> None:
    n = 50_000
    entries = [*HEAD, *BYTES, piece("a", -1), piece("a" * n + "b", -1)]
    tok = Tokenizer.from_gguf(write(tmp_path / "v.gguf", entries))

    assert tok.encode("a" * n) == [FIRST] * n
    assert tok.encode("a" * (n + 1) + "b") == [FIRST, FIRST + 1]
    assert tok.count("z" * n) == n
