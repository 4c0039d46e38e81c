"""Llamas of random blocks, in types that nothing here quantises to; rows of 256 for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

import numpy as np

from spm.gguf import Quantized, TensorType, dequantize, quantize, write_gguf
from spm.gguf.quants import DECODERS
from spm.gguf.types import BLOCK_LAYOUTS
from tools.small_llamas import Case, metadata, tensors

TEN = [
    *(TensorType.Q4_0, TensorType.Q4_1, TensorType.Q5_0, TensorType.Q5_1, TensorType.Q8_0),
    *(TensorType.Q2_K, TensorType.Q3_K, TensorType.Q4_K, TensorType.Q5_K, TensorType.Q6_K),
]
CASE = Case(20, "whole blocks", dim=256, hidden_dim=512, n_heads=4, n_kv_heads=2, head_dim=64)


def random_blocks(kind: TensorType, rows: int, columns: int, seed: int = 0) -> np.ndarray:
    """Bytes (rows, row bytes), every bit of them random, whose values have a deviation of 1/16."""
    rng = np.random.default_rng(seed)
    if kind in (TensorType.F16, TensorType.BF16):
        return quantize(kind, rng.standard_normal((rows, columns), np.float32) / 16)
    layout = BLOCK_LAYOUTS[kind]
    data = rng.integers(0, 256, (rows, columns // layout.values * layout.nbytes), np.uint8)
    blocks = data.reshape(-1).view(DECODERS[kind][0])
    if kind is TensorType.IQ1_M:  # d = 2^-6, in the highest four bits of each word
        blocks["scales"] = blocks["scales"] & 0x0FFF | np.array([0, 0, 4, 2], "<u2") << 12
    if kind is TensorType.MXFP4:
        blocks["e"] = 122
    fields = [name for name in blocks.dtype.names if blocks.dtype[name] == "<f2"]
    halves = {name: rng.uniform(-1, 1, len(blocks)) / 64 for name in fields}
    for name in fields:
        blocks[name] = halves[name]
    deviation = dequantize(kind, data, (rows, columns)).std()
    for name in fields:
        blocks[name] = halves[name] / 16 / deviation
    return data


def write_block_llama(path: Path, kinds: Sequence[TensorType]) -> Path:
    """A Llama with its matrices of these types, in turn."""
    arrays = tensors(CASE)
    matrices = [name for name, array in arrays.items() if array.ndim == 2]
    made = {
        name: Quantized(kind, arrays[name].shape, random_blocks(kind, *arrays[name].shape, seed))
        for seed, (name, kind) in enumerate(zip(matrices, cycle(kinds)))
    }
    write_gguf(path, metadata(CASE), {**arrays, **made})
    return path
