"""Where a text may be cut, derived from the vocabulary alone.

Cut lemma. If no piece that may be a merge result contains character x followed by character y, then
nothing ever merges across x|y, and both sides can be encoded apart. Proof: the first merge across
the border would result in a piece that contains it.

A user-defined piece is found before anything merges, so its inner pairs count as well; they are
among the pieces that `ranks` holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise

from spm.text.utf8 import characters


class Joins:
    """The pairs of characters inside of pieces: only across these does anything merge."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self.pairs = {pair for piece in pieces for pair in pairwise(characters(piece))}

    def cuts(self, symbols: list[bytes]) -> Iterator[int]:
        """The indices of the characters that may be cut from the one before, the last first."""
        for i in range(len(symbols) - 1, 0, -1):
            if (symbols[i - 1], symbols[i]) not in self.pairs:
                yield i
