"""What MLX makes of each type on this machine: python -m tools.metal [--rows 4096] [--columns 4096]

For each type, and each form its matrices can take here (docs/metal.md): the bytes it holds, the
largest error of a product with one row, in root mean squares of the exact one, its time, and the
rate at which it went through what it holds. On a Mac the kernels are among the forms.
"""

from __future__ import annotations

import argparse

import mlx.core as mx
import numpy as np

from spm.gguf import dequantize
from spm.gguf.types import TensorType
from spm.llama.ops.metal.choice import makers, product_error, random_blocks, seconds
from spm.llama.ops.metal.forms import KERNEL_TYPES, Form
from spm.llama.ops.mlx import MLX


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=4096)
    parser.add_argument("--columns", type=int, default=4096, help="a multiple of 256")
    args = parser.parse_args()
    print(f"MLX {mx.__version__} on {mx.default_device()}, {args.rows} x {args.columns}, one row")
    print(f"{'type':6}{'form':8}{'MB':>8}{'error':>10}{'ms':>9}{'GB/s':>8}")
    for kind in KERNEL_TYPES:
        print_forms(kind, args.rows, args.columns)


def print_forms(kind: TensorType, rows: int, columns: int) -> None:
    """A line for each form of a type."""
    data = random_blocks(kind, rows, columns)
    weights = dequantize(kind, data, (rows, columns))
    x = np.random.default_rng(1).standard_normal((1, columns), np.float32)
    for name, make in makers(kind, columns, MLX().kernels).items():
        form = make(kind, data, columns)
        error = product_error(weights, x, np.array(form.times(mx.array(x))))
        time, nbytes = seconds(form, columns), size(form)
        rate = f"{1e3 * time:9.3f}{nbytes / time / 1e9:8.1f}"
        print(f"{kind.name:6}{name:8}{nbytes / 1e6:8.1f}{error:10.1e}{rate}", flush=True)


def size(form: Form) -> int:
    """The bytes of all arrays of a form."""
    pending, total = list(vars(form).values()), 0
    while pending:
        each = pending.pop()
        if isinstance(each, tuple):
            pending += each
        total += getattr(each, "nbytes", 0)
    return total


if __name__ == "__main__":
    main()
