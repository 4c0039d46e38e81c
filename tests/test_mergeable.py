"""What the compiled core is told of a vocabulary, counted by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spm import Tokenizer
from spm.text.dialect import dialect_of
from spm.text.mergeable import BLOCK, Mergeable, dense, in_valid_text, mergeable
from spm.vocab import vocab_from_sentencepiece
from tests.making import BYTES, FIRST, HEAD, Piece, piece, pieces, write_model, write_vocab


def told(path: Path, entries: list[Piece], dialect: str) -> list[tuple[bytes, int, int]]:
    vocab = vocab_from_sentencepiece(write_model(path, entries))
    found = mergeable(dialect_of(vocab, dialect).score_merging)

    assert (np.int32, np.int32) == (found.ranks.dtype, found.ids.dtype)
    return list(zip(found.pieces, found.ranks.tolist(), found.ids.tolist()))


ENTRIES = [*HEAD, *pieces("a:-1 b:-0.0 c:-7"), piece("u", -1, 4), piece("n", 3, 5)]


def test_llama_cpp_merges_to_every_piece(tmp_path: Path) -> None:
    expected = [
        (b"<unk>", 1, 0), (b"<s>", 1, 1), (b"</s>", 1, 2), (b"a", 2, 3), (b"b", 1, 4),
        (b"c", 3, 5), (b"u", 2, 6), (b"n", 0, 7),
    ]  # fmt: skip
    assert expected == told(tmp_path / "v.model", ENTRIES, "llama.cpp")


def test_sentencepiece_merges_to_normal_user_defined_and_unused_ones(tmp_path: Path) -> None:
    expected = [(b"a", 3, 3), (b"b", 2, 4), (b"c", 4, 5), (b"u", 3, 6), (b"n", 0, 7), (b"d", 1, 8)]
    found = told(tmp_path / "v.model", [*ENTRIES, piece("d", 0.0)], "sentencepiece")

    assert expected == found  # here -0.0 comes behind 0.0


def test_where_nothing_merges_nothing_is_told(tmp_path: Path) -> None:
    assert [] == told(tmp_path / "v.model", HEAD, "sentencepiece")


@pytest.mark.parametrize("dialect", ["sentencepiece", "llama.cpp"])
def test_of_several_nul_pieces_the_last_counts(tmp_path: Path, dialect: str) -> None:
    nul = [piece("\0", -1, 5), *pieces("a:-2"), piece("\0", -3, 5)]
    found = told(tmp_path / "v.model", [*HEAD, *BYTES, *nul], dialect)

    below = 0 if dialect == "sentencepiece" else 1  # the 259 with score 0 come first
    assert [(b"a", below, FIRST + 1), (b"\0", below + 1, FIRST + 2)] == found[-2:]
    assert 1 == [entry[0] for entry in found].count(b"\0")


@pytest.mark.parametrize(
    ("ranks", "expected"),
    [
        ([], []),
        ([5.0], [0]),
        ([3, 1, 2, 1], [2, 0, 1, 0]),
        ([0.0, -0.0, np.inf, -np.inf, 1e-45], [1, 1, 3, 0, 2]),
        ([np.inf, np.inf, 2], [1, 1, 0]),
        ([-(2**31), 2**31 - 1, -(2**31)], [0, 1, 0]),
    ],
)
def test_ranks_are_counted_and_ties_stay_ties(ranks: list[float], expected: list[int]) -> None:
    assert expected == dense(np.array(ranks, np.float64)).tolist()


def some(texts: list[bytes]) -> Mergeable:
    n = len(texts)
    return Mergeable(texts, np.arange(n, dtype=np.int32), 10 + np.arange(n, dtype=np.int32))


@pytest.mark.parametrize(
    "wrong",
    [b"", b" ", b"a b", b"\xff", b"\xe2\x96", b"\x81", b"\xed\xa0\x80", b"a\xc3", b"\xc0\x8a"],
)
@pytest.mark.parametrize("at", [0, 1, BLOCK - 1, BLOCK, 2 * BLOCK])
def test_what_no_valid_text_contains_is_left_out(wrong: bytes, at: int) -> None:
    texts = [f"é{i}\n".encode() for i in range(2 * BLOCK)]

    found = in_valid_text(some([*texts[:at], wrong, *texts[at:]]))

    assert texts == found.pieces
    assert [10 + i + (i >= at) for i in range(len(texts))] == found.ids.tolist()
    assert list(range(len(texts))) == found.ranks.tolist()


def test_two_halves_of_a_character_do_not_make_each_other_valid() -> None:
    assert [b"x"] == in_valid_text(some([b"\xe2\x96", b"\x81", b"x"])).pieces
    assert [] == in_valid_text(some([])).pieces


def test_an_index_of_ranks_is_made_only_where_python_merges(tmp_path: Path) -> None:
    path = write_vocab(tmp_path / "v.gguf", [*HEAD, *BYTES, *pieces("▁ a aa:-1")])
    tok = Tokenizer.from_gguf(path)
    assert "ranks" not in vars(tok._dialect.score_merging)

    tok.explain("aa")
    assert {b"a": 0.0, b"aa": 1.0}.items() <= tok._dialect.score_merging.ranks.items()
