"""Unigram as tokenizers does it: the row of pieces with the largest sum of scores.

The theory is that of spm/text/unigram.py. Here sums are of double precision and without a limit,
and every piece may stand. A character that is no piece by itself may stand alone, at 10 below the
worst score.

    pieces     a -1   b -2   ab -2.5   bc -1   <unk>
    abc        a|bc -2   ab|<unk>   a|b|<unk>        the first

Unknown characters side by side are one piece; if that happens to be a piece of the vocabulary, it
has its id, and otherwise the ids of its bytes or the unknown one.

Source: tokenizers/src/models/unigram/model.rs (`encode_optimized`, `tokenize`).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from itertools import groupby
from typing import Final

from spm.errors import EncodeError, VocabError
from spm.text.hf.spans import Span, byte_ids_of
from spm.text.trie import Trie
from spm.text.unigram import NO_ID, UNKNOWN_PENALTY, Last, Lexicon, Sums, best_row
from spm.vocab import pipeline as hf

MAX_CHARACTERS: Final = 8000  # of a piece: they bound the work for each place of a text
TOKENIZERS: Final = Sums("d", limit=float("inf"), unreached=(0, -1))


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
        self.byte_ids = byte_ids_of(ids)

    @cached_property
    def lexicon(self) -> Lexicon:
        """All pieces; decoding does not ask for them."""
        return Lexicon(
            Trie((piece.encode(), i) for piece, i in self.ids.items() if piece),
            self.step.scores,
            NO_ID if self.step.unk_id is None else self.step.unk_id,
            min(self.step.scores, default=0.0) - UNKNOWN_PENALTY,
        )

    def tokenize(self, part: str) -> list[Span]:
        """The ids of a part."""
        text = part.encode()
        unknown = self.lexicon.unknown_id
        spans: list[Span] = []
        for is_unknown, run in groupby(self._best_row(part), key=lambda last: last.id == unknown):
            pieces = list(run)
            if is_unknown:
                pieces = [Last(pieces[0].begin, pieces[-1].end, unknown)]
            for begin, end, _ in pieces:
                spans += (Span(i, begin, end) for i in self._ids_of(text[begin:end].decode()))
        return spans

    def _best_row(self, part: str) -> list[Last]:
        if self.step.unk_id is None and not self.ids.keys() >= set(part):
            self._unk_id()
        return best_row([char.encode() for char in part], self.lexicon, TOKENIZERS)

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
                f"{self.source}: a character of the text has no piece, and model.unk_id is null,"
                " expected an id for unknown characters"
            )
        return self.step.unk_id
