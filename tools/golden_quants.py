"""Record what ggml's own C makes of blocks that gguf-py cannot decode: golden/quants/<type>.json.

    python tools/golden_quants.py path/to/libggml-base.so

The library is that of the llama.cpp inside the llama-cpp-python 0.3.36 source distribution. Q8_K,
Q1_0 and Q2_0 are decoded by dequantize_row_q8_K and its like. ggml has no decoder for Q8_1: its
blocks are made by quantize_row_q8_1_ref, and their d and qs, a block of Q8_0, go through
dequantize_row_q8_0.
"""

from __future__ import annotations

import ctypes
import json
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt

GOLDEN = Path(__file__).parents[1] / "golden" / "quants"
BLOCKS = 4
# Two plain scales, a subnormal one, a huge one; all decode to finite numbers.
SCALES = np.array([0.0123, -1.5, 1e-40, 1e36], np.float32)

# Values of a block, by the end of the function's name.
VALUES = {"q8_K": 256, "q8_0": 32, "q8_1_ref": 32, "q1_0": 128, "q2_0": 64}

Bytes = npt.NDArray[np.uint8]


def call(library: ctypes.CDLL, function: str, source: npt.NDArray[np.generic], out: Bytes) -> None:
    """One of ggml's row functions: (source, destination, number of values)."""
    n_values = BLOCKS * VALUES[function.split("_row_")[1]]
    pointers = [ctypes.c_void_p(array.ctypes.data) for array in (source, out)]
    getattr(library, function)(*pointers, ctypes.c_int64(n_values))


def golden_q8_k(library: ctypes.CDLL) -> tuple[Bytes, Bytes]:
    """Random blocks and their values."""
    blocks = np.random.default_rng(8).integers(0, 256, (BLOCKS, 292), np.uint8)
    blocks[:, :4] = SCALES.view(np.uint8).reshape(-1, 4)
    values = np.empty((BLOCKS, 256 * 4), np.uint8)
    call(library, "dequantize_row_q8_K", blocks, values)
    return blocks, values


def golden_few_bits(library: ctypes.CDLL, name: str) -> tuple[Bytes, Bytes]:
    """Random blocks of Q1_0 or Q2_0 and their values; a scale is subnormal, another the largest."""
    blocks = np.random.default_rng(12).integers(0, 256, (BLOCKS, 18), np.uint8)
    scales = np.array([0.0123, -1.5, 5e-6, 65504], "<f2")
    blocks[:, :2] = scales.view(np.uint8).reshape(-1, 2)
    values = np.empty((BLOCKS, VALUES[name] * 4), np.uint8)
    call(library, f"dequantize_row_{name}", blocks, values)
    return blocks, values


def golden_q8_1(library: ctypes.CDLL) -> tuple[Bytes, Bytes]:
    """Blocks that ggml made of random rows, and their values."""
    rows = np.random.default_rng(1).standard_normal((BLOCKS, 32)).astype(np.float32)
    rows *= np.array([[1], [1000], [3e-5], [0]], np.float32)  # the third scale is subnormal in f16
    blocks, values = np.empty((BLOCKS, 36), np.uint8), np.empty((BLOCKS, 32 * 4), np.uint8)
    call(library, "quantize_row_q8_1_ref", rows, blocks)
    as_q8_0 = np.ascontiguousarray(np.delete(blocks, [2, 3], axis=1))
    call(library, "dequantize_row_q8_0", as_q8_0, values)
    return blocks, values


def record(name: str, blocks: Bytes, values: Bytes) -> None:
    """One golden file; float32 values are their little-endian bytes."""
    golden = {
        "producer": "ggml (libggml-base)",
        "version": "llama.cpp of llama-cpp-python 0.3.36",
        "command": "python tools/golden_quants.py libggml-base.so",
        "blocks": [block.tobytes().hex() for block in blocks],
        "values": [row.tobytes().hex() for row in values],
    }
    (GOLDEN / f"{name}.json").write_text(json.dumps(golden, indent=1) + "\n")


def main() -> None:
    """Write every file."""
    library = ctypes.CDLL(sys.argv[1])
    record("q8_k", *golden_q8_k(library))
    record("q8_1", *golden_q8_1(library))
    for name in ("q1_0", "q2_0"):
        record(name, *golden_few_bits(library, name))


if __name__ == "__main__":
    main()
