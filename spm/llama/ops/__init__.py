"""The contract between the model and the machine: its operations, and who offers them.

The model file knows no back end. It asks one for its weights (`vector`, `matrix`), for a place to
keep keys and values (`kv_store`), and for the operations; what passes between them is the back
end's own. An `Array` holds float32 (T, n), one row per position, a `Matrix` weights (O, I) in
whatever form multiplies fastest. `to_numpy` shows an Array to everybody else.

`ops/numpy.py` is the specification: the others are proven equal to it, operation by operation and
as whole models, by the same tests.
"""

# ruff: noqa: D102  (each operation is documented where it is specified, in ops/numpy.py)

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any, NamedTuple, Protocol, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from spm.errors import ModelError, brief
from spm.gguf import Tensor

Array: TypeAlias = Any  # a back end's own float32 (T, n)
Matrix: TypeAlias = Any  # a back end's own weights (O, I)
Angles: TypeAlias = Any  # a back end's own cosines and sines of T positions
KVStore: TypeAlias = Any  # a back end's own keys and values of one text, every layer's
Float32: TypeAlias = npt.NDArray[np.float32]
Ids: TypeAlias = npt.NDArray[np.intp]

MAX_THREADS = 256


class Segment(NamedTuple):
    """Rows of a pass that continue one text: T of them, from its position `start` on."""

    store: KVStore
    start: int
    T: int


class Linear(NamedTuple):
    """y = x · weightᵀ + bias."""

    weight: Matrix  # (O, I)
    bias: Array | None  # (O,); most Llamas have none


class Ops(Protocol):
    """What a back end offers."""

    def describe(self) -> str: ...
    def vector(self, tensor: Tensor) -> Array: ...
    def matrix(self, tensor: Tensor) -> Matrix: ...
    def kv_store(self, n_layers: int, n_kv_heads: int, head_dim: int) -> KVStore: ...
    def embed(self, matrix: Matrix, ids: Ids) -> Array: ...
    def take(self, x: Array, rows: Ids) -> Array: ...
    def linear(self, x: Array, weight: Matrix, bias: Array | None = None) -> Array: ...
    def linears(self, x: Array, linears: Sequence[Linear]) -> Sequence[Array]: ...
    def add(self, a: Array, b: Array) -> Array: ...
    def rms_norm(self, x: Array, weight: Array, eps: float) -> Array: ...
    def angles(
        self, positions: Ids, head_dim: int, theta: float, scale: float, freqs: Array | None
    ) -> Angles: ...
    def rope(self, x: Array, angles: Angles) -> Array: ...
    def attention(
        self,
        q: Array,
        k: Array,
        v: Array,
        layer: int,
        segments: Sequence[Segment],
        look: Callable[[Float32], None] | None = None,
    ) -> Array: ...
    def swiglu(self, gate: Array, up: Array) -> Array: ...
    def to_numpy(self, x: Array) -> Float32: ...


def choose(
    backend: str, threads: int | None = None, kv: str | None = None, mapped: bool = False
) -> Ops:
    """The operations called `backend`; "auto": MLX on Apple silicon, else kernels, else NumPy.

    `threads`, `kv` and `mapped` are the native back end's (ops/native.py). Raises ModelError for a
    name that is unknown or not installed, for threads out of range, and for an option that the back
    end does not have: what was asked for is never silently replaced.
    """
    from spm.llama.ops import native, numpy

    if threads is not None and not (type(threads) is int and 1 <= threads <= MAX_THREADS):
        raise ModelError(f"threads: found {brief(threads)}, expected 1 to {MAX_THREADS}")
    if backend == "auto":
        backend = _best()
    if backend == "native":
        return native.NativeOps(threads, "f16" if kv is None else kv, mapped=mapped)
    if backend not in ("numpy", "mlx"):
        expected = "expected 'auto', 'mlx', 'native' or 'numpy'"
        raise ModelError(f"backend {brief(backend)}: unknown, {expected}")
    if kv not in (None, "f32"):
        raise ModelError(f"kv: found {brief(kv)}, expected 'f32': backend {backend!r} has no other")
    if mapped:
        raise ModelError(f"mapped: found True, expected backend 'native', not {backend!r}")
    return cast(Ops, numpy) if backend == "numpy" else _mlx()


def _best() -> str:
    """The fastest back end that is here."""
    from spm.llama.ops import native

    if sys.platform == "darwin" and platform.machine() == "arm64" and find_spec("mlx"):
        return "mlx"
    return "native" if native.built() else "numpy"


def _mlx() -> Ops:
    try:
        from spm.llama.ops import mlx
    except ImportError as error:
        expected = "pip install 'spm[metal]', or backend 'auto', 'native' or 'numpy'"
        raise ModelError(f"backend 'mlx': not installed, expected {expected} ({error})") from None
    return mlx.MLX()
