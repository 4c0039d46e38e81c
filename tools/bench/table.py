"""Plain text: what was measured on, and rows of figures."""

from __future__ import annotations

import os
from pathlib import Path

from spm.cli import bench
from spm.native import core
from tools.bench.programs import SPM, Program

NAME, COLUMN = 36, 18


def machine() -> dict[str, str]:
    """What the figures were measured on."""
    return {
        **bench.machine(),
        "spm's core": "compiled" if core else "pure Python",
        "SPM_ISA": os.environ.get("SPM_ISA", "not set"),
        "RAYON_NUM_THREADS": os.environ.get("RAYON_NUM_THREADS", "not set"),
    }


def say(text: str) -> None:
    """A line, at once: a table takes minutes."""
    print(text, flush=True)


def head(path: Path, programs: list[Program]) -> list[Program]:
    """Print the head of a vocabulary's table: its columns are the programs that read it."""
    reasons = {program: program.why_missing(path) for program in programs}
    present = [program for program, reason in reasons.items() if reason is None]
    say("\n" + line(path.name, [program.name for program in present]))
    for program, reason in reasons.items():
        if reason is not None:
            say(f"  {program.name} is missing: {reason}")
    return present


def duration(seconds: float) -> str:
    """Three digits and a unit."""
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def time_and_ratio(seconds: dict[Program, float], program: Program) -> str:
    """A program's time, and behind it how many times as long as spm's that is."""
    ratio = f" ({seconds[program] / seconds[SPM]:.2f})" if SPM in seconds else ""
    return duration(seconds[program]) + ("" if program is SPM else ratio)


def line(name: str, cells: list[str]) -> str:
    """A name and right-aligned cells."""
    return f"{name:<{NAME}}" + "".join(f"{cell:>{COLUMN}}" for cell in cells)
