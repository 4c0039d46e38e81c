"""What a family of vocabularies does with a text between special pieces: one file for each."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterator, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from spm.text.token import Stretch, Token
from spm.vocab import SPACE, TokenType, Vocab
from spm.vocab.vocab import BYTE_OF_PIECE


class Encoding(Protocol):
    """Two steps to ids, as in a dialect, and one step back."""

    vocab: Vocab
    cleans_spaces: bool  # whether decoding removes spaces before punctuation

    def stretches(
        self, text: bytes, begin: int, end: int, after_special: bool
    ) -> Iterator[Stretch]:
        """`text[begin:end]`, normalised and cut into what is encoded apart from each other.

        `after_special` says whether it begins the text or follows a special piece.
        """

    def tokens(self, stretch: Stretch) -> Iterator[Token]:
        """The tokens of one stretch."""

    def settled(self, text: bytes, begin: int, end: int) -> int:
        """Up to where `text[begin:end]` encodes apart from whatever may follow; `begin` if nowhere.

        The rest is then encoded as what does not follow a special piece.
        """

    def piece_text(self, i: int) -> bytes:
        """What id `i` decodes to, special pieces shown."""


class Decoder(Protocol):
    """Ids in, bytes out, as they come."""

    def push(self, i: int) -> bytes:
        """The bytes that id `i` adds."""

    def flush(self) -> bytes:
        """The bytes that were held back; the text ends."""


class Segmentation(Protocol):
    """What a model type of sentencepiece does with a normalised text."""

    def symbols(self, text: bytes) -> tuple[list[bytes], Container[int]]:
        """The text as a row of symbols, and the indices of those that never merge."""

    def segments(self, stretch: Stretch) -> Iterator[tuple[bytes, int | None]]:
        """The parts of the text in order, and their ids; None is unknown."""

    def cuts(self, symbols: list[bytes]) -> Iterator[int]:
        """The indices of the symbols that may be cut from the one before, the last first."""


class Merging(Protocol):
    """Families in which neighbours merge until nothing merges any more."""

    vocab: Vocab

    def rank(self, left: bytes, right: bytes) -> float | None:
        """The rank of merging two neighbours, the smallest first; None if they do not merge."""


class ScoreMerging(Merging, Protocol):
    """Merging in which the result alone decides about the rank: SPM."""

    unused: Collection[bytes]  # of the merge results, those that are no tokens
    taken_apart: Collection[bytes]  # of these, the ones that a merge can have made
    may_result: NDArray[np.bool_]  # by id: whether a merge may result in the piece
    ranks_by_id: NDArray[Any]  # the smallest merges first

    @property
    def ranks(self) -> Mapping[bytes, float]:
        """The rank of every piece that a merge may result in."""


def ends(vocab: Vocab) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The ids that `add_special` puts before a text and behind it, by the flags of a vocabulary."""
    before = [vocab.special_ids["bos"]] if vocab.add_bos else []
    behind = [vocab.special_ids["eos"]] if vocab.add_eos else []
    return tuple(before), tuple(behind)


def piece_text(vocab: Vocab, i: int) -> bytes:
    """`llama_vocab::impl::token_to_piece` of what has ▁ for spaces, with special pieces shown."""
    piece, kind = vocab.pieces[i], vocab.types[i]
    if kind == TokenType.BYTE:
        return bytes([BYTE_OF_PIECE[piece]])
    if kind == TokenType.UNUSED:
        return b""
    return piece.replace(SPACE, b" ") if kind == TokenType.NORMAL else piece
