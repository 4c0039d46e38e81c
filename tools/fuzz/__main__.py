"""The command line of tools.fuzz."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import tools.fuzz
from tools.fuzz.run import run
from tools.fuzz.targets import TARGETS, build, missing


def main(argv: Sequence[str] | None = None) -> int:
    """Build, run one target after the other, tell; 1 if anything was found, 2 if it cannot run."""
    args = _parser().parse_args(argv)
    chosen = [target for target in TARGETS if target.name in (args.targets or _names())]
    if lacks := missing(chosen):
        print(lacks, file=sys.stderr)
        return 2
    seconds = max(int(60 * args.minutes / len(chosen)), 1)
    print(f"{len(chosen)} targets, {seconds} s each, in {args.folder}", flush=True)
    for target in chosen:
        if target.sanitizers:
            build(target, args.folder)
    wrong = 0
    for target in chosen:
        result = run(target, args.folder, seconds)
        print(f"{target.name:<11} {result}", flush=True)
        wrong += bool(result.findings or result.failure)
    return int(wrong > 0)


def _names() -> list[str]:
    return [target.name for target in TARGETS]


def _parser() -> argparse.ArgumentParser:
    targets = "\n".join(f"  {target.name:<11} {target.what}" for target in TARGETS)
    parser = argparse.ArgumentParser(
        prog="python -m tools.fuzz",
        description=tools.fuzz.__doc__,
        epilog=f"targets:\n{targets}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("targets", nargs="*", choices=[*_names(), []], help="all if none is named")
    parser.add_argument("--minutes", type=float, default=10, help="for all together: %(default)s")
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path("build/fuzz"),
        help="harnesses, corpus and findings: %(default)s",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
