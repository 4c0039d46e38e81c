"""How fast, beside the references, in one run.

    python -m tools.bench MODEL TEXT

MODEL is a sentencepiece `.model` or a GGUF, TEXT a file of real text. Prints the machine and the
versions, then one line for each program: opening the vocabulary, and encoding the text as lines and
as one; medians of several runs, so all but the first are repeats. A reference that is not
installed, or that does not read MODEL, is named as missing.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import spm
from tools.oracles import LlamaCppOracle, Oracle, SentencePieceOracle

Encode = Callable[[bytes], object]


def open_spm(path: Path) -> spm.Tokenizer:
    """In the dialect of the reference that reads this file."""
    make = spm.Tokenizer.from_gguf if path.suffix == ".gguf" else spm.Tokenizer.from_sentencepiece
    return make(path)


def spm_encoder(path: Path) -> Encode:
    """The package as it is installed."""
    tok = open_spm(path)
    return lambda text: tok.encode_array(text, add_special=False)


def pure_encoder(path: Path) -> Encode:
    """The package without its compiled core."""
    tok = open_spm(path)
    tok._fast = None
    return lambda text: tok.encode_array(text, add_special=False)


def reference_encoder(kind: Callable[[Path], Oracle]) -> Callable[[Path], Encode]:
    """One of the references, through its Python interface."""

    def open_reference(path: Path) -> Encode:
        oracle = kind(path)
        return lambda text: oracle.encode(text, parse_special=False)

    return open_reference


PROGRAMS: dict[
    str, tuple[str, str, Callable[[Path], Encode]]
] = {  # name -> package, suffix, how to open
    "spm": ("", "", spm_encoder),
    "spm, pure Python": ("", "", pure_encoder),
    "sentencepiece": ("sentencepiece", ".model", reference_encoder(SentencePieceOracle)),
    "llama.cpp": ("llama-cpp-python", ".gguf", reference_encoder(LlamaCppOracle)),
}


def median_seconds(what: Callable[[], object], runs: int) -> float:
    """The median time of several calls."""
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        what()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("text", type=Path)
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args()
    text = args.text.read_bytes()[:300_000].decode("utf-8", "ignore").encode()
    lines = text.splitlines(keepends=True)
    megabytes = len(text) / 1e6
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    what = f"{len(lines)} lines of {args.text.name} ({megabytes:.2f} MB)"
    print(f"{args.model.name}, {what}, median of {args.runs} runs")
    print(f"{'':<18} {'version':<9} {'open ms':>8} {'lines MB/s':>11} {'one text MB/s':>14}")
    for name, (package, suffix, open_vocabulary) in PROGRAMS.items():
        try:
            number = version(package) if package else "this one"
        except PackageNotFoundError:
            print(f"{name:<18} missing: {package} is not installed")
            continue
        if not args.model.name.endswith(suffix):
            print(f"{name:<18} missing: reads {suffix} only")
            continue
        opening = median_seconds(lambda: open_vocabulary(args.model), args.runs)  # noqa: B023
        encode = open_vocabulary(args.model)
        by_line = median_seconds(lambda: [encode(line) for line in lines], args.runs)  # noqa: B023
        at_once = median_seconds(lambda: encode(text), args.runs)  # noqa: B023
        rates = f"{megabytes / by_line:>11.2f} {megabytes / at_once:>14.2f}"
        print(f"{name:<18} {number:<9} {opening * 1000:>8.0f} {rates}")


if __name__ == "__main__":
    main()
