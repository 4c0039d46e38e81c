"""The operations of a Llama in the compiled core: quantised weights stay quantised.

Products with quantised weights round their input to int8, 32 numbers at a time, as llama.cpp does
too (there, 256 at a time for some types): docs/kernels.md says how near that is. Everything else is
float32. Keys and values are kept in half precision, as in llama.cpp, unless `kv` says otherwise.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from spm.errors import ModelError, brief, one_line
from spm.gguf import Tensor, TensorType, dequantize
from spm.gguf.integers import as_integers, has_integers
from spm.llama.ops import Array, Float32, Ids, KVStore, Linear, Matrix, Segment
from spm.llama.ops import numpy as numpy_ops
from spm.native import core

# What the kernels multiply with as the file has it (kernels.hpp, Type).
DIRECT: Final = frozenset(
    {
        *(TensorType.F32, TensorType.F16, TensorType.BF16),
        *(TensorType.Q4_0, TensorType.Q4_1, TensorType.Q5_0, TensorType.Q5_1, TensorType.Q8_0),
        *(TensorType.Q2_K, TensorType.Q3_K, TensorType.Q4_K, TensorType.Q5_K, TensorType.Q6_K),
        *(TensorType.IQ4_NL, TensorType.IQ4_XS),
    }
)
INTEGERS: Final = 1000  # the kernels' own type: 16 int8 behind the float32 that they are times
INTEGER_BLOCK: Final = np.dtype([("scale", "<f4"), ("q", "i1", 16)])
KERNELS: Final = {  # SPM_ISA -> the table's name (kernels.cpp)
    "avx512": "AVX-512 VNNI",
    "avxvnni": "AVX-VNNI",
    "avx2": "AVX2",
    "neon": "NEON dot product",
    "portable": "portable",
}
KEPT: Final = {"f32": 0, "f16": 1, "q8_0": 2}  # kernels.hpp, Kept
FIRST_ANGLES: Final = 256  # positions; doubled whenever they run out
CHUNK: Final = 4 << 20  # bytes that are read at a time


class NativeOps:
    """The contract of ops/__init__.py, by the compiled core, on `threads` threads."""

    def __init__(
        self,
        threads: int | None = None,
        kv: str = "f16",
        kernels: str = "",
        *,
        mapped: bool = False,
    ) -> None:
        if not built():
            off = os.environ.get("SPM_NATIVE") == "0"
            found = "SPM_NATIVE is 0" if off else "this installation has no compiled kernels"
            expected = "expected a build by GCC or Clang, on Linux or macOS"
            raise ModelError(f"backend 'native': {found}, {expected}")
        assert core is not None
        if not isinstance(kv, str) or kv not in KEPT:
            raise ModelError(f"kv: found {brief(kv)}, expected 'f16', 'f32' or 'q8_0'")
        table = kernels or _kernels_asked_for()
        engine: Any = core.LlamaEngine(threads or default_threads(), table)
        self.engine, self._kept, self._mapped = engine, KEPT[kv], mapped
        self._angles: dict[Any, tuple[Any, int]] = {}
        # What needs no word of Python goes to the core directly.
        self.embed: Callable[[Matrix, Ids], Array] = engine.embed
        self.take: Callable[[Array, Ids], Array] = engine.take
        self.linear: Callable[..., Array] = engine.linear
        self.linears: Callable[[Array, Sequence[Linear]], Sequence[Array]] = engine.linears
        self.add: Callable[[Array, Array], Array] = engine.add
        self.rms_norm: Callable[[Array, Array, float], Array] = engine.rms_norm
        self.rope: Callable[[Array, Array], Array] = engine.rope
        self.swiglu: Callable[[Array, Array], Array] = engine.swiglu

    def describe(self) -> str:
        """What runs, for people."""
        threads = self.engine.threads
        plural, mapped = "s" if threads > 1 else "", ", weights mapped" if self._mapped else ""
        return f"native, {self.engine.kernels}, {threads} thread{plural}{mapped}"

    def vector(self, tensor: Tensor) -> Array:
        """One row of float32."""
        return self.engine.rows(tensor.dequantize()[None])

    def matrix(self, tensor: Tensor) -> Matrix:
        """Weights in panels, as many bytes as in the file; or `mapped`, where they are in the file.

        Types that the kernels do not know become integers and their scales, which is exact, at 20
        bytes for 16 weights; the few that are neither become float32.
        """
        rows, cols = tensor.shape
        if tensor.type in DIRECT and self._mapped:
            return self.engine.mapped_matrix(tensor.type, rows, cols, tensor.data)
        if tensor.type in DIRECT:
            matrix = self.engine.matrix(tensor.type, rows, cols)
            if not self.engine.pack_file(matrix, tensor.descriptor(), tensor.offset):
                tensor.row_bytes(0, rows)  # the reader knows what to say
                raise ModelError(f"{one_line(tensor.path)}: tensor {tensor.name}: cannot be read")
            return matrix
        kind, convert = _form(tensor.type)
        matrix = self.engine.matrix(kind, rows, cols)
        for start, stop in _slices(rows, tensor.nbytes // rows, self.engine.lanes):
            data = convert(tensor.row_bytes(start, stop), (stop - start, cols))
            self.engine.pack(matrix, start, data)
        return matrix

    def kv_store(self, n_layers: int, n_kv_heads: int, head_dim: int) -> KVStore:
        """An empty place for keys and values."""
        return self.engine.kv_store(self._kept, n_layers, n_kv_heads, head_dim)

    def angles(
        self, positions: Ids, head_dim: int, theta: float, scale: float, freqs: Array | None
    ) -> Array:
        """The specification's cosines and sines, alternating: (T, head_dim), from a table."""
        key = (head_dim, theta, scale, freqs)
        table, length = self._angles.get(key, (None, 0))
        if (needed := int(positions.max()) + 1) > length:
            length = max(2 * length, needed, FIRST_ANGLES)
            of_pairs = None if freqs is None else freqs.numpy[0]
            pairs = numpy_ops.angles(np.arange(length), head_dim, theta, scale, of_pairs)
            table = self.engine.rows(np.stack(pairs, axis=-1).reshape(length, head_dim))
            self._angles[key] = table, length
        return self.engine.take(table, positions)

    def attention(
        self,
        q: Array,
        k: Array,
        v: Array,
        layer: int,
        segments: Sequence[Segment],
        look: Callable[[Float32], None] | None = None,
    ) -> Array:
        """What each row gathers from its own text; for `look` the weights are computed in NumPy."""
        mixed = self.engine.attention(q, k, v, layer, segments)
        if look:
            stop = 0
            for store, start, T in segments:
                keys = self.engine.keys(store, layer, start + T).numpy  # (S, K*d)
                rows = q.numpy[stop : (stop := stop + T)]
                d = store.head_dim
                by_head = keys.reshape(start + T, -1, d).transpose(1, 0, 2)  # (K, S, d)
                look(numpy_ops.attention_weights(rows.reshape(T, -1, d), by_head))
        return mixed

    def to_numpy(self, x: Array) -> Float32:
        """A view of the rows."""
        view: Float32 = x.numpy
        return view


