"""The numbers of the GGUF format (value types, tensor types, block sizes) and a writer's input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt


class ValueType(IntEnum):
    """The type of a metadata value (ggml: gguf.h, enum gguf_type)."""

    UINT8 = 0
    INT8 = 1
    UINT16 = 2
    INT16 = 3
    UINT32 = 4
    INT32 = 5
    FLOAT32 = 6
    BOOL = 7
    STRING = 8
    ARRAY = 9
    UINT64 = 10
    INT64 = 11
    FLOAT64 = 12


# Every value of fixed size; STRING and ARRAY carry their own length. BOOL is one byte, 0 or 1.
VALUE_DTYPES: Final[dict[ValueType, np.dtype[Any]]] = {
    ValueType.UINT8: np.dtype("u1"),
    ValueType.INT8: np.dtype("i1"),
    ValueType.UINT16: np.dtype("<u2"),
    ValueType.INT16: np.dtype("<i2"),
    ValueType.UINT32: np.dtype("<u4"),
    ValueType.INT32: np.dtype("<i4"),
    ValueType.FLOAT32: np.dtype("<f4"),
    ValueType.BOOL: np.dtype("?"),
    ValueType.UINT64: np.dtype("<u8"),
    ValueType.INT64: np.dtype("<i8"),
    ValueType.FLOAT64: np.dtype("<f8"),
}


class TensorType(IntEnum):
    """How a tensor's bytes encode numbers (ggml.h, enum ggml_type)."""

    F32 = 0
    F16 = 1
    Q4_0 = 2
    Q4_1 = 3
    Q5_0 = 6
    Q5_1 = 7
    Q8_0 = 8
    Q8_1 = 9
    Q2_K = 10
    Q3_K = 11
    Q4_K = 12
    Q5_K = 13
    Q6_K = 14
    Q8_K = 15
    IQ2_XXS = 16
    IQ2_XS = 17
    IQ3_XXS = 18
    IQ1_S = 19
    IQ4_NL = 20
    IQ3_S = 21
    IQ2_S = 22
    IQ4_XS = 23
    I8 = 24
    I16 = 25
    I32 = 26
    I64 = 27
    F64 = 28
    IQ1_M = 29
    BF16 = 30
    TQ1_0 = 34
    TQ2_0 = 35
    MXFP4 = 39
    NVFP4 = 40
    Q1_0 = 41
    Q2_0 = 42


REMOVED_TENSOR_TYPES: Final[dict[int, str]] = {
    4: "Q4_2",
    5: "Q4_3",
    31: "Q4_0_4_4",
    32: "Q4_0_4_8",
    33: "Q4_0_8_8",
    36: "IQ4_NL_4_4",
    37: "IQ4_NL_4_8",
    38: "IQ4_NL_8_8",
}


class BlockLayout(NamedTuple):
    """A block: how many values it holds, in how many bytes."""

    values: int
    nbytes: int


# sizeof(block_*) in ggml-common.h. A row of a tensor is a whole number of blocks.
BLOCK_LAYOUTS: Final[dict[TensorType, BlockLayout]] = {
    TensorType.F64: BlockLayout(1, 8),
    TensorType.F32: BlockLayout(1, 4),
    TensorType.F16: BlockLayout(1, 2),
    TensorType.BF16: BlockLayout(1, 2),
    TensorType.I8: BlockLayout(1, 1),
    TensorType.I16: BlockLayout(1, 2),
    TensorType.I32: BlockLayout(1, 4),
    TensorType.I64: BlockLayout(1, 8),
    TensorType.Q1_0: BlockLayout(128, 18),
    TensorType.Q2_0: BlockLayout(64, 18),
    TensorType.Q4_0: BlockLayout(32, 18),
    TensorType.Q4_1: BlockLayout(32, 20),
    TensorType.Q5_0: BlockLayout(32, 22),
    TensorType.Q5_1: BlockLayout(32, 24),
    TensorType.Q8_0: BlockLayout(32, 34),
    # d and s are halves (ggml-common.h, block_q8_1); gguf-py 0.19.0 says 40, as if floats
    TensorType.Q8_1: BlockLayout(32, 36),
    TensorType.Q2_K: BlockLayout(256, 84),
    TensorType.Q3_K: BlockLayout(256, 110),
    TensorType.Q4_K: BlockLayout(256, 144),
    TensorType.Q5_K: BlockLayout(256, 176),
    TensorType.Q6_K: BlockLayout(256, 210),
    TensorType.Q8_K: BlockLayout(256, 292),
    TensorType.IQ1_S: BlockLayout(256, 50),
    TensorType.IQ1_M: BlockLayout(256, 56),
    TensorType.IQ2_XXS: BlockLayout(256, 66),
    TensorType.IQ2_XS: BlockLayout(256, 74),
    TensorType.IQ2_S: BlockLayout(256, 82),
    TensorType.IQ3_XXS: BlockLayout(256, 98),
    TensorType.IQ3_S: BlockLayout(256, 110),
    TensorType.IQ4_NL: BlockLayout(32, 18),
    TensorType.IQ4_XS: BlockLayout(256, 136),
    TensorType.TQ1_0: BlockLayout(256, 54),
    TensorType.TQ2_0: BlockLayout(256, 66),
    TensorType.MXFP4: BlockLayout(32, 17),
    TensorType.NVFP4: BlockLayout(64, 36),
}

DEFAULT_ALIGNMENT: Final = 32
MAX_ALIGNMENT: Final = 1 << 20  # more would be padding for its own sake, megabytes of it per tensor
MAX_DIMS: Final = 4  # ggml.h, GGML_MAX_DIMS
MAX_ARRAY_DEPTH: Final = 8  # arrays inside arrays; ggml itself reads none

# A metadata value: a scalar, a numeric array, a StringArray, a list of arrays.
MetadataValue = bool | int | float | str | npt.NDArray[Any] | Sequence[Any]


@dataclass(frozen=True)
class Typed:
    """A metadata value with its type, where Python's own does not tell (is 3 a uint8?)."""

    type: ValueType
    value: MetadataValue
    element: ValueType | None = None  # of an ARRAY


@dataclass(frozen=True, eq=False)
class Quantized:
    """A tensor for the writer: its type, its row-major shape, its blocks (uint8, of any shape)."""

    type: TensorType
    shape: tuple[int, ...]
    data: npt.NDArray[np.uint8]


TensorSource = npt.NDArray[Any] | Quantized


def is_alignment(number: int) -> bool:
    """Whether tensors can be aligned to `number` bytes: a power of two of sane size."""
    return 0 < number <= MAX_ALIGNMENT and number & (number - 1) == 0


def align(offset: int, alignment: int) -> int:
    """The first multiple of `alignment` at or after `offset`."""
    return -(-offset // alignment) * alignment
