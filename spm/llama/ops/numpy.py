"""The seven operations of a Llama in NumPy: the specification that faster backends must equal.

float32 in, float32 out, no state. Shapes: T new ids, S cached + new, D in, O out, H heads, K kv
heads, G = H/K heads per kv head, d the head's dimensions, P = d/2 rotated pairs.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]


def linear(x: Array, weight: Array, bias: Array | None = None) -> Array:
    """y = x · Wᵀ + b: x (T, D), weight (O, D), bias (O,) -> (T, O)."""
    y: Array = x @ weight.T  # (T, D) @ (D, O) -> (T, O)
    return y if bias is None else y + bias


def rms_norm(x: Array, weight: Array, eps: float) -> Array:
    """Each row of x (T, D) divided by its root mean square, then times weight (D,) -> (T, D)."""
    mean = np.mean(x * x, axis=-1, keepdims=True)  # (T, 1)
    normed: Array = x / np.sqrt(mean + np.float32(eps))  # (T, D)
    return normed * weight


def rope_angles(
    start: int, T: int, head_dim: int, theta: float, scale: float, freqs: Array | None
) -> tuple[Array, Array]:
    """Cosine and sine for positions start .. start+T: 2 x (T, P).

    Pair i of position p turns by p * theta^(-2i/head_dim) * scale / freqs[i]. The power is a
    running float32 product, pair after pair, as in ggml_rope_cache_init (ggml-cpu/ops.cpp): far
    into a long context an exact power would give other logits than llama.cpp's.
    """
    ratio = np.float32(theta) ** np.float32(-2.0 / head_dim)
    angle = np.full((T, head_dim // 2), ratio, np.float32)  # (T, P)
    angle[:, 0] = np.arange(start, start + T)
    np.multiply.accumulate(angle, axis=1, out=angle)  # p, p*ratio, p*ratio*ratio, ...
    if freqs is not None:
        angle /= freqs
    angle *= np.float32(scale)
    cos, sin = np.cos(angle, dtype=np.float64), np.sin(angle, dtype=np.float64)
    return cos.astype(np.float32), sin.astype(np.float32)


def rope(x: Array, cos: Array, sin: Array) -> Array:
    """Rotate the pairs (0, 1), (2, 3), ... of every head: x (T, H, 2P), cos and sin (T, P)."""
    even, odd = x[..., 0::2], x[..., 1::2]  # interleaved: (T, H, P) each
    cos, sin = cos[:, None], sin[:, None]  # (T, 1, P): one angle for all heads
    turned = np.empty_like(x)
    turned[..., 0::2] = even * cos - odd * sin
    turned[..., 1::2] = even * sin + odd * cos
    return turned


def attention_weights(q: Array, k: Array) -> Array:
    """How much each new position looks at each earlier one: q (T, H, d), k (K, S, d) -> (H, T, S).

    Head h reads kv head h // G. Query t stands at position S - T + t and sees nothing after it.
    """
    (T, H, d), (K, S, _) = q.shape, k.shape
    grouped = q.transpose(1, 0, 2).reshape(K, H // K * T, d)  # (T, H, d) -> (K, G*T, d)
    scores = (grouped @ k.transpose(0, 2, 1)).reshape(H, T, S)  # (K, G*T, S) -> (H, T, S)
    scores *= np.float32(1 / np.sqrt(d))
    np.copyto(scores, -np.inf, where=~np.tri(T, S, S - T, dtype=bool))  # (T, S): the future
    return softmax(scores)


def attend(weights: Array, v: Array) -> Array:
    """The values, mixed: weights (H, T, S), v (K, S, d) -> (T, H*d)."""
    (H, T, S), (K, _, d) = weights.shape, v.shape
    mixed = weights.reshape(K, H // K * T, S) @ v  # (K, G*T, S) @ (K, S, d) -> (K, G*T, d)
    rows: Array = mixed.reshape(H, T, d).transpose(1, 0, 2).reshape(T, H * d)  # heads side by side
    return rows


def softmax(x: Array) -> Array:
    """exp(x) over its sum, along the last axis; less the maximum first: nothing overflows."""
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    shares: Array = e / e.sum(axis=-1, keepdims=True)
    return shares


def swiglu(gate: Array, up: Array) -> Array:
    """silu(gate) * up, where silu(x) = x * sigmoid(x): (T, F), (T, F) -> (T, F)."""
    e = np.exp(-np.abs(gate))  # never above 1: no overflow on either side of 0
    sigmoid: Array = np.where(gate >= 0, np.float32(1), e) / (1 + e)  # (T, F)
    return gate * sigmoid * up
