"""Time and memory of calls.

The cyclic garbage collector stays on, as it is for everyone, but is run before each call so that no
program sweeps up what another left behind.
"""

from __future__ import annotations

import ctypes
import gc
import statistics
import time
import timeit
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

K = TypeVar("K")
T = TypeVar("T")
_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


def timed(call: Callable[[], T]) -> tuple[float, T]:
    """The seconds that a call takes, and its result: freeing that is not part of it."""
    gc.collect()
    begin = time.perf_counter()
    result = call()
    return time.perf_counter() - begin, result


def per_call(expression: str, names: Mapping[str, Any]) -> float:
    """The seconds of one evaluation, among as many as take a fifth of a second.

    timeit writes the loop, so that nothing but the expression is in it; it stops the collector,
    which the set-up starts again.
    """
    timer = timeit.Timer(expression, "gc.enable()", globals={"gc": gc, **names})
    times, seconds = timer.autorange()
    return seconds / times


def medians(calls: Mapping[K, Callable[[], float]], turns: int) -> dict[K, float]:
    """What each call measures, in the middle of several turns that they take one after another."""
    found: dict[K, list[float]] = {key: [] for key in calls}
    for _ in range(turns):
        for key, call in calls.items():
            found[key].append(call())
    return {key: statistics.median(values) for key, values in found.items()}


def peak_bytes(call: Callable[[], object]) -> int | None:
    """How far a call takes the resident memory above where it begins, or None if unknown.

    glibc gives back what was freed before, malloc_trim(3); Linux sets the peak back to the present
    when 5 is written to clear_refs, proc_pid_clear_refs(5).
    """
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
        _CLEAR.write_text("5")
        before = _resident("VmRSS")
    except (OSError, AttributeError, TypeError):  # another system, another C library
        return None
    call()
    return max(0, _resident("VmHWM") - before)


def _resident(key: str) -> int:
    lines = _STATUS.read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key + ":"))