def built() -> bool:
    """Whether the compiled core is here, and was built by a compiler that knows vectors."""
    return core is not None and hasattr(core, "LlamaEngine")


def _kernels_asked_for() -> str:
    """The table that SPM_ISA names, as for the encoder; nothing where the best is wanted."""
    assert core is not None
    wanted = os.environ.get("SPM_ISA")
    if wanted is None:
        return ""
    there = [name for name, table in KERNELS.items() if table in core.llama_kernels()]
    if wanted not in there:
        raise ModelError(f"SPM_ISA is {wanted!r}, expected {' or '.join(there)} on this machine")
    return KERNELS[wanted]


def default_threads() -> int:
    """As many as this process may run on at once."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


Convert = Callable[[npt.NDArray[np.uint8], tuple[int, int]], npt.NDArray[np.uint8]]


def _form(kind: TensorType) -> tuple[int, Convert]:
    """The kernels' number for a type, and what turns rows of the file into rows for them."""
    if has_integers(kind):
        return INTEGERS, lambda data, shape: _integer_blocks(kind, data, shape)
    return TensorType.F32, lambda data, shape: _bytes(dequantize(kind, data, shape))


def _integer_blocks(
    kind: TensorType, data: npt.NDArray[np.uint8], shape: tuple[int, int]
) -> npt.NDArray[np.uint8]:
    q, scale = as_integers(kind, data, shape)
    blocks = np.empty(scale.size, INTEGER_BLOCK)
    blocks["scale"], blocks["q"] = scale.reshape(-1), q.reshape(-1, 16)
    return _bytes(blocks)


def _bytes(array: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    return array.reshape(-1).view(np.uint8)


def _slices(rows: int, row_bytes: int, lanes: int) -> Iterator[tuple[int, int]]:
    """Rows in chunks of about CHUNK bytes, each but the last a multiple of `lanes`."""
    step = max(CHUNK // row_bytes // lanes, 1) * lanes
    return ((start, min(start + step, rows)) for start in range(0, rows, step))
