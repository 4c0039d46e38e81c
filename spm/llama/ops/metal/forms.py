"""The forms in which MLX multiplies with a matrix of a GGUF file.

`Blocks`: the file's own bytes, multiplied by kernels.metal. Reads the least, runs on Metal only.
`Affine`: repacked for MLX's quantised products (affine.py). Runs wherever MLX runs.
`Dense`: numbers, for types that are numbers.

Each gives rows of itself (`rows`) and products with rows of activations (`times`), in float32.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias

import mlx.core as mx

from spm.gguf.blocks import Bytes
from spm.gguf.types import BLOCK_LAYOUTS, TensorType
from spm.llama.ops.metal.affine import GROUP, pack

Array: TypeAlias = Any  # mx.array
MetalKernel: TypeAlias = Callable[..., Callable[..., list[Array]]]  # mx.fast.metal_kernel


class Form(Protocol):
    """A matrix (O, I)."""

    def rows(self, ids: Array) -> Array:
        """Rows `ids` (T,): (T, I)."""
        ...

    def times(self, x: Array) -> Array:
        """x · Wᵀ: (T, I) -> (T, O)."""
        ...


# Dense


@dataclass(frozen=True, eq=False)
class Dense:
    """Numbers: float32, or the halves of a file that has halves."""

    weights: Array  # (O, I)

    def rows(self, ids: Array) -> Array:
        """Rows `ids` (T,): (T, I)."""
        return self.weights[ids].astype(mx.float32)

    def times(self, x: Array) -> Array:
        """x · Wᵀ: (T, I) -> (T, O). Halves become float32, which is exact, never x a half."""
        return x @ self.weights.astype(mx.float32).T


def halves(kind: TensorType, data: Bytes, columns: int) -> Dense:
    """The matrix of F16 or BF16 with these bytes (O, row bytes)."""
    if kind is TensorType.F16:
        return Dense(mx.array(data.view("<f2")))
    return Dense(mx.array(data.view("<u2")).view(mx.bfloat16))


# Affine


@dataclass(frozen=True, eq=False)
class Affine:
    """Packed words with a scale and a bias for each 32, or for the even and the odd 16 of each 32.

    MLX multiplies no groups of 16. There, x without its odd 16 times the words with the scales of
    the even 16, and the other way round, are added: exact, for twice the traffic.
    """

    words: Array  # uint32 (O, I * bits / 32)
    groups: tuple[tuple[Array, Array], ...]  # one or two times scales and biases (O, I / 32)
    bits: int

    def rows(self, ids: Array) -> Array:
        """Rows `ids` (T,): (T, I)."""
        words = self.words[ids]
        first, *second = (
            mx.dequantize(words, scales[ids], biases[ids], group_size=GROUP, bits=self.bits)
            for scales, biases in self.groups
        )
        return mx.where(_even(first.shape[1]), first, second[0]) if second else first

    def times(self, x: Array) -> Array:
        """x · Wᵀ: (T, I) -> (T, O)."""
        if len(self.groups) == 1:
            return self._product(x, *self.groups[0])
        even = _even(x.shape[1])
        first = self._product(mx.where(even, x, 0.0), *self.groups[0])
        return first + self._product(mx.where(even, 0.0, x), *self.groups[1])

    def _product(self, x: Array, scales: Array, biases: Array) -> Array:
        return mx.quantized_matmul(x, self.words, scales, biases, group_size=GROUP, bits=self.bits)


def _even(columns: int) -> Array:
    """Which of the columns lie in the first half of their 32: bool (I,)."""
    return mx.arange(columns) % GROUP < GROUP // 2


def affine(kind: TensorType, data: Bytes, columns: int) -> Affine:
    """The matrix with these bytes (O, row bytes), repacked."""
    words, scales, biases, bits = pack(kind, data, columns)
    groups = tuple((mx.array(s), mx.array(b)) for s, b in zip(scales, biases, strict=True))
    return Affine(mx.array(words), groups, bits)


# Blocks, and the kernels that read them

KERNEL_TYPES: Final = (
    *(TensorType.F16, TensorType.BF16),
    *(TensorType.Q4_0, TensorType.Q4_1, TensorType.Q5_0, TensorType.Q5_1, TensorType.Q8_0),
    *(TensorType.Q2_K, TensorType.Q3_K, TensorType.Q4_K, TensorType.Q5_K, TensorType.Q6_K),
)
KERNELS: Final = Path(__file__).with_name("kernels.metal")
MATVEC: Final = """
    gguf::matvec<gguf::{kind}, M, ROWS>(
        w, x, y, w_shape[0], w_shape[1],
        ROWS * thread_position_in_grid.y, thread_index_in_simdgroup);
