"""Unicode as the libraries inside of tokenizers know it, each in a version of its own.

Normalisation is the work of a crate from the days of Unicode 9: later characters neither decompose
nor carry a combining class. `unicodedata`, whatever its version, tells the rest, since what a
character decomposes to never changes. The other properties are the recorded tables themselves.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from typing import Final, Literal

import regex

from spm.text.hf import tables

KEPT: Final = 1 << 16  # answers about characters; a text may ask about all of them
_SINCE_17: Final = """
88F C5C CDC 1ACF-1ADD 1AE0-1AEB 20C1 2B96 A7CE-A7CF A7D2 A7D4 A7F1 FBC3-FBD2 FD90-FD91 FDC8-FDCE
10940-10959 10EC5-10EC7 10ED0-10ED8 10EFA-10EFB 11B60-11B67 11DB0-11DDB 11DE0-11DE9 16EA0-16EB8
16EBB-16ED3 16FF2-16FF6 187F8-187FF 18D09-18D1E 18D80-18DF2 1CCFA-1CCFC 1CEBA-1CED0 1CEE0-1CEF0
1E6C0-1E6DE 1E6E0-1E6F5 1E6FE-1E6FF 1F6D8 1F777-1F77A 1F8D0-1F8D8 1FA54-1FA57 1FA8A 1FA8E 1FAC8
1FACD 1FAEA 1FAEF 1FBFA 2B73A-2B73F 2CEA2-2CEAD 323B0-33479
"""  # DerivedAge.txt of Unicode 17: what 16 had no character for
_STAND_IN: Final = "\U000ffffe"  # a code point that never is a character

Change = tuple[str, int]  # a character, and what it did: aligned.py


def _ranges(table: str) -> Iterator[tuple[int, int]]:
    for word in table.split():
        first, _, last = word.partition("-")
        yield int(first, 16), int(last or first, 16)


@cache
def characters_of(table: str) -> frozenset[str]:
    """A recorded set."""
    return frozenset(chr(c) for a, b in _ranges(table) for c in range(a, b + 1))


@cache
def _small_letters() -> dict[str, str]:
    letters = {"\u0130": "i\u0307"}  # the only one that becomes two
    for word in tables.LOWER.split():
        row, _, distance = word.partition(":")
        row, _, step = row.partition("/")
        ((first, last),) = _ranges(row)
        letters |= {chr(c): chr(c + int(distance)) for c in range(first, last + 1, int(step) or 1)}
    return letters


def lowercase(char: str) -> str:
    """The small letter, without a look at the neighbours."""
    return _small_letters().get(char, char)


@cache
def _unknown_to_oniguruma() -> re.Pattern[str]:
    ranges = (f"\\U{a:08x}-\\U{b:08x}" for a, b in _ranges(tables.UNASSIGNED))
    return re.compile(f"[{''.join(ranges)}]")


def as_oniguruma_sees(text: str) -> str:
    """A text of the same length with no character that is newer than Oniguruma's Unicode 16.

    U+0295 was a small letter then and is none any more; another small letter stands in for it.
    """
    if text.isascii():
        return text
    return _unknown_to_oniguruma().sub(_STAND_IN, text).replace("\u0295", "\u0293")


# ---- graphemes


@cache
def _newer_than_17() -> regex.Pattern[str]:
    """What the installed `regex` knows and Unicode 17 does not."""

    def members(rows: str) -> str:
        return "".join(f"\\U{a:08x}-\\U{b:08x}" for a, b in _ranges(rows))

    old = f"[{members(tables.UNASSIGNED)}]--[{members(_SINCE_17)}]"
    return regex.compile(rf"[{old}--\p{{Cn}}]", regex.V1)


def graphemes(text: str) -> Iterator[str]:
    """The grapheme clusters by Unicode 17, as unicode-segmentation cuts them."""
    hidden = text if text.isascii() else _newer_than_17().sub(_STAND_IN, text)
    for match in regex.finditer(r"\X", hidden):
        yield text[match.start() : match.end()]


# ---- normal forms


@lru_cache(KEPT)
def _decomposed(char: str, form: Literal["NFD", "NFKD"]) -> str:
    known = char in characters_of(tables.DECOMPOSES)
    return unicodedata.normalize(form, char) if known else char


@lru_cache(KEPT)
def _combining(char: str) -> int:
    return unicodedata.combining(char) if char in characters_of(tables.MARKS) else 0


@lru_cache(KEPT)
def _composed(first: str, second: str) -> str:
    """What two characters compose to, or nothing."""
    whole = unicodedata.normalize("NFC", first + second)
    known = len(whole) == 1 and whole in characters_of(tables.DECOMPOSES)
    return whole if known else ""


def decompose(text: str, form: Literal["NFD", "NFKD"]) -> Iterator[Change]:
    """NFD or NFKD. What a character becomes begins with change 0, the rest of it has 1.

    Marks between two starters are sorted by class; they do not take their change along.
    """
    row: list[tuple[int, str, int]] = []
    for char in text:
        for i, part in enumerate(_decomposed(char, form)):
            part_class = _combining(part)
            if part_class == 0:
                yield from _sorted(row)
                row.clear()
            row.append((part_class, part, int(i > 0)))
    yield from _sorted(row)


def _sorted(row: list[tuple[int, str, int]]) -> Iterator[Change]:
    if len(row) > 1:
        row.sort(key=lambda part: part[0])
    for _, part, change in row:
        yield part, change


def compose(changes: Iterator[Change]) -> Iterator[Change]:
    """What follows a decomposition in NFC and NFKC.

    A mark composes with the starter before it unless one of the same or a higher class stands
    between them, which waits in `row`. A character made of two did what both did, less the one that
    is gone.
    """
    starter: Change | None = None
    row: list[Change] = []
    last_class = -1
    for char, change in changes:
        this_class = _combining(char)
        if starter is None:
            if this_class:
                yield char, change
            else:
                starter = char, change
            continue
        blocked = last_class >= this_class
        if not blocked and (whole := _composed(starter[0], char)):
            starter = whole, starter[1] + change - 1
        elif this_class == 0:
            yield starter
            yield from row
            row.clear()
            starter, last_class = (char, change), -1
        else:
            row.append((char, change))
            last_class = this_class
    if starter is not None:
        yield starter
    yield from row


NORMAL_FORMS: Final[dict[str, Callable[[str], Iterator[Change]]]] = {
    "NFD": lambda text: decompose(text, "NFD"),
    "NFKD": lambda text: decompose(text, "NFKD"),
    "NFC": lambda text: compose(decompose(text, "NFD")),
    "NFKC": lambda text: compose(decompose(text, "NFKD")),
}
