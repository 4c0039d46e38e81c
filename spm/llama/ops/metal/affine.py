"""GGUF blocks as MLX multiplies them: words of packed codes, and a scale and a bias for each 32.

MLX's affine form is x = scale * q + bias with q of 2, 3, 4, 5, 6 or 8 bits, counted from 0, for
groups of 32 or more. Most block types are integers times scales (spm.gguf.integers): counted from
their lowest, with a bias that takes it off again, they are such a form. The five types with a
minimum are one already. No value changes:

- a scale has at most 11 + s bits, s those of the scale of a sub-block, and q has at most b with a
  sign; s + b <= 12, and counting from the lowest adds a bit: the product has 24, as has float32;
- so nothing rounds that the file's own formula does not round: the addition of a minimum, once.

    Q4_0, d = 0.5, q = 9 3 ..        0.5 (9 - 8)  = 0.5       0.5 (3 - 8) = -2.5
    scale 0.5, bias -4, the same q   0.5 * 9 - 4  = 0.5       0.5 * 3 - 4 = -2.5

The one thing that is lost is the sign of a zero. Where 16 values share a scale, a group too small
for MLX, there are scales and biases of their own for the even and the odd 16 of each 32, over the
same words (`Affine.times` in forms.py multiplies twice).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from spm.gguf.blocks import Bytes, Float32, Records, bit_fields, column, slices
from spm.gguf.integers import GROUP as SCALED
from spm.gguf.integers import INTEGERS, as_integers
from spm.gguf.quants import DECODERS, scales_and_mins
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


def has_affine(kind: TensorType) -> bool:
    """Whether `pack` takes matrices of this type. Q8_K, with a float32 for d, would round."""
    return kind in WITH_MINIMUM or (kind in INTEGERS and kind is not TensorType.Q8_K)


def pack(kind: TensorType, data: Bytes, columns: int) -> Packed:
    """The bytes (O, row bytes) of a matrix, repacked."""
    values, nbytes = BLOCK_LAYOUTS[kind]
    blocks = np.ascontiguousarray(data).reshape(-1, nbytes)
    bits = WITH_MINIMUM[kind][0] if kind in WITH_MINIMUM else RANGES.get(kind, (8, 128))[0]
    words = np.empty((len(blocks), values * bits // 8), np.uint8)
    scales = np.empty((len(blocks), values // SCALED), np.float32)
    biases = np.empty_like(scales)
    with np.errstate(all="ignore"):  # scales that are not finite are the file's, not ours
        for part in slices(len(blocks), values):
            q, scale, bias = take_apart(kind, blocks[part])
            words[part] = bit_stream(q, bits)
            repeats = scales.shape[1] // scale.shape[1]
            scales[part] = np.repeat(scale, repeats, axis=1)
            biases[part] = np.repeat(bias, repeats, axis=1)
    groups = np.stack([scales, biases]).reshape(2, len(data), columns // GROUP, 2)
    differ = not np.array_equal(groups[..., 0], groups[..., 1])
    by_parity = np.ascontiguousarray(groups.transpose(0, 3, 1, 2))[:, : 1 + differ]
    return Packed(words.reshape(len(data), -1).view("<u4"), by_parity[0], by_parity[1], bits)


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


def take_apart(kind: TensorType, blocks: Bytes) -> Parts:
    """Blocks (n, bytes) as codes, scales and biases."""
    if kind in WITH_MINIMUM:
        return WITH_MINIMUM[kind][1](blocks.reshape(-1).view(DECODERS[kind][0]))
    zero = RANGES.get(kind, (8, 128))[1]
    q, scale = as_integers(kind, blocks, (len(blocks), BLOCK_LAYOUTS[kind].values))
    return Parts(q.view(np.uint8) + np.uint8(zero), scale, scale * np.float32(-zero))


# Integers of few bits: how many, and what to add so that none is negative. Others have 8, and 128.
RANGES: Final[dict[TensorType, tuple[int, int]]] = {
    TensorType.Q1_0: (2, 1),
    TensorType.Q2_0: (2, 1),
    TensorType.TQ1_0: (2, 1),
    TensorType.TQ2_0: (2, 1),
    TensorType.Q3_K: (3, 4),
    TensorType.Q4_0: (4, 8),
    TensorType.Q5_0: (5, 16),
    TensorType.IQ1_S: (5, 16),
    TensorType.IQ1_M: (5, 16),
    TensorType.MXFP4: (5, 16),
    TensorType.NVFP4: (5, 16),
    TensorType.Q6_K: (6, 32),
}


# The types with a minimum; where their bytes lie tells spm/gguf/quants.py


def joined(low: Bytes, high: Bytes, bits: int) -> Bytes:
    """Numbers of which the low `bits` and those above them lie apart."""
    q: Bytes = low | high << np.uint8(bits)
    return q


def parts_q4_1(blocks: Records) -> Parts:
    """x = d q + m."""
    return Parts(bit_fields(blocks["qs"], 16, 4), column(blocks["d"]), column(blocks["m"]))


def parts_q5_1(blocks: Records) -> Parts:
    """x = d q + m."""
    q = joined(bit_fields(blocks["qs"], 16, 4), bit_fields(blocks["qh"], 1, 1), 4)
    return Parts(q, column(blocks["d"]), column(blocks["m"]))


def parts_q2_k(blocks: Records) -> Parts:
    """x = (d scale) q - (dmin min)."""
    scale = column(blocks["d"]) * (blocks["scales"] & 0x0F)
    minimum = column(blocks["dmin"]) * (blocks["scales"] >> 4)
    return Parts(bit_fields(blocks["qs"], 32, 2), scale, -minimum)


def parts_q4_k(blocks: Records) -> Parts:
    """x = (d scale) q - (dmin min)."""
    return with_minimum(blocks, bit_fields(blocks["qs"], 32, 4))


def parts_q5_k(blocks: Records) -> Parts:
    """x = (d scale) q - (dmin min)."""
    q = joined(bit_fields(blocks["qs"], 32, 4), bit_fields(blocks["qh"], 32, 1), 4)
    return with_minimum(blocks, q)


def with_minimum(blocks: Records, q: Bytes) -> Parts:
    """The scales and minima of Q4_K and Q5_K."""
    scales, mins = scales_and_mins(blocks["scales"])
    return Parts(q, column(blocks["d"]) * scales, -(column(blocks["dmin"]) * mins))


# Bits of a q, and how blocks are taken apart
WITH_MINIMUM: Final[dict[TensorType, tuple[int, Callable[[Records], Parts]]]] = {
    TensorType.Q4_1: (4, parts_q4_1),
    TensorType.Q5_1: (5, parts_q5_1),
    TensorType.Q2_K: (2, parts_q2_k),
    TensorType.Q4_K: (4, parts_q4_k),
    TensorType.Q5_K: (5, parts_q5_k),
}
