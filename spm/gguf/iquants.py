"""Blocks whose integers stand in a codebook: IQ1, IQ2 and IQ3, as integers and scales.

Weights are not rounded one by one but eight (IQ3: four) at a time, to the nearest row of a
codebook (spm.gguf.codebooks), so a block holds the numbers of rows. An IQ2 or IQ3 row says how
large the weights are, and signs stand beside it; an IQ1 row has its signs inside, and a bit beside
it moves all eight weights by an eighth, up or down.

A worked example, the first 8 weights of an IQ2_XXS block whose sub-block has scale 3:

    row 1 of the codebook  43  8  8  8  8  8  8  8
    signs 0000010          the second weight is negative; and so is the eighth, which keeps the
                           number of minus signs even
    q                      43 -8  8  8  8  8  8 -8
    x                      q d (2 * 3 + 1) / 8

ggml writes that last line as q (d (0.5 + 3) 0.25), which is the same to the bit: spm.gguf.integers.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from spm.gguf import codebooks
from spm.gguf.blocks import Bytes, Float32, Int8, Integers, Records, bit_fields, column, word_fields

# Seven signs as ggml stores them, and the eighth that makes their number even (ggml-common.h,
# ksigns_iq2xs).
EVEN_SIGNS: Final = np.array([s | s.bit_count() % 2 << 7 for s in range(128)], np.uint8)


def odd_scales(d: npt.NDArray[Any], scales: npt.NDArray[Any], over: int) -> Float32:
    """d (2 scale + 1) / over, a power of two: (n,), (n, s) -> float32 (n, s)."""
    odd = 2 * scales.astype(np.float32) + 1
    product: Float32 = column(d) * odd / np.float32(over)
    return product


def high_and_low(high: npt.NDArray[Any], low: Bytes) -> npt.NDArray[Any]:
    """The numbers of rows, uint16, from their bits above the eighth and below."""
    return high.astype(np.uint16) << 8 | low


def picked(book: codebooks.Codebook, numbers: npt.NDArray[Any]) -> Int8:
    """The rows of those numbers, one after another: (n, r) -> (n, r * length)."""
    q: Int8 = codebooks.rows(book)[numbers]
    return q.reshape(len(numbers), -1)


def signed(q: Int8, signs: Bytes) -> Int8:
    """q (n, 256), negative where the bits of signs (n, 32) are set, the lowest bit first."""
    return q * (1 - 2 * bit_fields(signs, 1, 1).view(np.int8))


# ---- IQ2: rows of eight out of 8, 25, 43 ----

# IQ2_XXS, 66 bytes, 8 sub-blocks of 32 in 8 bytes each:
#   0  d        f16
#   2  qs[8]
#        0  rows[4]  u8
#        4  signs    u32, scale:s3:s2:s1:s0, four bits and 7 signs of each row
IQ2_XXS: Final = np.dtype([("d", "<f2"), ("qs", [("rows", "u1", 4), ("signs", "<u4")], 8)])


def integers_iq2_xxs(blocks: Records) -> Integers:
    """x = (d (2 scale + 1) / 8) (± row)."""
    numbers, signs = blocks["qs"]["rows"].reshape(-1, 32), blocks["qs"]["signs"]
    q = signed(picked(codebooks.IQ2_XXS, numbers), EVEN_SIGNS[word_fields(signs, 7, 4)])
    return q, odd_scales(blocks["d"], signs >> 28, 8)


# IQ2_XS, 74 bytes, 16 sub-blocks of 16:
#   0  d          f16
#   2  qs[32]     u16, signs:row, 7 and 9 bits
#  66  scales[8]  s1:s0  s3:s2 .. s15:s14
IQ2_XS: Final = np.dtype([("d", "<f2"), ("qs", "<u2", 32), ("scales", "u1", 8)])


def integers_iq2_xs(blocks: Records) -> Integers:
    """x = (d (2 scale + 1) / 8) (± row)."""
    qs, scales = blocks["qs"], bit_fields(blocks["scales"], 1, 4)
    q = signed(picked(codebooks.IQ2_XS, qs & 0x1FF), EVEN_SIGNS[qs >> 9])
    return q, odd_scales(blocks["d"], scales, 8)


# IQ2_S, 82 bytes, 16 sub-blocks of 16:
#   0  d          f16
#   2  qs[32]     the low eight bits of the rows' numbers
#  34  signs[32]  eight of each row
#  66  qh[8]      the high two bits: r3:r2:r1:r0 .. r31:r30:r29:r28
#  74  scales[8]  s1:s0  s3:s2 .. s15:s14
IQ2_S: Final = np.dtype(
    [("d", "<f2"), ("qs", "u1", 32), ("signs", "u1", 32), ("qh", "u1", 8), ("scales", "u1", 8)]
)


def integers_iq2_s(blocks: Records) -> Integers:
    """x = (d (2 scale + 1) / 8) (± row)."""
    numbers = high_and_low(bit_fields(blocks["qh"], 1, 2), blocks["qs"])
    q = signed(picked(codebooks.IQ2_S, numbers), blocks["signs"])
    return q, odd_scales(blocks["d"], bit_fields(blocks["scales"], 1, 4), 8)


# ---- IQ3: rows of four out of eight levels ----

# IQ3_XXS, 98 bytes, 8 sub-blocks of 32:
#   0  d         f16
#   2  qs[64]    the rows' numbers
#  66  signs[8]  u32, scale:s3:s2:s1:s0, four bits and 7 signs of each two rows
IQ3_XXS: Final = np.dtype([("d", "<f2"), ("qs", "u1", 64), ("signs", "<u4", 8)])


def integers_iq3_xxs(blocks: Records) -> Integers:
    """x = (d (2 scale + 1) / 4) (± row)."""
    signs = blocks["signs"]
    q = signed(picked(codebooks.IQ3_XXS, blocks["qs"]), EVEN_SIGNS[word_fields(signs, 7, 4)])
    return q, odd_scales(blocks["d"], signs >> 28, 4)


# IQ3_S, 110 bytes, 8 sub-blocks of 32:
#   0  d          f16
#   2  qs[64]     the low eight bits of the rows' numbers
#  66  qh[8]      the ninth: r7:r6:..:r0 .. r63:..:r56
#  74  signs[32]  eight of each two rows
# 106  scales[4]  s1:s0  s3:s2  s5:s4  s7:s6
IQ3_S: Final = np.dtype(
    [("d", "<f2"), ("qs", "u1", 64), ("qh", "u1", 8), ("signs", "u1", 32), ("scales", "u1", 4)]
)


def integers_iq3_s(blocks: Records) -> Integers:
    """x = (d (2 scale + 1)) (± row)."""
    numbers = high_and_low(bit_fields(blocks["qh"], 1, 1), blocks["qs"])
    q = signed(picked(codebooks.IQ3_S, numbers), blocks["signs"])
    return q, odd_scales(blocks["d"], bit_fields(blocks["scales"], 1, 4), 1)


# ---- IQ1: rows of eight out of -1, 0, 1, and a delta of ± 1/8 ----


def eighths(q: Int8, down: npt.NDArray[Any]) -> Int8:
    """8 q + 1, or 8 q - 1 where `down`, a bit for each equal part: (n, 256), (n, parts)."""
    deltas = 1 - 2 * down.astype(np.int8)
    moved: Int8 = 8 * q.reshape(*down.shape, -1) + deltas[:, :, None]
    return moved.reshape(len(q), -1)


# IQ1_S, 50 bytes, 8 sub-blocks of 32:
#   0  d       f16
#   2  qs[32]  the low eight bits of the rows' numbers
#  34  qh[8]   u16, down:scale:r3:r2:r1:r0, one bit, three, and the rows' high three
IQ1_S: Final = np.dtype([("d", "<f2"), ("qs", "u1", 32), ("qh", "<u2", 8)])


def integers_iq1_s(blocks: Records) -> Integers:
    """x = (d (2 scale + 1) / 8) (8 row ± 1)."""
    qh = blocks["qh"]
    q = picked(codebooks.IQ1, high_and_low(word_fields(qh, 3, 4), blocks["qs"]))
    return eighths(q, qh >> 15), odd_scales(blocks["d"], qh >> 12 & 7, 8)


# IQ1_M, 56 bytes, 16 sub-blocks of 16:
#   0  qs[32]     the low eight bits of the rows' numbers
#  32  qh[16]     down1:r1:down0:r0 .. down31:r31:down30:r30, one bit and the high three
#  48  scales[4]  u16, d0:s3:s2:s1:s0  d1:s7:s6:s5:s4  d2:..:s8  d3:..:s12, scales of three bits,
#                 and d, an f16, in four pieces, d3:d2:d1:d0
IQ1_M: Final = np.dtype([("qs", "u1", 32), ("qh", "u1", 16), ("scales", "<u2", 4)])


def integers_iq1_m(blocks: Records) -> Integers:
    """x = (d (2 scale + 1) / 8) (8 row ± 1)."""
    scales = blocks["scales"]
    d = np.bitwise_or.reduce(scales >> 12 << np.arange(0, 16, 4, dtype=np.uint16), axis=1)
    qh = bit_fields(blocks["qh"], 1, 4)
    q = picked(codebooks.IQ1, high_and_low(qh & 7, blocks["qs"]))
    return eighths(q, qh >> 3), odd_scales(d.view(np.float16), word_fields(scales, 3, 4), 8)
