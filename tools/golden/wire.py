"""The protobuf wire format, as much of it as a sentencepiece .model needs: write one, read one.

A message is a sequence of fields, each a key (field number << 3 | wire type) and a value: wire type
0 a varint, 1 eight bytes, 2 a length and that many bytes, 5 four bytes. Field numbers are those of
sentencepiece_model.proto. spm has a reader of its own; this one shares no line with it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5

Value = int | bytes


def varint(value: int) -> bytes:
    """A number >= 0 in base 128, low group first, the top bit set on all bytes but the last."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number: int, value: int | float | bool | str | bytes) -> bytes:
    """One field, its wire type taken from the Python type; a float is four bytes."""
    if isinstance(value, float):
        return varint(number << 3 | FIXED32) + struct.pack("<f", value)
    if isinstance(value, int):
        return varint(number << 3 | VARINT) + varint(value)
    data = value.encode("utf-8") if isinstance(value, str) else value
    return varint(number << 3 | BYTES) + varint(len(data)) + data


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at an offset, and the offset behind it."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def fields(data: bytes) -> Iterator[tuple[int, Value]]:
    """The (number, value) pairs of a message: varints as int, everything else as its bytes."""
    at = 0
    while at < len(data):
        key, at = read_varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            value, at = read_varint(data, at)
            yield number, value
            continue
        size = {FIXED64: 8, FIXED32: 4}.get(kind)
        if size is None:
            size, at = read_varint(data, at)
        yield number, data[at : at + size]
        at += size


def submessage(data: bytes, number: int) -> dict[int, Value]:
    """The last value of every field of a sub-message; empty where the sub-message is absent."""
    found = b"".join(v for n, v in fields(data) if n == number and isinstance(v, bytes))
    return dict(fields(found))
