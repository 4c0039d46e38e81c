r"""The words of a pre-tokenizer as the compiled core finds them: its patterns, read as stages.

The core has no regular expressions. It knows two kinds of stages (spm/native/words.hpp): runs of
some characters, and the pattern of words in its variants. A pattern is read here alternative by
alternative; one that is not made of these exactly is none of the core's, and its vocabularies stay
with the specification (spm/text/pretokenize.py).

    r"\p{N}{1,3}"                       Runs(numbers, most=3)
    r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+|…"  Words(contractions in lower case, letters led by a space, …)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass, replace
from enum import IntFlag
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from spm.text.unicode import category_runs, is_space
from spm.vocab.pretokenizers import (
    CASED_AND_MARKED_WORD,
    CASED_WORD,
    CONTRACTION,
    EMPTY_END,
    FROM_RIGHT,
    LINES,
    MAYBE_CONTRACTED,
)


class Kind(IntFlag):
    """What a code point is: `Class` of words.hpp, which adds what only ASCII has."""

    LETTER = 1
    NUMBER = 2
    MARK = 4
    PUNCTUATION = 8
    SYMBOL = 16
    ELSE = 32
    NEWLINE = 64
    BLANK = 128
    GAP = 256
    SLASH = 512
    DIGIT = 4096


_OF_CATEGORY: Final = {
    "L": Kind.LETTER,
    "N": Kind.NUMBER,
    "M": Kind.MARK,
    "P": Kind.PUNCTUATION,
    "S": Kind.SYMBOL,
}
_WHITE: Final = Kind.NEWLINE | Kind.BLANK | Kind.GAP
_ALL: Final = Kind(511)
_SET: Final = 8192  # the class of the first set that is given by its code points
_SETS: Final = 3  # for so many there are classes


@dataclass(frozen=True)
class Runs:
    """Runs of a set of characters, as `RunsStage` of words.hpp."""

    set: int
    least: int = 1
    most: int = 0  # characters; 0: as many as there are
    led: int = 0  # by one of these, if there is one
    at_end: bool = False
    from_right: bool = False


@dataclass(frozen=True)
class Words:
    """The pattern of words, as `WordsStage` of words.hpp."""

    letters: int = Kind.LETTER
    before_letters: int = Kind.BLANK
    numbers: int = 0
    most_numbers: int = 0
    blank_numbers: bool = False
    others: int = 0
    behind_others: int = 0
    contractions: int = 0  # none, in lower case, in any case, in any case behind letters
    newlines: bool = False
    cases: bool = False
    sign_and_ascii: bool = False


# ---- patterns

_MARKED: Final = Kind.LETTER | Kind.MARK
_NO_WORD: Final = _ALL & ~(_WHITE | Kind.LETTER | Kind.NUMBER)  # [^\s\p{L}\p{N}]
_LEADS: Final = _ALL & ~(Kind.NEWLINE | Kind.LETTER | Kind.NUMBER)  # [^\r\n\p{L}\p{N}]
_SIGNS: Final = Kind.PUNCTUATION | Kind.SYMBOL

# The alternatives in their order; of each at most one. The first that a pattern goes on with is it.
_Fields = dict[str, Any]
_ALTERNATIVES: Final[tuple[Mapping[str, _Fields], ...]] = (
    {
        CONTRACTION + "|": {"contractions": 2},
        r"'(?:[sdmt]|ll|ve|re)|": {"contractions": 1},
        r"[!-/:-@\[-`{-~][A-Za-z]+|": {"sign_and_ascii": True},
    },
    {
        r" ?\p{L}+": {},
        r"[^\r\n\p{L}\p{N}]?\p{L}+": {"before_letters": _LEADS},
        r"[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+": {"before_letters": _LEADS, "letters": _MARKED},
        r"[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+": {
            "before_letters": _ALL & ~(Kind.NEWLINE | Kind.LETTER | _SIGNS),
            "letters": _MARKED,
        },
        CASED_WORD: {"before_letters": _LEADS, "cases": True},
        CASED_AND_MARKED_WORD: {
            "before_letters": _LEADS,
            "cases": True,
            "letters": _MARKED,
            "contractions": 3,
        },
    },
    {MAYBE_CONTRACTED: {"contractions": 3}},
    {
        r"| ?\p{N}+": {"numbers": Kind.NUMBER, "blank_numbers": True},
        r"|\p{N}{1,3}": {"numbers": Kind.NUMBER, "most_numbers": 3},
        r"|\p{N}+": {"numbers": Kind.NUMBER},
        r"|\p{N}": {"numbers": Kind.NUMBER, "most_numbers": 1},
    },
    {
        r"| ?[^\s\p{L}\p{N}]+": {"others": _NO_WORD},
        r"| ?[^\s\p{L}\p{N}\r\n]+": {"others": _NO_WORD},
        r"| ?[^\s\p{L}\p{M}\p{N}]+": {"others": _NO_WORD & ~Kind.MARK},
        r"| ?[\p{P}\p{S}]+": {"others": _SIGNS},
    },
    {
        r"[\r\n]*": {"behind_others": Kind.NEWLINE},
        r"[\r\n/]*": {"behind_others": Kind.NEWLINE | Kind.SLASH},
    },
    {r"|\s*[\r\n]+": {"newlines": True}, r"|\s*[\r\n]": {"newlines": True}},
    {r"|\s+(?!\S)|\s+": {}},
)


def _words(pattern: str) -> Words | None:
    """A pattern of words, if it is nothing else."""
    words = Words()
    for choices in _ALTERNATIVES:
        found = next((choice for choice in choices if pattern.startswith(choice)), "")
        pattern = pattern[len(found) :]
        words = replace(words, **choices.get(found, {}))
    return words if not pattern and words.others else None


_SETS_BY_NAME: Final = {
    r"\p{N}": Kind.NUMBER,
    r"\p{L}": Kind.LETTER,
    r"\p{P}": Kind.PUNCTUATION,
    r"[\r\n]": Kind.NEWLINE,
    r"[0-9]": Kind.DIGIT,
    r"\s": _WHITE,
}
_RUNS: Final = re.compile(
    rf"(?P<right>{re.escape(FROM_RIGHT)})?(?P<led>\\s\?| \?)?"
    r"(?P<set>\[(?:\\.|[^]\\])+\]|\\p\{\w\})(?P<count>\+|\{\d\}|\{1,\d\}|)(?P<rest>\[\^\\p\{N\}\]\*)?"
)
_COUNTS: Final = {"+": (1, 0), "": (1, 1), "{3}": (3, 3), "{1,3}": (1, 3)}
_LED: Final = {None: 0, r"\s?": _WHITE, " ?": Kind.BLANK}


def _runs(pattern: str, class_of: Callable[[str], int | None]) -> Runs | None:
    """A pattern of runs, if it is nothing else and there is a class for its set."""
    if pattern == EMPTY_END:
        return Runs(_WHITE, at_end=True)
    if pattern == LINES:
        pattern = r"[\n]+"  # what is no run of line feeds is a word as well
    found = _RUNS.fullmatch(pattern)
    if (
        found is None
        or found["count"] not in _COUNTS
        or bool(found["right"]) != bool(found["rest"])
    ):
        return None
    set_ = class_of(found["set"])
    least, most = _COUNTS[found["count"]]
    if set_ is None:
        return None
    return Runs(set_, least, most, _LED[found["led"]], False, bool(found["right"]))


# ---- sets of code points

_MEMBERS: Final = re.compile(
    r"\\p\{(?P<category>\w)\}|(?P<white>\\s)|(?P<first>@)(?:-(?P<last>@))?".replace(
        "@", r"\\u[0-9a-f]{4}|\\.|[^\\]"
    )
)


def _point(spelled: str) -> int:
    """The code point of one member of a set, as regular expressions spell it."""
    if spelled.startswith(r"\u"):
        return int(spelled[2:], 16)
    return ord({r"\n": "\n", r"\r": "\r", r"\t": "\t"}.get(spelled, spelled[-1]))


def _members(set_: str, kinds: NDArray[np.uint16]) -> NDArray[np.bool_]:
    """Which code points are in a set; white space beyond ASCII is what U+000B is."""
    inside = set_.removeprefix("[").removesuffix("]")
    members = np.zeros(len(kinds), bool)
    for found in _MEMBERS.finditer(inside.removeprefix("^")):
        if found["category"]:
            members |= (kinds & _OF_CATEGORY[found["category"]]) != 0
        elif found["white"]:
            members |= (kinds & _WHITE) != 0
        else:
            first = _point(found["first"])
            members[first : _point(found["last"] or found["first"]) + 1] = True
    if inside.startswith("^"):
        members = ~members
    beyond = (kinds & _WHITE) != 0
    beyond[:0x80] = False
    members[beyond] = members[0x0B]
    return members


@cache
def _kinds() -> NDArray[np.uint16]:
    """What every code point is, without sets."""
    kinds = np.empty(0x110000, np.uint16)
    for begin, end, letter in category_runs():
        kinds[begin:end] = _OF_CATEGORY.get(letter, Kind.ELSE)
    kinds[[i for i in range(0x3001) if is_space(i)]] = Kind.GAP
    kinds[[0x0A, 0x0D]] = Kind.NEWLINE
    kinds[0x20] = Kind.BLANK
    return kinds


# ---- both


@cache
def stages_of(
    patterns: tuple[str, ...],
) -> tuple[NDArray[np.int32], NDArray[np.int32], Stages] | None:
    """Where runs of code points begin that are alike, what they are, and the stages of a name.

    None if the core has no such stages.
    """
    kinds = _kinds()
    sets: dict[str, int] = {}

    def class_of(set_: str) -> int | None:
        if set_ in _SETS_BY_NAME:
            return int(_SETS_BY_NAME[set_])
        if len(sets) < _SETS or set_ in sets:
            return sets.setdefault(set_, _SET << len(sets))
        return None

    stages = [_words(pattern) or _runs(pattern, class_of) for pattern in patterns]
    if not all(stages):
        return None
    classes = kinds.astype(np.int32)
    for set_, bit in sets.items():
        classes |= np.where(_members(set_, kinds), bit, 0).astype(np.int32)
    begins = np.flatnonzero(np.diff(classes, prepend=-1)).astype(np.int32)
    return begins, classes[begins], tuple(_spelled(stage) for stage in stages if stage)


Stages = tuple[tuple[Any, ...], ...]


def _spelled(stage: Words | Runs) -> tuple[Any, ...]:
    """A stage as the core reads it."""
    return ("runs" if isinstance(stage, Runs) else "words", *map(int, astuple(stage)))
