"""Our speed beside llama-bench's, turn by turn on the same files: who is how many times as fast.

    python -m tools.beside_llama_bench q4_0.gguf q4_k_m.gguf --llama-bench build/bin/llama-bench

Both take turns, so that what else the machine does falls on both; figures are medians, ids a
second. Ours come through the Python API (`spm bench --generate`). tools/random_llama.py makes files
of a real size.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from spm.cli.bench import machine
from spm.llama.measure import DEPTHS, NEW_IDS, PREFILLS

Figures = dict[str, float]


def main() -> None:
    """Measure and print, a table for each number of threads."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--llama-bench", type=Path, required=True)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write all figures here")
    args = parser.parse_args()
    print(*(f"{name}: {value}" for name, value in machine().items()), sep="\n")
    found = []
    for model in args.models:
        for threads in args.threads:
            turns = [both(model, threads, args.llama_bench) for _ in range(args.turns)]
            found.append({"model": model.name, "threads": threads, "turns": turns})
            show(model, threads, turns)
    if args.json:
        args.json.write_text(json.dumps({**machine(), "runs": found}, indent=1))


def both(model: Path, threads: int, llama_bench: Path) -> tuple[Figures, Figures]:
    """One turn each: ours, theirs."""
    return ours(model, threads), theirs(model, threads, llama_bench)


def ours(model: Path, threads: int) -> Figures:
    """Rates of `spm bench --generate` with the native back end."""
    options = ["--backend", "native", "--threads", str(threads), "--turns", "1", "--json"]
    command = [sys.executable, "-m", "spm.cli", "bench", "--generate", str(model), *options]
    answer = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    native = answer["backends"]["native"]
    rates = {f"prefill {n}": native["prefill"][str(n)] for n in PREFILLS}
    return rates | {f"decode at {n}": native["decode"][str(n)] for n in DEPTHS}


def theirs(model: Path, threads: int, llama_bench: Path) -> Figures:
    """Rates of llama-bench; its libraries lie beside it."""
    rates: Figures = {}
    sizes = ["-p", ",".join(map(str, PREFILLS)), "-n", "0"], ["-p", "0", "-n", str(NEW_IDS)]
    for options in (sizes[0], [*sizes[1], "-d", ",".join(map(str, DEPTHS))]):
        command = [str(llama_bench), "-m", str(model), "-t", str(threads), "-r", "1", "-o", "json"]
        env = {**os.environ, "LD_LIBRARY_PATH": str(llama_bench.parent)}
        done = subprocess.run([*command, *options], check=True, capture_output=True, env=env)
        for run in json.loads(done.stdout):
            rates[name_of(run)] = run["avg_ts"]
    return rates


def name_of(run: dict[str, Any]) -> str:
    """A run of llama-bench in our words."""
    if run["n_prompt"]:
        return f"prefill {run['n_prompt']}"
    return f"decode at {run['n_depth']}"


def show(model: Path, threads: int, turns: list[tuple[Figures, Figures]]) -> None:
    """One row for each rate."""
    print(f"\n{model.name}, {threads} thread{'s' if threads > 1 else ''}")
    print(f"{'':<16}{'spm':>8}{'llama.cpp':>11}{'ratio':>8}   of each turn")
    for name in turns[0][0]:
        mine, other = (statistics.median(turn[i][name] for turn in turns) for i in (0, 1))
        each = " ".join(f"{a[name] / b[name]:.2f}" for a, b in turns)
        print(f"{name:<16}{mine:>8.1f}{other:>11.1f}{mine / other:>8.2f}   {each}", flush=True)


if __name__ == "__main__":
    main()
