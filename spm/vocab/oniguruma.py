r"""The patterns of pretokenizers.py as Oniguruma reads them, which is what tokenizers splits with.

Most of the syntax is common to both. What is not:

    \p{Upper}+      (?:(?![a-z])\p{L})+      a letter that is not a to z
    (?i:ll|[st])    (?:[lL][lL]|[stST])      in ASCII alone: Oniguruma would take ſ for an s
    [\u0800-一]     (?:(?!\s)[ࠀ-一])         white space beyond ASCII is in no range of llama.cpp's
    \Z              \z                       the end, also behind a line feed

Two things are not said: what is searched from the right, and llama.cpp's idea of Han.
"""

from __future__ import annotations

import re
from typing import Final

from spm.vocab.pretokenizers import FROM_RIGHT

_NO_CASE: Final = re.compile(r"\(\?i:([^()]*)\)")
_SET_OR_LETTER: Final = re.compile(r"\[(\w+)\]|(\w)")
_IN_SET: Final = r"(?:\\.|[^]\\])*"
_CASED: Final = re.compile(
    rf"\[{_IN_SET}\\p\{{(?:Upper|Lower)\}}{_IN_SET}\]|\\p\{{(?:Upper|Lower)\}}"
)
_SET: Final = re.compile(rf"\[(?!\^){_IN_SET}\]")
_SPACES: Final = "\u1680\u2000\u2028\u202f\u205f\u3000"  # one of each block
_POINT: Final = re.compile(r"\\u([0-9a-f]{4})")


def oniguruma(pattern: str) -> str | None:
    """The same pattern, or None if it cannot be said."""
    if pattern.startswith(FROM_RIGHT) or "Han}" in pattern:
        return None
    pattern = _NO_CASE.sub(_both_cases, pattern)
    pattern = _CASED.sub(_without_the_other_case, pattern)
    if r"\p{" not in pattern:
        pattern = _SET.sub(_without_spaces, pattern)
    return _POINT.sub(lambda found: chr(int(found[1], 16)), pattern).replace(r"\Z", r"\z")


def _both_cases(group: re.Match[str]) -> str:
    def both(found: re.Match[str]) -> str:
        letters = found[1] or found[2]
        return f"[{letters}{letters.upper()}]"

    return f"(?:{_SET_OR_LETTER.sub(both, group[1])})"


def _without_spaces(found: re.Match[str]) -> str:
    if re.search(found[0], _SPACES):
        return rf"(?:(?!\s){found[0]})"
    return found[0]


def _without_the_other_case(found: re.Match[str]) -> str:
    """A letter that is not one of the other case in ASCII, where the two have their own set."""
    other = "a-z" if r"\p{Upper}" in found[0] else "A-Z"
    letters = found[0].replace(r"\p{Upper}", r"\p{L}").replace(r"\p{Lower}", r"\p{L}")
    return f"(?:(?![{other}]){letters})"
