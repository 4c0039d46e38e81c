"""What a vocabulary merges to, as the compiled core wants it: pieces, ranks and ids in three lists.

The ranks of the oracles are scores, or the bits of scores. All that a merge asks of them is which
is smaller and which are equal, so here they are counted: 0 for the smallest, 1 for the next, and
equal ranks stay equal.
"""

from __future__ import annotations

from itertools import compress
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spm.text.family import ScoreMerging
from spm.text.utf8 import is_utf8

BLOCK: Final = 256  # pieces that are decoded as one; a malformed one costs a look at all of these


class Mergeable(NamedTuple):
    """The pieces that may be merge results; `ranks` and `ids` are int32 (len(pieces),)."""

    pieces: list[bytes]
    ranks: NDArray[np.int32]
    ids: NDArray[np.int32]

    def take(self, kept: NDArray[np.bool_]) -> Mergeable:
        """Those that are marked in `kept`."""
        pieces = list(compress(self.pieces, kept.tobytes()))
        return Mergeable(pieces, dense(self.ranks[kept]), self.ids[kept])


def mergeable(merging: ScoreMerging) -> Mergeable:
    """Every piece that a merge may result in, each once."""
    vocab, ids = merging.vocab, np.flatnonzero(merging.may_result)
    pieces = list(compress(vocab.pieces, merging.may_result.tobytes()))
    found = Mergeable(pieces, dense(merging.ranks_by_id[ids]), ids.astype(np.int32))
    if len(vocab.piece_to_id) == len(vocab):
        return found
    # UNUSED NUL pieces may stand several times: the last is the one whose id and rank count
    last = [vocab.piece_to_id[piece] for piece in pieces]
    return found.take(np.array(last) == ids)


def in_valid_text(found: Mergeable) -> Mergeable:
    """Only the pieces that a text of valid UTF-8, with ▁ for its spaces, can contain."""
    kept = np.ones(len(found.pieces), bool)
    for start in range(0, len(kept), BLOCK):
        block = found.pieces[start : start + BLOCK]
        # A line feed continues no character, so the whole is well-formed exactly if its parts are.
        if not (all(block) and can_occur(b"\n".join(block))):
            kept[start : start + BLOCK] = [can_occur(piece) for piece in block]
    return found if kept.all() else found.take(kept)


def can_occur(piece: bytes) -> bool:
    """Whether a text of valid UTF-8, with ▁ for its spaces, can contain a piece."""
    return is_utf8(piece) and piece != b"" and b" " not in piece


def dense(ranks: NDArray[Any]) -> NDArray[np.int32]:
    """Ranks counted up from 0. They often lie in order already, which a stable sort gains by."""
    order = np.argsort(ranks, kind="stable")
    ascending = ranks[order]
    counted = np.zeros(len(ranks), np.int32)
    counted[order[1:]] = np.cumsum(ascending[1:] != ascending[:-1])
    return counted
