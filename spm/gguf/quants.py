"""Blocks to float32: any tensor type.

Most types are integers times scales, and their values are that product (spm.gguf.integers). Here
are the others, one short function each after the map of its bytes (read it as spm.gguf.blocks
says): plain numbers, and the types with a minimum. Blocks come in as records (n,), values go out as
float32 (n, values per block).

The order of the float operations is ggml's (ggml-quants.c, dequantize_row_*), without fused
multiply-add, so that every result is the same to the bit. Half-precision scales decode as IEEE 754
says, subnormal and not finite ones included.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from spm.gguf.blocks import (
    Bytes,
    Float32,
    Integers,
    Records,
    as_records,
    bit_fields,
    column,
    scaled,
    slices,
)
from spm.gguf.integers import INTEGERS
from spm.gguf.types import BLOCK_LAYOUTS, TensorType


def dequantize(type: TensorType, data: Bytes, shape: tuple[int, ...]) -> Float32:  # noqa: A002
    """A tensor's bytes (uint8, any shape) as a new float32 array of the row-major `shape`.

    Equal to ggml's values to the bit; the payload of a NaN is not kept. F64, I32 and I64 round to
    the nearest float32. Raises GGUFError for data that does not fit the shape.
    """
    record, decode = DECODERS[type]
    blocks = as_records(type, record, data, shape)
    values = BLOCK_LAYOUTS[type].values
    out = np.empty((len(blocks), values), np.float32)
    with np.errstate(all="ignore"):  # scales that are not finite are the file's, not ours
        for part in slices(len(blocks), values):
            out[part] = decode(blocks[part])
    return out.reshape(shape)


def product(integers: Callable[[Records], Integers]) -> Callable[[Records], Float32]:
    """The decoder of a type of integers times scales."""

    def decode(blocks: Records) -> Float32:
        q, scale = integers(blocks)
        return scaled(scale, q).reshape(q.shape)

    return decode


# ---- plain numbers: a block is one value ----

PLAIN: Final[dict[TensorType, np.dtype[Any]]] = {
    TensorType.F64: np.dtype("<f8"),
    TensorType.F32: np.dtype("<f4"),
    TensorType.F16: np.dtype("<f2"),
    TensorType.I8: np.dtype("i1"),
    TensorType.I16: np.dtype("<i2"),
    TensorType.I32: np.dtype("<i4"),
    TensorType.I64: np.dtype("<i8"),
}


def dequantize_plain(blocks: Records) -> Float32:
    """Numbers that numpy knows."""
    return column(blocks)


# BF16 is the high half of a float32:
#   0  seeeeeee emmmmmmm
BF16: Final = np.dtype("<u2")


def dequantize_bf16(blocks: Records) -> Float32:
    """x is the float32 whose high half this is."""
    return (blocks.astype(np.uint32) << 16).view(np.float32)[:, None]


# ---- blocks of 32 ----

# Q4_1, 20 bytes:
#   0  d      f16
#   2  m      f16
#   4  qs[16] q16:q0  q17:q1 .. q31:q15
Q4_1: Final = np.dtype([("d", "<f2"), ("m", "<f2"), ("qs", "u1", 16)])


def dequantize_q4_1(blocks: Records) -> Float32:
    """x = d q + m."""
    return column(blocks["d"]) * bit_fields(blocks["qs"], 16, 4) + column(blocks["m"])


# Q5_1, 24 bytes:
#   0  d      f16
#   2  m      f16
#   4  qh[4]  the fifth bits, as in Q5_0
#   8  qs[16] the low four bits, as in Q5_0
Q5_1: Final = np.dtype([("d", "<f2"), ("m", "<f2"), ("qh", "u1", 4), ("qs", "u1", 16)])


def dequantize_q5_1(blocks: Records) -> Float32:
    """x = d q + m."""
    q = bit_fields(blocks["qs"], 16, 4) | bit_fields(blocks["qh"], 1, 1) << 4
    return column(blocks["d"]) * q + column(blocks["m"])


# ---- super-blocks of 256 ----

# Q2_K, 84 bytes, 16 sub-blocks of 16:
#   0  scales[16] min:scale, four bits each
#  16  qs[64]     q96:q64:q32:q0 .. q127:q95:q63:q31, then the same of q128..q255
#  80  d          f16
#  82  dmin       f16
Q2_K: Final = np.dtype([("scales", "u1", 16), ("qs", "u1", 64), ("d", "<f2"), ("dmin", "<f2")])


def dequantize_q2_k(blocks: Records) -> Float32:
    """x = (d scale) q - (dmin min)."""
    d = column(blocks["d"]) * (blocks["scales"] & 0x0F)
    m = column(blocks["dmin"]) * (blocks["scales"] >> 4)
    q = bit_fields(blocks["qs"], 32, 2)
    return (scaled(d, q) - m[:, :, None]).reshape(-1, 256)


def scales_and_mins(packed: Bytes) -> tuple[Bytes, Bytes]:
    """The 8 scales and 8 mins of Q4_K and Q5_K, six bits each: (n, 12) -> (n, 8), (n, 8).

    0  s4:s0  s5:s1  s6:s2  s7:s3    two high bits : all six
    4  m4:m0  m5:m1  m6:m2  m7:m3    two high bits : all six
    8  m4:s4  m5:s5  m6:s6  m7:s7    four low bits each
    """
    s, m, low = packed[:, 0:4], packed[:, 4:8], packed[:, 8:12]
    scales = np.concatenate([s & 0x3F, low & 0x0F | s >> 6 << 4], axis=1)
    mins = np.concatenate([m & 0x3F, low >> 4 | m >> 6 << 4], axis=1)
    return scales, mins


# Q4_K, 144 bytes, 8 sub-blocks of 32:
#   0  d          f16
#   2  dmin       f16
#   4  scales[12] see scales_and_mins
#  16  qs[128]    q32:q0 .. q63:q31, then the same of q64..q127, q128..q191, q192..q255
Q4_K: Final = np.dtype([("d", "<f2"), ("dmin", "<f2"), ("scales", "u1", 12), ("qs", "u1", 128)])


def dequantize_q4_k(blocks: Records) -> Float32:
    """x = (d scale) q - (dmin min)."""
    scales, mins = scales_and_mins(blocks["scales"])
    d = column(blocks["d"]) * scales
    m = column(blocks["dmin"]) * mins
    return (scaled(d, bit_fields(blocks["qs"], 32, 4)) - m[:, :, None]).reshape(-1, 256)


# Q5_K, 176 bytes, 8 sub-blocks of 32:
#   0  d          f16
#   2  dmin       f16
#   4  scales[12] see scales_and_mins
#  16  qh[32]     the fifth bits: q224:q192:..:q32:q0 .. q255:..:q31
#  48  qs[128]    the low four bits, as in Q4_K
Q5_K: Final = np.dtype(
    [("d", "<f2"), ("dmin", "<f2"), ("scales", "u1", 12), ("qh", "u1", 32), ("qs", "u1", 128)]
)


def dequantize_q5_k(blocks: Records) -> Float32:
    """x = (d scale) q - (dmin min)."""
    scales, mins = scales_and_mins(blocks["scales"])
    d = column(blocks["d"]) * scales
    m = column(blocks["dmin"]) * mins
    fifth = bit_fields(blocks["qh"], 32, 1)
    q = bit_fields(blocks["qs"], 32, 4) | fifth << 4
    return (scaled(d, q) - m[:, :, None]).reshape(-1, 256)


DECODERS: Final[dict[TensorType, tuple[np.dtype[Any], Callable[[Records], Float32]]]] = {
    **{kind: (dtype, dequantize_plain) for kind, dtype in PLAIN.items()},
    **{kind: (record, product(integers)) for kind, (record, integers) in INTEGERS.items()},
    TensorType.BF16: (BF16, dequantize_bf16),
    TensorType.Q4_1: (Q4_1, dequantize_q4_1),
    TensorType.Q5_1: (Q5_1, dequantize_q5_1),
    TensorType.Q2_K: (Q2_K, dequantize_q2_k),
    TensorType.Q4_K: (Q4_K, dequantize_q4_k),
    TensorType.Q5_K: (Q5_K, dequantize_q5_k),
}
