"""The keys and values of the positions already seen, so that a step costs one token and not all."""

from __future__ import annotations

import numpy as np

from spm.errors import ModelError
from spm.llama.config import LlamaConfig
from spm.llama.weights import Array

FIRST_CAPACITY = 64  # positions; doubled whenever they run out, up to the context


class KVCache:
    """Keys and values of every layer, each (K, capacity, head_dim) with `length` positions in use.

    Memory grows by doubling and never past `config.max_seq_len`: 8 * n_layers * K * head_dim bytes
    per position.
    """

    def __init__(self, config: LlamaConfig) -> None:
        self.config = config
        self.length = 0
        shape = (config.n_kv_heads, 0, config.head_dim)
        self._keys = [np.empty(shape, np.float32) for _ in range(config.n_layers)]
        self._values = [np.empty(shape, np.float32) for _ in range(config.n_layers)]

    def reserve(self, T: int) -> None:
        """Room for T more positions, or ModelError where the context has none."""
        needed, context = self.length + T, self.config.max_seq_len
        if needed > context:
            raise ModelError(
                f"context: found {self.length} positions in use and {T} new ids, "
                f"expected at most {context} in all (llama.context_length)"
            )
        capacity = self._keys[0].shape[1]
        if needed > capacity:
            capacity = min(max(needed, 2 * capacity, FIRST_CAPACITY), context)
            self._keys = [self._grown(array, capacity) for array in self._keys]
            self._values = [self._grown(array, capacity) for array in self._values]

    def write(self, layer: int, k: Array, v: Array) -> tuple[Array, Array]:
        """Put k, v (T, K, head_dim) after what `layer` holds -> all of it, 2 x (K, S, head_dim)."""
        start, stop = self.length, self.length + len(k)
        keys, values = self._keys[layer], self._values[layer]
        keys[:, start:stop] = k.transpose(1, 0, 2)  # (T, K, head_dim) -> (K, T, head_dim)
        values[:, start:stop] = v.transpose(1, 0, 2)
        return keys[:, :stop], values[:, :stop]

    def advance(self, T: int) -> None:
        """T positions are complete in every layer. Until then a failed pass leaves no trace."""
        self.length += T

    def _grown(self, array: Array, capacity: int) -> Array:
        K, _, head_dim = array.shape
        grown = np.empty((K, capacity, head_dim), np.float32)
        grown[:, : self.length] = array[:, : self.length]
        return grown
