"""SPM as sentencepiece does it: its model type BPE, which merges by scores.

User-defined pieces are symbols that never merge, every other character is one that may; merge to
NORMAL, USER_DEFINED and UNUSED pieces; take UNUSED ones apart again (`bpe::Model::SampleEncode`,
src/bpe_model.cc).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from functools import cached_property
from itertools import compress
from typing import Final

import numpy as np
from numpy.typing import NDArray

from spm.text.cuts import Joins
from spm.text.normalize import PrefixMatcher
from spm.text.spm import merge
from spm.text.token import Stretch
from spm.text.utf8 import characters
from spm.vocab import TokenType, Vocab

MAX_SPLIT_DEPTH: Final = 100  # bpe_model.cc, kMaxBpeResegmentDepth

Splits = dict[bytes, tuple[bytes, bytes]]

_MERGEABLE: Final = (TokenType.NORMAL, TokenType.USER_DEFINED, TokenType.UNUSED)


class SpmSentencePiece:
    """The SPM family in the sentencepiece dialect: a `Segmentation`, and a `ScoreMerging`."""

    def __init__(self, vocab: Vocab, user_defined: PrefixMatcher) -> None:
        self.vocab = vocab
        self.user_defined = user_defined
        self.unused: Collection[bytes] = frozenset(
            vocab.pieces[i] for i in vocab.ids_of_type(TokenType.UNUSED)
        )
        # A character alone was never merged: it is spelled like one that has no piece.
        self.taken_apart: Collection[bytes] = frozenset(
            piece for piece in self.unused if len(characters(piece)) > 1
        )
        self.may_result = np.isin(vocab.type_numbers, _MERGEABLE)
        self.ranks_by_id = _ranks(vocab.scores)

    @cached_property
    def ranks(self) -> Mapping[bytes, float]:
        """The rank of every piece that may be a merge result; the core does not ask for it."""
        ranks = zip(self.vocab.pieces, self.ranks_by_id.tolist())
        return dict(compress(ranks, self.may_result.tobytes()))

    def rank(self, left: bytes, right: bytes) -> float | None:
        """That of what results."""
        return self.ranks.get(left + right)

    def symbols(self, text: bytes) -> tuple[list[bytes], set[int]]:
        """User-defined pieces, which never merge, and between them characters."""
        return self.user_defined.symbols(text)

    def segments(
        self, stretch: Stretch, skips: Callable[[], bool] | None = None
    ) -> Iterator[tuple[bytes, int | None]]:
        """What is left when nothing merges any more; `skips` as for `merge`."""
        splits: Splits | None = {} if self.taken_apart else None
        for symbol in merge(stretch.symbols, self.ranks, stretch.frozen, splits, skips):
            yield from self._resolve(symbol, splits or {})

    def _resolve(
        self, symbol: bytes, splits: Splits, depth: int = 0
    ) -> Iterator[tuple[bytes, int | None]]:
        """A symbol and its id, or None if it has none.

        An UNUSED symbol becomes the two halves that it was last considered as a merge of.
        """
        if symbol not in self.unused or depth > MAX_SPLIT_DEPTH:
            yield symbol, self.vocab.piece_to_id[symbol] if symbol in self.ranks else None
        elif symbol not in splits:
            yield symbol, None
        else:
            for half in splits[symbol]:
                yield from self._resolve(half, splits, depth + 1)

    def cuts(self, symbols: list[bytes]) -> Iterator[int]:
        """Where the cut lemma holds.

        With UNUSED pieces nowhere: they are taken apart by all that was considered before.
        """
        return iter(()) if self.taken_apart else self.joins.cuts(symbols)

    @cached_property
    def joins(self) -> Joins:
        """Which characters can merge with which."""
        return Joins(self.ranks)


def _ranks(scores: NDArray[np.float32]) -> NDArray[np.int64]:
    """bpe_model.cc, `SymbolPairComparator`: by the scores' bits, so -0.0 comes below 0.0."""
    bits = scores.view(np.int32).astype(np.int64)
    ascending = np.where(bits >= 0, bits, -(bits & 0x7FFFFFFF) - 1)
    return -ascending
