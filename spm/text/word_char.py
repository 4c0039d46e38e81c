"""WORD and CHAR: sentencepiece's model types that find nothing, but look up.

WORD: a word begins with each ▁ and at the beginning of the text (`SplitIntoWords`,
src/model_interface.cc). CHAR: a user-defined piece is one, and between them every character
(src/char_model.cc). What is no NORMAL or USER_DEFINED piece is unknown.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from spm.text.cuts import Joins
from spm.text.normalize import PrefixMatcher
from spm.text.token import Stretch
from spm.text.utf8 import characters
from spm.vocab import SPACE, TokenType, Vocab


class Words:
    """The WORD family: a `Segmentation`."""

    def __init__(self, vocab: Vocab) -> None:
        self.known = _known(vocab)

    def symbols(self, text: bytes) -> tuple[list[bytes], set[int]]:
        """The characters of a text."""
        return characters(text), set()

    def segments(self, stretch: Stretch) -> Iterator[tuple[bytes, int | None]]:
        """The words of a text and their ids."""
        borders = [0, *reversed(list(self.cuts(stretch.symbols))), len(stretch.symbols)]
        for begin, end in pairwise(borders):
            if word := b"".join(stretch.symbols[begin:end]):
                yield word, self.known.get(word)

    def cuts(self, symbols: list[bytes]) -> Iterator[int]:
        """Where a word begins."""
        return (i for i in range(len(symbols) - 1, 0, -1) if symbols[i] == SPACE)


class Characters:
    """The CHAR family: a `Segmentation`."""

    def __init__(self, vocab: Vocab, user_defined: PrefixMatcher) -> None:
        self.known = _known(vocab)
        self.user_defined = user_defined
        self.joins = Joins(user_defined.pieces)

    def symbols(self, text: bytes) -> tuple[list[bytes], set[int]]:
        """User-defined pieces and, between them, characters."""
        return self.user_defined.symbols(text)

    def segments(self, stretch: Stretch) -> Iterator[tuple[bytes, int | None]]:
        """The symbols of a text and their ids."""
        return ((symbol, self.known.get(symbol)) for symbol in stretch.symbols)

    def cuts(self, symbols: list[bytes]) -> Iterator[int]:
        """Anywhere but inside of what may become a user-defined piece."""
        return self.joins.cuts(symbols)


def _known(vocab: Vocab) -> dict[bytes, int]:
    ids = vocab.ids_of_type(TokenType.NORMAL, TokenType.USER_DEFINED)
    return {vocab.pieces[i]: i for i in ids}
