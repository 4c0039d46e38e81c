"""The Mac's kernels on an NVIDIA GPU: python -m tools.metal_on_cuda [--columns 11008]

The text of kernels.metal as it is shipped, behind a prelude with Metal's words in CUDA's
(metal_on_cuda.cuh), compiled by NVRTC and launched over the grids that MLX is given: `Kernels` gets
`OnCuda` for `mx.fast.metal_kernel`. It shows whether the text is right on real warps, and how much
of a memory's bandwidth it uses; not that Apple's compiler takes it, nor how fast a Mac is.

For each type, on random blocks: how many dequantised values have other bits than NumPy's, the
largest error of products with 1 to 8 rows, in root mean squares of the exact one, the time of a
product with one row, and the rate at which the matrix was read. For the time the matrix is repeated
until it is many times the L2 cache, so that memory is measured; the last line is a copy within that
memory, for comparison.

    pip install 'spm[metal]' cupy-cuda12x             or cupy-cuda13x; MLX computes nothing
    python -m tools.metal_on_cuda --compile-only      to machine code for sm_90; needs no GPU

The exit status is 1 if a value is wrong or a kernel does not compile, 2 if something is missing.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np

from spm.gguf import dequantize
from spm.gguf.types import TensorType

try:
    import cupy

    from spm.llama.ops.metal.choice import TOLERANCE, product_error, random_blocks
    from spm.llama.ops.metal.forms import (
        DEQUANTIZE,
        KERNEL_TYPES,
        KERNELS,
        MATVEC,
        MATVEC_MAX,
        ROWS,
        Kernels,
    )
except ModuleNotFoundError as error:
    if __name__ != "__main__":
        raise
    print(f"error: {error}: pip install 'spm[metal]' cupy-cuda12x", file=sys.stderr)
    sys.exit(2)

Array: TypeAlias = Any  # cupy.ndarray
Template: TypeAlias = Sequence[tuple[str, int]]
Three: TypeAlias = tuple[int, int, int]
Times: TypeAlias = list[tuple[Any, Any]]  # CUDA events, before and after

PRELUDE: Final = Path(__file__).with_suffix(".cuh")
OPTIONS: Final = ("--std=c++17", "--device-as-default-execution-space")
FUNCTION: Final = """
extern "C" __global__ void {name}({inputs}, float *y, uint nx, uint ny, uint nz) {{
    const uint3 thread_position_in_grid = position_in_grid(), &at = thread_position_in_grid;
    const uint thread_index_in_simdgroup = index_in_simdgroup();
    if (at.x >= nx || at.y >= ny || at.z >= nz) return;
    {constants}
    {body}
}}
"""
ELEMENTS: Final = {"w": "uchar", "x": "float"}
CHECKED_ROWS: Final = 1027  # of a matrix: no multiple of ROWS, and an odd number of simdgroups
CACHES: Final = 16  # how many times the L2 cache the matrices are that are timed
LAUNCHES: Final = 100


# What is compiled


def source(name: str, inputs: list[str], template: Template, body: str, header: str) -> str:
    """CUDA of one kernel: the prelude, the header and a function `name` around the body."""
    arguments = [f"const {ELEMENTS[i]} *{i}, int {i}_rows, int {i}_columns" for i in inputs]
    constants = [f"constexpr int {constant} = {value};" for constant, value in template]
    constants += [f"const int {i}_shape[] = {{{i}_rows, {i}_columns}};" for i in inputs]
    function = FUNCTION.format(
        name=name, inputs=", ".join(arguments), constants="\n    ".join(constants), body=body
    )
    return PRELUDE.read_text("utf-8") + header + function


def sources(kind: TensorType) -> Iterator[str]:
    """All kernels of a type."""
    text = KERNELS.read_text("utf-8")
    yield source("dequantize", ["w"], (), DEQUANTIZE.format(kind=kind.name), text)
    for M in range(1, MATVEC_MAX + 1):  # noqa: N806 - a shape letter
        template = [("M", M), ("ROWS", ROWS)]
        yield source("matvec", ["w", "x"], template, MATVEC.format(kind=kind.name), text)


def machine_code(text: str, architecture: str = "sm_90") -> bytes:
    """What NVRTC makes of it, without a GPU; SystemExit with NVRTC's words if it does not."""
    nvrtc = cupy.cuda.nvrtc
    program = nvrtc.createProgram(text, "kernels.cu", (), ())
    try:
        nvrtc.compileProgram(program, (*OPTIONS, f"--gpu-architecture={architecture}"))
        code: bytes = nvrtc.getCUBIN(program)
    except nvrtc.NVRTCError:
        sys.exit(nvrtc.getProgramLog(program))
    finally:
        nvrtc.destroyProgram(program)
    return code


