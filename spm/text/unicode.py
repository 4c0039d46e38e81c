"""What a code point is, by the tables of llama.cpp (src/unicode-data.cpp): Unicode 15.1.0.

The Python that runs this may know another version, and the ids of a text must not depend on that:
so categories and lower case are read from a table of our own, made by tools/unicode_table.py.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from itertools import accumulate
from typing import Final, NamedTuple

from spm.errors import EncodeError
from spm.text.utf8 import wide_code_points

WHITE_SPACE: Final = (  # PropList.txt, White_Space, which has been the same since Unicode 4
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
_WHITE_POINTS: Final = frozenset(map(ord, WHITE_SPACE))
_CHINESE: Final = (  # as in BERT; in the last block but two llama.cpp and tokenizers have a gap
    (0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F), (0x2B920, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F),
)  # fmt: skip


class _Table(NamedTuple):
    begins: list[int]  # where a category begins
    letters: list[str]  # and which
    lower: dict[int, int]


@cache
def _table() -> _Table:
    begins, letters, lower = [], [], {}
    for line in (files("spm.text") / "unicode.txt").read_text("ascii").splitlines():
        if line.startswith("#"):
            continue
        begin, *rest = line.split()
        if len(rest) == 1:
            begins.append(int(begin, 16))
            letters += rest
        else:
            last, step, more = int(rest[0], 16), int(rest[1]), int(rest[2])
            lower.update({i: i + more for i in range(int(begin, 16), last + 1, step)})
    return _Table(begins, letters, lower)


def category(point: int) -> str:
    """The first letter of the general category, L M N P S Z C; '-' if it is not assigned."""
    table = _table()
    return table.letters[bisect_right(table.begins, point) - 1]


def category_runs() -> Iterator[tuple[int, int, str]]:
    """Begin, end and category of every run of code points that have the same."""
    table = _table()
    return zip(table.begins, [*table.begins[1:], 0x110000], table.letters)


def is_space(point: int) -> bool:
    """Whether a code point is white space, in ASCII and beyond."""
    return point in _WHITE_POINTS


def is_chinese(point: int) -> bool:
    """Whether BERT makes a code point a word of its own (`is_chinese_char`, for both oracles)."""
    return point >= 0x3400 and any(first <= point <= last for first, last in _CHINESE)


def lower(point: int) -> int:
    """The simple lower case: always one code point (`unicode_tolower`)."""
    return _table().lower.get(point, point)


def base(point: int) -> int:
    """The first code point of the canonical decomposition: a letter without its accents.

    That is all that llama.cpp keeps of NFD (`unicode_cpts_normalize_nfd`). Unicode never changes
    the decomposition of what is assigned, so Python's own table will do for these.
    """
    return point if category(point) == "-" else ord(unicodedata.normalize("NFD", chr(point))[0])


def code_points(text: bytes, begin: int = 0) -> tuple[str, list[int]]:
    """The characters of a text and, counted from `begin`, the byte where each begins, and the end.

    As `unicode_cpts_from_utf8`: a byte that begins no character is U+FFFD, but surrogates and
    overlong spellings are characters. Raises EncodeError beyond U+10FFFF, where llama.cpp ends.
    """
    try:
        characters = text.decode()
    except UnicodeDecodeError:
        points: list[int] = []
        begins: list[int] = []
        for point, first, _ in wide_code_points(text, 0, len(text)):
            points.append(point)
            begins.append(begin + first)
        if max(points) > 0x10FFFF:
            _refuse(points, begins)
        return "".join(map(chr, points)), [*begins, begin + len(text)]
    if len(characters) == len(text):
        return characters, list(range(begin, begin + len(text) + 1))
    sizes = (len(one.encode()) for one in characters)
    return characters, list(accumulate(sizes, initial=begin))


def _refuse(points: list[int], begins: list[int]) -> None:
    at, point = next(found for found in zip(begins, points) if found[1] > 0x10FFFF)
    raise EncodeError(f"text: byte {at} begins code point 0x{point:X}, expected at most 0x10FFFF")
