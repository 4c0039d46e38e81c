"""What one small call costs: a prompt of 100 characters, and the decoding of 10,000 ids.

The expression of each program is timed as it stands in its `Program`, with nothing around it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tools.bench.clock import medians, per_call
from tools.bench.programs import Program
from tools.bench.table import head, line, say, time_and_ratio
from tools.bench.texts import Text

CHARACTERS, PROMPTS, DECODED = 100, 1_000, 10_000
KINDS = (
    "prompt to a list, always the same",
    "prompt to a list, many in turn",
    "count of a prompt, always the same",
    "count of a prompt, many in turn",
    "decode of 10,000 ids",
)


@dataclass(frozen=True)
class Call:
    """One program's time for one kind of call."""

    model: str
    call: str
    program: str
    seconds: float


def say_table(paths: list[Path], text: Text, programs: list[Program], turns: int) -> list[Call]:
    """Print a table for each vocabulary: times, and how many times as long as spm's they are."""
    say(f"\ntime of a call (its time / spm's time), on the beginning of {text.name}")
    found: list[Call] = []
    for path in paths:
        present = head(path, programs)
        calls = {program: _calls(program, program.open(path), text.whole) for program in present}
        for name in KINDS:
            seconds = medians({program: calls[program][name] for program in present}, turns)
            say(line(name, [time_and_ratio(seconds, program) for program in present]))
            found += [Call(path.name, name, p.name, value) for p, value in seconds.items()]
    return found


def _calls(program: Program, tokenizer: Any, document: str) -> dict[str, Callable[[], float]]:
    many = [document[i : i + CHARACTERS] for i in range(0, len(document), CHARACTERS)][:PROMPTS]
    one = {"tokenizer": tokenizer, "text": many[0]}
    ids = {"tokenizer": tokenizer, "ids": _ids(program, tokenizer, document)}
    measures = (
        partial(per_call, program.prompt, one),
        partial(_per_text, program.prompt, tokenizer, many),
        partial(per_call, program.count, one),
        partial(_per_text, program.count, tokenizer, many),
        partial(per_call, program.decode, ids),
    )
    return dict(zip(KINDS, measures))


def _per_text(expression: str, tokenizer: Any, texts: list[str]) -> float:
    names = {"tokenizer": tokenizer, "texts": texts}
    return per_call(f"for text in texts: {expression}", names) / len(texts)


def _ids(program: Program, tokenizer: Any, document: str) -> list[int]:
    """The first ids of the document as the program itself encodes it."""
    ids: list[int] = program.function(tokenizer, "text", program.prompt)(document)
    return (ids * (DECODED // max(1, len(ids)) + 1))[:DECODED]
