"""From a file to a tokenizer that has encoded its first word, so that nothing is put off."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tools.bench.clock import medians, timed
from tools.bench.programs import SPM, Program
from tools.bench.table import head, line, say, time_and_ratio

WORD = "one"


@dataclass(frozen=True)
class Load:
    """One program's time to open one file."""

    model: str
    program: str
    seconds: float


def say_table(paths: list[Path], programs: list[Program], turns: int) -> list[Load]:
    """Print a row for each file: times, and how many times as long as spm's they are."""
    say("\ntime from a file to the ids of a first word (its time / spm's time)")
    found: list[Load] = []
    for path in paths:
        present = head(path, programs)
        calls = {program: partial(_open_seconds, program, path) for program in present}
        seconds = medians(calls, turns)
        say(line("opening", [time_and_ratio(seconds, program) for program in present]))
        _say_fastest_peer(seconds)
        found += [Load(path.name, program.name, value) for program, value in seconds.items()]
    return found


def _open_seconds(program: Program, path: Path) -> float:
    def ready() -> object:
        tokenizer = program.open(path)
        return tokenizer, program.function(tokenizer, "text", program.document)(WORD)

    return timed(ready)[0]


def _say_fastest_peer(seconds: dict[Program, float]) -> None:
    peers = {program: value for program, value in seconds.items() if program is not SPM}
    if peers and SPM in seconds:
        fastest = min(peers, key=peers.__getitem__)
        say(f"  spm's time / {fastest.name}'s: {seconds[SPM] / peers[fastest]:.2f}")
