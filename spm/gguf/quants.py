"""Blocks to float32: one short function per tensor type, after the map of its bytes.

A block's bytes are a numpy record, so the map is also the code that takes it apart. In the maps `:`
cuts a byte into bit fields, the highest bit first; names are those of ggml's C (ggml-common.h).
Blocks come in as records (n,), values go out as float32 (n, values per block).

The order of the float operations is ggml's (ggml-quants.c, dequantize_row_*), without fused
multiply-add, so that every result is the same to the bit. Half-precision scales decode as IEEE 754
says, subnormal and not finite ones included.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from spm.errors import GGUFError
from spm.gguf.types import BLOCK_LAYOUTS, TensorType

Records = npt.NDArray[Any]  # (n,) of one of the records below
Bytes = npt.NDArray[np.uint8]
Float32 = npt.NDArray[np.float32]

VALUES_AT_A_TIME: Final = 1 << 17  # the temporaries stay small, in the cache


def dequantize(type: TensorType, data: Bytes, shape: tuple[int, ...]) -> Float32:  # noqa: A002
    """A tensor's bytes (uint8, any shape) as a new float32 array of the row-major `shape`.

    Equal to ggml's values to the bit; the payload of a NaN is not kept. F64, I32 and I64 round to
    the nearest float32. Raises GGUFError for a type that is not decoded and for data that does
    not fit the shape.
    """
    if type not in DECODERS:
        raise GGUFError(f"tensor type {type.name} cannot be dequantised by this version")
    record, decode = DECODERS[type]
    layout = BLOCK_LAYOUTS[type]
    expected = prod(shape) // layout.values * layout.nbytes
    if min(shape, default=-1) < 0 or shape[-1] % layout.values or data.nbytes != expected:
        raise GGUFError(
            f"{data.nbytes} bytes of {type.name} for shape {list(shape)}, "
            f"expected {expected} in rows of a multiple of {layout.values}"
        )
    blocks = np.ascontiguousarray(data).reshape(-1).view(record)
    out = np.empty((len(blocks), layout.values), np.float32)
    with np.errstate(all="ignore"):  # scales that are not finite are the file's, not ours
        for part in slices(len(blocks), layout.values):
            out[part] = decode(blocks[part])
    return out.reshape(shape)


def slices(n_blocks: int, values: int) -> list[slice]:
    """Slices over blocks of so many values each, of about VALUES_AT_A_TIME in all."""
    step = VALUES_AT_A_TIME // values
    return [slice(start, start + step) for start in range(0, n_blocks, step)]


def column(values: npt.NDArray[Any]) -> Float32:
    """(n,) -> float32 (n, 1)."""
    return values.astype(np.float32)[:, None]


def bit_fields(packed: Bytes, group: int, width: int) -> Bytes:
    """Numbers of `width` bits cut from bytes: (n, b) -> (n, b * 8 / width).

    Of each `group` bytes come first the lowest fields, one of each byte, then the next ones up.
    """
    shifts = np.arange(0, 8, width, dtype=np.uint8)[:, None]
    mask = np.uint8((1 << width) - 1)
    fields: Bytes = (packed.reshape(len(packed), -1, 1, group) >> shifts) & mask
    return fields.reshape(len(packed), -1)


def scaled(d: Float32, q: npt.NDArray[Any]) -> Float32:
    """Sub-blocks times their scales: d (n, s), q (n, values) -> (n, s, values / s)."""
    n, subs = d.shape
    product: Float32 = d[:, :, None] * q.reshape(n, subs, -1).astype(np.float32)
    return product


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

# Q4_0, 18 bytes:
#   0  d      f16
#   2  qs[16] q16:q0  q17:q1 .. q31:q15
Q4_0: Final = np.dtype([("d", "<f2"), ("qs", "u1", 16)])


def dequantize_q4_0(blocks: Records) -> Float32:
    """x = d (q - 8)."""
    return column(blocks["d"]) * (bit_fields(blocks["qs"], 16, 4).astype(np.float32) - 8)


# Q4_1, 20 bytes:
#   0  d      f16
#   2  m      f16
#   4  qs[16] q16:q0  q17:q1 .. q31:q15
Q4_1: Final = np.dtype([("d", "<f2"), ("m", "<f2"), ("qs", "u1", 16)])


def dequantize_q4_1(blocks: Records) -> Float32:
    """x = d q + m."""
    return column(blocks["d"]) * bit_fields(blocks["qs"], 16, 4) + column(blocks["m"])


# Q5_0, 22 bytes:
#   0  d      f16
#   2  qh[4]  the fifth bits: q7:q6:..:q0  q15:..:q8  q23:..:q16  q31:..:q24
#   6  qs[16] q16:q0  q17:q1 .. q31:q15, their low four bits
Q5_0: Final = np.dtype([("d", "<f2"), ("qh", "u1", 4), ("qs", "u1", 16)])


def dequantize_q5_0(blocks: Records) -> Float32:
    """x = d (q - 16)."""
    q = bit_fields(blocks["qs"], 16, 4) | bit_fields(blocks["qh"], 1, 1) << 4
    return column(blocks["d"]) * (q.astype(np.float32) - 16)


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


# Q8_0, 34 bytes:
#   0  d      f16
#   2  qs[32] i8
Q8_0: Final = np.dtype([("d", "<f2"), ("qs", "i1", 32)])


def dequantize_q8_0(blocks: Records) -> Float32:
    """x = d q."""
    return column(blocks["d"]) * blocks["qs"].astype(np.float32)


# Q8_1, 36 bytes, what ggml turns activations into before an integer dot product:
#   0  d      f16
#   2  s      f16, d (q0 + q1 + .. + q31), there to fold in the other factor's minimum
#   4  qs[32] i8
Q8_1: Final = np.dtype([("d", "<f2"), ("s", "<f2"), ("qs", "i1", 32)])


def dequantize_q8_1(blocks: Records) -> Float32:
    """x = d q. ggml has no function for it: this is what quantize_row_q8_1_ref inverts to."""
    return column(blocks["d"]) * blocks["qs"].astype(np.float32)


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


# Q3_K, 110 bytes, 16 sub-blocks of 16:
#   0  hmask[32]  the third bits: q224:q192:..:q32:q0 .. q255:..:q31; a bit that is 0 takes 4 off
#  32  qs[64]     the low two bits, as in Q2_K
#  96  scales[12] six bits each, less 32:
#        0  s8:s0  s9:s1 .. s15:s7    their low four bits
#        8  s12:s8:s4:s0 .. s15:s11:s7:s3  their high two bits
# 108  d          f16
Q3_K: Final = np.dtype([("hmask", "u1", 32), ("qs", "u1", 64), ("scales", "u1", 12), ("d", "<f2")])


def dequantize_q3_k(blocks: Records) -> Float32:
    """x = (d (scale - 32)) (q - 4), q of three bits."""
    low = bit_fields(blocks["scales"][:, :8], 8, 4)
    high = bit_fields(blocks["scales"][:, 8:], 4, 2)
    d = column(blocks["d"]) * ((low | high << 4).astype(np.float32) - 32)
    third = bit_fields(blocks["hmask"], 32, 1)
    q = bit_fields(blocks["qs"], 32, 2) | third << 2
    return scaled(d, q.astype(np.float32) - 4).reshape(-1, 256)


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


# Q6_K, 210 bytes, 16 sub-blocks of 16:
#   0  ql[128]    the low four bits: q64:q0 .. q127:q63, then the same of q128..q255
# 128  qh[64]     the high two bits: q96:q64:q32:q0 .. q127:q95:q63:q31, then of q128..q255
# 192  scales[16] i8
# 208  d          f16
Q6_K: Final = np.dtype([("ql", "u1", 128), ("qh", "u1", 64), ("scales", "i1", 16), ("d", "<f2")])


def dequantize_q6_k(blocks: Records) -> Float32:
    """x = (d scale) (q - 32)."""
    high = bit_fields(blocks["qh"], 32, 2)
    q = bit_fields(blocks["ql"], 64, 4) | high << 4
    d = column(blocks["d"]) * blocks["scales"]
    return scaled(d, q.astype(np.float32) - 32).reshape(-1, 256)


# Q8_K, 292 bytes, what ggml turns activations into for its K dot products:
#   0  d          f32
#   4  qs[256]    i8
# 260  bsums[16]  i16, the sums of 16 q each
Q8_K: Final = np.dtype([("d", "<f4"), ("qs", "i1", 256), ("bsums", "<i2", 16)])


def dequantize_q8_k(blocks: Records) -> Float32:
    """x = d q."""
    return column(blocks["d"]) * blocks["qs"].astype(np.float32)


# ---- four bits that index a table of levels, closer together near zero ----

# ggml-common.h, kvalues_iq4nl
IQ4_LEVELS: Final = np.array(
    [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], np.float32
)

# IQ4_NL, 18 bytes:
#   0  d      f16
#   2  qs[16] q16:q0  q17:q1 .. q31:q15
IQ4_NL: Final = np.dtype([("d", "<f2"), ("qs", "u1", 16)])


def dequantize_iq4_nl(blocks: Records) -> Float32:
    """x = d level[q]."""
    return column(blocks["d"]) * IQ4_LEVELS[bit_fields(blocks["qs"], 16, 4)]


# IQ4_XS, 136 bytes, 8 sub-blocks of 32:
#   0  d           f16
#   2  scales_h    u16, s7:s6:..:s0, the high two bits of each scale
#   4  scales_l[4] s1:s0  s3:s2  s5:s4  s7:s6, the low four
#   8  qs[128]     q16:q0 .. q31:q15, then the same of each following 32
IQ4_XS: Final = np.dtype(
    [("d", "<f2"), ("scales_h", "<u2"), ("scales_l", "u1", 4), ("qs", "u1", 128)]
)


def dequantize_iq4_xs(blocks: Records) -> Float32:
    """x = (d (scale - 32)) level[q]."""
    high = blocks["scales_h"][:, None] >> np.arange(0, 16, 2, dtype=np.uint16) & 3
    scales = bit_fields(blocks["scales_l"], 1, 4) | high << 4
    d = column(blocks["d"]) * (scales.astype(np.float32) - 32)
    return scaled(d, IQ4_LEVELS[bit_fields(blocks["qs"], 16, 4)]).reshape(-1, 256)


DECODERS: Final[dict[TensorType, tuple[np.dtype[Any], Callable[[Records], Float32]]]] = {
    **{kind: (dtype, dequantize_plain) for kind, dtype in PLAIN.items()},
    TensorType.BF16: (BF16, dequantize_bf16),
    TensorType.Q4_0: (Q4_0, dequantize_q4_0),
    TensorType.Q4_1: (Q4_1, dequantize_q4_1),
    TensorType.Q5_0: (Q5_0, dequantize_q5_0),
    TensorType.Q5_1: (Q5_1, dequantize_q5_1),
    TensorType.Q8_0: (Q8_0, dequantize_q8_0),
    TensorType.Q8_1: (Q8_1, dequantize_q8_1),
    TensorType.Q2_K: (Q2_K, dequantize_q2_k),
    TensorType.Q3_K: (Q3_K, dequantize_q3_k),
    TensorType.Q4_K: (Q4_K, dequantize_q4_k),
    TensorType.Q5_K: (Q5_K, dequantize_q5_k),
    TensorType.Q6_K: (Q6_K, dequantize_q6_k),
    TensorType.Q8_K: (Q8_K, dequantize_q8_k),
    TensorType.IQ4_NL: (IQ4_NL, dequantize_iq4_nl),
    TensorType.IQ4_XS: (IQ4_XS, dequantize_iq4_xs),
}
