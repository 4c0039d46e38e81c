"""Which form a matrix takes, found out on the machine that multiplies.

A kernel may be right on one GPU and wrong on another: there are reports of both a hand-written one
and a compiler's doing. So on Metal each type of a file is first held against NumPy on this device,
for every length of its rows, with one row of activations, as many as a matvec takes, and more. Of
the forms that are right the faster one is kept. Both are made of random blocks, so that neither
depends on a file that may be broken.

Where there is one form only, there is nothing to choose, and nothing is tried.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeAlias

import mlx.core as mx
import numpy as np

from spm.gguf.blocks import Bytes, Float32
from spm.gguf.quantize import quantize
from spm.gguf.quants import DECODERS, dequantize
from spm.gguf.types import BLOCK_LAYOUTS, TensorType
from spm.llama.ops.metal.affine import has_affine
from spm.llama.ops.metal.forms import (
    KERNEL_TYPES,
    MATVEC_MAX,
    PART,
    Form,
    Kernels,
    affine,
    as_they_are,
    halves,
)

Maker: TypeAlias = Callable[[TensorType, Bytes, int], Form]

HALVES: Final = (TensorType.F16, TensorType.BF16)  # dense as they are
CHECKED_ROWS: Final = 37  # of a matrix: no multiple of anything
CHECKED_BATCHES: Final = (1, MATVEC_MAX, 16)  # rows of activations
# Of the root mean square of the exact product. Sums of 30,000 float32 stay below it, products that
# are rounded to 11 bits do not.
TOLERANCE: Final = 1e-4
TIMED_VALUES: Final = 1 << 25  # more than the caches of most GPUs
TIMED_PRODUCTS: Final = 10


@dataclass(frozen=True)
class Choice:
    """The form of the matrices of one type and row length, and what else there was."""

    form: str  # "blocks", "affine" or "dense"
    seconds: Mapping[str, float] = field(default_factory=dict)  # for a product, if they were timed
    wrong: tuple[str, ...] = ()  # forms that differ from NumPy on this device

    def __str__(self) -> str:
        times = [f"{name} {1e3 * s:.3f} ms" for name, s in sorted(self.seconds.items())]
        return ", ".join([self.form, *times, *(f"{name} is wrong here" for name in self.wrong)])


def makers(kind: TensorType, columns: int, kernels: Kernels | None) -> dict[str, Maker]:
    """How the forms of a type are made on this device, by name; none if only numbers will do."""
    forms: dict[str, Maker] = {}
    if kernels and kind in KERNEL_TYPES and columns % PART == 0:
        forms["blocks"] = partial(as_they_are, kernels)
    if has_affine(kind):
        forms["affine"] = affine
    if kind in HALVES:
        forms["dense"] = halves
    return forms


def choose_form(kind: TensorType, shape: tuple[int, int], kernels: Kernels | None) -> Choice:
    """The fastest form that is right, for matrices of this type like one of `shape`.

    Warns (RuntimeWarning) of a form that is not right.
    """
    rows, columns = shape
    forms = makers(kind, columns, kernels)
    if len(forms) < 2:
        return Choice(*forms or ("dense",))
    sample = random_blocks(kind, min(rows, CHECKED_ROWS), columns)
    right = [name for name, make in forms.items() if is_right(make, kind, sample, columns)]
    wrong = tuple(sorted(set(forms) - set(right)))
    for name in wrong:
        message = f"{kind.name} as {name} differs from NumPy on this device: not used"
        warnings.warn(message, RuntimeWarning, stacklevel=2)
    if len(right) < 2:
        return Choice(right[0] if right else "dense", wrong=wrong)
    sample = random_blocks(kind, max(min(rows, TIMED_VALUES // columns), 1), columns)
    times = {name: seconds(forms[name](kind, sample, columns), columns) for name in right}
    return Choice(min(times, key=lambda name: times[name]), times)


def random_blocks(kind: TensorType, rows: int, columns: int) -> Bytes:
    """Every bit of (rows, row bytes) random, but for scales below 1/64, which stay numbers."""
    rng = np.random.default_rng(0)
    if kind in HALVES:
        return quantize(kind, rng.standard_normal((rows, columns), np.float32))
    layout = BLOCK_LAYOUTS[kind]
    data = rng.integers(0, 256, (rows, columns // layout.values * layout.nbytes), np.uint8)
    blocks = data.reshape(-1).view(DECODERS[kind][0])
    for name in sorted({"d", "m", "dmin"} & set(blocks.dtype.names or ())):
        blocks[name] = rng.uniform(-1 / 64, 1 / 64, len(blocks))
    return data


def is_right(make: Maker, kind: TensorType, data: Bytes, columns: int) -> bool:
    """Whether a form's rows and products are those of the specification."""
    weights = dequantize(kind, data, (len(data), columns))
    form = make(kind, data, columns)
    rows = np.array(form.rows(mx.arange(len(data))))
    if not np.allclose(weights, rows, rtol=1e-6, atol=1e-6 * float(np.abs(weights).max())):
        return False
    rng = np.random.default_rng(1)
    for batch in CHECKED_BATCHES:
        x = rng.standard_normal((batch, columns), np.float32)
        if not product_error(weights, x, np.array(form.times(mx.array(x)))) <= TOLERANCE:
            return False
    return True


def product_error(weights: Float32, x: Float32, y: Float32) -> float:
    """The largest error of y, in root mean squares of the exact x · Wᵀ; NaN if y has one."""
    exact = x.astype(np.float64) @ weights.astype(np.float64).T
    return float(np.abs(y - exact).max() / np.sqrt(np.mean(exact * exact)))


def seconds(form: Form, columns: int) -> float:
    """For a product with one row: the best of three rounds, after one that compiles."""
    x = mx.array(np.random.default_rng(1).standard_normal((1, columns), np.float32))
    rounds = []
    for _ in range(4):
        start = time.perf_counter()
        mx.eval([form.times(x) for _ in range(TIMED_PRODUCTS)])
        rounds.append(time.perf_counter() - start)
    return min(rounds[1:]) / TIMED_PRODUCTS
