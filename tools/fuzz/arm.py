"""The kernels of a Llama for ARM, on a machine that is none: compiled across, run by an emulator.

    python -m tools.fuzz.arm --inputs 300

The harnesses `kernels` and `engine` with inputs by chance: NEON's table and the portable one, every
type, against the definition, in memory that ends before a page that may not be touched. Needs a
cross compiler and an emulator: apt-get install g++-aarch64-linux-gnu qemu-user. Exit code 1 if
anything differs, 2 where these are missing.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tools.fuzz.tables import ARM, FLAGS, HERE, compile_tables

COMPILER: Final = "aarch64-linux-gnu-g++"
EMULATOR: Final = "qemu-aarch64"
OPTIONS: Final = ["-O2", "-pthread", "-static"]
HARNESSES: Final = ("kernels", "engine")


def main(argv: Sequence[str] | None = None) -> int:
    """Build both harnesses, run both."""
    args = _parser().parse_args(argv)
    if lacks := [name for name in (COMPILER, EMULATOR) if shutil.which(name) is None]:
        print(f"{' and '.join(lacks)} missing: apt-get install g++-aarch64-linux-gnu qemu-user")
        return 2
    command = [COMPILER, *OPTIONS]
    tables = compile_tables(command, ARM, args.folder)
    wrong = 0
    for name in HARNESSES:
        binary = args.folder / name
        sources = [str(HERE / f"{name}.cpp"), str(HERE / "alone.cpp")]
        subprocess.run([*command, *FLAGS, *sources, *tables, "-o", str(binary)], check=True)
        print(f"{name:<11} ", end="", flush=True)
        run = [EMULATOR, "-cpu", "max", str(binary), str(args.inputs)]
        wrong += subprocess.run(run).returncode != 0
    return int(wrong > 0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tools.fuzz.arm",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--inputs", type=int, default=300, help="for each: %(default)s")
    parser.add_argument("--folder", type=Path, default=Path("build/fuzz/arm"))
    return parser


if __name__ == "__main__":
    sys.exit(main())
