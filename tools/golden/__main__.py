"""`python -m tools.golden [--check]`: ask the oracles again, and write or compare their answers."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from tools.golden import files
from tools.golden.cases import ROOT
from tools.golden.files import Plan
from tools.golden.oracles import available, missing

MEND = "python -m tools.golden"


def plans(oracles: Iterable[str]) -> Iterator[Plan]:
    """Every file that these oracles can make here, vocabularies first, divergences last."""
    here = {oracle.name: oracle for oracle in available() if oracle.name in oracles}
    if "sentencepiece" in here:
        yield from files.vocabularies()
    for oracle in here.values():
        yield from files.own(oracle)
        yield from files.real(oracle)
    if "sentencepiece" in here:
        yield files.divergence_list()


def stale(oracles: Iterable[str]) -> list[str]:
    """The files whose contents are not what the oracles say today, and those that nobody makes."""
    found, made = [], set()
    for plan in plans(oracles):
        made.add(plan.path)
        if not plan.path.exists():
            found.append(f"{_name(plan.path)} is missing")
        elif plan.path.read_bytes() != plan.make():
            found.append(f"{_name(plan.path)} is not what its oracle answers")
    kept = {path for oracle in oracles for path in files.existing(oracle)}
    return found + [
        f"{_name(path)} is made by no recipe: delete it" for path in sorted(kept - made)
    ]


def _name(path: Path) -> str:
    return path.relative_to(ROOT.parent).as_posix()


def write(oracles: Iterable[str]) -> int:
    """Write every file that changed; return how many did."""
    changed = 0
    for plan in plans(oracles):
        contents = plan.make()
        if plan.path.exists() and plan.path.read_bytes() == contents:
            continue
        plan.path.parent.mkdir(parents=True, exist_ok=True)
        plan.path.write_bytes(contents)
        print(f"wrote {_name(plan.path)}")
        changed += 1
    return changed


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0 where everything is fresh, 1 where --check found something stale."""
    parser = argparse.ArgumentParser(prog="python -m tools.golden", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only, write nothing")
    parser.add_argument("--oracle", action="append", choices=list(files.SUFFIX), help="only this")
    options = parser.parse_args(arguments)
    oracles = options.oracle or list(files.SUFFIX)
    notes = list(missing(oracles, real=bool(files.real_models())))
    for note in notes:
        print(note, file=sys.stderr)
    if not options.check and not options.oracle and any("not found (import" in n for n in notes):
        print("nothing written: the references must answer together, or name one with --oracle")
        return 1
    if not options.check:
        print(f"{write(oracles)} files changed")
        return 0
    found = stale(oracles)
    for message in found:
        print(message)
    if found:
        print(f"mend it with: {MEND}   (and say in CHANGELOG.md, 'Ids changed', why)")
    print(f"{len(found)} files are stale" if found else "every file is fresh")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
