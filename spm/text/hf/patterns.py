"""Regular expressions as Oniguruma reads them, searched with the `regex` package.

tokenizers compiles patterns with Oniguruma in its Ruby syntax. The two engines differ in what a
class like \\w holds, in what ^, $ and {n,m}+ mean, and in the version of Unicode they know. So a
pattern is read here, part by part, and written again in terms of which both have one idea:

    [^\\r\\n\\p{L}]?+\\p{L}+      [^\\r\\n\\p{L}]?+\\p{L}+
    \\w                          [\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}²³¹¼½¾]
    a{1,3}+                     (?:a{1,3})+          not possessive
    (?i:'s)                     '[sSſ]
    ^                           (?:\\A|(?<=\\n)(?!\\Z))

Without regard to case only ASCII letters are read, and no two that are as good as one character (st
and U+FB06); the engines differ in more than can be written down. What is not read is an error that
says where; nothing is handed over unread. In the text, characters newer than Oniguruma's Unicode 16
are hidden first (unicode.py). Searching has a time limit, since a pattern may be made to take for
ever.

Sources: Oniguruma's doc/RE and src/regsyntax.c (OnigSyntaxRuby); rust-onig's `FindMatches`, which
refuses an empty match where the last match ended.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Final, NoReturn

import regex

from spm.errors import EncodeError, VocabError, brief
from spm.text.hf.aligned import Match
from spm.text.hf.unicode import as_oniguruma_sees
from spm.text.unicode import WHITE_SPACE
from spm.vocab.pipeline import Pattern

MAX_CHARACTERS: Final = 20_000
MAX_REPEAT: Final = 100_000  # regint.h, ONIG_MAX_REPEAT_NUM
MAX_DEPTH: Final = 50
SECONDS: Final = 10.0  # for one text, and as many again for each million characters

Search = Callable[[str], list[Match]]

_WORD: Final = r"\p{Alphabetic}\p{M}\p{Nd}\p{Pc}"
_CLASSES: Final = {  # what stands inside of a set
    "s": "".join(f"\\x{ord(c):02x}" if c < "\x7f" else f"\\u{ord(c):04x}" for c in WHITE_SPACE),
    "d": r"\p{Nd}",
    "w": _WORD + r"\xb2\xb3\xb9\xbc-\xbe",
    "h": "0-9A-Fa-f",
}
_WORD_AHEAD: Final = f"(?=[{_CLASSES['w']}])"
_WORD_BEFORE: Final = f"(?<=[{_CLASSES['w']}])"
_NO_WORD_AHEAD: Final = f"(?![{_CLASSES['w']}])"
_NO_WORD_BEFORE: Final = f"(?<![{_CLASSES['w']}])"
_ANCHORS: Final = {
    "A": r"\A",
    "z": r"\Z",
    "Z": r"(?=\n?\Z)",
    "b": f"(?:{_WORD_BEFORE}{_NO_WORD_AHEAD}|{_NO_WORD_BEFORE}{_WORD_AHEAD})",
    "B": f"(?:{_WORD_BEFORE}{_WORD_AHEAD}|{_NO_WORD_BEFORE}{_NO_WORD_AHEAD})",
}
_CONTROLS: Final = {
    "n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v", "a": "\a", "e": "\x1b"
}  # fmt: skip
_PROPERTY_NAMES: Final = """
L Lu Ll Lt Lm Lo M Mn Mc Me N Nd Nl No P Pc Pd Ps Pe Pi Pf Po S Sm Sc Sk So Z Zs Zl Zp C Cc Cf Co Cn
Alphabetic Uppercase Lowercase Han Hiragana Katakana Hangul Bopomofo Latin Greek Cyrillic Armenian
Georgian Hebrew Arabic Ethiopic Devanagari Bengali Gurmukhi Gujarati Tamil Telugu Kannada Malayalam
Sinhala Thai Lao Tibetan Myanmar Khmer Mongolian Common Inherited
"""
_PROPERTIES: Final = {name.lower(): name for name in _PROPERTY_NAMES.split()}
_SAME_BUT_FOR_CASE: Final = {"s": "sS\u017f", "k": "kK\u212a"}
_FOLD_TO_ONE: Final = ("ff", "fi", "fl", "ss", "st")
_GROUPS: Final = ("?:", "?=", "?!", "?<=", "?<!", "?>")


def compiled(pattern: Pattern, where: str) -> Search:
    """What finds the matches of a pattern. Raises VocabError for syntax that is not read here."""
    if not pattern.is_regex and pattern.text:
        return lambda text: list(_occurrences(text, pattern.text))
    return searching(_compile(pattern.text, where))


def _compile(text: str, where: str) -> regex.Pattern[str]:
    if len(text) > MAX_CHARACTERS:
        raise VocabError(
            f"{where}: a pattern of {len(text)} characters, expected at most {MAX_CHARACTERS}"
        )
    try:
        return regex.compile(_Reader(text, where).whole(), regex.VERSION1)
    except regex.error as error:
        raise VocabError(
            f"{where}: pattern {brief(text)}: {brief(str(error))}, expected a regex"
        ) from None


def searching(pattern: regex.Pattern[str]) -> Search:
    """What finds the matches of a compiled pattern, and what lies between them."""
    return lambda text: list(_matches(pattern, text))


def _matches(pattern: regex.Pattern[str], text: str) -> Iterator[Match]:
    seen = as_oniguruma_sees(text)
    deadline = time.monotonic() + SECONDS * (1 + len(text) / 1e6)
    end = 0
    last: int | None = None  # where the last match ended
    pos = 0
    while pos <= len(text) and (found := _search(pattern, seen, pos, deadline)):
        begin, stop = found.span()
        if begin == stop == last:
            pos += 1
            continue
        if end < begin:
            yield end, begin, False
        yield begin, stop, True
        end = last = pos = stop
    if end < len(text):
        yield end, len(text), False


def _search(
    pattern: regex.Pattern[str], text: str, pos: int, deadline: float
) -> regex.Match[str] | None:
    left = deadline - time.monotonic()
    try:
        if left > 0:
            return pattern.search(text, pos, timeout=left)
    except TimeoutError:
        pass
    raise EncodeError(
        f"text: character {pos}: a pattern of the vocabulary takes more than"
        f" {SECONDS * (1 + len(text) / 1e6):.0f} seconds, expected less"
    )


def _occurrences(text: str, wanted: str) -> Iterator[Match]:
    end = 0
    while (begin := text.find(wanted, end)) >= 0:
        if end < begin:
            yield end, begin, False
        end = begin + len(wanted)
        yield begin, end, True
    if end < len(text):
        yield end, len(text), False


class _Reader:
    """One pass over a pattern, which comes out rewritten."""

    def __init__(self, text: str, where: str) -> None:
        self.text = text
        self.where = where
        self.pos = 0
        self.depth = 0
        self.ignores_case = False
        self.last_letter = ""  # that stands just before, where case does not count

    def whole(self) -> str:
        out = self.alternatives()
        if self.pos < len(self.text):
            self.refuse("a parenthesis that closes nothing")
        return out

    def refuse(self, what: str) -> NoReturn:
        raise VocabError(
            f"{self.where}: pattern {brief(self.text)}, character {self.pos}: {what},"
            " expected what spm reads of Oniguruma's syntax"
        )

    def peek(self, size: int = 1) -> str:
        return self.text[self.pos : self.pos + size]

    def take(self) -> str:
        if self.pos >= len(self.text):
            self.refuse("the end of the pattern")
        self.pos += 1
        return self.text[self.pos - 1]

    def taken(self, wanted: str) -> bool:
        found = self.text.startswith(wanted, self.pos)
        self.pos += len(wanted) if found else 0
        return found

    # ---- outside of sets

    def alternatives(self) -> str:
        """a|b|c, up to the end or a parenthesis."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self.refuse(f"parentheses in more than {MAX_DEPTH} others")
        parts = [self.sequence()]
        while self.taken("|"):
            self.last_letter = ""
            parts.append(self.sequence())
        self.depth -= 1
        return "|".join(parts)

    def sequence(self) -> str:
        out: list[str] = []
        while self.pos < len(self.text) and self.peek() not in "|)":
            if self.taken("(?i)"):  # up to the end of the group, alternatives and all
                return "".join([*out, f"(?:{self.cased(ignore=True)})"])
            out.append(self.quantified(self.atom()))
        return "".join(out)

    def cased(self, ignore: bool) -> str:
        """Alternatives in which case counts or does not."""
        before, self.ignores_case = self.ignores_case, ignore
        inside = self.alternatives()
        self.ignores_case = before
        return inside

    def quantified(self, atom: str) -> str:
        while interval := self.quantifier():
            self.last_letter = ""
            atom = f"(?:{atom}){interval}"
        return atom

    def quantifier(self) -> str:
        """One of * + ? {n,m}, lazy or possessive; nothing if none stands here."""
        if self.peek() and self.peek() in "*+?":
            return self.take() + (self.take() if self.peek() and self.peek() in "?+" else "")
        found = regex.compile(r"\{(\d*)(,?)(\d*)\}").match(self.text, self.pos)
        if not found or not (found[1] or found[3]):
            return ""
        self.pos = found.end()
        least, most = int(found[1] or 0), int((found[3] if found[2] else found[1]) or 0)
        if max(least, most) > MAX_REPEAT or (found[3] and most < least):
            self.refuse("an interval that is too large or the wrong way round")
        if self.peek() == "?":
            if not found[2]:
                self.refuse("{n}?")
            return found[0] + self.take()
        return found[0]  # a + behind it repeats the whole

    def atom(self) -> str:
        char = self.take()
        if char == "(":
            return self.group()
        if char not in "[\\.^$*+?":
            return self.character(char)
        self.last_letter = ""
        if char == "[":
            return self.set()
        if char == "\\":
            return self.escape()
        if char in "*+?":
            self.refuse(f"{char} with nothing to repeat")
        return {".": r"[^\n]", "^": r"(?:\A|(?<=\n)(?!\Z))", "$": r"(?=\n|\Z)"}[char]

    def character(self, char: str) -> str:
        """A character that stands for itself."""
        if not self.ignores_case:
            return _literal(char)
        before, self.last_letter = self.last_letter, char.lower()
        if before + char.lower() in _FOLD_TO_ONE:
            self.refuse(f"{before}{char} without regard to case")
        return f"[{self.literal(char)}]"

    def group(self) -> str:
        for flag, ignore in (("?i:", True), ("?-i:", False)):
            if self.taken(flag):
                return f"(?:{self.closed(self.cased(ignore))})"
        kind = next((kind for kind in _GROUPS if self.taken(kind)), "")
        if not kind and self.peek() == "?":
            self.refuse(f"({self.peek(3)}")
        return f"({kind or '?:'}{self.closed(self.alternatives())})"

    def closed(self, inside: str) -> str:
        if not self.taken(")"):
            self.refuse("a parenthesis that is not closed")
        return inside

    def escape(self) -> str:
        char = self.peek()
        if char in _ANCHORS:
            self.pos += 1
            return _ANCHORS[char]
        return f"[{self.escape_in_set()}]"

    # ---- sets

    def set(self) -> str:
        """[...], with sets in it as the union."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self.refuse(f"sets in more than {MAX_DEPTH} others")
        out = ["[^" if self.taken("^") else "["]
        out.append(self.set_item())  # a ] as the first is itself
        while self.peek() != "]":
            out.append(self.set_item())
        self.pos += 1
        self.depth -= 1
        return "".join([*out, "]"])

    def set_item(self) -> str:
        if self.peek(2) in ("&&", "[:"):
            self.refuse(self.peek(2) + " in a set")
        if self.taken("["):
            return self.set()
        item, char = self.set_character()
        if self.peek() != "-" or self.peek(2) in ("-]", "-") or not char:
            return item  # the - behind a class is itself
        self.pos += 1
        if self.peek() == "[":
            self.refuse("a range that ends with a set")
        _, last = self.set_character()
        if not last:
            self.refuse("a range that ends with a class")
        if not self.ignores_case:
            return f"{_literal(char)}-{_literal(last)}"
        if not last.isascii():
            self.refuse("a range beyond ASCII without regard to case")
        return "".join(self.literal(chr(c)) for c in range(ord(char), ord(last) + 1))

    def set_character(self) -> tuple[str, str]:
        """What stands in a set, and which character it is, if it is one."""
        char = self.take()
        if char == "\\":
            if self.peek() in tuple("sSdDwWhHpP"):
                return self.escape_in_set(), ""
            char = self.escaped_character()
        return self.literal(char), char

    def literal(self, char: str) -> str:
        """A character inside of a set, in both cases if case does not count."""
        if not self.ignores_case or not char.isalpha():
            return _literal(char)
        if not char.isascii():
            self.refuse(f"{char} without regard to case")
        low = char.lower()
        return "".join(map(_literal, _SAME_BUT_FOR_CASE.get(low, low + char.upper())))

    def escape_in_set(self) -> str:
        """What stands behind a backslash, as it is written inside of a set."""
        char = self.peek()
        if char.lower() in _CLASSES or char in ("p", "P"):
            self.pos += 1
            if self.ignores_case and char not in "sd":
                self.refuse(f"\\{char} without regard to case")
            if char in "pP":
                return self.property(char)
            inside = _CLASSES[char.lower()]
            return inside if char.islower() else f"[^{inside}]"
        return self.literal(self.escaped_character())

    def escaped_character(self) -> str:
        char = self.take()
        if char in _CONTROLS:
            return _CONTROLS[char]
        if char in "xu":
            return self.code_point(char)
        if char.isalnum():
            self.refuse(f"\\{char}")
        return char

    def property(self, letter: str) -> str:
        found = regex.compile(r"\{(\^?)([A-Za-z_ -]+)\}").match(self.text, self.pos)
        name = found and _PROPERTIES.get(regex.sub("[ _-]", "", found[2]).lower())
        if not found or not name:
            self.refuse(f"\\{letter}{self.peek(30)}")
        self.pos = found.end()
        inverse = (letter == "P") != bool(found[1])
        return rf"\{'P' if inverse else 'p'}{{{name}}}"

    def code_point(self, letter: str) -> str:
        forms = r"\{([0-9A-Fa-f]{1,6})\}|([0-9A-Fa-f]{2})" if letter == "x" else r"([0-9A-Fa-f]{4})"
        found = regex.compile(forms).match(self.text, self.pos)
        number = int(found[found.lastindex or 0], 16) if found else 0x110000
        if not found or number > 0x10FFFF or 0xD800 <= number < 0xE000:
            self.refuse(f"\\{letter}{self.peek(8)}")
        if letter == "x" and found[0][0] != "{" and number > 0x7F:
            self.refuse("a byte that is no character")
        self.pos = found.end()
        return chr(number)


def _literal(char: str) -> str:
    """One character, inside of a set or not."""
    return char if char.isalnum() and char.isascii() else f"\\U{ord(char):08x}"


def word_pattern() -> regex.Pattern[str]:
    """`Whitespace`: \\w+|[^\\w\\s]+ as the regex crate reads it, U+200C and U+200D in words."""
    word = _WORD + r"\u200c\u200d"
    return regex.compile(f"[{word}]+|[^{word}{_CLASSES['s']}]+", regex.VERSION1)


def is_word(char: str) -> bool:
    """Whether a character is \\w to the regex crate."""
    found: Any = _one_word().match(as_oniguruma_sees(char))
    return bool(found)


@cache
def _one_word() -> regex.Pattern[str]:
    return regex.compile(f"[{_WORD}\\u200c\\u200d]", regex.VERSION1)
