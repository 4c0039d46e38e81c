"""Write spm/text/unicode.txt, the categories and lower case of one version of Unicode.

    python3.13 -m tools.unicode_table

llama.cpp's tables (src/unicode-data.cpp) are those of Unicode 15.1.0, which is the version inside
Python 3.13. Any other Python is refused: its table would not be the same.
"""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

VERSION = "15.1.0"
TABLE = Path(__file__).parents[1] / "spm" / "text" / "unicode.txt"
HEAD = f"""\
# Unicode {VERSION}, made by tools/unicode_table.py.
# Where a general category begins, by its first letter; - is a code point that is not assigned.
# Then the first and last of a run of code points, its step, and what lower case adds to each.
"""


def categories() -> Iterator[str]:
    """One line for each run of code points with the same first letter of the category."""
    before = ""
    for point in range(sys.maxunicode + 1):
        kind = unicodedata.category(chr(point))
        letter = "-" if kind == "Cn" else kind[0]
        if letter != before:
            yield f"{point:X} {letter}"
        before = letter


def lower_case() -> Iterator[str]:
    """One line for each run of code points whose simple lower case is equally far away."""
    points = [point for point in range(sys.maxunicode + 1) if _lower(point) != point]
    runs: list[list[int]] = []
    for point in points:
        if runs and _continues(runs[-1], point):
            runs[-1].append(point)
        else:
            runs.append([point])
    for run in runs:
        step = run[1] - run[0] if len(run) > 1 else 1
        yield f"{run[0]:X} {run[-1]:X} {step} {_lower(run[0]) - run[0]}"


def _lower(point: int) -> int:
    """Simple lower case: of the one character that becomes two (U+0130), the first."""
    return ord(chr(point).lower()[0])


def _continues(run: list[int], point: int) -> bool:
    step = point - run[-1]
    steps = {b - a for a, b in pairwise(run)} or {1, 2}
    return step in steps and _lower(point) - point == _lower(run[0]) - run[0]


def main() -> int:
    """Write the table; exit code 1 where this Python has another version of Unicode."""
    if unicodedata.unidata_version != VERSION:
        print(f"this Python has Unicode {unicodedata.unidata_version}, expected {VERSION}")
        return 1
    TABLE.write_text(HEAD + "\n".join([*categories(), *lower_case()]) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
