"""A golden file of one tool: written anew, or held against what its oracle answers today.

A tool makes the whole file as a text and hands it over:

    parser = arguments(__doc__)
    args = parser.parse_args()
    return write_or_check(GOLDEN, golden(), args.check)
"""

from __future__ import annotations

import argparse
from pathlib import Path


def arguments(description: str | None) -> argparse.ArgumentParser:
    """A command line that knows --check, to which a tool adds its own."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="compare only, write nothing")
    return parser


def write_or_check(path: Path, made: str, check: bool) -> int:
    """Write a file, or only tell whether it is what was made; the exit code is 1 if it is not."""
    contents = made.encode()
    if not check:
        path.write_bytes(contents)
        return 0
    fresh = path.read_bytes() == contents
    print(f"{path.name} is {'fresh' if fresh else 'stale'}")
    return int(not fresh)
