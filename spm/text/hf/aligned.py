"""A text that remembers where it came from: tokenizers' `NormalizedString`.

Every character of the text as it is now has a place, the characters of the original from which it
was made: `begins[i]` to `ends[i]`. A step that rewrites the text says for each new character what
it did to the old ones:

     0   it stands for the next old character
    -n   it stands for the next old character, and the n behind that one are gone
     1   it is new, and has the place of the old character before

    original    É  l  a  n           Normalize("NFD") says    E 0, ́ 1, l 0, a 0, n 0
    text        E  ́  l  a  n        StripAccents then says   E -1, l 0, a 0, n 0
    begins      0  0  1  2  3
    ends        1  1  2  3  4

What is cut out of a text keeps its places; `shift` is where the first of them begins. A character
that is new before all others has the place shift:shift.

Source: tokenizers/src/tokenizer/normalizer.rs (`transform_range`, `replace`, `slice`, `split`),
which counts bytes where this counts characters. Both give the same places, since all bytes of a
character have the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from spm.errors import EncodeError
from spm.text.hf.unicode import Change
from spm.text.unicode import WHITE_SPACE
from spm.vocab.pipeline import Behavior

Match = tuple[int, int, bool]  # begin, end, and whether it is one or lies between two


class Aligned:
    """A text, and for each of its characters where the original of it stands."""

    __slots__ = ("begins", "ends", "shift", "text")

    def __init__(self, text: str, begins: list[int], ends: list[int], shift: int) -> None:
        self.text = text
        self.begins = begins
        self.ends = ends
        self.shift = shift

    @classmethod
    def of(cls, text: str) -> Aligned:
        """A text that is its own original."""
        return cls(text, list(range(len(text))), list(range(1, len(text) + 1)), 0)

    def part(self, begin: int, end: int) -> Aligned:
        """Some of it, not empty."""
        begins = self.begins[begin:end]
        return Aligned(self.text[begin:end], begins, self.ends[begin:end], begins[0])

    def place(self, begin: int, end: int) -> tuple[int, int]:
        """Where the original of some characters stands."""
        return self.begins[begin], self.ends[end - 1]

    # ---- rewriting

    def rewrite(self, changes: Iterable[Change], removed: int = 0) -> None:
        """Put other characters in place of all; the first `removed` old ones are gone.

        New characters at the very beginning are left alone: they have no original.
        """
        first = 0
        while first < len(self.text) and self.begins[first] == self.ends[first]:
            first += 1
        self._rewrite(first, len(self.text), changes, removed)

    def _rewrite(self, first: int, end: int, changes: Iterable[Change], removed: int) -> None:
        at = first + removed
        chars: list[str] = []
        begins: list[int] = []
        ends: list[int] = []
        for char, change in changes:
            origin = at - 1 if change > 0 else at
            if origin >= len(self.text):
                raise EncodeError(
                    "text: a normalizer adds to characters that have no original,"
                    f" expected one of the {len(self.text)} that there are"
                )
            begins.append(self.begins[origin] if origin >= 0 else self.shift)
            ends.append(self.ends[origin] if origin >= 0 else self.shift)
            chars.append(char)
            if change <= 0:
                at += 1 - change
        self.text = self.text[:first] + "".join(chars) + self.text[end:]
        self.begins[first:end] = begins
        self.ends[first:end] = ends

    def map(self, change: Callable[[str], str]) -> None:
        """Rewrite each character by itself; the first one that comes out has its place."""
        self.rewrite((c, int(i > 0)) for char in self.text for i, c in enumerate(change(char)))

    def keep(self, wanted: Callable[[str], bool]) -> None:
        """Drop characters."""
        changes: list[Change] = []
        removed = dropped = 0
        for char in self.text:
            if not wanted(char):
                dropped += 1
                continue
            if changes:
                changes[-1] = changes[-1][0], -dropped
            else:
                removed = dropped
            changes.append((char, 0))
            dropped = 0
        self.rewrite(changes, removed)

    def strip(self, left: bool, right: bool) -> None:
        """Drop white space at the ends."""
        kept = self.text.lstrip(WHITE_SPACE) if left else self.text
        removed = len(self.text) - len(kept)
        if right:
            kept = kept.rstrip(WHITE_SPACE)
        if len(kept) < len(self.text):
            self.rewrite(((char, 0) for char in kept), removed)

    def prepend(self, prefix: str) -> None:
        """Put `prefix` before a text that is not empty; it has the place of the first character."""
        if self.text:
            changes = [(char, int(i > 0)) for i, char in enumerate(prefix)]
            self._rewrite(0, 1, [*changes, (self.text[0], 1)], 0)

    def replace(self, matches: Iterable[Match], content: str) -> None:
        """Put `content` for every match, at the place of the match's last character."""
        chars: list[str] = []
        begins: list[int] = []
        ends: list[int] = []
        for begin, end, is_match in matches:
            if is_match:
                origin = end - 1
                chars.append(content)
                begins += [self.begins[origin] if origin >= 0 else self.shift] * len(content)
                ends += [self.ends[origin] if origin >= 0 else self.shift] * len(content)
            else:
                chars.append(self.text[begin:end])
                begins += self.begins[begin:end]
                ends += self.ends[begin:end]
        self.text = "".join(chars)
        self.begins, self.ends = begins, ends

    # ---- cutting

    def split(self, matches: Iterable[Match], behavior: Behavior) -> list[Aligned]:
        """Cut at the matches; parts that are empty are gone."""
        spans = _SPANS[behavior](matches)
        return [self.part(begin, end) for begin, end in spans if begin < end]


def _removed(matches: Iterable[Match]) -> Iterator[tuple[int, int]]:
    return ((begin, end) for begin, end, is_match in matches if not is_match)


def _isolated(matches: Iterable[Match]) -> Iterator[tuple[int, int]]:
    return ((begin, end) for begin, end, _ in matches)


def _contiguous(matches: Iterable[Match]) -> Iterator[tuple[int, int]]:
    """Matches that follow each other are one."""
    spans: list[tuple[int, int]] = []
    before = False
    for begin, end, is_match in matches:
        if is_match == before and spans:
            spans[-1] = spans[-1][0], end
        else:
            spans.append((begin, end))
        before = is_match
    return iter(spans)


def _merged_with_previous(matches: Iterable[Match]) -> Iterator[tuple[int, int]]:
    """A match belongs to what stands before it, unless that is a match."""
    spans: list[tuple[int, int]] = []
    before = False
    for begin, end, is_match in matches:
        if is_match and not before and spans:
            spans[-1] = spans[-1][0], end
        else:
            spans.append((begin, end))
        before = is_match
    return iter(spans)


def _merged_with_next(matches: Iterable[Match]) -> Iterator[tuple[int, int]]:
    """The same from the other end."""
    spans: list[tuple[int, int]] = []
    behind = False
    for begin, end, is_match in reversed(list(matches)):
        if is_match and not behind and spans:
            spans[-1] = begin, spans[-1][1]
        else:
            spans.append((begin, end))
        behind = is_match
    return reversed(spans)


_SPANS: dict[Behavior, Callable[[Iterable[Match]], Iterator[tuple[int, int]]]] = {
    "Removed": _removed,
    "Isolated": _isolated,
    "Contiguous": _contiguous,
    "MergedWithPrevious": _merged_with_previous,
    "MergedWithNext": _merged_with_next,
}
