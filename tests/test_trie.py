"""The radix tree against a look at every piece."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from spm.text.trie import Trie

BYTES = st.binary(min_size=1, max_size=6).map(lambda b: bytes(x % 3 + 97 for x in b))
PIECES = st.sets(BYTES, max_size=20).map(sorted)


def trie(pieces: list[bytes]) -> Trie:
    return Trie((piece, i) for i, piece in enumerate(pieces))


@given(PIECES, BYTES)
def test_all_pieces_at_a_place_the_shortest_first(pieces: list[bytes], text: bytes) -> None:
    found = [list(trie(pieces).matches(text, at)) for at in range(len(text) + 1)]

    assert found == [
        sorted((at + len(p), i) for i, p in enumerate(pieces) if text.startswith(p, at))
        for at in range(len(text) + 1)
    ]


@given(PIECES, BYTES)
def test_how_far_a_text_begins_a_piece(pieces: list[bytes], text: bytes) -> None:
    for at in range(len(text) + 1):
        rest = text[at:]
        begun = [n for n in range(len(rest) + 1) for p in pieces if p.startswith(rest[:n])]
        assert trie(pieces).reach(text, at) == max(begun, default=0)


def test_the_order_of_pieces_does_not_matter() -> None:
    pieces = [b"toast", b"to", b"toss", b"t", b"toasted"]

    for shift in range(len(pieces)):
        ids = [*range(shift, 5), *range(shift)]
        found = Trie((pieces[i], i) for i in ids)
        assert [(1, 3), (2, 1), (5, 0), (7, 4)] == list(found.matches(b"toasted bread", 0))


def test_there_are_fewer_than_two_edges_for_a_piece_however_long() -> None:
    pieces = [b"a" * 100_000 + bytes([i]) * 50_000 for i in range(98, 105)]

    assert len(trie(pieces).children) < 2 * len(pieces)
