"""Blocks as numpy records, and what many tensor types share in taking them apart.

A block's bytes are a numpy record, so the map of its bytes is also the code that takes it apart.
In the maps `:` cuts a byte or a word into bit fields, the highest bit first; names are those of
ggml's C (ggml-common.h). A type of integers times scales gives its numbers as such a pair
(spm.gguf.integers, spm.gguf.iquants), a type that has a minimum or no scale as float32
(spm.gguf.quants).
"""

from __future__ import annotations

from math import prod
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from spm.errors import GGUFError
from spm.gguf.types import BLOCK_LAYOUTS, TensorType

Records = npt.NDArray[Any]  # (n,) of one type's record
Bytes = npt.NDArray[np.uint8]
Int8 = npt.NDArray[np.int8]
Float32 = npt.NDArray[np.float32]
# q (n, values per block) and a scale for each equal part of them (n, parts): x = scale q
Integers = tuple[Int8, Float32]

VALUES_AT_A_TIME: Final = 1 << 17  # the temporaries stay small, in the cache


def as_records(
    type: TensorType,  # noqa: A002
    record: np.dtype[Any],
    data: Bytes,
    shape: tuple[int, ...],
) -> Records:
    """A tensor's bytes as records (n,), where they fit its row-major shape; else GGUFError."""
    layout = BLOCK_LAYOUTS[type]
    expected = prod(shape) // layout.values * layout.nbytes
    if min(shape, default=-1) < 0 or shape[-1] % layout.values or data.nbytes != expected:
        raise GGUFError(
            f"{data.nbytes} bytes of {type.name} for shape {list(shape)}, "
            f"expected {expected} in rows of a multiple of {layout.values}"
        )
    return np.ascontiguousarray(data).reshape(-1).view(record)


def slices(n_blocks: int, values: int) -> list[slice]:
    """Slices over blocks of so many values each, of about VALUES_AT_A_TIME in all."""
    step = VALUES_AT_A_TIME // values
    return [slice(start, start + step) for start in range(0, n_blocks, step)]


def column(values: npt.NDArray[Any]) -> Float32:
    """(n,) -> float32 (n, 1)."""
    return values.astype(np.float32)[:, None]


def bit_fields(packed: Bytes, group: int, width: int) -> Bytes:
    """Numbers of `width` bits cut from bytes: (n, b) -> (n, b * 8 / width).

    Of each `group` bytes come first the lowest fields, one of each byte, then the next ones up.
    """
    shifts = np.arange(0, 8, width, dtype=np.uint8)[:, None]
    mask = np.uint8((1 << width) - 1)
    fields: Bytes = (packed.reshape(len(packed), -1, 1, group) >> shifts) & mask
    return fields.reshape(len(packed), -1)


def word_fields(words: npt.NDArray[Any], width: int, count: int) -> npt.NDArray[Any]:
    """The lowest `count` numbers of `width` bits of each word, the lowest first: (n, w * count)."""
    shifts = np.arange(count, dtype=words.dtype) * width
    fields: npt.NDArray[Any] = words[:, :, None] >> shifts & (1 << width) - 1
    return fields.reshape(len(words), -1)


def lowered(fields: npt.NDArray[Any], by: int) -> Int8:
    """Bit fields, uint8 below 128, as signed numbers, all of them less `by`."""
    numbers: Int8 = fields.view(np.int8) - np.int8(by)
    return numbers


def scaled(d: Float32, q: npt.NDArray[Any]) -> Float32:
    """Sub-blocks times their scales: d (n, s), q (n, values) -> (n, s, values / s)."""
    n, subs = d.shape
    product: Float32 = d[:, :, None] * q.reshape(n, subs, -1).astype(np.float32)
    return product
