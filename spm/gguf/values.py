"""Metadata values, from the header's bytes to Python: decoded when asked for, never before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Final, overload

import numpy as np
import numpy.typing as npt

from spm.errors import GGUFError, one_line
from spm.gguf.header import U32, U64, Entry, Header, scan_strings
from spm.gguf.types import VALUE_DTYPES, MetadataValue, ValueType
from spm.native import core

ARRAY_HEAD: Final = 12  # bytes: the element type (u32) and the count (u64)


class StringArray(Sequence[bytes]):
    """An array of strings that stays in the file's bytes: `array[i]` is bytes, `to_list()` all.

    The header has been checked, so every length here leads to bytes that exist. Where each string
    starts is found in one pass when first needed.
    """

    def __init__(self, data: bytes, start: int, count: int) -> None:
        self._data = data
        self._start = start
        self._count = count
        self._starts: npt.NDArray[np.int64] | None = None  # (count,), of each string's first byte

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[bytes]:
        data, pos, unpack_from = self._data, self._start, U64.unpack_from
        for _ in range(self._count):
            end = pos + 8 + unpack_from(data, pos)[0]
            yield data[pos + 8 : end]
            pos = end

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> list[bytes]: ...
    def __getitem__(self, index: int | slice) -> bytes | list[bytes]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self._count))]
        if not -self._count <= index < self._count:
            raise IndexError(f"string {index} of an array of {self._count}")
        if self._starts is None:
            self._starts = np.fromiter(self._positions(), np.int64)
        start = int(self._starts[index])
        return self._data[start + 8 : start + 8 + U64.unpack_from(self._data, start)[0]]

    def to_list(self) -> list[bytes]:
        """Every string, in one pass."""
        strings = core.read_strings(self._data, self._start, self._count) if core else None
        return list(self) if strings is None else strings

    def end(self) -> int:
        """The header's byte after the last string."""
        return scan_strings(self._data, self._start, 0, self._count)[1]

    def _positions(self) -> Iterator[int]:
        pos, unpack_from = self._start, U64.unpack_from
        for _ in range(self._count):
            yield pos
            pos += 8 + unpack_from(self._data, pos)[0]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, (str, bytes)):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]  # equal to lists, which have none

    def __repr__(self) -> str:
        head = ", ".join(repr(text[:40]) for text in islice(self, 3))
        return f"StringArray([{head}{', ...' if len(self) > 3 else ''}], len={len(self)})"


class Metadata(Mapping[str, MetadataValue]):
    """The keys of one file. Scalars become int, float, bool or str; arrays: see `decode_array`."""

    def __init__(self, path: Path, header: Header) -> None:
        self._path = path
        self._data = header.data
        self._entries = header.entries
        self._decoded: dict[str, MetadataValue] = {}  # what has been asked for

    def __getitem__(self, key: str) -> MetadataValue:
        if key not in self._decoded:
            self._decoded[key] = self._decode(key, self._entries[key])
        return self._decoded[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def entry(self, key: str) -> Entry:
        """Where a value lies. Raises GGUFError when the key is absent."""
        if key not in self._entries:
            raise GGUFError(f"{one_line(self._path)}: key {one_line(key)} is absent")
        return self._entries[key]

    def element_type(self, key: str) -> ValueType:
        """The element type of an array. Raises GGUFError when the key is absent or no array."""
        kind, start = self.entry(key)
        if kind is not ValueType.ARRAY:
            raise GGUFError(
                f"{one_line(self._path)}: byte {start}: "
                f"key {one_line(key)} is {kind.name}, expected ARRAY"
            )
        return ValueType(U32.unpack_from(self._data, start)[0])

    def _decode(self, key: str, entry: Entry) -> MetadataValue:
        if entry.type is ValueType.ARRAY:
            return decode_array(self._data, entry.start)[0]
        if entry.type is ValueType.STRING:
            return self._text(key, entry.start)
        number: bool | int | float = np.frombuffer(
            self._data, VALUE_DTYPES[entry.type], 1, entry.start
        )[0].item()
        return number

    def _text(self, key: str, start: int) -> str:
        (raw,) = StringArray(self._data, start, 1)
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            found = raw[error.start : error.start + 8].hex(" ")
            raise GGUFError(
                f"{one_line(self._path)}: byte {start + 8 + error.start}: "
                f"key {one_line(key)}: found {found}, expected UTF-8"
            ) from None


def decode_array(data: bytes, start: int) -> tuple[MetadataValue, int]:
    """An array that the header has checked, and the byte after it.

    Numbers and bools give a read-only numpy array over the header's bytes, strings a StringArray,
    arrays a list of arrays.
    """
    element = ValueType(U32.unpack_from(data, start)[0])
    (count,) = U64.unpack_from(data, start + 4)
    start += ARRAY_HEAD
    if element is ValueType.STRING:
        strings = StringArray(data, start, count)
        return strings, strings.end()
    if element is ValueType.ARRAY:
        return decode_arrays(data, start, count)
    numbers = np.frombuffer(data, VALUE_DTYPES[element], count, start)
    return numbers, start + numbers.nbytes


def decode_arrays(data: bytes, start: int, count: int) -> tuple[list[MetadataValue], int]:
    """`count` arrays one after the other, and the byte after them."""
    arrays: list[MetadataValue] = []
    for _ in range(count):
        array, start = decode_array(data, start)
        arrays.append(array)
    return arrays, start
