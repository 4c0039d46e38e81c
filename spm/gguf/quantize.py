"""Float32 to blocks, so that the project makes its own files: one function per tensor type.

Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 choose what ggml's reference functions choose (ggml-quants.c,
quantize_row_*_ref, as gguf-py repeats them), to the bit. Q4_K Q5_K Q6_K have many valid encodings;
here each sub-block tries a handful of scales, fits each by least squares and keeps the one with the
smallest squared error (no importance weights). F16 and BF16 round to the nearest, ties to even.

Error on Gaussian rows, root mean square relative to the rows' own, and in brackets what
ggml_quantize_chunk of the llama.cpp in llama-cpp-python 0.3.36 makes of the same million values:
Q4_K 0.0713 (0.0713), Q5_K 0.0358 (0.0361), Q6_K 0.0173 (0.0177).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from spm.errors import GGUFError
from spm.gguf.blocks import Bytes, Float32, Records, slices
from spm.gguf.integers import Q4_0, Q5_0, Q6_K, Q8_0
from spm.gguf.quants import BF16, DECODERS, Q4_1, Q4_K, Q5_1, Q5_K
from spm.gguf.types import BLOCK_LAYOUTS, TensorType


def quantize(type: TensorType, values: npt.NDArray[Any]) -> Bytes:  # noqa: A002
    """Rows of float32 (rows, n) as the blocks of `type`: uint8 (rows, bytes per row).

    Raises GGUFError for another shape or dtype, for rows that are no whole number of blocks, for
    values that are not finite (F32, F16 and BF16 hold those), and for a type that is not written.
    """
    encode = ENCODERS.get(type)
    if encode is None:
        raise GGUFError(f"tensor type {type.name} cannot be written by this version")
    layout = BLOCK_LAYOUTS[type]
    if values.dtype != np.float32 or values.ndim != 2 or values.shape[1] % layout.values:
        raise GGUFError(
            f"{values.dtype} of shape {list(values.shape)}, expected float32 (rows, n) "
            f"with n a multiple of {layout.values} for {type.name}"
        )
    if layout.values > 1 and not np.isfinite(values).all():
        raise GGUFError(f"values that are not finite, expected numbers that {type.name} can hold")
    rows, row_blocks = len(values), values.shape[1] // layout.values
    blocks = np.ascontiguousarray(values).reshape(rows * row_blocks, layout.values)
    out = np.empty(len(blocks), DECODERS[type][0])
    with np.errstate(all="ignore"):  # a scale beyond float16 becomes infinite, as in ggml
        for part in slices(len(blocks), layout.values):
            out[part] = encode(blocks[part])
    return out.view(np.uint8).reshape(rows, row_blocks * layout.nbytes)


def records(dtype: np.dtype[Any], **fields: npt.NDArray[Any]) -> Records:
    """Blocks from their fields."""
    out = np.empty(len(next(iter(fields.values()))), dtype)
    for name, field in fields.items():
        out[name] = field
    return out


def reciprocal(d: Float32) -> Float32:
    """1 / d, and 0 where that is not finite: so small a d is 0 in float16, its values are 0."""
    inverse = 1 / d
    return np.where(np.isfinite(inverse), inverse, np.float32(0))


def round_half_up(x: Float32, most: int) -> Bytes:
    """x >= 0 to the nearest integer, halves up as ggml rounds, at most `most` (as is NaN)."""
    q: Float32 = np.fmin(np.trunc(x + np.float32(0.5)), np.float32(most))
    return q.astype(np.uint8)


def pack_bit_fields(q: Bytes, group: int, width: int) -> Bytes:
    """The inverse of `bit_fields`: `width` bits of each number, (n, q) -> (n, q * width / 8)."""
    shifts = np.arange(0, 8, width, dtype=np.uint8)[:, None]
    fields = (q & np.uint8((1 << width) - 1)).reshape(len(q), -1, 8 // width, group)
    packed: Bytes = np.bitwise_or.reduce(fields << shifts, axis=2)
    return packed.reshape(len(q), -1)


# ---- plain numbers ----


def quantize_f32(x: Float32) -> Records:
    """As they are."""
    return x[:, 0]


def quantize_f16(x: Float32) -> Records:
    """Rounded to nearest even; beyond 65,520 infinite."""
    return x[:, 0].astype("<f2")


def quantize_bf16(x: Float32) -> Records:
    """The high half, rounded to nearest even; a NaN stays one by its quiet bit (ggml-impl.h)."""
    bits = x[:, 0].view(np.uint32)
    rounded = (bits.astype(np.uint64) + 0x7FFF + (bits >> 16 & 1)) >> 16
    return np.where(np.isnan(x[:, 0]), bits >> 16 | 0x40, rounded).astype(BF16)


# ---- blocks of 32 ----


def signed_peak(x: Float32) -> Float32:
    """The first value of largest magnitude, with its sign: (n, 32) -> (n, 1)."""
    return np.take_along_axis(x, np.abs(x).argmax(axis=1)[:, None], axis=1)


def quantize_q4_0(x: Float32) -> Records:
    """q = x / d + 8, where the peak becomes 0."""
    d = signed_peak(x) / np.float32(-8)
    q = np.trunc(x * reciprocal(d) + np.float32(8.5)).clip(0, 15).astype(np.uint8)
    return records(Q4_0, d=d[:, 0], qs=pack_bit_fields(q, 16, 4))


def quantize_q5_0(x: Float32) -> Records:
    """q = x / d + 16, where the peak becomes 0."""
    d = signed_peak(x) / np.float32(-16)
    q = np.trunc(x * reciprocal(d) + np.float32(16.5)).clip(0, 31).astype(np.uint8)
    return records(
        Q5_0, d=d[:, 0], qh=pack_bit_fields(q >> np.uint8(4), 1, 1), qs=pack_bit_fields(q, 16, 4)
    )


def quantize_q4_1(x: Float32) -> Records:
    """q = (x - min) / d."""
    m = x.min(axis=1, keepdims=True)
    d = (x.max(axis=1, keepdims=True) - m) / 15
    q = round_half_up((x - m) * reciprocal(d), 15)
    return records(Q4_1, d=d[:, 0], m=m[:, 0], qs=pack_bit_fields(q, 16, 4))


def quantize_q5_1(x: Float32) -> Records:
    """q = (x - min) / d."""
    m = x.min(axis=1, keepdims=True)
    d = (x.max(axis=1, keepdims=True) - m) / 31
    q = round_half_up((x - m) * reciprocal(d), 31)
    return records(
        Q5_1,
        d=d[:, 0],
        m=m[:, 0],
        qh=pack_bit_fields(q >> np.uint8(4), 1, 1),
        qs=pack_bit_fields(q, 16, 4),
    )


def quantize_q8_0(x: Float32) -> Records:
    """q = x / d, halves away from zero."""
    d = np.abs(x).max(axis=1, keepdims=True) / 127
    scaled = x * reciprocal(d)
    whole = np.floor(np.abs(scaled))
    q = np.copysign(whole + (np.abs(scaled) - whole >= 0.5), scaled)
    return records(Q8_0, d=d[:, 0], qs=q)


# ---- super-blocks of 256 ----

# The first guess at a scale spreads a sub-block's range over `levels` steps; the candidates spread
# it over a little less and more.
CANDIDATES: Final = np.linspace(-0.9, 1.2, 15, dtype=np.float32)


def affine_fit(x: Float32, levels: int) -> tuple[Float32, Float32]:
    """The scale s and minimum m, both >= 0, that bring s q - m, q in 0..levels, nearest to x.

    x (n, subs, values) -> s, m (n, subs).
    """
    low = np.minimum(x.min(axis=2), 0)
    span = x.max(axis=2) - low
    best_s, best_m = np.zeros_like(span), -low
    best_error = np.full_like(span, np.inf)
    for candidate in CANDIDATES:
        inverse = reciprocal(span / (levels + candidate))
        q = np.rint((x - low[..., None]) * inverse[..., None]).clip(0, levels)
        s, m = least_squares(x, q)
        error = np.square(s[..., None] * q - m[..., None] - x).sum(axis=2)
        better = error < best_error
        best_s, best_m = np.where(better, s, best_s), np.where(better, m, best_m)
        best_error = np.minimum(error, best_error)
    return best_s, best_m


def least_squares(x: Float32, q: Float32) -> tuple[Float32, Float32]:
    """The s and m >= 0 that bring s q - m nearest to x, over the last axis."""
    n = x.shape[2]
    q_mean, x_mean = q.sum(axis=2) / n, x.sum(axis=2) / n
    qc = q - q_mean[..., None]
    s = (qc * x).sum(axis=2) * reciprocal((qc * qc).sum(axis=2))
    m = s * q_mean - x_mean
    # where the best minimum would be negative it is 0, and s the best without one
    s_alone = (q * x).sum(axis=2) * reciprocal((q * q).sum(axis=2))
    return np.maximum(np.where(m < 0, s_alone, s), 0), np.maximum(m, 0)


def shared_scale(scales: Float32, most: int) -> tuple[Float32, Float32]:
    """A super-block's d (n, 1) as float16 keeps it, and its scales as integers 0..most: (n, 8)."""
    d = (scales.max(axis=1, keepdims=True) / most).astype(np.float16).astype(np.float32)
    return d, np.rint(scales * reciprocal(d)).clip(0, most)


