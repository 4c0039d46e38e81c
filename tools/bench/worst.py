"""Strings made to be slow, beside real text: both cold, a fresh tokenizer each time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tools.bench.clock import medians, peak_bytes, timed
from tools.bench.programs import Program
from tools.bench.table import head, line, say
from tools.bench.texts import Document, Text, beginning, byte_count, worst


@dataclass(frozen=True)
class Cost:
    """What one string costs one program."""

    model: str
    program: str
    text: str
    ns_per_byte: float
    times_real: float  # as much as a byte of real text
    peak_per_byte: float | None  # bytes of memory at the peak, for each byte of the string
    quarter_peak_per_byte: float | None  # of a quarter of it: no less than that if memory is O(n)


def say_table(paths: list[Path], real: Text, programs: list[Program], turns: int) -> list[Cost]:
    """Print a row for each string as long as the real text, with its cost as a multiple."""
    n = byte_count(real.whole)
    documents = {real.name: real.whole, **worst(n)}
    found: list[Cost] = []
    for path in paths:
        for program in head(path, programs):
            say(f"{program.name}, fresh for each string of {n / 1e6:g} MB; real text: {real.name}")
            say(line("", ["ns a byte", "/ real text", "peak, B a byte", "of a quarter"]))
            costs = measure(path, program, documents, turns)
            for cost in costs:
                say(line(cost.text, _cells(cost)))
            most = max(costs, key=lambda cost: cost.times_real)
            say(line("the most", [most.text, f"{most.times_real:.2f}"]))
            found += costs
    return found


def measure(path: Path, program: Program, documents: dict[str, Document], turns: int) -> list[Cost]:
    """All strings with one program; the first is the real text."""
    calls = {name: partial(_ns_per_byte, path, program, doc) for name, doc in documents.items()}
    ns = medians(calls, turns)
    real = next(iter(ns.values()))
    return [
        Cost(
            *(path.name, program.name, name),
            *(ns[name], ns[name] / real),
            _peak_per_byte(path, program, document),
            _peak_per_byte(path, program, beginning(document, byte_count(document) // 4)),
        )
        for name, document in documents.items()
    ]


def _ns_per_byte(path: Path, program: Program, document: Document) -> float:
    encode = program.function(program.open(path), "text", program.document)
    return timed(lambda: encode(document))[0] / byte_count(document) * 1e9


def _peak_per_byte(path: Path, program: Program, document: Document) -> float | None:
    encode = program.function(program.open(path), "text", program.document)
    peak = peak_bytes(lambda: encode(document))
    return None if peak is None else peak / byte_count(document)


def _cells(cost: Cost) -> list[str]:
    peaks = (cost.peak_per_byte, cost.quarter_peak_per_byte)
    shown = ["unknown" if peak is None else f"{peak:.1f}" for peak in peaks]
    return [f"{cost.ns_per_byte:.1f}", f"{cost.times_real:.2f}", *shown]
