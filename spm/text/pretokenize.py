r"""A text -> its words, by the patterns of spm/vocab/pretokenizers.py.

llama.cpp does not ask its patterns about Unicode (src/unicode.cpp, `unicode_regex_split`). Where a
pattern names a category, it is searched in a shadow of the text: ASCII characters stay what they
are, and each other one is replaced by a stand-in for all of its kind, so that an ordinary regular
expression will do. The stand-ins here are real characters of their category:

    text      " Größe:\u3000１２"
    shadow    " Grªªe:\v²²"            \p{L} is [A-Za-zª一] there, \p{N} is [0-9²]

Where a pattern names no category it is searched in the text itself, only with \v for all white
space beyond ASCII.

No text is slow. A run of characters that one alternative has looked at in vain is matched by a
later one, so that it is gone over a few times and no more. Two patterns would look at a whole run
again from each of its characters, and are written so that they do not: white space at the end of a
text by a look-behind, and numbers that are counted from their last digit by searching the reversed
segment.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import Final

from spm.text.unicode import category, category_runs, is_space
from spm.vocab.pretokenizers import FROM_RIGHT, PreTokenizer

_STAND_IN: Final = {"L": "ª", "M": "\u0300", "N": "²", "P": "¡", "S": "¢"}  # any other: \x80
_OTHER: Final = "\x80"
_HAN, _HAN_UNASSIGNED = "一", "\ufaff"
_WHITE_SPACE: Final = "\v"

_HAN_RANGES: Final = (  # `unicode_cpt_is_han`
    (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F), (0x2B820, 0x2CEAF), (0x2CEB0, 0x2EBEF), (0x2F800, 0x2FA1F),
)  # fmt: skip

_SPACES_BEYOND_ASCII: Final = {i: _WHITE_SPACE for i in range(0x80, 0x3001) if is_space(i)}
_PROPERTY: Final = re.compile(r"\\p\{(\w+)\}")
_SET_OR_PROPERTY: Final = re.compile(r"\[(?:\\.|[^]\\])*\]|" + _PROPERTY.pattern)


def words(text: str, pre: PreTokenizer) -> list[int]:
    """Where the words of `text` begin, and its end: each word ends where the next one begins."""
    shadow = text.translate(_stand_ins())
    plain = text.translate(_SPACES_BEYOND_ASCII)
    cuts = [0, len(text)]
    for pattern in pre.patterns:
        view = shadow if _PROPERTY.search(pattern) else plain
        found = _from_right if pattern.startswith(FROM_RIGHT) else _from_left
        expression = _compiled(pattern.removeprefix(FROM_RIGHT))
        cuts = sorted({*cuts, *found(view, cuts, expression)})
    return cuts


def _from_left(view: str, cuts: list[int], expression: re.Pattern[str]) -> Iterator[int]:
    """Where the matches in each segment begin and end."""
    for begin, end in pairwise(cuts):
        for match in expression.finditer(view[begin:end]):
            yield begin + match.start()
            yield begin + match.end()


def _from_right(view: str, cuts: list[int], expression: re.Pattern[str]) -> Iterator[int]:
    """The same in the reversed segments."""
    for begin, end in pairwise(cuts):
        for match in expression.finditer(view[begin:end][::-1]):
            yield end - match.end()
            yield end - match.start()


def last_boundary(text: str, pre: PreTokenizer) -> int:
    """Where the words of `text` can last be told without what is in front, and without the rest."""
    shadow = text.translate(_stand_ins())
    found = [match.start() for match in _compiled(pre.boundary).finditer(shadow)]
    return found[-1] if found else 0


@cache
def _stand_ins() -> str:
    """For every code point the character that stands for it in the shadow."""
    table = list(map(chr, range(0x80)))
    for begin, end, letter in category_runs():
        table += [_STAND_IN.get(letter, _OTHER)] * (end - max(begin, len(table)))
    for point, stand_in in _SPACES_BEYOND_ASCII.items():
        table[point] = stand_in
    for first, last in _HAN_RANGES:
        for point in range(first, last + 1):
            table[point] = _HAN if table[point] == _STAND_IN["L"] else _HAN_UNASSIGNED
    return "".join(table)


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """A pattern with its properties spelled out."""

    def characters(match: re.Match[str]) -> str:
        return _members(match[1])

    def in_brackets(match: re.Match[str]) -> str:
        spelled = _PROPERTY.sub(characters, match[0])
        return spelled if match[0].startswith("[") else f"[{spelled}]"

    return re.compile(_SET_OR_PROPERTY.sub(in_brackets, pattern), re.ASCII)


@cache
def _members(name: str) -> str:
    """The inside of a set: what has a property in the shadow."""
    beyond = _STAND_IN["L"] + _HAN
    sets = {
        "L": "A-Za-z" + beyond,
        "Upper": "A-Z" + beyond,
        "Lower": "a-z" + beyond,
        "NotHan": "A-Za-z" + _STAND_IN["L"],
        "Han": _HAN + _HAN_UNASSIGNED,
    }
    in_ascii = (chr(i) for i in range(0x80) if category(i) == name)
    return sets.get(name) or "".join(map(re.escape, in_ascii)) + _STAND_IN[name]