"""
DEQUANTIZE: Final = """
    gguf::dequantize<gguf::{kind}>(
        w, y, w_shape[1], thread_position_in_grid.y, thread_position_in_grid.x);
"""
PART: Final = 16  # values that one thread decodes
LANES: Final = 32  # threads of a simdgroup
ROWS: Final = 4  # rows of a matrix for each simdgroup
MATVEC_MAX: Final = 8  # rows of activations; more are worth a whole matrix in float32
SLAB: Final = 1 << 26  # values of such a matrix at a time: 256 MB


@dataclass(frozen=True)
class Kernels:
    """The kernels in `text`, compiled by `metal_kernel` when they are first used."""

    metal_kernel: MetalKernel
    text: str = field(default_factory=lambda: KERNELS.read_text("utf-8"), repr=False)
    compiled: dict[str, Callable[..., list[Array]]] = field(default_factory=dict, repr=False)

    def matvec(self, kind: TensorType, blocks: Array, x: Array) -> Array:
        """blocks (O, row bytes), x (M, I) -> (M, O)."""
        M, n_out = len(x), len(blocks)
        return self._kernel("matvec", MATVEC, kind, ["w", "x"])(
            inputs=[blocks, x],
            template=[("M", M), ("ROWS", ROWS)],
            grid=(LANES, -(-n_out // ROWS), 1),
            threadgroup=(LANES, 2, 1),
            output_shapes=[(M, n_out)],
            output_dtypes=[mx.float32],
        )[0]

    def dequantize(self, kind: TensorType, blocks: Array) -> Array:
        """blocks (O, row bytes) -> (O, I)."""
        n_out, row_bytes = blocks.shape
        layout = BLOCK_LAYOUTS[kind]
        columns = row_bytes // layout.nbytes * layout.values
        return self._kernel("dequantize", DEQUANTIZE, kind, ["w"])(
            inputs=[blocks],
            grid=(columns // PART, n_out, 1),
            threadgroup=(min(columns // PART, 256), 1, 1),
            output_shapes=[(n_out, columns)],
            output_dtypes=[mx.float32],
        )[0]

    def _kernel(
        self,
        name: str,
        body: str,
        kind: TensorType,
        inputs: list[str],
    ) -> Callable[..., list[Array]]:
        name = f"{name}_{kind.name}"
        if name not in self.compiled:
            self.compiled[name] = self.metal_kernel(
                name=f"spm_{name}",
                input_names=inputs,
                output_names=["y"],
                source=body.format(kind=kind.name),
                header=self.text,
            )
        return self.compiled[name]


@dataclass(frozen=True, eq=False)
class Blocks:
    """The file's own bytes."""

    kind: TensorType
    blocks: Array  # uint8 (O, row bytes)
    kernels: Kernels

    def rows(self, ids: Array) -> Array:
        """Rows `ids` (T,): (T, I)."""
        return self.kernels.dequantize(self.kind, self.blocks[ids])

    def times(self, x: Array) -> Array:
        """x · Wᵀ: (T, I) -> (T, O)."""
        if len(x) <= MATVEC_MAX:
            return self.kernels.matvec(self.kind, self.blocks, x)
        step = max(SLAB // x.shape[1], 1)
        slabs = [self.blocks[o : o + step] for o in range(0, len(self.blocks), step)]
        return mx.concatenate(
            [x @ self.kernels.dequantize(self.kind, slab).T for slab in slabs], axis=1
        )


def as_they_are(kernels: Kernels, kind: TensorType, data: Bytes, columns: int) -> Blocks:
    """The matrix with these bytes (O, row bytes), as they are."""
    return Blocks(kind, mx.array(data), kernels)