def affine_super_block(x: Float32, levels: int) -> tuple[dict[str, npt.NDArray[Any]], Bytes]:
    """A Q4_K or Q5_K block, q not yet packed: x (n, 256) -> fields d, dmin, scales; q (n, 256)."""
    sub_blocks = x.reshape(len(x), 8, 32)
    s, m = affine_fit(sub_blocks, levels)
    (d, scales), (dmin, mins) = shared_scale(s, 63), shared_scale(m, 63)
    inverse = reciprocal(d * scales)[..., None]
    q = np.rint((sub_blocks + (dmin * mins)[..., None]) * inverse).clip(0, levels)
    packed = pack_scales_and_mins(scales.astype(np.uint8), mins.astype(np.uint8))
    return {"d": d[:, 0], "dmin": dmin[:, 0], "scales": packed}, q.astype(np.uint8).reshape(-1, 256)


def pack_scales_and_mins(s: Bytes, m: Bytes) -> Bytes:
    """The inverse of `scales_and_mins`: (n, 8), (n, 8) of 0..63 -> (n, 12)."""
    return np.concatenate(
        [
            s[:, :4] | s[:, 4:] >> 4 << 6,
            m[:, :4] | m[:, 4:] >> 4 << 6,
            s[:, 4:] & 15 | (m[:, 4:] & 15) << 4,
        ],
        axis=1,
    )


