"""WordPiece and WordLevel as tokenizers does them: what stands between the cuts is a word.

WordPiece takes the longest piece that begins the word, then the longest one that goes on, with the
prefix of continuing pieces, and so on; if nothing fits somewhere, the whole word is unknown.

    pieces  play ##ing ##ed        playing -> play ##ing      player -> [UNK]

Sources: tokenizers/src/models/wordpiece/mod.rs and wordlevel/mod.rs, `tokenize`.
"""

from __future__ import annotations

from collections.abc import Mapping

from spm.text.hf.spans import Span, in_a_row, unknown
from spm.vocab import pipeline as hf


class WordPiece:
    """A WordPiece model."""

    def __init__(self, source: str, ids: Mapping[str, int], step: hf.WordPiece) -> None:
        self.source = source
        self.ids = ids
        self.step = step
        self.longest = max(map(len, ids), default=0)  # no use to try more

    def tokenize(self, part: str) -> list[Span]:
        """The ids of a part."""
        tokens: list[tuple[int, int]] = []
        at = 0
        while at < len(part):
            i, size = self._longest_piece(part, at)
            if size == 0 or len(part) > self.step.max_input_chars_per_word:
                return unknown(self.source, self.step.unk_id, part)
            tokens.append((i, len(part[at : at + size].encode())))
            at += size
        return in_a_row(tokens)

    def _longest_piece(self, part: str, at: int) -> tuple[int, int]:
        """Its id and size in characters, or no size."""
        prefix = self.step.continuing_subword_prefix if at else ""
        for size in range(min(len(part) - at, self.longest - len(prefix)), 0, -1):
            i = self.ids.get(prefix + part[at : at + size])
            if i is not None:
                return i, size
        return 0, 0


class WordLevel:
    """A WordLevel model."""

    def __init__(self, source: str, ids: Mapping[str, int], step: hf.WordLevel) -> None:
        self.source = source
        self.ids = ids
        self.step = step

    def tokenize(self, part: str) -> list[Span]:
        """The id of a word."""
        if part in self.ids:
            return [Span(self.ids[part], 0, len(part.encode()))]
        return unknown(self.source, self.step.unk_id, part)
