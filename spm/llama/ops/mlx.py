"""The operations of a Llama on MLX: Metal on a Mac, the CPU elsewhere.

The contract and the numbers are those of numpy.py, which is commented; here is only what differs.
MLX computes when a result is looked at: a pass builds a graph, and `to_numpy` of its logits runs
it. Activations are float32 throughout; weights stay as narrow as the file has them, in one of the
forms of metal/forms.py.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

# Some GPUs would multiply float32 as if it had 11 bits. MLX reads this once, at its first product.
os.environ.setdefault("MLX_ENABLE_TF32", "0")

import mlx.core as mx
import numpy as np

from spm.gguf import Tensor
from spm.llama.ops import Float32, Ids, Linear, Segment
from spm.llama.ops import numpy as specification
from spm.llama.ops.metal.choice import Choice, choose_form, makers
from spm.llama.ops.metal.forms import Dense, Form, Kernels, MetalKernel

Array: TypeAlias = Any  # mx.array, float32
Angles: TypeAlias = tuple[Array, Array]  # cosine and sine, (T, P) each


class MLX:
    """The operations, and the `choices` that were made while weights were loaded.

    `metal_kernel` is what compiles kernels.metal: MLX's own where there is a Metal device.
    """

    def __init__(self, metal_kernel: MetalKernel | None = None) -> None:
        if metal_kernel is None and mx.metal.is_available() and mx.default_device() == mx.gpu:
            metal_kernel = mx.fast.metal_kernel
        self.kernels = Kernels(metal_kernel) if metal_kernel else None
        self.choices: dict[str, Choice] = {}  # by type and row length, "Q4_K x 4096"

    def describe(self) -> str:
        """The device, and the form of each type: one line for a person."""
        device = "the CPU" if mx.default_device() == mx.cpu else "the GPU"
        forms = {f"{name.split()[0]} as {choice.form}" for name, choice in self.choices.items()}
        return ", ".join([f"MLX on {device}", *sorted(forms)])

    def __repr__(self) -> str:
        lines = [f"{name}: {choice}" for name, choice in self.choices.items()]
        return "\n  ".join([f"MLX on {mx.default_device()}", *lines])

    # Weights, and the way back to everybody's arrays

    def vector(self, tensor: Tensor) -> Array:
        """(n,)."""
        return mx.array(tensor.dequantize())

    def matrix(self, tensor: Tensor) -> Form:
        """(O, I), in the form that is chosen when the first of its type and row length comes."""
        rows, columns = tensor.shape
        name = f"{tensor.type.name} x {columns}"
        if name not in self.choices:
            self.choices[name] = choose_form(tensor.type, (rows, columns), self.kernels)
        make = makers(tensor.type, columns, self.kernels).get(self.choices[name].form)
        if make is None:
            return Dense(mx.array(tensor.dequantize()))
        return make(tensor.type, tensor.row_bytes(0, rows).reshape(rows, -1), columns)

    def to_numpy(self, x: Array) -> Float32:
        """Computes what x still waits for."""
        return np.array(x)

    # Rows

    def embed(self, matrix: Form, ids: Ids) -> Array:
        """(V, D) -> (T, D)."""
        return matrix.rows(mx.array(ids))

    def take(self, x: Array, rows: Ids) -> Array:
        """(T, D) -> (n, D)."""
        return x[mx.array(rows)]

    def add(self, a: Array, b: Array) -> Array:
        """(T, D) + (T, D) -> (T, D)."""
        return a + b

    def linear(self, x: Array, weight: Form, bias: Array | None = None) -> Array:
        """x (T, D), weight (O, D), bias (O,) -> (T, O)."""
        y = weight.times(x)
        return y if bias is None else y + bias

    def linears(self, x: Array, linears: Sequence[Linear]) -> list[Array]:
        """The products of the same rows with several matrices."""
        return [self.linear(x, weight, bias) for weight, bias in linears]

    def rms_norm(self, x: Array, weight: Array, eps: float) -> Array:
        """(T, D), (D,) -> (T, D)."""
        return mx.fast.rms_norm(x, weight, eps)

    def swiglu(self, gate: Array, up: Array) -> Array:
        """(T, F), (T, F) -> (T, F)."""
        return gate * mx.sigmoid(gate) * up

    # Positions

    def angles(
        self, positions: Ids, head_dim: int, theta: float, scale: float, freqs: Array | None
    ) -> Angles:
        """2 x (T, P), NumPy's own: `mx.fast.rope` is off by 0.0085 at position 100,000."""
        known = None if freqs is None else np.array(freqs)
        cos, sin = specification.angles(positions, head_dim, theta, scale, known)
        return mx.array(cos), mx.array(sin)

    def rope(self, x: Array, angles: Angles) -> Array:
        """x (T, heads * 2P), angles (T, P)."""
        cos, sin = angles[0][:, None], angles[1][:, None]  # (T, 1, P)
        pairs = x.reshape(len(x), -1, cos.shape[-1], 2)  # (T, heads, P, 2)
        even, odd = pairs[..., 0], pairs[..., 1]
        turned = mx.stack([even * cos - odd * sin, even * sin + odd * cos], axis=-1)
        return turned.reshape(x.shape)

    # Attention

    def kv_store(self, n_layers: int, n_kv_heads: int, head_dim: int) -> KVStore:
        """An empty place for keys and values."""
        return KVStore(n_layers, n_kv_heads, head_dim)

    def attention(
        self,
        q: Array,
        k: Array,
        v: Array,
        layer: int,
        segments: Sequence[Segment],
        look: Callable[[Float32], None] | None = None,
    ) -> Array:
        """q (T, H*d), k and v (T, K*d) -> (T, H*d)."""
        gathered = []
        stop = 0
        for store, start, T in segments:
            rows = slice(stop, stop := stop + T)
            keys, values = store.write(layer, start, k[rows], v[rows])
            heads = q[rows].reshape(T, -1, keys.shape[-1]).transpose(1, 0, 2)  # (H, T, d)
            if look:
                look(np.array(attention_weights(heads, keys)))
            gathered.append(attend(heads, keys, values))
        return mx.concatenate(gathered)