def quantize_q4_k(x: Float32) -> Records:
    """x = (d scale) q - (dmin min), q in 0..15."""
    fields, q = affine_super_block(x, 15)
    return records(Q4_K, **fields, qs=pack_bit_fields(q, 32, 4))


def quantize_q5_k(x: Float32) -> Records:
    """x = (d scale) q - (dmin min), q in 0..31."""
    fields, q = affine_super_block(x, 31)
    return records(
        Q5_K, **fields, qh=pack_bit_fields(q >> np.uint8(4), 32, 1), qs=pack_bit_fields(q, 32, 4)
    )


def symmetric_fit(x: Float32, levels: int) -> Float32:
    """The scale s, of either sign, for which s q with q in -levels..levels-1 is nearest to x.

    x (n, subs, values) -> s (n, subs).
    """
    peaks = np.take_along_axis(x, np.abs(x).argmax(axis=2)[..., None], axis=2)[..., 0]
    best_s, best_gain = np.zeros_like(peaks), np.zeros_like(peaks)
    for candidate in CANDIDATES:
        inverse = reciprocal(peaks / -(levels + candidate))
        q = np.rint(x * inverse[..., None]).clip(-levels, levels - 1)
        xq, qq = (x * q).sum(axis=2), (q * q).sum(axis=2)
        s = xq * reciprocal(qq)
        gain = s * xq  # what the fit takes off the squared error
        best_s = np.where(gain > best_gain, s, best_s)
        best_gain = np.maximum(gain, best_gain)
    return best_s


def quantize_q6_k(x: Float32) -> Records:
    """x = (d scale) (q - 32), q in 0..63; d has the sign that makes the largest scale -128."""
    sub_blocks = x.reshape(len(x), 16, 16)
    s = symmetric_fit(sub_blocks, 32)
    peak = np.take_along_axis(s, np.abs(s).argmax(axis=1)[:, None], axis=1)
    d = (peak / -128).astype(np.float16).astype(np.float32)
    scales = np.rint(s * reciprocal(d)).clip(-128, 127)
    inverse = reciprocal(d * scales)[..., None]
    q = (np.rint(sub_blocks * inverse).clip(-32, 31) + 32).astype(np.uint8).reshape(-1, 256)
    high = pack_bit_fields(q >> np.uint8(4), 32, 2)
    return records(Q6_K, ql=pack_bit_fields(q, 64, 4), qh=high, scales=scales, d=d[:, 0])


ENCODERS: Final[dict[TensorType, Callable[[Float32], Records]]] = {
    TensorType.F32: quantize_f32,
    TensorType.F16: quantize_f16,
    TensorType.BF16: quantize_bf16,
    TensorType.Q4_0: quantize_q4_0,
    TensorType.Q4_1: quantize_q4_1,
    TensorType.Q5_0: quantize_q5_0,
    TensorType.Q5_1: quantize_q5_1,
    TensorType.Q8_0: quantize_q8_0,
    TensorType.Q4_K: quantize_q4_k,
    TensorType.Q5_K: quantize_q5_k,
    TensorType.Q6_K: quantize_q6_k,
}
