"""Special pieces in texts, cut out by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spm import Tokenizer, Vocab
from spm.text.fragments import Fragment, Special, Trusted, partition, special_pieces
from tests.making import BYTES, FIRST, HEAD, Piece, piece, pieces, write_vocab


def cut(text: str, *specials: str, rstrip: bool = False) -> list[str | int]:
    """Fragments as their texts, special ones as the index of the piece."""
    found = partition(
        text.encode(), tuple(Special(s.encode(), i, False, rstrip) for i, s in enumerate(specials))
    )
    data = text.encode()
    return [data[f.begin : f.end].decode() if f.id is None else f.id for f in found]


def test_a_text_without_special_pieces_is_one_fragment() -> None:
    assert cut("hello", "<s>") == ["hello"]
    assert cut("hello") == ["hello"]
    assert cut("", "<s>") == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<s>", [0]),
        ("a<s>", ["a", 0]),
        ("<s>a", [0, "a"]),
        ("<s><s>", [0, 0]),
        ("a<s>b<s>c", ["a", 0, "b", 0, "c"]),
        ("<s", ["<s"]),
        ("<<s>>", ["<", 0, ">"]),
    ],
)
def test_every_occurrence_is_cut_and_no_fragment_is_empty(
    text: str, expected: list[str | int]
) -> None:
    assert cut(text, "<s>") == expected


def test_occurrences_do_not_overlap() -> None:
    assert cut("aaaaa", "aa") == [0, 0, "a"]
    assert cut("abababa", "aba") == [0, "b", 0]


def test_the_first_piece_of_the_list_has_the_whole_text_before_the_next_looks() -> None:
    assert cut("abcd", "bcd", "ab") == ["a", 0]
    assert cut("abcd", "ab", "bcd") == [0, "cd"]
    assert cut("ab abcd ab", "abcd", "ab") == [1, " ", 0, " ", 1]


def test_a_piece_is_not_found_across_another() -> None:
    assert cut("abba", "bb", "aa") == ["a", 0, "a"]


def test_white_space_after_a_piece_is_swallowed_if_it_says_so() -> None:
    assert cut("<s> \t\n\v\f\rx y", "<s>", rstrip=True) == [0, "x y"]
    assert cut("a <s>  ", "<s>", rstrip=True) == ["a ", 0]
    assert cut("<s> <s> b", "<s>", rstrip=True) == [0, 0, "b"]
    # C's isspace in the C locale knows no other
    assert cut("<s>\u00a0x", "<s>", rstrip=True) == [0, "\u00a0x"]
    assert cut("<s>▁x", "<s>", rstrip=True) == [0, "▁x"]


def test_fragments_count_bytes() -> None:
    assert partition("é<s>é".encode(), (Special(b"<s>", 7, False, False),)) == [
        Fragment(0, 2), Fragment(2, 5, 7), Fragment(5, 7),
    ]  # fmt: skip


def test_any_bytes_are_cut() -> None:
    assert partition(b"\xff\0<s>\xe2", (Special(b"<s>", 1, False, False),)) == [
        Fragment(0, 2), Fragment(2, 5, 1), Fragment(5, 6),
    ]  # fmt: skip


def vocab(tmp_path: Path, extra: list[Piece], **keys: str) -> Vocab:
    path = write_vocab(tmp_path / "v.gguf", [*HEAD, *BYTES, *extra], **keys)  # type: ignore[arg-type]
    return Tokenizer.from_gguf(path).vocab


MIXED = [piece("<u>", 0, 4), piece("<longer>", 0, 3), piece("n"), piece("<w>", 0, 5)]


def test_control_and_unknown_are_searched_only_when_asked_for(tmp_path: Path) -> None:
    found = vocab(tmp_path, MIXED)

    texts = {p: [s.piece for s in special_pieces(found, p)] for p in (False, True)}

    assert texts[False] == [b"<u>"]
    assert texts[True] == [b"<longer>", b"<unk>", b"</s>", b"<s>", b"<u>"]  # by size, then by id


# ids of llama.cpp (llama-cpp-python 0.3.36, llama_tokenize) on this vocabulary
TWO = [*pieces("▁ a b c d"), piece("ab", 0, 4), piece("bcd", 0, 4)]


def test_the_longest_special_piece_is_found_first_anywhere(tmp_path: Path) -> None:
    path = write_vocab(tmp_path / "v.gguf", [*HEAD, *BYTES, *TWO])
    tok = Tokenizer.from_gguf(path)

    ids = [i - FIRST for i in tok.encode("abcdab", add_special=False)]

    assert ids == [0, 1, 6, 5]  # ▁ a bcd ab


def test_phi_3_swallows_what_follows(tmp_path: Path) -> None:
    extra = [*pieces("▁ a"), piece("<|endoftext|>", 0, 3), piece("<|user|>", 0, 3)]
    path = write_vocab(tmp_path / "v.gguf", [*HEAD, *BYTES, *extra], name="Phi-3")
    tok = Tokenizer.from_gguf(path)

    def ids(text: str) -> list[int]:
        return [i - FIRST for i in tok.encode(text, add_special=False, parse_special=True)]

    assert ids("<|user|> \n a") == [3, 0, 1]
    assert ids("<|endoftext|> a") == [2, 0, 0, 1]  # this one does not


def test_white_space_before_a_piece_is_swallowed_if_it_says_so() -> None:
    text = b"a \t<m> <m>\n<m>b"
    fragments = partition(text, (Special(b"<m>", 9, True, False),))

    assert [(b"a", None), (b"<m>", 9), (b"<m>", 9), (b"<m>", 9), (b"b", None)] == [
        (text[f.begin : f.end], f.id) for f in fragments
    ]


def test_thousands_of_pieces_that_all_occur_are_cut_in_time_that_does_not_explode() -> None:
    pieces = [b"<%d>" % i for i in range(20_000)]
    specials = tuple(Special(piece, i, False, False) for i, piece in enumerate(pieces))

    assert list(range(500)) == [f.id for f in partition(b"".join(pieces[:500]), specials)]


# ---- with trusted spans


def specials_of(*pieces: bytes) -> tuple[Special, ...]:
    found = [Special(piece, i, False, False) for i, piece in enumerate(pieces)]
    return tuple(sorted(found, key=lambda special: -len(special.piece)))


@pytest.mark.parametrize(
    ("text", "spans", "expected"),
    [
        (b"<s><s>", [(0, 6)], [0, 0]),
        (b"<s><s>", [(0, 3)], [0, None]),
        (b"<s><s>", [(3, 6)], [None, 0]),
        (b"<s><s>", [], [None]),
        (b"<s>", [(0, 2)], [None]),
        (b"<s>", [(0, 2), (2, 3)], [None]),  # spans are as long as they can be: these do not touch
        (b"x<s>x<s>x", [(0, 1), (5, 8)], [None, 0, None]),
        (b"<s>u<s>", [(3, 4)], [None, 1, None]),  # the longer piece is out, the shorter in
        (b"us>", [(0, 0)], [2, None]),  # anywhere
        (b"<s>us>", [(0, 3)], [0, 2, None]),
    ],
)
def test_pieces_are_special_inside_of_trusted_spans(
    text: bytes, spans: list[tuple[int, int]], expected: list[int | None]
) -> None:
    specials = specials_of(b"<s>", b"u", b"us")
    trusted = Trusted(spans, frozenset([2]))

    found = partition(text, specials, trusted)

    assert expected == [fragment.id for fragment in found]
    assert text == b"".join(text[fragment.begin : fragment.end] for fragment in found)


@given(st.lists(st.tuples(st.text("<s>u", max_size=4), st.booleans()), max_size=8))
def test_what_is_no_special_piece_could_be_another_text(parts: list[tuple[str, bool]]) -> None:
    """Untrusted characters written in another alphabet: the special pieces are the same."""
    specials = specials_of(b"<s>", b"u", b"us")
    text = "".join(part for part, _ in parts).encode()
    strange = "".join(
        p if own else p.translate({60: 40, 62: 41, 115: 83, 117: 85}) for p, own in parts
    )
    spans, at = [], 0
    for part, own in parts:
        if own and part:
            joined = spans.pop()[0] if spans and spans[-1][1] == at else at
            spans.append((joined, at + len(part)))
        at += len(part)

    expected = [
        fragment for fragment in partition(strange.encode(), specials) if fragment.id is not None
    ]

    found = partition(text, specials, Trusted(spans, frozenset()))
    assert expected == [fragment for fragment in found if fragment.id is not None]
