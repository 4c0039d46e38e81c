"""sentencepiece's normaliser: a text as typed -> the text that merges, with the way back.

`Normalizer::Normalize` of sentencepiece's src/normalizer.cc, step by step:

1. Prefix by prefix, take the longest user-defined piece (kept as it is), else the longest key of
   the charsmap (replaced), else one character (kept; a malformed byte becomes U+FFFD).
2. With `remove_extra_whitespaces` drop spaces at both ends and all but one of a run.
3. Write ▁ for each space (`escape_whitespaces`) and one more at the beginning, or at the end with
   `treat_whitespace_as_suffix` (`add_dummy_prefix`).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import Final

from spm.errors import EncodeError
from spm.text.charsmap import MAX_KEY_BYTES, Charsmap
from spm.text.utf8 import REPLACEMENT, characters, well_formed_size
from spm.vocab import SPACE, Normalization

MAX_GROWTH: Final = 100  # bytes of output for one of input; NFKC needs 18
MAX_MATCHES: Final = 64  # normalizer.cc, PrefixMatcher: longer matches than the 64th are not seen


class PrefixMatcher:
    """Finds the longest of some pieces at the beginning of a text.

    Among sorted pieces, those that begin a text are the last one that sorts before it and pieces
    that begin that one in turn: `shorter[i]` is the longest of those, so a chain holds them all.
    """

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self.pieces = sorted(pieces)
        self.first_bytes = frozenset(piece[0] for piece in self.pieces)
        self.longest = max(map(len, self.pieces), default=0)
        self.shorter: list[int] = []  # -1 ends the chain
        self.seen: list[int] = []  # where a search begins: the 64th of the chain, if it is so long
        chain: list[int] = []
        for i, piece in enumerate(self.pieces):
            while chain and not piece.startswith(self.pieces[chain[-1]]):
                chain.pop()
            self.shorter.append(chain[-1] if chain else -1)
            chain.append(i)
            self.seen.append(chain[MAX_MATCHES - 1] if len(chain) > MAX_MATCHES else i)

    def size(self, text: bytes, pos: int) -> int:
        """The size of the longest piece that stands at `pos`, or 0."""
        if text[pos] not in self.first_bytes:
            return 0
        i = bisect_right(self.pieces, text[pos : pos + self.longest]) - 1
        i = self.seen[i] if i >= 0 else i
        while i >= 0 and not text.startswith(self.pieces[i], pos):
            i = self.shorter[i]
        return len(self.pieces[i]) if i >= 0 else 0

    def symbols(self, text: bytes) -> tuple[list[bytes], set[int]]:
        """Split into pieces and, between them, characters; return the pieces' indices too."""
        if not self.pieces:
            return characters(text), set()
        symbols: list[bytes] = []
        found: set[int] = set()
        pos = 0
        while pos < len(text):
            if size := self.size(text, pos):
                found.add(len(symbols))
                symbols.append(text[pos : pos + size])
            else:
                symbols.append(characters(text[pos : pos + 4])[0])
            pos += len(symbols[-1])
        return symbols, found


class Normalizer:
    """One vocabulary's normaliser. Raises VocabError if its charsmap is malformed."""

    def __init__(self, rules: Normalization, user_defined: PrefixMatcher, source: str) -> None:
        self.rules = rules
        self.user_defined = user_defined
        self.charsmap = Charsmap(rules.charsmap, source) if rules.charsmap else None

    @property
    def sight(self) -> int | None:
        """How many bytes decide what a text begins with; None if its end is written last."""
        if self.rules.treat_whitespace_as_suffix:
            return None
        return max(MAX_KEY_BYTES if self.charsmap else 1, self.user_defined.longest)

    def normalize(self, text: bytes, begins: bool = True) -> tuple[bytes, list[int]]:
        """Normalise; also tell, for each byte of the result and its end, where it came from.

        Without `begins` the text goes on from another that does not end with a space: none is put
        in front, and of those that are there one stays.
        """
        rules = self.rules
        collapse = rules.remove_extra_whitespaces
        space = SPACE if rules.escape_whitespaces else b" "
        out, origin = bytearray(), []
        pos = self._leading_spaces(text) if collapse and begins else 0
        if pos == len(text):
            return b"", [pos]

        def write(data: bytes) -> None:
            out.extend(data)
            origin.extend([pos] * len(data))

        if rules.add_dummy_prefix and begins and not rules.treat_whitespace_as_suffix:
            write(space)
        after_space = collapse and begins
        while pos < len(text):
            prefix, size = self._prefix(text, pos)
            if after_space:
                prefix = prefix.lstrip(b" ")
            write(prefix.replace(b" ", space))
            if collapse and prefix:
                after_space = prefix.endswith(b" ")
            pos += size
            check_growth(out, pos)
        if collapse:
            pos = _drop_trailing(space, out, origin, pos)
        if rules.add_dummy_prefix and rules.treat_whitespace_as_suffix:
            write(space)
        return bytes(out), [*origin, pos]

    def _leading_spaces(self, text: bytes) -> int:
        pos = 0
        while pos < len(text):
            prefix, size = self._prefix(text, pos)
            if prefix != b" ":
                break
            pos += size
        return pos

    def _prefix(self, text: bytes, pos: int) -> tuple[bytes, int]:
        """What stands at `pos`, normalised, and how many bytes of the text that is."""
        if size := self.user_defined.size(text, pos):
            return text[pos : pos + size], size
        if self.charsmap and (replaced := self.charsmap.longest_prefix(text, pos)):
            return replaced
        if size := well_formed_size(text, pos):
            return text[pos : pos + size], size
        return REPLACEMENT, 1


def check_growth(out: bytearray, pos: int) -> None:
    """Raise EncodeError if far more has come out than the `pos` bytes that went in."""
    if len(out) > MAX_GROWTH * (pos + 1):
        raise EncodeError(
            f"text: byte {pos}: the charsmap makes {len(out)} bytes of {pos},"
            f" expected at most {MAX_GROWTH} times as many"
        )


def _drop_trailing(space: bytes, out: bytearray, origin: list[int], pos: int) -> int:
    """Drop spaces at the end, typed ▁ too; the text then ends where the first came from."""
    while out.endswith(space):
        del out[-len(space) :]
        pos = origin[len(out)]
        del origin[len(out) :]
    return pos
