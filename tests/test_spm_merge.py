"""Score merging on paper: rows small enough to be merged by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from spm import Tokenizer
from spm.text.spm import merge
from tests.making import ABCDE, FIRST, HEAD, HELLO, piece, pieces, processor, write_model


def merged(text: str, scores: dict[str, float], frozen: set[int] | None = None) -> list[str]:
    ranks = {key.encode(): -score for key, score in scores.items()}
    return [s.decode() for s in merge([c.encode() for c in text], ranks, frozen or set())]


def test_the_worked_example_of_the_module() -> None:
    scores = {"he": -1, "ll": -2, "el": -3, "hello": -4, "hell": -5}

    assert merged("hello", scores) == ["hello"]
    assert merged("hell", scores) == ["hell"]
    assert merged("elo", scores) == ["el", "o"]
    assert merged("hellhello", scores) == ["hell", "hello"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("aaa", ["aa", "a"]),
        ("aaaaa", ["aaaa", "a"]),  # aa aa a, then the left pair of pairs
        ("aaaaaaa", ["aaaa", "aa", "a"]),
        ("aaaaaaaa", ["aaaa", "aaaa"]),
    ],
)
def test_of_equal_scores_the_leftmost_merges(text: str, expected: list[str]) -> None:
    assert merged(text, {"aa": -1, "aaaa": -1}) == expected


def test_a_better_score_further_right_goes_first() -> None:
    assert merged("abc", {"ab": -2, "bc": -1}) == ["a", "bc"]
    assert merged("abc", {"ab": -1, "bc": -2}) == ["ab", "c"]


def test_a_merge_can_make_a_better_bigram_than_any_before() -> None:
    # abc is only reached through ab, and then overtakes cd
    assert merged("abcd", {"ab": -1, "cd": -2, "abc": 5}) == ["abc", "d"]
    assert merged("abcd", {"ab": -3, "cd": -2, "abc": 5}) == ["ab", "cd"]


def test_a_piece_that_no_two_pieces_make_is_never_reached() -> None:
    assert merged("abc", {"abc": 100}) == ["a", "b", "c"]


def test_an_improper_score_makes_a_piece_unreachable_by_its_best_halves() -> None:
    # the would be the+n..., but t|he is taken first and th+e no longer exists
    assert merged("then", {"he": -1, "th": -2, "the": -3, "then": -9, "en": -4}) == ["then"]
    assert merged("then", {"he": -2, "th": -3, "en": -1, "the": 0}) == ["th", "en"]


def test_a_later_character_changes_the_first_token() -> None:
    scores = {"ab": -3, "bc": -2, "cd": -1, "de": 0}

    assert merged("abcd", scores) == ["ab", "cd"]
    assert merged("abcde", scores) == ["a", "bc", "de"]


def test_infinite_scores_are_scores() -> None:
    infinity = float("inf")

    assert merged("abc", {"ab": -infinity, "bc": -1e38}) == ["a", "bc"]
    assert merged("abc", {"ab": infinity, "bc": 1e38}) == ["ab", "c"]
    assert merged("abc", {"ab": -infinity, "bc": -infinity}) == ["ab", "c"]


def test_frozen_symbols_never_merge() -> None:
    scores = {"aa": 0, "aaa": 0, "aaaa": 0}

    assert merged("aaaa", scores) == ["aaaa"]
    assert merged("aaaa", scores, {0}) == ["a", "aaa"]
    assert merged("aaaa", scores, {3}) == ["aaa", "a"]
    assert merged("aaaa", scores, {1}) == ["a", "a", "aa"]
    assert merged("aaaa", scores, {0, 1, 2, 3}) == ["a", "a", "a", "a"]


def test_symbols_need_not_be_characters() -> None:
    assert merge([b"ab", b"c", b"ab"], {b"abc": 0, b"cab": -1}) == [b"ab", b"cab"]


def test_nothing_and_one_symbol_are_left_alone() -> None:
    assert merge([], {b"aa": 0}) == []
    assert merge([b"a"], {b"a": 0}) == [b"a"]


def test_the_given_row_is_not_changed() -> None:
    row = [b"a", b"a"]

    assert merge(row, {b"aa": 0}) == [b"aa"]
    assert row == [b"a", b"a"]


def test_splits_tell_the_halves_of_every_bigram_that_was_considered() -> None:
    splits: dict[bytes, tuple[bytes, bytes]] = {}

    merge([b"a", b"b", b"c"], {b"ab": 0, b"abc": 1, b"bc": 2}, (), splits)
    assert splits == {b"ab": (b"a", b"b"), b"bc": (b"b", b"c"), b"abc": (b"ab", b"c")}

    splits.clear()
    merge([b"a"] * 4, {b"aa": 0, b"aaa": 1, b"aaaa": 2}, (), splits)
    assert splits == {b"aa": (b"a", b"a"), b"aaa": (b"aa", b"a"), b"aaaa": (b"aa", b"aa")}


def test_a_bigram_of_changed_symbols_is_outdated() -> None:
    # bc (worst) waits in the agenda while b is swallowed by a and c by d
    assert merged("abcd", {"ab": 0, "cd": 0, "bc": -9}) == ["ab", "cd"]
    # and while b only grows: b+c is no longer the b of before
    assert merged("bcb", {"cb": 0, "bc": -9, "bcb": -8}) == ["bcb"]


def test_the_size_alone_does_not_tell_an_outdated_bigram() -> None:
    # ab waits while a is swallowed by x and b swallows c: again two bytes, all of them b's
    scores = {"xa": 5, "bc": 4, "ab": -9, "wxa": -10, "wxad": -11}

    assert merged("wxabcd", scores) == ["wxa", "bc", "d"]


# The two dialects differ in how zeroes compare. sentencepiece 0.2.3 is asked; llama.cpp's ids were
# read from llama.cpp of llama-cpp-python 0.3.36 (llama_tokenize) on the same vocabulary as GGUF.
ZEROES = [*HEAD, *pieces("▁ a b c ▁a"), piece("ab", -0.0), piece("bc", 0.0)]


def test_minus_zero_is_below_zero_for_sentencepiece_only(tmp_path: Path) -> None:
    path = write_model(tmp_path / "zero.model", ZEROES)
    strict = Tokenizer.from_sentencepiece(path)
    lax = Tokenizer.from_sentencepiece(path, dialect="llama.cpp")

    expected = processor(path.read_bytes()).Encode("xabc")[2:]
    assert expected == [4, 9] == strict.encode("xabc")[2:]  # a|bc
    assert lax.explain("cabc").parts[0].tokens[-2:] == ((8, 1, 3), (6, 3, 4))  # ab|c: a tie


@pytest.mark.parametrize(
    ("entries", "text", "expected"),
    [
        # ids counted by hand from FIRST: ▁ h e l o he ll el hello hell
        (HELLO, "hello", [0, 8]),
        (HELLO, "hell", [0, 9]),
        # a b c d e ab bc cd de; ▁ has no piece and becomes its three bytes
        (ABCDE, "abcd", [0xE2 - 256, 0x96 - 256, 0x81 - 256, 5, 7]),
        (ABCDE, "abcde", [0xE2 - 256, 0x96 - 256, 0x81 - 256, 0, 6, 8]),
    ],
)
def test_both_dialects_and_sentencepiece_agree_on_the_worked_examples(
    tmp_path: Path, entries: list[object], text: str, expected: list[int]
) -> None:
    path = write_model(tmp_path / "worked.model", entries)  # type: ignore[arg-type]
    ids = [FIRST + i for i in expected]

    assert processor(path.read_bytes()).Encode(text) == ids
    for dialect in ("sentencepiece", "llama.cpp"):
        tok = Tokenizer.from_sentencepiece(path, dialect=dialect)
        assert tok.encode(text, add_special=False) == ids
