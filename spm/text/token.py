"""What passes between the stages of encoding: stretches of text, tokens that are done."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from typing import NamedTuple


class Token(NamedTuple):
    """`begin` and `end` count the bytes of the text as it was given, before any normalisation."""

    id: int
    begin: int
    end: int


class Stretch(NamedTuple):
    """A normalised text, cut into symbols and ready for its family.

    `frozen` holds the indices of symbols that never merge. `origin[i]` is the byte of the given
    text that byte i of the normalised text came from; it has one entry more, for the end.
    """

    symbols: list[bytes]
    frozen: Container[int]
    origin: Sequence[int]


def locate(spelled: Iterable[tuple[bytes, list[int]]], origin: Sequence[int]) -> Iterator[Token]:
    """Merged symbols with their ids -> tokens.

    Where a symbol has several ids, one for each of its bytes, the last of them owns all of it and
    the others are empty at its beginning, as in sentencepiece's `PopulateSentencePieceText`. A
    symbol that cannot be spelled has none.
    """
    pos = 0
    for symbol, ids in spelled:
        begin = origin[pos]
        pos += len(symbol)
        for i in ids[:-1]:
            yield Token(i, begin, begin)
        if ids:
            yield Token(ids[-1], begin, origin[pos])
