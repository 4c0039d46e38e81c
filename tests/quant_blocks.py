"""Blocks of every tensor type, and what gguf-py or ggml make of them."""

from __future__ import annotations

import json
from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt

from spm.gguf import TensorType
from spm.gguf.types import BLOCK_LAYOUTS

GOLDEN = Path(__file__).parents[1] / "golden" / "quants"

Bytes = npt.NDArray[np.uint8]
Float32 = npt.NDArray[np.float32]

# Where the float16 scales of each type lie in its blocks; that of IQ1_M lies in pieces.
F16_SCALES = {
    TensorType.Q4_0: [0],
    TensorType.Q4_1: [0, 2],
    TensorType.Q5_0: [0],
    TensorType.Q5_1: [0, 2],
    TensorType.Q8_0: [0],
    TensorType.Q2_K: [80, 82],
    TensorType.Q3_K: [108],
    TensorType.Q4_K: [0, 2],
    TensorType.Q5_K: [0, 2],
    TensorType.Q6_K: [208],
    TensorType.IQ4_NL: [0],
    TensorType.IQ4_XS: [0],
    TensorType.TQ1_0: [52],
    TensorType.TQ2_0: [64],
    TensorType.IQ1_S: [0],
    TensorType.IQ1_M: [48],
    TensorType.IQ2_XXS: [0],
    TensorType.IQ2_XS: [0],
    TensorType.IQ2_S: [0],
    TensorType.IQ3_XXS: [0],
    TensorType.IQ3_S: [0],
}
# ±0, the least and largest subnormal and normal, 1, ±inf, quiet and signalling NaN
CODES = np.array(
    [
        0, 0x8000, 1, 0x8001, 0x3FF, 0x83FF, 0x400, 0x7BFF, 0xFBFF, 0x3C00,
        0x7C00, 0xFC00, 0x7E00, 0x7D01,
    ],
    "<u2",
)  # fmt: skip
# ggml's answers are recorded: gguf-py does not decode these
RECORDED = [TensorType.Q8_K, TensorType.Q8_1, TensorType.Q1_0, TensorType.Q2_0]


def assert_same_bits(expected: Float32, actual: Float32) -> None:
    """Equal as uint32, except that any NaN equals any other."""
    assert expected.dtype == actual.dtype == np.float32
    assert expected.shape == actual.shape
    nan = np.isnan(expected)
    assert np.array_equal(nan, np.isnan(actual))
    assert np.array_equal(expected.view(np.uint32)[~nan], actual.view(np.uint32)[~nan])


def gguf_py(kind: TensorType, blocks: Bytes) -> Float32:
    with np.errstate(all="ignore"):
        values: Float32 = gguf.quants.dequantize(blocks, gguf.GGMLQuantizationType(kind))
    return values


def recorded(kind: TensorType) -> tuple[Bytes, Float32]:
    """Blocks of one of RECORDED and ggml's values, a row for each block."""
    golden = json.loads((GOLDEN / f"{kind.name.lower()}.json").read_text())
    blocks, values = (b"".join(map(bytes.fromhex, golden[key])) for key in ("blocks", "values"))
    n = len(golden["blocks"])
    return (
        np.frombuffer(blocks, np.uint8).reshape(n, -1),
        np.frombuffer(values, "<f4").reshape(n, -1),
    )


def random_blocks(kind: TensorType, n: int) -> Bytes:
    rng = np.random.default_rng(int(kind))
    return rng.integers(0, 256, (n, BLOCK_LAYOUTS[kind].nbytes), np.uint8)


def put_scales(blocks: Bytes, place: int, codes: npt.NDArray[np.uint16]) -> None:
    blocks[:, place : place + 2] = np.resize(codes, len(blocks)).view(np.uint8).reshape(-1, 2)


def put_scales_of_iq1_m(blocks: Bytes, codes: npt.NDArray[np.uint16]) -> None:
    """Four bits of each scale into the top of each of the last four words."""
    for i, place in enumerate((49, 51, 53, 55)):
        piece = np.resize(codes, len(blocks)) >> 4 * i & 0x0F
        blocks[:, place] = blocks[:, place] & 0x0F | piece.astype(np.uint8) << 4


def extreme_blocks(kind: TensorType) -> Bytes:
    """Random blocks of one of F16_SCALES with each two of CODES for scales."""
    blocks = random_blocks(kind, len(CODES) ** 2)
    first, *second = F16_SCALES[kind]
    if kind is TensorType.IQ1_M:
        put_scales_of_iq1_m(blocks, np.repeat(CODES, len(CODES)))
    else:
        put_scales(blocks, first, np.repeat(CODES, len(CODES)))
    for place in second:
        put_scales(blocks, place, CODES)
    return blocks
