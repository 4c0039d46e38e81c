"""Two threads over one: on a batch of lines, and inside one long document."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from spm import Tokenizer
from tools.bench.clock import medians, peak_bytes, timed
from tools.bench.programs import SPM
from tools.bench.table import duration, line, say
from tools.bench.texts import size

THREADS: tuple[int | None, ...] = (1, 2, None)  # None: what spm picks
Encode = Callable[[Tokenizer, "int | None"], object]


@dataclass(frozen=True)
class Threads:
    """The time and the memory of one text with so many threads."""

    model: str
    text: str
    threads: int | None
    seconds: float
    times_faster: float  # than one thread
    mb_per_s: float
    peak_mb: float | None  # above what was there before; the ids are part of it


def say_table(paths: list[Path], lines: list[str], turns: int) -> list[Threads]:
    """Print a row for each number of threads."""
    say(f"\nspm, fresh each time, on {size(lines) / 1e6:.1f} MB of real text, repeated")
    found: list[Threads] = []
    for path in paths:
        say("\n" + line(path.name, ["time", "times faster", "MB/s", "peak memory"]))
        for name, encode in {"lines": _batch(lines), "doc": _document(lines)}.items():
            rows = measure(path, name, encode, size(lines) / 1e6, turns)
            for row in rows:
                picked = "as spm picks" if row.threads is None else f"threads={row.threads}"
                say(line(f"{name}, {picked}", _cells(row)))
            found += rows
    return found


def _batch(lines: list[str]) -> Encode:
    return lambda tokenizer, threads: tokenizer.encode_batch(
        lines, threads=threads, add_special=False
    )


def _document(lines: list[str]) -> Encode:
    text = "".join(lines)

    return lambda tokenizer, threads: tokenizer.encode_array(
        text, threads=threads, add_special=False
    )


def measure(path: Path, name: str, encode: Encode, mb: float, turns: int) -> list[Threads]:
    """One text with each number of threads."""
    calls = {threads: partial(_seconds, path, encode, threads) for threads in THREADS}
    seconds = medians(calls, turns)
    return [
        Threads(
            *(path.name, name, threads),
            *(seconds[threads], seconds[1] / seconds[threads], mb / seconds[threads]),
            _peak_mb(path, encode, threads),
        )
        for threads in THREADS
    ]


def _seconds(path: Path, encode: Encode, threads: int | None) -> float:
    tokenizer = SPM.open(path)
    return timed(lambda: encode(tokenizer, threads))[0]


def _peak_mb(path: Path, encode: Encode, threads: int | None) -> float | None:
    tokenizer = SPM.open(path)
    peak = peak_bytes(lambda: encode(tokenizer, threads))
    return None if peak is None else peak / 1e6


def _cells(row: Threads) -> list[str]:
    peak = "unknown" if row.peak_mb is None else f"{row.peak_mb:.1f} MB"
    return [duration(row.seconds), f"{row.times_faster:.2f}", f"{row.mb_per_s:.1f}", peak]
