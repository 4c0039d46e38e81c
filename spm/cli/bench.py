"""spm bench --generate [MODEL]: how fast each back end is on this machine."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import numpy as np

from spm.cli.status import Status
from spm.data import embedded_model
from spm.errors import ModelError, one_line
from spm.gguf import GGUF
from spm.llama.config import read_config
from spm.llama.measure import DEPTHS, NEW_IDS, PREFILLS, Figures, Missing, measure_apart

BACKENDS = ("numpy", "native", "mlx")
BLAS_THREADS = (  # what NumPy's libraries read when they are loaded, each its own
    "OPENBLAS_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this verb."""
    parser.add_argument(
        "--generate", action="store_true", required=True, help="measure how a model generates"
    )
    parser.add_argument(
        "model", metavar="MODEL", nargs="?", help="a GGUF file (default: the embedded tiny model)"
    )
    parser.add_argument(
        "--backend",
        action="append",
        metavar="NAME",
        help=f"one of {', '.join(BACKENDS)}; may be repeated (default: those that are there)",
    )
    parser.add_argument("--threads", type=int, metavar="N", help="default: what each back end does")
    parser.add_argument("--turns", type=int, default=3, metavar="N", help="default 3")


def run(args: argparse.Namespace) -> int:
    """Print what is measured on, then a row for each back end as it comes."""
    for name, value in (("turns", args.turns), ("threads", args.threads)):
        if value is not None and value < 1:
            raise ModelError(f"{name}: found {value}, expected at least 1")
    path = embedded_model() if args.model is None else Path(args.model)
    about = {**machine(), "spm": version("spm"), "model": _model(path)}
    about["threads"] = str(args.threads or "as many as each back end takes")
    if args.threads:
        os.environ.update(dict.fromkeys(BLAS_THREADS, str(args.threads)))
    if args.json:
        rows = {backend: asdict(found) for backend, found in _measured(args, path)}
        print(json.dumps({**about, "turns": args.turns, "new_ids": NEW_IDS, "backends": rows}))
        return 0
    print(*(f"{what:<9}{value}" for what, value in about.items()), "", sep="\n")
    print(_line("", ["load", *_heads(), "peak memory"]), flush=True)
    for backend, found in _measured(args, path):
        print(_row(backend, found), flush=True)
    print(f"\nids a second; {NEW_IDS} are decoded; medians of {args.turns} turns")
    return 0


def _measured(args: argparse.Namespace, path: Path) -> Iterator[tuple[str, Figures | Missing]]:
    """One back end after another. One that was asked for and is not there is an error."""
    with Status(shown=sys.stderr.isatty()) as status:
        for backend in args.backend or BACKENDS:
            status.say(f"measuring {backend}")
            found = measure_apart(path, backend, args.threads, args.turns)
            if args.backend and isinstance(found, Missing):
                raise ModelError(found.reason)
            status.clear()
            yield backend, found


def machine() -> dict[str, str]:
    """What figures are measured on."""
    return {
        "machine": f"{platform.machine()}, {_cpu_model()}, {os.cpu_count()} cores",
        "system": platform.platform(terse=True),
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "NumPy": np.__version__,
    }


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    rows = info.read_text().splitlines() if info.exists() else []
    named = [row.partition(":")[2].strip() for row in rows if row.startswith("model name")]
    return named[0] if named else platform.processor() or "CPU unknown"


def _model(path: Path) -> str:
    """What a person should know of it. An error in the file's head shows here, at once."""
    with GGUF.open(path) as gguf:
        context = read_config(gguf).max_seq_len
        weights = sum(tensor.nbytes for tensor in gguf.tensors.values())
    return f"{one_line(path.name)}, {_megabytes(weights)} of weights, context {context}"


def _heads() -> Iterator[str]:
    yield from (f"prefill {n}" for n in PREFILLS)
    yield from (f"decode at {depth}" for depth in DEPTHS)


def _row(backend: str, found: Figures | Missing) -> str:
    if isinstance(found, Missing):
        reason = found.reason.removeprefix(f"backend {backend!r}: ")
        return f"{backend:<9}missing: {reason}"
    rates = [*found.prefill.values(), *found.decode.values()]
    shown = ["-" if rate is None else f"{rate:,.1f}" for rate in rates]
    peak = "-" if found.peak_bytes is None else _megabytes(found.peak_bytes)
    return _line(backend, [f"{found.load_seconds:,.2f} s", *shown, peak]) + f"  {found.description}"


def _line(name: str, cells: list[str]) -> str:
    return f"{name:<9}{cells[0]:>10}" + "".join(f"{cell:>15}" for cell in cells[1:])


def _megabytes(n: int) -> str:
    return f"{n / 1e6:,.1f} MB"
