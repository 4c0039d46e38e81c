"""Unigram as tokenizers does it: the row of pieces with the largest sum of scores.

For each place of a text, from left to right, the best row that ends there is known before any piece
begins there, so one look at every piece of the text finds the best last piece for every place
(Viterbi's algorithm). Of equal sums the one that was found first stays. Sums are of double
precision. A character that is no piece by itself may stand alone, at 10 below the worst score.

    pieces     a -1   b -2   ab -2.5   bc -1   <unk>
    abc        a|bc -2   ab|<unk>   a|b|<unk>        the first

Unknown characters side by side are one piece; if that happens to be a piece of the vocabulary, it
has its id, and otherwise the ids of its bytes or the unknown one.

Source: tokenizers/src/models/unigram/model.rs (`encode_optimized`, `tokenize`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Final, NamedTuple

from spm.errors import EncodeError, VocabError
from spm.text.hf.spans import Span, byte_ids_of
from spm.vocab import pipeline as hf

UNKNOWN_PENALTY: Final = 10.0  # K_UNK_PENALTY
MAX_CHARACTERS: Final = 8000  # of a piece: they bound the work for each place of a text


class Last(NamedTuple):
    """The last piece of a row: where it begins and ends, and whether it is unknown."""

    begin: int
    end: int
    is_unknown: bool


class Unigram:
    """A Unigram model. Raises VocabError for a piece that is too long."""

    def __init__(self, source: str, ids: Mapping[str, int], step: hf.Unigram) -> None:
        longest = max(map(len, ids), default=0)
        if longest > MAX_CHARACTERS:
            raise VocabError(
                f"{source}: model.vocab has a piece of {longest} characters,"
                f" expected at most {MAX_CHARACTERS}"
            )
        self.source = source
        self.ids = ids
        self.step = step
        self.sizes = _sizes_by_first(ids)
        self.unknown_score = min(step.scores, default=0.0) - UNKNOWN_PENALTY
        self.byte_ids = byte_ids_of(ids)

    def tokenize(self, part: str) -> list[Span]:
        """The ids of a part."""
        spans: list[Span] = []
        end = 0
        for is_unknown, run in groupby(self.best_row(part), key=lambda last: last.is_unknown):
            found = [part[last.begin : last.end] for last in run]
            for piece in ["".join(found)] if is_unknown else found:
                begin, end = end, end + len(piece.encode())
                spans += (Span(i, begin, end) for i in self._ids_of(piece))
        return spans

    def _ids_of(self, piece: str) -> list[int]:
        if piece in self.ids:
            return [self.ids[piece]]
        spelled = [self.byte_ids[byte] for byte in piece.encode()]
        if self.step.byte_fallback and None not in spelled:
            return [i for i in spelled if i is not None]
        return [self._unk_id()]

    def _unk_id(self) -> int:
        if self.step.unk_id is None:
            raise EncodeError(
                f"{self.source}: a character of the text has no piece, and model.unk_id is null"
            )
        return self.step.unk_id

    def best_row(self, part: str) -> list[Last]:
        """The pieces of a text."""
        n = len(part)
        sums = [0.0] * (n + 1)
        last = [Last(0, end, False) for end in range(n + 1)]
        reached = [True] + [False] * n
        for begin in range(n):
            for size, score, is_unknown in self._candidates(part, begin):
                end = begin + size
                if not reached[end] or sums[begin] + score > sums[end]:
                    sums[end], reached[end] = sums[begin] + score, True
                    last[end] = Last(begin, end, is_unknown)
        row: list[Last] = []
        while n > 0:
            row.append(last[n])
            n = last[n].begin
        return row[::-1]

    def _candidates(self, part: str, begin: int) -> Iterator[tuple[int, float, bool]]:
        """Size and score of every piece at a place, the shortest first, or of an unknown one."""
        single = False
        for size in self.sizes.get(part[begin], ()):
            i = self.ids.get(part[begin : begin + size])
            if i is not None and begin + size <= len(part):
                single = single or size == 1
                yield size, self.step.scores[i], i == self.step.unk_id
        if not single:
            self._unk_id()
            yield 1, self.unknown_score, True


def _sizes_by_first(ids: Mapping[str, int]) -> dict[str, list[int]]:
    """How long the pieces are that begin with a character, the shortest first."""
    sizes: dict[str, set[int]] = {}
    for piece in filter(None, ids):
        sizes.setdefault(piece[0], set()).add(len(piece))
    return {first: sorted(found) for first, found in sizes.items()}