# What is launched


@contextmanager
def timed(times: Times) -> Iterator[None]:
    """Note when the GPU begins and when it ends what is launched meanwhile."""
    before, after = cupy.cuda.Event(), cupy.cuda.Event()
    before.record()
    yield
    after.record()
    times.append((before, after))


def median_seconds(times: Times) -> float:
    """Of all that was timed."""
    times[-1][1].synchronize()
    milliseconds = [float(cupy.cuda.get_elapsed_time(*each)) for each in times]
    return statistics.median(milliseconds) / 1e3


@dataclass
class OnCuda:
    """In the place of `mx.fast.metal_kernel`, with CuPy's arrays; each launch is timed."""

    times: Times = field(default_factory=list)
    compiled: dict[tuple[str, str], Callable[..., None]] = field(default_factory=dict)

    def __call__(
        self, name: str, input_names: list[str], output_names: list[str], source: str, header: str
    ) -> Callable[..., list[Array]]:
        """What MLX takes and gives: a kernel, compiled when it is first launched."""

        def kernel(
            *,
            inputs: list[Array],
            grid: Three,
            threadgroup: Three,
            output_shapes: list[tuple[int, int]],
            output_dtypes: list[Any],  # float32
            template: Template = (),
        ) -> list[Array]:
            function = self.function(name, input_names, template, source, header)
            y = cupy.full(output_shapes[0], np.nan, np.float32)
            arrays = [each for a in inputs for each in (a, *map(np.int32, a.shape))]
            across, down, deep = (-(-n // size) for n, size in zip(grid, threadgroup))
            with timed(self.times):  # the prelude tells why `down` is first
                function((down, across, deep), threadgroup, (*arrays, y, *map(np.uint32, grid)))
            return [y]

        return kernel

    def function(
        self, name: str, inputs: list[str], template: Template, body: str, header: str
    ) -> Callable[..., None]:
        """The kernel with these numbers in its template."""
        key = (name, str(template))
        if key not in self.compiled:
            text = source(name, inputs, template, body, header)
            self.compiled[key] = cupy.RawModule(code=text, options=OPTIONS).get_function(name)
        return self.compiled[key]


# What is measured


@dataclass(frozen=True)
class Figures:
    """One type on this GPU."""

    differing: int  # dequantised values with other bits than NumPy's
    error: float  # the largest, in root mean squares of the exact product
    nbytes: int  # of the matrix that was timed
    seconds: float  # for its product with one row

    @property
    def right(self) -> bool:
        """Whether the values are NumPy's, and the products as good as at a load on Metal."""
        return not self.differing and self.error <= TOLERANCE

    def __str__(self) -> str:
        rate = f"{1e3 * self.seconds:9.3f}{self.nbytes / self.seconds / 1e9:8.1f}"
        return f"{self.nbytes / 1e6:8.1f}{self.differing:8}{self.error:10.1e}{rate}"


def figures(kind: TensorType, columns: int, nbytes: int) -> Figures:
    """The kernels of a type held against NumPy, and timed on at least `nbytes` bytes."""
    on_cuda = OnCuda()
    kernels = Kernels(on_cuda)
    data = random_blocks(kind, CHECKED_ROWS, columns)
    weights = dequantize(kind, data, (CHECKED_ROWS, columns))
    x = np.random.default_rng(1).standard_normal((MATVEC_MAX, columns), np.float32)
    w, activations = cupy.asarray(data), cupy.asarray(x)
    found = cupy.asnumpy(kernels.dequantize(kind, w))
    differing = int(np.sum(found.view(np.uint32) != weights.view(np.uint32)))
    errors = [
        product_error(weights, x[:rows], cupy.asnumpy(kernels.matvec(kind, w, activations[:rows])))
        for rows in range(1, MATVEC_MAX + 1)
    ]
    many = cupy.tile(w, (-(-nbytes // w.nbytes), 1))
    on_cuda.times.clear()
    for _ in range(LAUNCHES):
        kernels.matvec(kind, many, activations[:1])
    return Figures(differing, float(np.max(errors)), many.nbytes, median_seconds(on_cuda.times))


def copy_rate(nbytes: int) -> float:
    """Bytes that a copy of so many reads and writes in a second."""
    times: Times = []
    here = cupy.ones(nbytes, np.uint8)
    there = cupy.empty_like(here)
    for _ in range(LAUNCHES):
        with timed(times):
            there[...] = here
    return 2 * nbytes / median_seconds(times)


# What is said


def machine() -> str:
    """The GPU and what drives it."""
    runtime = cupy.cuda.runtime
    gpu = runtime.getDeviceProperties(0)
    versions = {"driver": runtime.driverGetVersion(), "runtime": runtime.runtimeGetVersion()}
    cuda = ", ".join(f"{what} {v // 1000}.{v % 1000 // 10}" for what, v in versions.items())
    nvrtc = ".".join(map(str, cupy.cuda.nvrtc.getVersion()))
    chip = f"sm_{gpu['major']}{gpu['minor']}, L2 {gpu['l2CacheSize'] / 1e6:.0f} MB"
    return f"{gpu['name'].decode()} ({chip}), CUDA {cuda}, NVRTC {nvrtc}, CuPy {cupy.__version__}"


def missing(compile_only: bool) -> str | None:
    """What is not found here, if anything."""
    try:
        cupy.cuda.nvrtc.getVersion()
        if not compile_only:
            cupy.cuda.runtime.getDeviceCount()
    except (ImportError, RuntimeError) as error:  # CuPy's own are RuntimeErrors
        return " ".join(str(error).split())
    return None


def compile_all() -> None:
    """Every kernel of every type, a line for each type."""
    for kind in KERNEL_TYPES:
        sizes = [len(machine_code(text)) for text in sources(kind)]
        print(f"{kind.name:6}{len(sizes):3} kernels, {sum(sizes):9,} bytes for sm_90", flush=True)


def print_table(columns: int) -> int:
    """The machine, a line for each type, and the copy; 1 if a type is wrong."""
    nbytes = CACHES * cupy.cuda.runtime.getDeviceProperties(0)["l2CacheSize"]
    print(machine())
    print(f"{columns} columns, the median of {LAUNCHES} products with one row")
    print(f"{'type':6}{'MB':>8}{'differ':>8}{'error':>10}{'ms':>9}{'GB/s':>8}")
    right = True
    for kind in KERNEL_TYPES:
        of_kind = figures(kind, columns, nbytes)
        right &= of_kind.right
        print(f"{kind.name:6}{of_kind}", flush=True)
    print(f"a copy, read and written: {copy_rate(nbytes) / 1e9:.1f} GB/s")
    return 0 if right else 1


def main() -> int:
    """Compile, or measure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--columns", type=int, default=11008, help="a multiple of 256")
    parser.add_argument("--compile-only", action="store_true")
    args = parser.parse_args()
    if problem := missing(args.compile_only):
        print(f"error: {problem}", file=sys.stderr)
        return 2
    if args.compile_only:
        compile_all()
        return 0
    return print_table(args.columns)


if __name__ == "__main__":
    sys.exit(main())
