"""Ids and texts that come in parts."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, SupportsIndex

from spm.text.dialect import Dialect
from spm.text.ids import checked_id
from spm.vocab import Vocab


class CharacterDecoder(Protocol):
    """Ids in, characters out, as they come: `CharactersOf`, or the core."""

    def push(self, i: int) -> str:
        """The characters that are certain now and were not before."""

    def flush(self) -> str:
        """The text held back; the next id begins a new text."""


class StreamDecoder:
    """Ids in, text out, as early as it is certain: never half a character.

    What `push` and `flush` return, joined, is what `decode` returns for all the ids, whatever they
    are.
    """

    def __init__(self, vocab: Vocab, decoder: CharacterDecoder) -> None:
        self._vocab = vocab
        self._decoder = decoder

    def push(self, i: SupportsIndex) -> str:
        """The text that is certain now and was not before. Raises DecodeError for a bad id."""
        return self._decoder.push(checked_id(self._vocab, i))

    def flush(self) -> str:
        """The text held back, with U+FFFD for bytes that never became a character.

        The next id begins a new text.
        """
        return self._decoder.flush()


class CharactersOf:
    """The characters in the bytes that a dialect's decoder gives."""

    def __init__(self, dialect: Dialect, skip_special: bool) -> None:
        self._dialect = dialect
        self._skip_special = skip_special
        self._begin()

    def _begin(self) -> None:
        self._bytes = self._dialect.decoder(self._skip_special)
        self._text = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, i: int) -> str:
        """The characters that are certain now and were not before."""
        return self._text.decode(self._bytes.push(i))

    def flush(self) -> str:
        """The text held back; the next id begins a new text."""
        rest = self._text.decode(self._bytes.flush(), final=True)
        self._begin()
        return rest


@dataclass
class StreamEncoder:
    """Text in parts -> the ids of the whole.

    A later character can change how earlier ones merge, without any bound that holds for every
    vocabulary, so this one waits for the end.
    """

    encode: Callable[[str], list[int]]
    parts: list[str] = field(default_factory=list)

    def push(self, text: str) -> list[int]:
        """Take a part of the text; return the ids that are certain."""
        self.parts.append(text)
        return []

    def flush(self) -> list[int]:
        """The remaining ids; the next part begins a new text."""
        text, self.parts = "".join(self.parts), []
        return self.encode(text)
