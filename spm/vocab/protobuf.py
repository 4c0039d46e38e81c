"""The protobuf wire format, as far as a sentencepiece `.model` needs it: read and written.

A message is a sequence of fields; a field is a varint key (number << 3 | wire type) and a value.
Four wire types are in use: 0 a varint, 1 eight bytes, 2 a length and that many bytes, 5 four bytes.
A message inside a message is a value of type 2, so one function that splits a message into fields
reads everything. https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import struct
from collections.abc import Collection
from typing import Final, TypeVar

from spm.errors import VocabError

T = TypeVar("T", int, bytes)

MAX_NUMBER: Final = (1 << 29) - 1
MAX_KEY_BYTES: Final = 5  # of a varint that is a key or a size: they have 32 bits
MAX_VALUE_BYTES: Final = 10

_FIXED: Final = {1: 8, 5: 4}  # wire type -> bytes


class Message:
    """The wanted fields of one message, with typed access by number.

    `where` is what messages of errors begin with. A field that is absent has the default that the
    caller names, one that repeats has its last value: the rules of proto2. Raises VocabError with
    the byte offset within this message.
    """

    def __init__(self, data: bytes, where: str, wanted: Collection[int]) -> None:
        self.where = where
        self.fields = _read_fields(data, where, wanted)  # number -> values in order of appearance

    def integer(self, number: int, default: int) -> int:
        """An int32 or enum field; a negative number is stored as 64 bits."""
        value = self._last(number, int, default)
        return value - (1 << 64) if value >= 1 << 63 else value

    def flag(self, number: int, default: bool) -> bool:
        """A bool field."""
        return self._last(number, int, int(default)) != 0

    def raw(self, number: int, default: bytes) -> bytes:
        """A string or bytes field."""
        return self._last(number, bytes, default)

    def real(self, number: int, default: float) -> float:
        """A float field."""
        raw = self._last(number, bytes, struct.pack("<f", default))
        if len(raw) != 4:
            raise VocabError(f"{self.where}: field {number} has {len(raw)} bytes, expected 4")
        return float(struct.unpack("<f", raw)[0])

    def all(self, number: int) -> list[bytes]:
        """Every value of a repeated message field."""
        return [self._typed(value, number, bytes) for value in self.fields[number]]

    def message(self, number: int, wanted: Collection[int]) -> Message:
        """A nested message; several parts of one are merged, which joining their bytes does."""
        return Message(b"".join(self.all(number)), f"{self.where}, field {number}", wanted)

    def _last(self, number: int, kind: type[T], default: T) -> T:
        values = self.fields[number]
        return self._typed(values[-1], number, kind) if values else default

    def _typed(self, value: int | bytes, number: int, kind: type[T]) -> T:
        if not isinstance(value, kind):
            found, expected = ("a number", "bytes") if kind is bytes else ("bytes", "a number")
            raise VocabError(f"{self.where}: field {number} is {found}, expected {expected}")
        return value


def _read_fields(data: bytes, where: str, wanted: Collection[int]) -> dict[int, list[int | bytes]]:
    fields: dict[int, list[int | bytes]] = {number: [] for number in wanted}
    pos, end = 0, len(data)
    while pos < end:
        start = pos
        key, pos = _varint(data, pos, where, MAX_KEY_BYTES)
        number, wire = key >> 3, key & 7
        if not 1 <= number <= MAX_NUMBER:
            raise VocabError(
                f"{where}: offset {start}: field number {number}, expected 1 to {MAX_NUMBER}"
            )
        value: int | bytes
        if wire == 0:
            value, pos = _varint(data, pos, where, MAX_VALUE_BYTES)
        else:
            if wire == 2:
                size, pos = _varint(data, pos, where, MAX_KEY_BYTES)
            elif wire in _FIXED:
                size = _FIXED[wire]
            else:
                raise VocabError(
                    f"{where}: offset {start}: wire type {wire}, expected 0, 1, 2 or 5"
                )
            if size > end - pos:
                raise VocabError(f"{where}: offset {pos}: {size} bytes announced, {end - pos} left")
            value, pos = data[pos : pos + size], pos + size
        if number in fields:
            fields[number].append(value)
    return fields


def _varint(data: bytes, pos: int, where: str, most: int) -> tuple[int, int]:
    value = shift = 0
    for at in range(pos, min(pos + most, len(data))):
        byte = data[at]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at + 1
        shift += 7
    raise VocabError(f"{where}: offset {pos}: a varint without end, expected at most {most} bytes")


# ---- the other way


def field(number: int, value: bool | int | float | bytes) -> bytes:
    """One field as it is written: a float has four bytes, a bool or int is a varint."""
    if isinstance(value, float):
        return _number(number << 3 | 5) + struct.pack("<f", value)
    if isinstance(value, bytes):
        return _number(number << 3 | 2) + _number(len(value)) + value
    return _number(number << 3) + _number(value)


def _number(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
