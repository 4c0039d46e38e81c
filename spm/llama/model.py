"""ids -> logits: the Llama network, one line per stage, every stage visible through `tap`.

The stages carry the names of llama.cpp's graph (`cb` in src/models/llama.cpp and
src/llama-graph.cpp), so that its `llama-eval-callback` can be laid beside ours. `Qcur-N` and
`Kcur-N` are seen twice, as there: projected, then rotated.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from spm.errors import ModelError
from spm.gguf import GGUF
from spm.llama.cache import KVCache
from spm.llama.config import LlamaConfig, read_config
from spm.llama.ops import Ops, choose
from spm.llama.weights import Array, Layer, Linear, Weights, load_weights

BATCH = 512  # ids per pass: bounds the (H, T, S) attention weights, as llama.cpp's n_ubatch

Ids: TypeAlias = "Sequence[int] | npt.NDArray[np.integer[Any]]"
Tap: TypeAlias = Callable[[str, Array], None]


@dataclass(frozen=True, eq=False, repr=False)
class Llama:
    """A model ready to run. Holds no state: what a text has built up lives in its KVCache."""

    config: LlamaConfig
    weights: Weights
    ops: Ops

    @classmethod
    def from_gguf(cls, source: str | os.PathLike[str] | GGUF, backend: str = "auto") -> Llama:
        """The model in a GGUF file, its weights dequantised to float32 (4 bytes a parameter).

        Raises GGUFError for a broken file, ModelError for one that is not a Llama this package
        computes exactly, or for a backend that is not built.
        """
        chosen = choose(backend)
        if not isinstance(source, GGUF):
            with GGUF.open(source) as gguf:
                return cls.from_gguf(gguf, backend)
        config = read_config(source)
        return cls(config, load_weights(source, config), chosen)

    def __repr__(self) -> str:
        return f"Llama({self.config})"

    def new_cache(self) -> KVCache:
        """An empty cache: position 0 comes next."""
        return KVCache(self.config)

    def forward(self, ids: Ids, tap: Tap | None = None, cache: KVCache | None = None) -> Array:
        """ids (T,) -> logits float32 (T, V): row t scores every piece as the one after ids[t].

        With a `cache` the ids follow what it holds, and it holds them too afterwards. `tap(name,
        array)` is called with every stage as it is computed, to look and not to change. Raises
        ModelError for no ids, ids outside the vocabulary, and ids beyond the context.
        """
        return self.project(self.hidden(ids, tap, cache), tap)

    def hidden(self, ids: Ids, tap: Tap | None = None, cache: KVCache | None = None) -> Array:
        """ids (T,) -> the normed state (T, D) that `project` turns into logits.

        Without a tap, many ids are computed `BATCH` at a time.
        """
        cache = self.new_cache() if cache is None else cache
        if cache.config != self.config:
            raise ModelError("cache: found one of another model, expected one of this model")
        rows = self._checked(ids)
        cache.reserve(len(rows))
        size = len(rows) if tap else BATCH
        parts = [rows[start : start + size] for start in range(0, len(rows), size)]
        with np.errstate(all="ignore"):  # `project` refuses what is not finite
            return np.concatenate([self._pass(part, tap or _ignore, cache) for part in parts])

    def _pass(self, rows: npt.NDArray[np.intp], tap: Tap, cache: KVCache) -> Array:
        """One pass through all layers: rows (T,) of the embedding -> (T, D)."""
        c, weights, T, start = self.config, self.weights, len(rows), cache.length
        angles = self.ops.rope_angles(
            start, T, c.head_dim, c.rope_theta, c.rope_scale, weights.rope_freqs
        )
        x = weights.token_embd[rows]  # (V, D) -> (T, D)
        tap("embd", x)
        for i in range(c.n_layers):
            x = self._block(i, x, angles, cache, tap)
        cache.advance(T)
        x = self.ops.rms_norm(x, weights.output_norm, c.norm_eps)  # (T, D)
        tap("result_norm", x)
        return x

    def project(self, hidden: Array, tap: Tap | None = None) -> Array:
        """State (T, D) -> logits (T, V). Only the last row is worth it when generating.

        Raises ModelError if a logit is not finite: the weights are broken.
        """
        with np.errstate(all="ignore"):
            logits = self.ops.linear(hidden, self.weights.output)  # (T, D) -> (T, V)
        (tap or _ignore)("result_output", logits)
        if not np.isfinite(logits).all():
            row = int(np.flatnonzero(~np.isfinite(logits).all(axis=1))[0])
            raise ModelError(f"logits: found infinity or NaN in row {row}, expected finite numbers")
        return logits

    def _block(
        self, i: int, x: Array, angles: tuple[Array, Array], cache: KVCache, tap: Tap
    ) -> Array:
        """Layer i: x (T, D) plus what attention adds, plus what the feed-forward adds -> (T, D)."""
        layer, eps = self.weights.layers[i], self.config.norm_eps

        h = self.ops.rms_norm(x, layer.attn_norm, eps)  # (T, D)
        tap(f"attn_norm-{i}", h)
        h = self._attention(i, layer, h, angles, cache, tap)  # (T, D)
        tap(f"attn_out-{i}", h)
        x = x + h
        tap(f"ffn_inp-{i}", x)

        h = self.ops.rms_norm(x, layer.ffn_norm, eps)  # (T, D)
        tap(f"ffn_norm-{i}", h)
        h = self._feed_forward(i, layer, h, tap)  # (T, D)
        tap(f"ffn_out-{i}", h)
        x = x + h
        tap(f"l_out-{i}", x)
        return x

    def _attention(
        self,
        i: int,
        layer: Layer,
        x: Array,
        angles: tuple[Array, Array],
        cache: KVCache,
        tap: Tap,
    ) -> Array:
        """What each position gathers from those before it: x (T, D) -> (T, D)."""
        heads = (len(x), -1, self.config.head_dim)
        q = self._linear(x, layer.attn_q).reshape(heads)  # (T, H*d) -> (T, H, d)
        tap(f"Qcur-{i}", q)
        k = self._linear(x, layer.attn_k).reshape(heads)  # (T, K*d) -> (T, K, d)
        tap(f"Kcur-{i}", k)
        v = self._linear(x, layer.attn_v).reshape(heads)  # (T, K, d): values are not rotated
        tap(f"Vcur-{i}", v)
        q = self.ops.rope(q, *angles)
        tap(f"Qcur-{i}", q)
        k = self.ops.rope(k, *angles)
        tap(f"Kcur-{i}", k)
        keys, values = cache.write(i, k, v)  # 2 x (K, S, d)
        weights = self.ops.attention_weights(q, keys)  # (H, T, S)
        tap(f"kq_soft_max-{i}", weights)
        mixed = self.ops.attend(weights, values)  # (T, H*d)
        tap(f"kqv_out-{i}", mixed)
        return self._linear(mixed, layer.attn_output)  # (T, H*d) -> (T, D)

    def _feed_forward(self, i: int, layer: Layer, x: Array, tap: Tap) -> Array:
        """What each position makes of itself: x (T, D) -> (T, D)."""
        up = self._linear(x, layer.ffn_up)  # (T, F)
        tap(f"ffn_up-{i}", up)
        gate = self._linear(x, layer.ffn_gate)  # (T, F)
        tap(f"ffn_gate-{i}", gate)
        h = self.ops.swiglu(gate, up)  # (T, F)
        tap(f"ffn_swiglu-{i}", h)
        return self._linear(h, layer.ffn_down)  # (T, F) -> (T, D)

    def _linear(self, x: Array, linear: Linear) -> Array:
        return self.ops.linear(x, linear.weight, linear.bias)

    def _checked(self, ids: Ids) -> npt.NDArray[np.intp]:
        """ids as an index array (T,), every one inside the vocabulary."""
        V = self.config.vocab_size
        try:
            array = np.asarray(ids)
        except (ValueError, OverflowError):  # nested lists of unequal lengths
            raise ModelError("ids: found a ragged list, expected a flat list of integers") from None
        if array.ndim != 1 or array.size == 0:
            raise ModelError(f"ids: found shape {list(array.shape)}, expected (T,) with T >= 1")
        if not np.issubdtype(array.dtype, np.integer):
            raise ModelError(f"ids: found type {array.dtype}, expected integers")
        wrong = np.flatnonzero((array < 0) | (array >= V))
        if wrong.size:
            at = int(wrong[0])
            raise ModelError(f"ids: found {array[at]} at index {at}, expected 0 to {V - 1}")
        return array.astype(np.intp)


def _ignore(name: str, array: Array) -> None:
    """The tap of somebody who does not look."""
