"""A stand-in for `mx.fast.metal_kernel`: the same strings, compiled as C++, run on this machine.

It takes what MLX takes and follows its rules: a body that becomes a function, whose inputs, outputs
and `<input>_shape` are there by name, template integers as constants, a grid of threads. Around
every array lie bytes that make a NaN of whatever number they are read into; those around an output
must still be there afterwards.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

SHIM = Path(__file__).with_name("metal_shim.hpp")
FLAGS = ["-std=c++17", "-O1", "-shared", "-fPIC", "-fsigned-char", "-ffp-contract=off", "-w"]
GUARD = 256  # bytes on each side of an array

Template = Sequence[tuple[str, int]]


def compiler() -> str | None:
    """A C++ compiler, if there is one that makes fibres (the C library's, so not a Mac's)."""
    return shutil.which("g++")


class StandIn:
    """`metal_kernel`, its compiled kernels in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.compiled: dict[str, Any] = {}
        self.calls: list[str] = []

    def __call__(
        self, name: str, input_names: list[str], output_names: list[str], source: str, header: str
    ) -> Callable[..., list[mx.array]]:
        def kernel(
            *,
            inputs: list[mx.array],
            grid: tuple[int, int, int],
            threadgroup: tuple[int, int, int],
            output_shapes: list[tuple[int, ...]],
            output_dtypes: list[Any],
            template: Template = (),
        ) -> list[mx.array]:
            assert output_dtypes == [mx.float32] * len(output_names)
            text = function(source, input_names, output_names, template)
            self.calls.append(name)
            arrays = [np.array(each) for each in inputs]
            outs = [Guarded(np.full(shape, np.nan, np.float32)) for shape in output_shapes]
            ins = [Guarded(each) for each in arrays]
            pointers = (ctypes.c_void_p * (len(ins) + len(outs)))(*(g.address for g in ins + outs))
            shapes = [np.array(each.shape, np.int32) for each in arrays]
            shape_pointers = (ctypes.c_void_p * len(shapes))(*(s.ctypes.data for s in shapes))
            run = self.compiled.get(header + text) or self.compile(header, [text])
            assert run(pointers, shape_pointers, *grid, *threadgroup), f"{name}: lanes diverge"
            return [mx.array(out.checked()) for out in outs]

        return kernel

    def compile(self, header: str, texts: Sequence[str]) -> Any:
        """Compile functions, all at once, which is faster; the last of them."""
        named = [text.replace("NAME", f"run_{i}", 1) for i, text in enumerate(texts)]
        source = "\n".join([f'#include "{SHIM}"', header, *named])
        library = self.folder / f"{len(self.compiled)}.so"
        command = [compiler() or "g++", *FLAGS, "-x", "c++", "-", "-o", str(library)]
        subprocess.run(command, input=source.encode(), check=True)
        loaded = ctypes.CDLL(str(library))
        for i, text in enumerate(texts):
            self.compiled[header + text] = getattr(loaded, f"run_{i}")
        return self.compiled[header + texts[-1]]


def function(source: str, inputs: list[str], outputs: list[str], template: Template) -> str:
    """A C++ function around the body of a kernel."""
    lines = [f"constexpr int {name} = {value};" for name, value in template]
    for i, name in enumerate(inputs):
        kind = "uchar" if name == "w" else "float"
        lines.append(f"auto {name} = (device const {kind} *)arrays[{i}];")
        lines.append(f"auto {name}_shape = shapes[{i}];")
    for i, name in enumerate(outputs, len(inputs)):
        lines.append(f"auto {name} = (device float *)arrays[{i}];")
    return "\n".join(
        [
            'extern "C" bool NAME(void **arrays, const int **shapes,',
            "                     uint gx, uint gy, uint gz, uint tx, uint ty, uint tz) {",
            *lines,
            "return dispatch({gx, gy, gz}, {tx, ty, tz},",
            "                [&](uint3 thread_position_in_grid, uint thread_index_in_simdgroup) {",
            source,
            "});}",
        ]
    )


class Guarded:
    """An array between bytes that nobody may read or write."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array
        self.bytes = np.full(array.nbytes + 2 * GUARD, 0xFF, np.uint8)
        self.inside[:] = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        self.address = self.bytes.ctypes.data + GUARD

    @property
    def inside(self) -> np.ndarray:
        return self.bytes[GUARD:-GUARD]

    def checked(self) -> np.ndarray:
        """The array as it is now, if nothing around it has changed."""
        around = np.concatenate([self.bytes[:GUARD], self.bytes[-GUARD:]])
        assert (around == 0xFF).all(), "a kernel has written outside its output"
        return self.inside.view(self.array.dtype).reshape(self.array.shape)
