"""The ids of many texts, in one array and in the forms that others want."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from dataclasses import dataclass
from typing import SupportsIndex

import numpy as np
from numpy.typing import NDArray

from spm.errors import EncodeError, brief
from spm.native import core


@dataclass(frozen=True, eq=False)
class Batch:
    """The ids of many texts in one array: text i has ids[offsets[i]:offsets[i + 1]].

    `ids` is int32 (N,), `offsets` int64 (len + 1,). Indexing gives a view of one text's ids.
    """

    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]
    pad_id: int | None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, i: SupportsIndex) -> NDArray[np.int32]:
        n = operator.index(i)
        n += len(self) if n < 0 else 0
        if not 0 <= n < len(self):
            raise IndexError(f"text {operator.index(i)}, expected one of {len(self)}")
        return self.ids[self.offsets[n] : self.offsets[n + 1]]

    def __iter__(self) -> Iterator[NDArray[np.int32]]:
        return (self[i] for i in range(len(self)))

    def to_lists(self) -> list[list[int]]:
        """The ids as Python lists, one for each text."""
        return [ids.tolist() for ids in self]

    def to_arrow(self) -> ArrowRows:
        """The ids for Arrow, as a large_list<int32> over the same memory.

        Whatever takes the PyCapsule interface reads it: pyarrow.array(...), polars.Series(...),
        DuckDB. No package is needed here. Raises EncodeError without the compiled core.
        """
        if core is None:
            raise EncodeError("to_arrow: there is no compiled core, expected one")
        return ArrowRows(self)

    def pad(self, pad_id: int | None = None) -> NDArray[np.int32]:
        """One row for each text, filled up on the right: int32 (len, longest).

        Fills with the vocabulary's PAD unless `pad_id` is given. Raises EncodeError if there is
        neither.
        """
        fill = self.pad_id if pad_id is None else operator.index(pad_id)
        if fill is None:
            raise EncodeError("pad: the vocabulary has no PAD id, expected pad_id")
        if not -(2**31) <= fill < 2**31:
            raise EncodeError(f"pad: pad_id is {brief(fill)}, expected a number of 32 bits")
        sizes = np.diff(self.offsets)
        shape = len(self), int(sizes.max(initial=0))
        try:
            rows = np.full(shape, fill, np.int32)
        except MemoryError:
            raise EncodeError(f"pad: no memory for {shape[0]} rows of {shape[1]} ids") from None
        rows[np.arange(rows.shape[1]) < sizes[:, None]] = self.ids
        return rows


@dataclass(frozen=True, eq=False)
class ArrowRows:
    """A batch behind Arrow's PyCapsule interface. It keeps the batch's memory alive."""

    batch: Batch

    def __arrow_c_schema__(self) -> object:
        assert core is not None
        return core.arrow_schema()

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]:
        """The schema and the array. Another schema than this one may be asked for in vain."""
        assert core is not None
        ids = np.ascontiguousarray(self.batch.ids, np.int32)
        offsets = np.ascontiguousarray(self.batch.offsets, np.int64)
        return core.arrow_schema(), core.arrow_array(ids, offsets)
