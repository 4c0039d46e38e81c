"""The kernels of a Llama, compiled for each kind of processor as CMakeLists.txt does."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
KERNELS: Final = HERE.parents[1] / "spm" / "native" / "llama"

# The table's name -> what it is made of, the options that make it.
Tables = Mapping[str, tuple[Path, Sequence[str]]]
_SOURCE: Final = KERNELS / "kernels.cpp"
X86: Final[Tables] = {
    "kPortable": (_SOURCE, []),
    "kAvx2": (_SOURCE, ["-march=x86-64-v3"]),
    "kAvxVnni": (_SOURCE, ["-march=x86-64-v3", "-mavxvnni"]),
    "kAvx512": (_SOURCE, ["-march=x86-64-v4", "-mavx512vnni", "-mprefer-vector-width=512"]),
}
ARM: Final[Tables] = {
    "kPortable": (_SOURCE, []),
    "kNeonDot": (_SOURCE, ["-march=armv8.2-a+dotprod"]),
}
IN_EVEX: Final = (HERE / "avxvnni.cpp", ["-march=x86-64-v3", "-mavx512vl", "-mavx512vnni"])
FLAGS: Final = ["-std=c++20", "-ffp-contract=off", "-Wno-psabi"]


def compile_tables(command: Sequence[str], tables: Tables, folder: Path) -> list[str]:
    """Objects of all tables and of the choice between them, made by a compiler and its options."""
    folder.mkdir(parents=True, exist_ok=True)
    objects = [_compiled(command, KERNELS / "processor.cpp", [], folder / "processor.o")]
    for name, (source, options) in tables.items():
        flags = [f"-DSPM_TABLE={name}", *options]
        objects.append(_compiled(command, source, flags, folder / f"{name}.o"))
    return objects


def _compiled(command: Sequence[str], source: Path, options: Sequence[str], to: Path) -> str:
    """The object, made anew if it is older than any of the kernels' files."""
    newest = max(part.stat().st_mtime for part in [source, *KERNELS.iterdir()])
    if not to.exists() or to.stat().st_mtime < newest:
        subprocess.run([*command, *FLAGS, *options, "-c", str(source), "-o", str(to)], check=True)
    return str(to)
