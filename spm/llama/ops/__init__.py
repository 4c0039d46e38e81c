"""The operations behind a Llama, and the one seam at which another implementation joins."""

# ruff: noqa: D102  (each operation is documented where it is defined, in ops/numpy.py)

from __future__ import annotations

from typing import Protocol

from spm.errors import ModelError
from spm.llama.ops import numpy as numpy_ops
from spm.llama.ops.numpy import Array


class Ops(Protocol):
    """What a backend offers. `ops/numpy.py` is the specification: same names, same shapes."""

    def linear(self, x: Array, weight: Array, bias: Array | None = None) -> Array: ...
    def rms_norm(self, x: Array, weight: Array, eps: float) -> Array: ...
    def rope_angles(
        self, start: int, T: int, head_dim: int, theta: float, scale: float, freqs: Array | None
    ) -> tuple[Array, Array]: ...
    def rope(self, x: Array, cos: Array, sin: Array) -> Array: ...
    def attention_weights(self, q: Array, k: Array) -> Array: ...
    def attend(self, weights: Array, v: Array) -> Array: ...
    def swiglu(self, gate: Array, up: Array) -> Array: ...


def choose(backend: str) -> Ops:
    """The operations called `backend`; "auto" is the fastest that is built, today NumPy.

    Raises ModelError for any other name: what was asked for is never silently replaced.
    """
    if backend in ("auto", "numpy"):
        return numpy_ops
    if backend in ("native", "mlx"):
        raise ModelError(f"backend {backend!r}: not built, expected 'auto' or 'numpy'")
    raise ModelError(f"backend {backend!r}: unknown, expected 'auto' or 'numpy'")
