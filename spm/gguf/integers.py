"""Blocks to integers and scales: every tensor type whose values are x = scale q, and no more.

Each function below takes the records of a type, after the map of their bytes, and gives q (int8)
and the scales. The types whose integers stand in codebooks are next door, in spm.gguf.iquants;
those with a minimum, added to or taken off the product, are not here (Q4_1 Q5_1 Q2_K Q4_K Q5_K).

Why the product is ggml's value to the bit (ggml-quants.c, dequantize_row_*): ggml multiplies d by
the scale of the sub-block and that by q, some types by a power of two in between. d is a half, of
11 significant bits; scale and q have 12 at most between them (Q6_K: 7 and 5, IQ4_XS: 5 and 7). A
float32 holds 24, so nothing rounds, in whatever order. Only Q8_K rounds, whose d is a float32:
once, in d q, here as there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from spm.errors import GGUFError
from spm.gguf import iquants
from spm.gguf.blocks import (
    Bytes,
    Float32,
    Integers,
    Records,
    as_records,
    bit_fields,
    column,
    lowered,
    slices,
    word_fields,
)
from spm.gguf.types import BLOCK_LAYOUTS, TensorType

GROUP: Final = 16  # values that share a scale in every type


def has_integers(type: TensorType) -> bool:  # noqa: A002
    """Whether `as_integers` takes tensors of this type."""
    return type in INTEGERS


def as_integers(
    type: TensorType,  # noqa: A002
    data: Bytes,
    shape: tuple[int, ...],
) -> Integers:
    """A tensor's bytes (uint8, any shape) as integers and scales, two new arrays.

    q is int8 of the row-major `shape`; scale is float32 of the same shape, its last dimension
    divided by 16: each 16 values of a row share one. float32(q) * scale is `dequantize` to the bit
    for every type here, IQ1_S and IQ1_M included: their grid ± 1/8 is q / 8 with q = 8 grid ± 1,
    and an eighth of a scale is exact. Scales that the file makes infinite or NaN stay so. MXFP4 has
    two subnormal scales, 2^-128 and 2^-127: who flushes those gets zeros.

    Raises GGUFError for a type that is not integers times scales (`has_integers`), and for data
    that does not fit the shape.
    """
    if type not in INTEGERS:
        raise GGUFError(f"tensor type {type.name} is not integers times scales")
    record, take_apart = INTEGERS[type]
    blocks = as_records(type, record, data, shape)
    values = BLOCK_LAYOUTS[type].values
    q = np.empty((len(blocks), values), np.int8)
    scale = np.empty((len(blocks), values // GROUP), np.float32)
    with np.errstate(all="ignore"):  # scales that are not finite are the file's, not ours
        for part in slices(len(blocks), values):
            q[part], parts = take_apart(blocks[part])
            scale[part] = np.repeat(parts, scale.shape[1] // parts.shape[1], axis=1)
    return q.reshape(shape), scale.reshape(*shape[:-1], shape[-1] // GROUP)


# ---- a few bits and a scale ----

# Q1_0, 18 bytes:
#   0  d      f16
#   2  qs[16] q7:q6:..:q0  q15:..:q8 .. q127:..:q120
Q1_0: Final = np.dtype([("d", "<f2"), ("qs", "u1", 16)])


def integers_q1_0(blocks: Records) -> Integers:
    """x = d (2 q - 1): a bit is a sign."""
    return lowered(bit_fields(blocks["qs"], 1, 1) << 1, 1), column(blocks["d"])


# Q2_0, 18 bytes:
#   0  d      f16
#   2  qs[16] q3:q2:q1:q0 .. q63:q62:q61:q60
Q2_0: Final = np.dtype([("d", "<f2"), ("qs", "u1", 16)])


def integers_q2_0(blocks: Records) -> Integers:
    """x = d (q - 1)."""
    return lowered(bit_fields(blocks["qs"], 1, 2), 1), column(blocks["d"])


# Q4_0, 18 bytes:
#   0  d      f16
#   2  qs[16] q16:q0  q17:q1 .. q31:q15
Q4_0: Final = np.dtype([("d", "<f2"), ("qs", "u1", 16)])


def integers_q4_0(blocks: Records) -> Integers:
    """x = d (q - 8)."""
    return lowered(bit_fields(blocks["qs"], 16, 4), 8), column(blocks["d"])


# Q5_0, 22 bytes:
#   0  d      f16
#   2  qh[4]  the fifth bits: q7:q6:..:q0  q15:..:q8  q23:..:q16  q31:..:q24
#   6  qs[16] q16:q0  q17:q1 .. q31:q15, their low four bits
Q5_0: Final = np.dtype([("d", "<f2"), ("qh", "u1", 4), ("qs", "u1", 16)])


def integers_q5_0(blocks: Records) -> Integers:
    """x = d (q - 16)."""
    q = bit_fields(blocks["qs"], 16, 4) | bit_fields(blocks["qh"], 1, 1) << 4
    return lowered(q, 16), column(blocks["d"])


# Q8_0, 34 bytes:
#   0  d      f16
#   2  qs[32] i8
Q8_0: Final = np.dtype([("d", "<f2"), ("qs", "i1", 32)])

# Q8_1, 36 bytes, what ggml turns activations into before an integer dot product:
#   0  d      f16
#   2  s      f16, d (q0 + q1 + .. + q31), there to fold in the other factor's minimum
#   4  qs[32] i8
# ggml has no function that decodes it: ours is what quantize_row_q8_1_ref inverts to.
Q8_1: Final = np.dtype([("d", "<f2"), ("s", "<f2"), ("qs", "i1", 32)])

# Q8_K, 292 bytes, what ggml turns activations into for its K dot products:
#   0  d          f32
#   4  qs[256]    i8
# 260  bsums[16]  i16, the sums of 16 q each
Q8_K: Final = np.dtype([("d", "<f4"), ("qs", "i1", 256), ("bsums", "<i2", 16)])


def integers_q8(blocks: Records) -> Integers:
    """x = d q, of Q8_0, Q8_1 and Q8_K."""
    return blocks["qs"], column(blocks["d"])


# ---- super-blocks of 256 with scales of their sub-blocks ----

# Q3_K, 110 bytes, 16 sub-blocks of 16:
#   0  hmask[32]  the third bits: q224:q192:..:q32:q0 .. q255:..:q31; a bit that is 0 takes 4 off
#  32  qs[64]     the low two bits: q96:q64:q32:q0 .. q127:q95:q63:q31, then of q128..q255
#  96  scales[12] six bits each, less 32:
#        0  s8:s0  s9:s1 .. s15:s7    their low four bits
#        8  s12:s8:s4:s0 .. s15:s11:s7:s3  their high two bits
# 108  d          f16
Q3_K: Final = np.dtype([("hmask", "u1", 32), ("qs", "u1", 64), ("scales", "u1", 12), ("d", "<f2")])


def integers_q3_k(blocks: Records) -> Integers:
    """x = (d (scale - 32)) (q - 4), q of three bits."""
    low = bit_fields(blocks["scales"][:, :8], 8, 4)
    high = bit_fields(blocks["scales"][:, 8:], 4, 2)
    third = bit_fields(blocks["hmask"], 32, 1)
    q = bit_fields(blocks["qs"], 32, 2) | third << 2
    return lowered(q, 4), column(blocks["d"]) * lowered(low | high << 4, 32)


# Q6_K, 210 bytes, 16 sub-blocks of 16:
#   0  ql[128]    the low four bits: q64:q0 .. q127:q63, then the same of q128..q255
# 128  qh[64]     the high two bits: q96:q64:q32:q0 .. q127:q95:q63:q31, then of q128..q255
# 192  scales[16] i8
# 208  d          f16
Q6_K: Final = np.dtype([("ql", "u1", 128), ("qh", "u1", 64), ("scales", "i1", 16), ("d", "<f2")])


def integers_q6_k(blocks: Records) -> Integers:
    """x = (d scale) (q - 32)."""
    high = bit_fields(blocks["qh"], 32, 2)
    q = bit_fields(blocks["ql"], 64, 4) | high << 4
    return lowered(q, 32), column(blocks["d"]) * blocks["scales"]


# ---- three levels: -1, 0, 1 ----

POWERS_OF_3: Final = np.array([1, 3, 9, 27, 81], np.uint8)


def base_3_digits(packed: Bytes, count: int) -> Bytes:
    """The first `count` digits of bytes as fractions to the base 3: (n, b) -> (n, count * b).

    A byte / 256 is 0.abcde to the base 3. Times 9, modulo 1, it is 0.cde; three times that is
    c.de, whose whole part is the digit. All first digits come first, then all second ones.
    """
    rests = packed[:, None, :] * POWERS_OF_3[:count, None]  # modulo 256, as uint8 is
    digits = (rests.astype(np.uint16) * 3 >> 8).astype(np.uint8)
    return digits.reshape(len(packed), -1)


# TQ1_0, 54 bytes, digits to the base 3, see base_3_digits:
#   0  qs[48] five a byte: q0:q32:q64:q96:q128 .. q31:..:q159, q160:q176:..:q224 .. q175:..:q239
#  48  qh[4]  four a byte: q240:q244:q248:q252 .. q243:..:q255
#  52  d      f16
TQ1_0: Final = np.dtype([("qs", "u1", 48), ("qh", "u1", 4), ("d", "<f2")])


def integers_tq1_0(blocks: Records) -> Integers:
    """x = d (q - 1)."""
    first, second = blocks["qs"][:, :32], blocks["qs"][:, 32:]
    digits = base_3_digits(first, 5), base_3_digits(second, 5), base_3_digits(blocks["qh"], 4)
    return lowered(np.concatenate(digits, axis=1), 1), column(blocks["d"])


# TQ2_0, 66 bytes:
#   0  qs[64] q96:q64:q32:q0 .. q127:q95:q63:q31, then the same of q128..q255
#  64  d      f16
TQ2_0: Final = np.dtype([("qs", "u1", 64), ("d", "<f2")])


def integers_tq2_0(blocks: Records) -> Integers:
    """x = d (q - 1); q = 3, which no writer makes, is 2 d."""
    return lowered(bit_fields(blocks["qs"], 32, 2), 1), column(blocks["d"])


# ---- four bits that index a table of levels, closer together near zero ----

# ggml-common.h, kvalues_iq4nl
IQ4_LEVELS: Final = np.array(
    [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], np.int8
)

# IQ4_NL, 18 bytes:
#   0  d      f16
#   2  qs[16] q16:q0  q17:q1 .. q31:q15
IQ4_NL: Final = np.dtype([("d", "<f2"), ("qs", "u1", 16)])


def integers_iq4_nl(blocks: Records) -> Integers:
    """x = d level[q]."""
    return IQ4_LEVELS[bit_fields(blocks["qs"], 16, 4)], column(blocks["d"])


# IQ4_XS, 136 bytes, 8 sub-blocks of 32:
#   0  d           f16
#   2  scales_h    u16, s7:s6:..:s0, the high two bits of each scale
#   4  scales_l[4] s1:s0  s3:s2  s5:s4  s7:s6, the low four
#   8  qs[128]     q16:q0 .. q31:q15, then the same of each following 32
IQ4_XS: Final = np.dtype(
    [("d", "<f2"), ("scales_h", "<u2"), ("scales_l", "u1", 4), ("qs", "u1", 128)]
)


def integers_iq4_xs(blocks: Records) -> Integers:
    """x = (d (scale - 32)) level[q]."""
    high = word_fields(blocks["scales_h"][:, None], 2, 8).astype(np.uint8)
    scales = bit_fields(blocks["scales_l"], 1, 4) | high << 4
    return IQ4_LEVELS[bit_fields(blocks["qs"], 16, 4)], column(blocks["d"]) * lowered(scales, 32)


# The numbers of E2M1, twice as large so that they are whole, after a sign bit; both zeros are the
# same (ggml-common.h, kvalues_mxfp4). The scales below are halved in return.
FP4_LEVELS: Final = np.array([0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12], np.int8)

# MXFP4, 17 bytes:
#   0  e      u8, E8M0: the scale is 2^(e - 127)
#   1  qs[16] q16:q0  q17:q1 .. q31:q15
MXFP4: Final = np.dtype([("e", "u1"), ("qs", "u1", 16)])


def integers_mxfp4(blocks: Records) -> Integers:
    """x = 2^(e - 128) level[q]. e = 255, NaN in E8M0, is a number like the others in ggml."""
    exponents = blocks["e"].astype(np.int32)[:, None] - 128
    return FP4_LEVELS[bit_fields(blocks["qs"], 16, 4)], np.ldexp(np.float32(1), exponents)


def half_of_ue4m3(codes: Bytes) -> Float32:
    """Half of float8 numbers without sign, 0:eeee:mmm, of bias 7 (ggml-impl.h, ggml_ue4m3_to_fp32).

    0x7F, NaN in E4M3, is zero; the highest bit is not looked at, but 0xFF is no NaN for it.
    """
    exponents = codes >> 3 & 15
    mantissas = ((codes & 7) + 8 * (exponents > 0)).astype(np.float32)
    numbers: Float32 = np.ldexp(mantissas, np.maximum(exponents, 1).astype(np.int32) - 11)
    return np.where(codes == 0x7F, np.float32(0), numbers)


# NVFP4, 36 bytes, 4 sub-blocks of 16:
#   0  d[4]   UE4M3, see half_of_ue4m3
#   4  qs[32] q8:q0 .. q15:q7, then the same of each following 16
NVFP4: Final = np.dtype([("d", "u1", 4), ("qs", "u1", 32)])


def integers_nvfp4(blocks: Records) -> Integers:
    """x = (d / 2) level[q]."""
    return FP4_LEVELS[bit_fields(blocks["qs"], 8, 4)], half_of_ue4m3(blocks["d"])


INTEGERS: Final[dict[TensorType, tuple[np.dtype[Any], Callable[[Records], Integers]]]] = {
    TensorType.Q1_0: (Q1_0, integers_q1_0),
    TensorType.Q2_0: (Q2_0, integers_q2_0),
    TensorType.Q4_0: (Q4_0, integers_q4_0),
    TensorType.Q5_0: (Q5_0, integers_q5_0),
    TensorType.Q8_0: (Q8_0, integers_q8),
    TensorType.Q8_1: (Q8_1, integers_q8),
    TensorType.Q8_K: (Q8_K, integers_q8),
    TensorType.Q3_K: (Q3_K, integers_q3_k),
    TensorType.Q6_K: (Q6_K, integers_q6_k),
    TensorType.TQ1_0: (TQ1_0, integers_tq1_0),
    TensorType.TQ2_0: (TQ2_0, integers_tq2_0),
    TensorType.IQ4_NL: (IQ4_NL, integers_iq4_nl),
    TensorType.IQ4_XS: (IQ4_XS, integers_iq4_xs),
    TensorType.MXFP4: (MXFP4, integers_mxfp4),
    TensorType.NVFP4: (NVFP4, integers_nvfp4),
    TensorType.IQ1_S: (iquants.IQ1_S, iquants.integers_iq1_s),
    TensorType.IQ1_M: (iquants.IQ1_M, iquants.integers_iq1_m),
    TensorType.IQ2_XXS: (iquants.IQ2_XXS, iquants.integers_iq2_xxs),
    TensorType.IQ2_XS: (iquants.IQ2_XS, iquants.integers_iq2_xs),
    TensorType.IQ2_S: (iquants.IQ2_S, iquants.integers_iq2_s),
    TensorType.IQ3_XXS: (iquants.IQ3_XXS, iquants.integers_iq3_xxs),
    TensorType.IQ3_S: (iquants.IQ3_S, iquants.integers_iq3_s),
}
