"""How fast a back end loads a model, reads a prompt and writes, and what memory that takes.

Every back end is measured in a process of its own (`measure_apart`), since the peak of a process'
memory never goes down again, and what one back end leaves behind would be charged to the next. Ids
are random, choices greedy. One run of n ids gives two figures: a prefill of n ids, up to the first
new id, and the decoding behind it, at depth n.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np

from spm.errors import ModelError, SpmError
from spm.llama.generation import generate_ids
from spm.llama.model import Llama
from spm.llama.ops import choose
from spm.llama.sampling import Sampling

PREFILLS = (128, 512)  # ids
DEPTHS = (0, 512)  # positions in front of what is decoded
NEW_IDS = 32  # that are timed
GREEDY = Sampling(temperature=0)
STATUS = Path("/proc/self/status")

Rates: TypeAlias = "dict[int, float | None]"  # ids a second; None where the context is too short


@dataclass(frozen=True)
class Figures:
    """What a back end can do: medians of some turns, and the most memory that it took."""

    description: str
    load_seconds: float
    prefill: Rates  # by the number of ids
    decode: Rates  # by depth
    peak_bytes: int | None  # of the whole process; None where the system does not tell


@dataclass(frozen=True)
class Missing:
    """Why a back end is not there."""

    reason: str


def measure_apart(
    path: str | os.PathLike[str], backend: str, threads: int | None, turns: int
) -> Figures | Missing:
    """`measure` in a new process. Raises its errors, and ModelError if the process dies."""
    apart = multiprocessing.get_context("spawn")
    ours, theirs = apart.Pipe(duplex=False)
    process = apart.Process(target=_send, args=(theirs, path, backend, threads, turns), daemon=True)
    process.start()
    theirs.close()
    try:
        answer: Figures | Missing | SpmError = ours.recv()
    except EOFError:
        process.join()
        expected = "expected figures"
        raise ModelError(
            f"backend {backend!r}: its process ended with code {process.exitcode}, {expected}"
        ) from None
    finally:
        process.kill()
        process.join()
        ours.close()
    if isinstance(answer, SpmError):
        raise answer
    return answer


def _send(
    out: Connection,
    path: str | os.PathLike[str],
    backend: str,
    threads: int | None,
    turns: int,
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, and it ends us
    try:
        out.send(measure(path, backend, threads, turns))
    except SpmError as error:
        out.send(error)
    except MemoryError:
        out.send(ModelError(f"backend {backend!r}: not enough memory for this model"))


def measure(
    path: str | os.PathLike[str], backend: str, threads: int | None, turns: int
) -> Figures | Missing:
    """Load the model and run it, `turns` times. Raises what `Llama.from_gguf` raises."""
    try:
        choose(backend, threads)
    except ModelError as error:
        return Missing(str(error))
    found = [_turn(path, backend, threads) for _ in range(turns)]
    return Figures(
        description=found[0].description,
        load_seconds=statistics.median(turn.load_seconds for turn in found),
        prefill={n: _median([turn.runs[n].prefill for turn in found]) for n in PREFILLS},
        decode={n: _median([turn.runs[n].decode for turn in found]) for n in DEPTHS},
        peak_bytes=peak_bytes(),
    )


class Run(NamedTuple):
    """Ids a second; None where the context is too short."""

    prefill: float | None
    decode: float | None


class Turn(NamedTuple):
    """What one load and its runs of n ids have shown."""

    description: str
    load_seconds: float
    runs: dict[int, Run]


def _turn(path: str | os.PathLike[str], backend: str, threads: int | None) -> Turn:
    gc.collect()  # the model of the turn before
    begin = time.perf_counter()
    model = Llama.from_gguf(path, backend, threads=threads)
    loaded = time.perf_counter()
    runs = {n: _run(model, n) for n in sorted({*PREFILLS, *DEPTHS})}
    return Turn(model.ops.describe(), loaded - begin, runs)


def _run(model: Llama, n: int) -> Run:
    """Read n ids, or one where n is 0, and write behind them."""
    n, context = max(n, 1), model.config.max_seq_len
    if n > context:
        return Run(None, None)
    ids = np.random.RandomState(0).randint(0, model.config.vocab_size, n)
    steps = generate_ids(model, ids.tolist(), GREEDY, max_tokens=1 + NEW_IDS)
    begin = time.perf_counter()
    next(steps)
    first = time.perf_counter()
    written = sum(1 for _ in steps)
    last = time.perf_counter()
    return Run(n / (first - begin), written / (last - first) if written == NEW_IDS else None)


def _median(values: Sequence[float | None]) -> float | None:
    found = [value for value in values if value is not None]
    return statistics.median(found) if found else None


def peak_bytes() -> int | None:
    """The most memory that was resident at once in this process, pages of mapped files included.

    Linux counts in getrusage(2) what the parent held when it started us, so /proc is asked first.
    """
    if STATUS.exists():
        lines = STATUS.read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # the BSDs count kilobytes
