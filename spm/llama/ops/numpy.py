"""The operations of a Llama in NumPy: the specification that faster back ends must equal.

float32 in, float32 out. Shapes: T new ids, S cached + new, D in, O out, H heads, K kv heads,
G = H/K heads per kv head, d the head's dimensions, P = d/2 rotated pairs. A row of q, k or v holds
all its heads side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from spm.gguf import Tensor
from spm.llama.ops import Linear, Segment

Array = npt.NDArray[np.float32]
Ids = npt.NDArray[np.intp]
Angles: TypeAlias = tuple[Array, Array]  # cosine and sine, (T, P) each


def describe() -> str:
    """What multiplies, and what with: one line for a person."""
    return "NumPy, float32 weights"


# Weights, and the way back to everybody's arrays


def vector(tensor: Tensor) -> Array:
    """A tensor of one dimension, as float32 (n,)."""
    return tensor.dequantize()


def matrix(tensor: Tensor) -> Array:
    """A tensor of two dimensions, as float32 (O, I): four bytes a weight, whatever its type."""
    return tensor.dequantize()


def to_numpy(x: Array) -> Array:
    """x itself."""
    return x


# Rows


def embed(matrix: Array, ids: Ids) -> Array:
    """The rows `ids` of a matrix: (V, D) -> (T, D)."""
    return matrix[ids]


def take(x: Array, rows: Ids) -> Array:
    """Some rows of x: (T, D) -> (n, D)."""
    return x[rows]


def add(a: Array, b: Array) -> Array:
    """(T, D) + (T, D) -> (T, D)."""
    return a + b


def linear(x: Array, weight: Array, bias: Array | None = None) -> Array:
    """y = x · Wᵀ + b: x (T, D), weight (O, D), bias (O,) -> (T, O)."""
    y: Array = x @ weight.T  # (T, D) @ (D, O) -> (T, O)
    return y if bias is None else y + bias


def linears(x: Array, linears: Sequence[Linear]) -> list[Array]:
    """The products of the same rows with several matrices."""
    return [linear(x, weight, bias) for weight, bias in linears]


def rms_norm(x: Array, weight: Array, eps: float) -> Array:
    """Each row of x (T, D) divided by its root mean square, then times weight (D,) -> (T, D)."""
    mean = np.mean(x * x, axis=-1, keepdims=True)  # (T, 1)
    normed: Array = x / np.sqrt(mean + np.float32(eps))  # (T, D)
    return normed * weight


# Positions


def angles(
    positions: Ids, head_dim: int, theta: float, scale: float, freqs: Array | None
) -> Angles:
    """Cosine and sine for each of T positions: 2 x (T, P).

    Pair i of position p turns by p * theta^(-2i/head_dim) * scale / freqs[i]. The power is a
    running float32 product, pair after pair, as in ggml_rope_cache_init (ggml-cpu/ops.cpp): far
    into a long context an exact power would give other logits than llama.cpp's.
    """
    ratio = np.float32(theta) ** np.float32(-2.0 / head_dim)
    angle = np.full((len(positions), head_dim // 2), ratio, np.float32)  # (T, P)
    angle[:, 0] = positions
    np.multiply.accumulate(angle, axis=1, out=angle)  # p, p*ratio, p*ratio*ratio, ...
    if freqs is not None:
        angle /= freqs
    angle *= np.float32(scale)
    cos, sin = np.cos(angle, dtype=np.float64), np.sin(angle, dtype=np.float64)
    return cos.astype(np.float32), sin.astype(np.float32)


def rope(x: Array, angles: Angles) -> Array:
    """Rotate the pairs (0, 1), (2, 3), ... of every head: x (T, heads * 2P), angles (T, P)."""
    cos, sin = angles[0][:, None], angles[1][:, None]  # (T, 1, P): one angle for all heads
    pairs = x.reshape(len(x), -1, cos.shape[-1], 2)  # interleaved: (T, heads, P, 2)
    even, odd = pairs[..., 0], pairs[..., 1]
    turned = np.empty_like(pairs)
    turned[..., 0] = even * cos - odd * sin
    turned[..., 1] = even * sin + odd * cos
    return turned.reshape(x.shape)


# Attention


class KVStore:
    """Keys and values of every layer, each (K, capacity, d) float32."""

    def __init__(self, n_layers: int, n_kv_heads: int, head_dim: int) -> None:
        self.shape = (n_kv_heads, head_dim)
        empty = np.empty((n_kv_heads, 0, head_dim), np.float32)
        self._keys, self._values = [empty] * n_layers, [empty] * n_layers

    def grow(self, capacity: int, used: int) -> None:
        """Room for `capacity` positions; the first `used` are kept."""
        self._keys = [_grown(array, capacity, used) for array in self._keys]
        self._values = [_grown(array, capacity, used) for array in self._values]

    def write(self, layer: int, start: int, k: Array, v: Array) -> tuple[Array, Array]:
        """Put k, v (T, K*d) at position `start` of `layer` -> all up to them, 2 x (K, S, d)."""
        heads, stop = (len(k), *self.shape), start + len(k)
        keys, values = self._keys[layer], self._values[layer]
        keys[:, start:stop] = k.reshape(heads).transpose(1, 0, 2)  # (T, K, d) -> (K, T, d)
        values[:, start:stop] = v.reshape(heads).transpose(1, 0, 2)
        return keys[:, :stop], values[:, :stop]


def _grown(array: Array, capacity: int, used: int) -> Array:
    K, _, head_dim = array.shape
    grown = np.empty((K, capacity, head_dim), np.float32)
    grown[:, :used] = array[:, :used]
    return grown


def kv_store(n_layers: int, n_kv_heads: int, head_dim: int) -> KVStore:
    """An empty place for keys and values; `grow` it before it is written to."""
    return KVStore(n_layers, n_kv_heads, head_dim)


def attention(
    q: Array,
    k: Array,
    v: Array,
    layer: int,
    segments: Sequence[Segment],
    look: Callable[[Array], None] | None = None,
) -> Array:
    """What each row gathers from its own text: q (T, H*d), k and v (T, K*d) -> (T, H*d).

    The rows of the segments follow one another. Each keeps its keys and values in its text's store
    and sees all that the text has kept up to itself. `look` is shown the attention weights
    (H, T, S) of every segment.
    """
    gathered = []
    stop = 0
    for store, start, T in segments:
        rows = slice(stop, stop := stop + T)
        keys, values = store.write(layer, start, k[rows], v[rows])
        weights = attention_weights(q[rows].reshape(T, -1, keys.shape[-1]), keys)
        if look:
            look(weights)
        gathered.append(attend(weights, values))
    return np.concatenate(gathered)


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
