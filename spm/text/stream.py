"""Ids and texts that come in parts: a model's answer as it is made, a text as it is read.

The invariant, both ways: what `push` and `flush` return, joined, is what `decode` or `encode` gives
for all the parts at once, wherever one ends and the next begins. So what another part could still
change is held back, and all that it could not is given at once.

Ids may end inside a character. Its bytes are held until they are whole, or known never to be:

    push <0xE6>  ''     push <0x97>  ''     push <0xA5>  '日'

A text may end inside of what is one token in the whole. Where a text may be cut (cuts.py), nothing
that follows changes the ids before the cut: they are given up to the last cut, and the rest waits.
With spm/data/tiny.gguf, in which nothing merges across the border before a ▁:

    push 'the li'    <s> ▁the        held ' li'
    push 'ttle c'    ▁little         held ' c'
    push 'at'                        held ' cat'
    flush            ▁c at
"""

from __future__ import annotations

import codecs
from typing import Protocol, SupportsIndex

from spm.text.dialect import Dialect
from spm.text.ids import checked_id
from spm.text.utf8 import utf8
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


class Parts(Protocol):
    """What a stream needs of a tokenizer."""

    @property
    def unknown_id(self) -> int | None:
        """The id of which a whole run of unknown characters is one."""

    def settled(self, text: bytes) -> tuple[int, bool]:
        """How many bytes of `text` can be encoded now, and whether the rest begins anew."""

    def encode_part(self, text: bytes, begins: bool) -> list[int]:
        """The ids of a part of a text, without BOS and EOS."""

    def finished(self, ids: list[int], first: bool, last: bool) -> list[int]:
        """With BOS in front of the first ids and EOS behind the last, as `encode` adds them."""


class StreamEncoder:
    """Text in, ids out, as early as they are certain.

    What `push` and `flush` return, joined, is what `encode` returns for the whole text. Held back
    is what can still change: the characters after the last place where the vocabulary allows a cut
    (spm/text/cuts.py), what may become part of a special piece, and the 256 bytes that a charsmap
    may look ahead; everything, where a normaliser writes a space at the end or pieces are UNUSED.
    Of Unigram everything is held back up to a special piece: its sums are rounded by where they
    begin, so no part of a text is certain to encode apart.
    A long text that cannot be cut is looked at only when it has grown by half, so that no sequence
    of parts takes more than linear time.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._begin()

    def _begin(self) -> None:
        self._held: list[bytes] = []
        self._size = 0  # of what is held
        self._patience = 0  # the size that is worth another look
        self._begins = True
        self._first = True
        self._last: int | None = None  # the last id so far

    def push(self, text: str) -> list[int]:
        """Take a part of the text; return the ids that are certain now and were not before."""
        part = utf8(text)
        self._held.append(part)
        self._size += len(part)
        if self._size <= self._patience:
            return []
        held = b"".join(self._held)
        size, begins = self._parts.settled(held)
        ids = self._encode(held[:size], last=False) if size else []
        self._begins = begins if size else self._begins
        self._held = [held[size:]]
        self._size = len(held) - size
        self._patience = self._size * 3 // 2 if self._size > 64 else 0
        return ids

    def flush(self) -> list[int]:
        """The remaining ids; the next part begins a new text."""
        ids = self._encode(b"".join(self._held), last=True)
        self._begin()
        return ids

    def _encode(self, text: bytes, last: bool) -> list[int]:
        ids = self._parts.encode_part(text, self._begins)
        if ids and ids[0] == self._last == self._parts.unknown_id:
            del ids[0]
        self._last = ids[-1] if ids else self._last
        finished = self._parts.finished(ids, self._first, last)
        self._first = self._first and not ids
        return finished
