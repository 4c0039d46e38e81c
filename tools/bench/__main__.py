"""The command line of tools.bench."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import tools.bench
from tools.bench import calls, encode, load, threads, worst
from tools.bench.programs import PROGRAMS, SPM, Program, one_thread
from tools.bench.table import machine, say
from tools.bench.texts import read, repeated

EVERYONE = [program.name for program in PROGRAMS]
TABLES = (  # name, what it shows, megabytes of text or no text, whom
    ("encode", "real text, cold and warm, one document and lines", 3.0, EVERYONE),
    ("calls", "a short prompt, its count, decoding", 0.1, EVERYONE),
    ("load", "opening a vocabulary", None, EVERYONE),
    ("worst", "strings made to be slow, and their memory", 1.0, [SPM.name]),
    ("threads", "two threads over one, and their memory", 50.0, [SPM.name]),
)
TIMED = {  # the expressions of a `Program` that are in a table
    "encode": ("document", "lines"),
    "calls": ("prompt", "count", "decode"),
    "load": ("document",),
    "worst": ("document",),
    "threads": (),
}


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, and write down."""
    args = _parser().parse_args(argv)
    one_thread()
    programs = [program for program in PROGRAMS if program.name in args.programs]
    command = " ".join(["python -m tools.bench", *(sys.argv[1:] if argv is None else argv)])
    say(command)
    for what, value in machine().items():
        say(f"{what:<18} {value}")
    _say_programs(programs, TIMED[args.table])
    rows = [asdict(row) for row in _rows(args, programs)]
    if args.json:
        versions = {program.name: program.installed for program in programs}
        run = {"command": command, **machine(), "versions": versions, "rows": rows}
        args.json.write_text(json.dumps(run, indent=1))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tools.bench",
        description=tools.bench.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    tables = parser.add_subparsers(dest="table", required=True)
    for name, what, limit_mb, compared in TABLES:
        table = tables.add_parser(name, help=what, description=what)
        table.add_argument("--models", type=Path, nargs="+", required=True, metavar="FILE")
        if limit_mb is not None:
            table.add_argument("--texts", type=Path, nargs="+", required=True, metavar="FILE")
            table.add_argument("--limit-mb", type=float, default=limit_mb, help="%(default)s")
        table.add_argument("--programs", nargs="+", choices=EVERYONE, default=compared)
        table.add_argument("--turns", type=int, default=5, help="of each: %(default)s")
        table.add_argument("--json", type=Path, metavar="FILE", help="the figures once more")
    return parser


def _say_programs(programs: list[Program], timed: tuple[str, ...]) -> None:
    for program in programs:
        expressions = "; ".join(getattr(program, name) for name in timed)
        missing = f"missing: {program.package} is not installed"
        known = f"{program.installed:<9}{expressions}" if program.installed else missing
        say(f"{program.name:<18} {known}".rstrip())


def _rows(args: argparse.Namespace, programs: list[Program]) -> Sequence[Any]:
    models, turns = args.models, args.turns
    if args.table == "load":
        return load.say_table(models, programs, turns)
    texts = [read(path, args.limit_mb) for path in args.texts]
    if args.table == "encode":
        return encode.say_table(models, texts, programs, turns)
    if args.table == "calls":
        return calls.say_table(models, texts[0], programs, turns)
    if args.table == "worst":
        return worst.say_table(models, texts[0], programs, turns)
    return threads.say_table(models, repeated(texts, args.limit_mb), turns)


if __name__ == "__main__":
    main()
