"""Encoding real text: megabytes of UTF-8 a second, and how many times faster spm is.

Cold is a fresh tokenizer on the first half of a text, warm the same tokenizer on the second half
after it, which it has not seen. The programs take turns, each with a fresh tokenizer in every turn;
the medians are shown. One that needs more than a second for its turn has just the one.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tools.bench.clock import timed
from tools.bench.programs import REFERENCES, SPM, Ids, Program, in_one_line, row
from tools.bench.table import head, line, say
from tools.bench.texts import Text, fresh, size

SHAPES = ("doc", "lines")
STATES = ("cold", "warm")
SLOW = 1.0  # seconds of a turn
MARKS = {False: "", True: "*", None: "?"}


@dataclass(frozen=True)
class Cell:
    """One program's speed on one half of one text in one shape."""

    model: str
    text: str
    shape: str
    state: str
    program: str
    mb_per_s: float
    ratio: float | None  # spm's speed over this one's
    ids_differ: bool | None  # from the reference's; None where that has none


def say_table(
    paths: list[Path], texts: list[Text], programs: list[Program], turns: int
) -> list[Cell]:
    """Print a table for each vocabulary as it comes, and the sums over all of them."""
    say("\nMB/s of UTF-8 (spm's speed / this speed); ids: * differ from the reference's, ? unknown")
    say("cold: a fresh tokenizer, first half of a text; warm: the same one, the unseen second half")
    found: list[Cell] = []
    for path in paths:
        present = head(path, programs)
        here: list[Cell] = []
        for text in texts:
            for shape in SHAPES:
                cells = measure(path, text, shape, present, turns)
                _say_rows(f"{text.name}, {shape}", cells, present)
                here += cells
        _say_sums(here, present)
        found += here
    if len(paths) > 1:
        say("\n" + line("all vocabularies", [program.name for program in programs]))
        _say_sums(found, programs)
    return found


@dataclass
class Turns:
    """What one program did with one text in one shape."""

    seconds: tuple[list[float], list[float]] = field(default_factory=lambda: ([], []))
    ids: Ids | None = None
    failure: str | None = None

    @property
    def enough(self) -> bool:
        """Whether another turn would tell us nothing, or take too long."""
        return self.failure is not None or sum(map(sum, self.seconds)) > SLOW

    def take(self, program: Program, path: Path, text: Text, shape: str) -> None:
        """A fresh tokenizer on the first half, and then on the second."""
        try:
            tokenizer = program.open(path)
            found = [_encode(program, tokenizer, half, shape) for half in text.halves]
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # a panic in Rust is no Exception
            self.failure = in_one_line(error)
            return
        for (seconds, _), taken in zip(found, self.seconds):
            taken.append(seconds)
        if self.ids is None:
            self.ids = np.concatenate([row(encoded) for _, encoded in found])


def _encode(
    program: Program, tokenizer: object, half: list[str], shape: str
) -> tuple[float, object]:
    texts = fresh(half)
    if shape == "lines":
        encode_lines = program.function(tokenizer, "texts", program.lines)
        return timed(lambda: encode_lines(texts))
    text = "".join(texts)
    encode = program.function(tokenizer, "text", program.document)
    return timed(lambda: encode(text))


def measure(path: Path, text: Text, shape: str, programs: list[Program], turns: int) -> list[Cell]:
    """All programs on one text in one shape."""
    done = {program: Turns() for program in programs}
    for _ in range(turns):
        for program, taken in done.items():
            if not taken.enough:
                taken.take(program, path, text, shape)
    for program, taken in done.items():
        if taken.failure is not None:
            say(f"  {program.name} fails on {text.name}, {shape}: {taken.failure}")
    done = {program: taken for program, taken in done.items() if taken.failure is None}
    return [cell for i in range(len(STATES)) for cell in _cells(path, text, shape, i, done)]


def _cells(
    path: Path, text: Text, shape: str, state: int, done: dict[Program, Turns]
) -> Iterator[Cell]:
    bytes_ = size(text.halves[state])
    speeds = {p: bytes_ / 1e6 / statistics.median(t.seconds[state]) for p, t in done.items()}
    for program, speed in speeds.items():
        ratio = speeds[SPM] / speed if SPM in speeds else None
        names = (path.name, text.name, shape, STATES[state], program.name)
        yield Cell(*names, speed, ratio, _differ(program, REFERENCES[path.suffix], done))


def _differ(program: Program, reference: Program, done: dict[Program, Turns]) -> bool | None:
    expected = done[reference].ids if reference in done else None
    actual = done[program].ids
    if expected is None or actual is None:
        return None
    return not np.array_equal(expected, actual)


def _say_rows(name: str, cells: list[Cell], programs: list[Program]) -> None:
    for state in STATES:
        known = {cell.program: cell for cell in cells if cell.state == state}
        say(line(f"{name}, {state}", [_shown(known.get(program.name)) for program in programs]))


def _shown(cell: Cell | None) -> str:
    if cell is None:
        return "fails"
    ratio = "" if cell.program == SPM.name or cell.ratio is None else f" ({cell.ratio:.2f})"
    return f"{cell.mb_per_s:.1f}{MARKS[cell.ids_differ]}{ratio}"


def _say_sums(cells: list[Cell], programs: list[Program]) -> None:
    ratios = [[c.ratio for c in cells if c.program == p.name and c.ratio] for p in programs]
    means = [f"{statistics.geometric_mean(r):.2f}" if r else "" for r in ratios]
    say(line("geometric mean of the ratios", means))
    say(line("least of the ratios", [f"{min(r):.2f}" if r else "" for r in ratios]))
