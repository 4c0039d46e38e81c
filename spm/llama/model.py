"""ids -> logits: the Llama network, one line per stage, every stage visible through `tap`.

The stages carry the names of llama.cpp's graph (`cb` in src/models/llama.cpp and
src/llama-graph.cpp), so that its `llama-eval-callback` can be laid beside ours. `Qcur-N` and
`Kcur-N` are seen twice, as there: projected, then rotated.

A pass may carry several texts: their rows lie one behind another, every operation but attention
treats rows alike, and attention is told which rows continue which text. The arrays are the back
end's own (ops/__init__.py); NumPy is at the two ends only, where ids come in and logits go out.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from spm.errors import ModelError
from spm.gguf import GGUF
from spm.llama.cache import KVCache
from spm.llama.config import LlamaConfig, read_config
from spm.llama.ops import Angles, Array, Float32, Ops, Segment, choose
from spm.llama.weights import Layer, Progress, Weights, load_weights

BATCH = 512  # rows per pass, as llama.cpp's n_ubatch: bounds what a pass takes beside the weights.
# In NumPy that includes attention weights, 4 * n_heads * BATCH bytes for each position kept.

Ids: TypeAlias = "Sequence[int] | npt.NDArray[np.integer[Any]]"
Rows: TypeAlias = npt.NDArray[np.intp]
Tap: TypeAlias = Callable[[str, Float32], None]


class Part(NamedTuple):
    """Ids (T,) of a pass that follow what `cache` holds."""

    ids: Rows
    cache: KVCache


@dataclass(frozen=True)
class See:
    """How a pass shows its stages to a tap, if there is one."""

    tap: Tap | None
    ops: Ops

    def __call__(self, stage: str, x: Array) -> None:
        """Show x (T, n)."""
        if self.tap:
            self.tap(stage, self.ops.to_numpy(x))

    def heads(self, stage: str, x: Array, head_dim: int) -> None:
        """Show x (T, n) as (T, heads, head_dim)."""
        if self.tap:
            values = self.ops.to_numpy(x)
            self.tap(stage, values.reshape(len(values), -1, head_dim))

    def weights(self, i: int) -> Callable[[Float32], None] | None:
        """What attention shows its weights (H, T, S) to, in layer i."""
        tap = self.tap
        return (lambda weights: tap(f"kq_soft_max-{i}", weights)) if tap else None


@dataclass(frozen=True, eq=False, repr=False)
class Llama:
    """A model ready to run. Holds no state: what a text has built up lives in its KVCache.

    Threads may share a model, each with caches of its own. It does not travel to other processes:
    open it in each.
    """

    config: LlamaConfig
    weights: Weights
    ops: Ops

    @classmethod
    def from_gguf(
        cls,
        source: str | os.PathLike[str] | GGUF,
        backend: str = "auto",
        *,
        threads: int | None = None,
        kv: str | None = None,
        mapped: bool = False,
        progress: Progress | None = None,
    ) -> Llama:
        """The model in a GGUF file, its weights in the form in which `backend` multiplies.

        "numpy" keeps them as float32, "native" as quantised as the file has them, "mlx" too where
        it can; `print(model.ops.describe())` tells what runs. For the native back end: `threads`,
        as many as there are cores if not said; `kv`, how keys and values are kept, "f16" if not
        said, "f32" or "q8_0"; `mapped`, to leave the weights in the file and spend less memory and
        several times the time (a file that is cut short meanwhile then ends the process: SIGBUS).
        `progress(read, total)` is told the bytes as they are read.

        Raises GGUFError for a broken file, ModelError for one that is not a
        Llama this package computes exactly, for a back end that is not there or has no such option,
        and for threads out of range.
        """
        chosen = choose(backend, threads, kv, mapped)
        if not isinstance(source, GGUF):
            with GGUF.open(source) as gguf:
                return cls._load(gguf, chosen, progress)
        return cls._load(source, chosen, progress)

    @classmethod
    def _load(cls, gguf: GGUF, ops: Ops, progress: Progress | None) -> Llama:
        config = read_config(gguf)
        return cls(config, load_weights(gguf, config, ops, progress), ops)

    def __repr__(self) -> str:
        return f"Llama({self.config})"

    def new_cache(self) -> KVCache:
        """An empty cache: position 0 comes next."""
        c = self.config
        return KVCache(c, self.ops.kv_store(c.n_layers, c.n_kv_heads, c.head_dim), self)

    def forward(self, ids: Ids, tap: Tap | None = None, cache: KVCache | None = None) -> Float32:
        """ids (T,) -> logits float32 (T, V): row t scores every piece as the one after ids[t].

        With a `cache` the ids follow what it holds, and it holds them too afterwards. `tap(name,
        array)` is called with every stage as it is computed, to look and not to change; without
        one, many ids are computed `BATCH` at a time, and a cache keeps each pass that was complete,
        whatever ends the call. Raises ModelError for no ids, ids outside the vocabulary, ids beyond
        the context, logits that are not finite, and a cache that is in use.
        """
        see = See(tap, self.ops)
        with self._parts([(ids, self.new_cache() if cache is None else cache)]) as parts:
            passes = [parts] if tap else [batch for batch, _ in _passes(parts)]
            return np.concatenate([self._logits(self._pass(batch, see), see) for batch in passes])

    def step(self, texts: Sequence[tuple[Ids, KVCache]]) -> Float32:
        """The logits (n, V) after the last id of each of n texts, which grow by their ids (T,).

        The texts share passes of up to `BATCH` rows, so that the weights are read once for all of
        them. Raises ModelError as `forward` does, and for no texts.
        """
        if not texts:
            raise ModelError("step: found no texts, expected at least one")
        logits, see = [], See(None, self.ops)
        with self._parts(texts) as parts:
            for batch, ends in _passes(parts):
                x = self._pass(batch, see)
                if len(ends):
                    logits.append(self._logits(self.ops.take(x, ends), see))
        return np.concatenate(logits)

    def _pass(self, parts: Sequence[Part], see: See) -> Array:
        """All layers, for the rows of all parts: the state (rows, D) behind the last layer."""
        c, weights = self.config, self.weights
        segments = [part.cache.segment(len(part.ids)) for part in parts]
        positions = np.concatenate([np.arange(s.start, s.start + s.T) for s in segments])
        with np.errstate(all="ignore"):  # `_logits` refuses what is not finite
            angles = self.ops.angles(
                positions, c.head_dim, c.rope_theta, c.rope_scale, weights.rope_freqs
            )
            ids = np.concatenate([part.ids for part in parts])
            x = self.ops.embed(weights.token_embd, ids)  # (V, D) -> (T, D)
            see("embd", x)
            for i in range(c.n_layers):
                x = self._block(i, x, angles, segments, see)
        for part in parts:
            part.cache.advance(len(part.ids))
        return x

    def _logits(self, x: Array, see: See) -> Float32:
        """The state (T, D) behind the last layer -> logits (T, V), if they are finite."""
        with np.errstate(all="ignore"):
            x = self.ops.rms_norm(x, self.weights.output_norm, self.config.norm_eps)  # (T, D)
            see("result_norm", x)
            y = self.ops.linear(x, self.weights.output)  # (T, D) -> (T, V)
        see("result_output", y)
        logits = self.ops.to_numpy(y)
        if not np.isfinite(logits).all():
            row = int(np.flatnonzero(~np.isfinite(logits).all(axis=1))[0])
            raise ModelError(f"logits: found infinity or NaN in row {row}, expected finite numbers")
        return logits

    def _block(
        self, i: int, x: Array, angles: Angles, segments: Sequence[Segment], see: See
    ) -> Array:
        """Layer i: x (T, D) plus what attention adds, plus what the feed-forward adds -> (T, D)."""
        layer, eps = self.weights.layers[i], self.config.norm_eps

        h = self.ops.rms_norm(x, layer.attn_norm, eps)  # (T, D)
        see(f"attn_norm-{i}", h)
        h = self._attention(i, layer, h, angles, segments, see)  # (T, D)
        see(f"attn_out-{i}", h)
        x = self.ops.add(x, h)
        see(f"ffn_inp-{i}", x)

        h = self.ops.rms_norm(x, layer.ffn_norm, eps)  # (T, D)
        see(f"ffn_norm-{i}", h)
        h = self._feed_forward(i, layer, h, see)  # (T, D)
        see(f"ffn_out-{i}", h)
        x = self.ops.add(x, h)
        see(f"l_out-{i}", x)
        return x

    def _attention(
        self,
        i: int,
        layer: Layer,
        x: Array,
        angles: Angles,
        segments: Sequence[Segment],
        see: See,
    ) -> Array:
        """What each position gathers from those before it: x (T, D) -> (T, D)."""
        d = self.config.head_dim
        # (T, H*d), (T, K*d), (T, K*d)
        q, k, v = self.ops.linears(x, (layer.attn_q, layer.attn_k, layer.attn_v))
        see.heads(f"Qcur-{i}", q, d)
        see.heads(f"Kcur-{i}", k, d)
        see.heads(f"Vcur-{i}", v, d)
        q = self.ops.rope(q, angles)  # values are not rotated
        see.heads(f"Qcur-{i}", q, d)
        k = self.ops.rope(k, angles)
        see.heads(f"Kcur-{i}", k, d)
        mixed = self.ops.attention(q, k, v, i, segments, see.weights(i))  # (T, H*d)
        see(f"kqv_out-{i}", mixed)
        return self.ops.linear(mixed, *layer.attn_output)  # (T, H*d) -> (T, D)

    def _feed_forward(self, i: int, layer: Layer, x: Array, see: See) -> Array:
        """What each position makes of itself: x (T, D) -> (T, D)."""
        up, gate = self.ops.linears(x, (layer.ffn_up, layer.ffn_gate))  # (T, F) each
        see(f"ffn_up-{i}", up)
        see(f"ffn_gate-{i}", gate)
        h = self.ops.swiglu(gate, up)  # (T, F)
        see(f"ffn_swiglu-{i}", h)
        return self.ops.linear(h, *layer.ffn_down)  # (T, F) -> (T, D)

    @contextmanager
    def _parts(self, texts: Sequence[tuple[Ids, KVCache]]) -> Iterator[list[Part]]:
        """Checked ids, and room for them in caches of this model that nobody else uses."""
        with ExitStack() as used:
            parts = []
            for ids, cache in texts:
                if cache.model is not self:
                    raise ModelError(
                        "cache: found one of another model, expected one of this model"
                    )
                used.enter_context(cache.use())
                rows = self._checked(ids)
                cache.reserve(len(rows))
                parts.append(Part(rows, cache))
            yield parts

    def _checked(self, ids: Ids) -> Rows:
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


def _passes(parts: Sequence[Part]) -> Iterator[tuple[list[Part], Rows]]:
    """Parts cut into passes of at most BATCH rows, and which rows of each pass end a part."""
    batch: list[Part] = []
    ends: list[int] = []
    filled = 0
    for ids, cache in parts:
        while len(ids):
            piece, ids = ids[: BATCH - filled], ids[BATCH - filled :]
            batch.append(Part(piece, cache))
            filled += len(piece)
            if not len(ids):
                ends.append(filled - 1)
            if filled == BATCH:
                yield batch, np.array(ends, np.intp)
                batch, ends, filled = [], [], 0
    if batch:
        yield batch, np.array(ends, np.intp)
