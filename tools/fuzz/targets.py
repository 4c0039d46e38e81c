"""What is fuzzed: how each target is built, and the command that runs it."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tools.fuzz.tables import HERE, IN_EVEX, X86, compile_tables

NATIVE: Final = HERE.parents[1] / "spm" / "native"
CLANG: Final = next(filter(None, map(shutil.which, ("clang++-14", "clang++"))), None)

_FLAGS: Final = ["-std=c++20", "-O2", "-g", "-fno-sanitize-recover=all", "-pthread"]
_IGNORED: Final = [
    f"-fsanitize-ignorelist={HERE / 'ignored.txt'}",
    f"-fsanitize-coverage-ignorelist={HERE / 'ignored.txt'}",
]
_OF_TABLES: Final = ["-O1", "-g1", "-fno-sanitize-recover=all", "-pthread"]
CPUINFO: Final = Path("/proc/cpuinfo")
_COUNTED: Final = [f"-fsanitize-coverage-allowlist={HERE / 'counted.txt'}"]


@dataclass(frozen=True)
class Target:
    """One thing to fuzz. Without sanitizers it is one of Python, run by watched.py."""

    name: str
    what: str
    sanitizers: str = ""
    max_size: int = 1024  # bytes of an input
    env: tuple[tuple[str, str], ...] = ()
    also: tuple[str, ...] = ()  # targets whose inputs mean the same
    tables: bool = False  # made with the kernels of a Llama

    def command(self, folder: Path) -> list[str]:
        """What runs it, before the options of libFuzzer."""
        if self.sanitizers:
            return [str(self.binary(folder))]
        return [sys.executable, "-m", "tools.fuzz.watched", self.name]

    def binary(self, folder: Path) -> Path:
        """Where the compiled harness stands."""
        return folder / "build" / self.name


_MEMORY = "address,undefined"
_THREADS = "thread"
_PURE = (("SPM_NATIVE", "0"),)

TARGETS: Final = (
    Target("encode", "text to ids, every way of a dialect", _MEMORY),
    Target("units", "blocks, long units, cuts", _MEMORY),
    Target("words", "words of pre-tokenizers, merges by rank", _MEMORY),
    Target("spines", "which pieces may meet, and the search", _MEMORY),
    Target("unigram", "the best row of pieces, units and whole texts", _MEMORY),
    Target("specials", "special pieces cut out of a text", _MEMORY),
    Target("normalizer", "sentencepiece's normaliser and charsmaps", _MEMORY),
    Target("decoder", "ids to text", _MEMORY),
    Target("containers", "the long lists of both file formats", _MEMORY, 4096),
    Target("threads", "many threads, one dialect", _THREADS, also=("encode", "units")),
    Target("kernels", "a Llama's kernels, for every processor", _MEMORY, 64, tables=True),
    Target("engine", "a Llama's operations, on every table", _MEMORY, 128, tables=True),
    Target("pool", "a Llama's threads", _THREADS, 128),
    Target("gguf", "the GGUF reader", "", 1 << 15, _PURE),
    Target("model", "the sentencepiece reader", "", 1 << 15, _PURE),
    Target("paths", "specification, core and sentencepiece", also=("encode",)),
)


def missing(targets: Iterable[Target]) -> str | None:
    """What has to be installed first, in one line; None if all is there."""
    if any(target.sanitizers for target in targets) and not _has_libfuzzer():
        return "clang with libFuzzer is missing: apt-get install clang-14 libclang-rt-14-dev"
    if any(not target.sanitizers for target in targets):
        if importlib.util.find_spec("atheris") is None:
            return "atheris is missing: pip install atheris"
        if importlib.util.find_spec("spm.native._core") is None:
            return "the compiled core is missing: pip install -e ."
    return None


def _has_libfuzzer() -> bool:
    if CLANG is None:
        return False
    harness = 'extern "C" int LLVMFuzzerTestOneInput(const char*, decltype(sizeof 0)) { return 0; }'
    command = [CLANG, "-fsanitize=fuzzer,address,undefined", "-x", "c++", "-", "-o", "/dev/null"]
    return subprocess.run(command, input=harness.encode(), capture_output=True).returncode == 0


def build(target: Target, folder: Path) -> None:
    """Compile a harness unless it is newer than all that it is made of."""
    binary, source = target.binary(folder), HERE / f"{target.name}.cpp"
    parts = [source, *HERE.glob("*.hpp"), *NATIVE.rglob("*.hpp"), *HERE.glob("*.txt")]
    newest = max(part.stat().st_mtime for part in parts)
    if binary.exists() and binary.stat().st_mtime > newest:
        return
    binary.parent.mkdir(parents=True, exist_ok=True)
    flags = [*_FLAGS, f"-fsanitize=fuzzer,{target.sanitizers}", *_IGNORED]
    flags += _COUNTED if target.sanitizers == _THREADS else []
    flags += _tables(target, folder) if target.tables else []
    assert CLANG is not None
    subprocess.run([CLANG, *flags, str(source), "-o", str(binary)], check=True)


def _tables(target: Target, folder: Path) -> list[str]:
    """The kernels' objects and what a harness with them is to know, under its sanitizers.

    They are long and have no branch that depends on their input: coverage of them would only make
    them longer. A processor with AVX-512's dot product and not AVX's runs both tables all the same.
    """
    assert CLANG is not None
    tables, more = {**X86}, ["-ffp-contract=off"]
    if _has_only_avx512_vnni():
        tables["kAvxVnni"] = IN_EVEX
        more.append("-DSPM_VNNI_IN_EVEX")
    command = [CLANG, *_OF_TABLES, f"-fsanitize={target.sanitizers}"]
    return [*more, *compile_tables(command, tables, folder / "build" / "tables")]


def _has_only_avx512_vnni() -> bool:
    flags = set(CPUINFO.read_text().split()) if CPUINFO.exists() else set()
    return {"avx512_vnni", "avx512vl"} <= flags and "avx_vnni" not in flags