def attend(q: Array, k: Array, v: Array) -> Array:
    """q (H, T, d), k and v (K, S, d) -> (T, H*d)."""
    H, T, d = q.shape
    mixed = mx.fast.scaled_dot_product_attention(
        q[None], k[None], v[None], scale=1 / math.sqrt(d), mask="causal"
    )  # (1, H, T, d)
    return mixed[0].transpose(1, 0, 2).reshape(T, H * d)


def attention_weights(q: Array, k: Array) -> Array:
    """What `attend` mixes by, for those who look: q (H, T, d), k (K, S, d) -> (H, T, S)."""
    (H, T, d), (K, S, _) = q.shape, k.shape
    scores = (q.reshape(K, H // K * T, d) @ k.transpose(0, 2, 1)).reshape(H, T, S) / math.sqrt(d)
    return mx.softmax(mx.where(mx.tri(T, S, S - T, dtype=mx.bool_), scores, -mx.inf), axis=-1)


class KVStore:
    """Keys and values of every layer, each (K, capacity, d) float32.

    Each has a buffer of its own, so that MLX can write a position into it without a copy.
    """

    def __init__(self, n_layers: int, n_kv_heads: int, head_dim: int) -> None:
        self.shape = (n_kv_heads, head_dim)
        self._keys = [_grown(None, (n_kv_heads, 0, head_dim), 0) for _ in range(n_layers)]
        self._values = [_grown(None, (n_kv_heads, 0, head_dim), 0) for _ in range(n_layers)]

    def grow(self, capacity: int, used: int) -> None:
        """Room for `capacity` positions; the first `used` are kept."""
        K, head_dim = self.shape
        shape = (K, capacity, head_dim)
        self._keys = [_grown(array, shape, used) for array in self._keys]
        self._values = [_grown(array, shape, used) for array in self._values]

    def write(self, layer: int, start: int, k: Array, v: Array) -> tuple[Array, Array]:
        """Put k, v (T, K*d) at position `start` of `layer` -> all up to them, 2 x (K, S, d)."""
        heads, stop = (len(k), *self.shape), start + len(k)
        keys, values = self._keys[layer], self._values[layer]
        keys[:, start:stop] = k.reshape(heads).transpose(1, 0, 2)  # (T, K, d) -> (K, T, d)
        values[:, start:stop] = v.reshape(heads).transpose(1, 0, 2)
        if layer == len(self._keys) - 1:
            mx.async_eval(keys, values)  # a pass whose logits nobody asks for is computed too
        return keys[:, :stop], values[:, :stop]


def _grown(array: Array | None, shape: tuple[int, int, int], used: int) -> Array:
    grown = mx.zeros(shape)
    if array is not None and used:
        grown[:, :used] = array[:, :used]
    return grown
