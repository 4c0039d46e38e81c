"""GGUF files by hand, from the format's text: the reader is not tested on our writer alone."""

from __future__ import annotations

import struct
from collections.abc import Iterable

U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)


def u32(number: int) -> bytes:
    return struct.pack("<I", number)


def u64(number: int) -> bytes:
    return struct.pack("<Q", number)


def text(raw: str | bytes) -> bytes:
    raw = raw.encode() if isinstance(raw, str) else raw
    return u64(len(raw)) + raw


def key(name: str | bytes, kind: int, value: bytes) -> bytes:
    return text(name) + u32(kind) + value


def array(element: int, count: int, elements: bytes = b"") -> bytes:
    return u32(element) + u64(count) + elements


def tensor(
    name: str | bytes = "t", ne: Iterable[int] = (32,), kind: int = 0, offset: int = 0
) -> bytes:
    ne = tuple(ne)
    return text(name) + u32(len(ne)) + b"".join(map(u64, ne)) + u32(kind) + u64(offset)


def head(n_tensors: int, n_keys: int, *, magic: bytes = b"GGUF", version: int = 3) -> bytes:
    return magic + u32(version) + u64(n_tensors) + u64(n_keys)


def gguf(
    keys: Iterable[bytes] = (),
    tensors: Iterable[bytes] = (),
    data: bytes = b"",
    *,
    version: int = 3,
    alignment: int = 32,
) -> bytes:
    keys, tensors = list(keys), list(tensors)
    out = head(len(tensors), len(keys), version=version) + b"".join(keys) + b"".join(tensors)
    return out + bytes(-len(out) % alignment) + data if tensors else out
