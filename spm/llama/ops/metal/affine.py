"""GGUF blocks as MLX multiplies them: words of packed codes, and a scale and a bias for each 32.

MLX's affine form is x = scale * q + bias with q of 2, 3, 4, 5, 6 or 8 bits, for groups of 32 or
more. A block type is such a form already, but for the places of its bits and for q that is counted
from a zero in the middle: d (q - 8) is d q + (-8 d). All of the ten types here keep every value:

- a scale is d times an integer of at most 7 bits, its product with q has at most 11 + 7 + 6 bits of
  float32's 24, and so has a bias: nothing is rounded that the file's own formula does not round;
- only where a minimum of its own is taken off, in Q4_1 or Q4_K, there is one rounding, the same.

The one thing that is lost is the sign of a zero. Q2_K, Q3_K and Q6_K have groups of 16, for which
MLX has no products: they have scales and biases of their own for the even and the odd 16 of each
32, over the same words (`Affine.times` in forms.py multiplies twice).

    Q4_0, d = 0.5, q = 9 3 ..        0.5 (9 - 8)  = 0.5       0.5 (3 - 8) = -2.5
    scale 0.5, bias -4, the same q   0.5 * 9 - 4  = 0.5       0.5 * 3 - 4 = -2.5
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from spm.gguf.quants import (
    DECODERS,
    Bytes,
    Float32,
    Records,
    bit_fields,
    column,
    scales_and_mins,
    slices,
)
from spm.gguf.types import BLOCK_LAYOUTS, TensorType

GROUP: Final = 32  # values to a scale; MLX has no smaller groups


class Parts(NamedTuple):
    """n blocks taken apart: x = scale * q + bias."""

    q: Bytes  # (n, values), each below 2**bits
    scale: Float32  # (n, groups), groups of 16 or 32 values
    bias: Float32  # (n, groups)


class Packed(NamedTuple):
    """A matrix (O, I) as MLX wants it."""

    words: npt.NDArray[np.uint32]  # (O, I * bits / 32), the lowest bits first
    scales: Float32  # (g, O, I / 32): g is 1, or 2 where the even and the odd 16 differ
    biases: Float32  # (g, O, I / 32)
    bits: int


def pack(kind: TensorType, data: Bytes, columns: int) -> Packed:
    """The bytes (O, row bytes) of a matrix of one of `PARTS`' types, repacked."""
    bits, take_apart = PARTS[kind]
    blocks = np.ascontiguousarray(data).reshape(-1).view(DECODERS[kind][0])
    values = BLOCK_LAYOUTS[kind].values
    rows = len(data)
    words = np.empty((len(blocks), values * bits // 8), np.uint8)
    scales, biases = [], []
    with np.errstate(all="ignore"):  # scales that are not finite are the file's, not ours
        for part in slices(len(blocks), values):
            q, scale, bias = take_apart(blocks[part])
            words[part] = bit_stream(q, bits)
            scales.append(scale)
            biases.append(bias)
    return Packed(
        words.reshape(rows, -1).view("<u4"),
        _by_parity(np.concatenate(scales).reshape(rows, -1), columns),
        _by_parity(np.concatenate(biases).reshape(rows, -1), columns),
        bits,
    )


def bit_stream(q: Bytes, bits: int) -> Bytes:
    """Numbers below 2**bits, one behind another from the lowest bit on: (n, v) -> (n, v*bits/8).

    Two neighbours become one number of twice the width, three times over: 8 numbers in 8 bytes, of
    which the lowest `bits` bytes are in use.
    """
    n = len(q)
    for width, used in ((8, bits), (16, 2 * bits), (32, 4 * bits)):
        pairs = q.view(f"<u{width // 4}")
        low = pairs & ((1 << width) - 1)
        q = (pairs >> width << used | low).view(np.uint8)
    return np.ascontiguousarray(q.reshape(n, -1, 8)[..., :bits]).reshape(n, -1)


def _by_parity(groups: Float32, columns: int) -> Float32:
    """(O, I / 32) -> (1, O, I / 32), or (O, I / 16) -> (2, O, I / 32)."""
    split = groups.reshape(len(groups), columns // GROUP, -1)
    return np.ascontiguousarray(split.transpose(2, 0, 1))


# The parts of each type; where their bytes lie tells spm/gguf/quants.py


def centred(q: Bytes, scale: Float32, zero: int) -> Parts:
    """x = scale * (q - zero)."""
    return Parts(q, scale, scale * np.float32(-zero))


def joined(low: Bytes, high: Bytes, bits: int) -> Bytes:
    """Numbers of which the low `bits` and those above them lie apart."""
    q: Bytes = low | high << np.uint8(bits)
    return q


def parts_q4_0(blocks: Records) -> Parts:
    """x = d (q - 8)."""
    return centred(bit_fields(blocks["qs"], 16, 4), column(blocks["d"]), 8)


def parts_q4_1(blocks: Records) -> Parts:
    """x = d q + m."""
    return Parts(bit_fields(blocks["qs"], 16, 4), column(blocks["d"]), column(blocks["m"]))


def five_bits(blocks: Records) -> Bytes:
    """The q of Q5_0 and Q5_1."""
    return joined(bit_fields(blocks["qs"], 16, 4), bit_fields(blocks["qh"], 1, 1), 4)


def parts_q5_0(blocks: Records) -> Parts:
    """x = d (q - 16)."""
    return centred(five_bits(blocks), column(blocks["d"]), 16)


def parts_q5_1(blocks: Records) -> Parts:
    """x = d q + m."""
    return Parts(five_bits(blocks), column(blocks["d"]), column(blocks["m"]))


def parts_q8_0(blocks: Records) -> Parts:
    """x = d q, q from -128 on: counted from there it has no sign."""
    q: Bytes = blocks["qs"].view(np.uint8) ^ np.uint8(0x80)
    return centred(q, column(blocks["d"]), 128)


def parts_q2_k(blocks: Records) -> Parts:
    """x = (d scale) q - (dmin min)."""
    scale = column(blocks["d"]) * (blocks["scales"] & 0x0F)
    return Parts(
        bit_fields(blocks["qs"], 32, 2), scale, -(column(blocks["dmin"]) * (blocks["scales"] >> 4))
    )


def parts_q3_k(blocks: Records) -> Parts:
    """x = (d (scale - 32)) (q - 4)."""
    packed = blocks["scales"]
    scales = joined(bit_fields(packed[:, :8], 8, 4), bit_fields(packed[:, 8:], 4, 2), 4)
    scale = column(blocks["d"]) * (scales.astype(np.float32) - 32)
    q = joined(bit_fields(blocks["qs"], 32, 2), bit_fields(blocks["hmask"], 32, 1), 2)
    return centred(q, scale, 4)


def scaled_minimum(blocks: Records) -> tuple[Float32, Float32]:
    """d scale and -(dmin min) of Q4_K and Q5_K."""
    scales, mins = scales_and_mins(blocks["scales"])
    return column(blocks["d"]) * scales, -(column(blocks["dmin"]) * mins)


def parts_q4_k(blocks: Records) -> Parts:
    """x = (d scale) q - (dmin min)."""
    return Parts(bit_fields(blocks["qs"], 32, 4), *scaled_minimum(blocks))


def parts_q5_k(blocks: Records) -> Parts:
    """x = (d scale) q - (dmin min)."""
    q = joined(bit_fields(blocks["qs"], 32, 4), bit_fields(blocks["qh"], 32, 1), 4)
    return Parts(q, *scaled_minimum(blocks))


def parts_q6_k(blocks: Records) -> Parts:
    """x = (d scale) (q - 32)."""
    q = joined(bit_fields(blocks["ql"], 64, 4), bit_fields(blocks["qh"], 32, 2), 4)
    return centred(q, column(blocks["d"]) * blocks["scales"], 32)


# Bits of a q, and how blocks are taken apart
PARTS: Final[dict[TensorType, tuple[int, Callable[[Records], Parts]]]] = {
    TensorType.Q4_0: (4, parts_q4_0),
    TensorType.Q4_1: (4, parts_q4_1),
    TensorType.Q5_0: (5, parts_q5_0),
    TensorType.Q5_1: (5, parts_q5_1),
    TensorType.Q8_0: (8, parts_q8_0),
    TensorType.Q2_K: (2, parts_q2_k),
    TensorType.Q3_K: (3, parts_q3_k),
    TensorType.Q4_K: (4, parts_q4_k),
    TensorType.Q5_K: (5, parts_q5_k),
    TensorType.Q6_K: (6, parts_q6_k),
}
