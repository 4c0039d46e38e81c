"""The head of a GGUF file (magic, counts, keys, tensor table), from bytes to where everything lies.

    "GGUF" | version u32 | n_tensors u64 | n_keys u64
    n_keys    times: key string | value type u32 | value
    n_tensors times: name string | n_dims u32 | ne u64 x n_dims | tensor type u32 | offset u64
    padding to general.alignment | tensor data

A string is a u64 length and its bytes; an array is an element type u32, a count u64 and its
elements. All of it is little-endian. Nothing is decoded here but keys and names: values are stepped
over, so that a vocabulary of 262,144 pieces costs one short loop. Every count is held against the
bytes that are left in the file before anything is allocated for it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from spm.errors import GGUFError, one_line
from spm.gguf.types import (
    BLOCK_LAYOUTS,
    DEFAULT_ALIGNMENT,
    MAX_ALIGNMENT,
    MAX_ARRAY_DEPTH,
    MAX_DIMS,
    REMOVED_TENSOR_TYPES,
    VALUE_DTYPES,
    TensorType,
    ValueType,
    align,
    is_alignment,
)
from spm.native import core

U32: Final = struct.Struct("<I")
U64: Final = struct.Struct("<Q")
FIRST_READ: Final = 1 << 16

# The formats before GGUF wrote their magic as a little-endian number: its letters stand reversed.
OLD_MAGICS: Final = {
    name[::order].encode(): name for name in ("ggml", "ggmf", "ggjt", "ggla") for order in (1, -1)
}


class Entry(NamedTuple):
    """Where a metadata value lies: `start` is its first byte after the value type."""

    type: ValueType
    start: int


class TensorInfo(NamedTuple):
    """One row of the tensor table, found at byte `row`; the data begins at byte `start`."""

    name: str
    type: TensorType
    shape: tuple[int, ...]  # row-major: ggml's ne reversed
    start: int
    nbytes: int
    row: int


@dataclass(frozen=True)
class Header:
    """What the head of one file says, checked; values are decoded from its bytes, `data`."""

    version: int
    alignment: int
    data: bytes
    entries: dict[str, Entry]
    tensors: dict[str, TensorInfo]


class Head:
    """The first bytes of a file, read in doubling steps, and a position in them.

    A copy on purpose: metadata stays readable whatever happens to the file after it was opened.
    """

    def __init__(self, file: BinaryIO, path: Path, size: int) -> None:
        self.file = file
        self.path = path
        self.size = size  # of the whole file
        self.data = b""
        self.pos = 0

    def error(self, pos: int, message: str) -> GGUFError:
        """An error at byte `pos` of this file."""
        return GGUFError(f"{one_line(self.path)}: byte {pos}: {message}")

    def need(self, end: int, what: str) -> None:
        """Have bytes [0, end) in memory, or say that the file is too short for `what`."""
        if end <= len(self.data):
            return
        if end > self.size:
            raise self.error(
                self.pos, f"{what} would end at byte {end}, but the file ends at byte {self.size}"
            )
        wanted = min(self.size, max(end, 2 * len(self.data), FIRST_READ))
        self.data += self.file.read(wanted - len(self.data))
        if len(self.data) < wanted:
            raise self.error(len(self.data), f"the file ends here, expected {self.size} bytes")

    def number(self, layout: struct.Struct, what: str) -> int:
        """The next unsigned integer."""
        self.need(self.pos + layout.size, what)
        (value,) = layout.unpack_from(self.data, self.pos)
        self.pos += layout.size
        return int(value)

    def text(self, what: str) -> str:
        """The next string, strictly UTF-8."""
        start = self.pos
        length = self.number(U64, f"the length of {what}")
        self.need(self.pos + length, what)
        raw = self.data[self.pos : self.pos + length]
        self.pos += length
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            found = raw[error.start : error.start + 8].hex(" ")
            raise self.error(start, f"{what} is not UTF-8: found {found}") from None

    def value_type(self, what: str) -> ValueType:
        """The next value type."""
        start = self.pos
        number = self.number(U32, f"the type of {what}")
        try:
            return ValueType(number)
        except ValueError:
            raise self.error(start, f"{what} has type {number}, expected 0 to 12") from None

    def count(self, what: str, smallest: int) -> int:
        """The next count, of things that take at least `smallest` bytes each and must fit."""
        start = self.pos
        number = self.number(U64, f"the number of {what}")
        room = (self.size - self.pos) // smallest
        if number > room:
            raise self.error(
                start, f"found {number} {what}, expected at most {room} in {self.size} bytes"
            )
        return number


def read_header(file: BinaryIO, path: Path, size: int) -> Header:
    """Parse and check the head of an open file of `size` bytes. Raises GGUFError."""
    head = Head(file, path, size)
    version = read_version(head)
    n_tensors = head.count("tensors", 32)
    n_keys = head.count("metadata keys", 14)
    entries = read_entries(head, n_keys)
    alignment = read_alignment(head, entries)
    infos = [read_tensor_info(head) for _ in range(n_tensors)]
    tensors = place_tensors(head, infos, align(head.pos, alignment), alignment)
    return Header(version, alignment, head.data[: head.pos], entries, tensors)


def read_version(head: Head) -> int:
    """Check the magic; the version, which is 2 or 3."""
    head.need(min(4, head.size), "the magic")
    magic = head.data[:4]
    if magic in OLD_MAGICS:
        raise head.error(0, f"this is a {OLD_MAGICS[magic]} file, older than GGUF; expected 'GGUF'")
    if magic != b"GGUF":
        raise head.error(0, f"found {ascii(magic)[1:]}, expected 'GGUF'")
    head.pos = 4
    version = head.number(U32, "the version")
    # gguf.cpp, gguf_init_from_reader: in a file of the other byte order the low half is empty
    if version and version & 0xFFFF == 0:
        raise head.error(
            4, f"this file is big-endian (version {version:#x}), expected little-endian"
        )
    if version not in (2, 3):
        raise head.error(4, f"this is GGUF version {version}, expected 2 or 3")
    return version


def read_entries(head: Head, n_keys: int) -> dict[str, Entry]:
    """The metadata keys, each with the place of its value."""
    entries: dict[str, Entry] = {}  # key -> type and place
    for _ in range(n_keys):
        start = head.pos
        key = head.text("a metadata key")
        if not key:
            raise head.error(start, "found an empty metadata key, expected a name")
        if key in entries:
            raise head.error(start, f"found key {one_line(key)} twice, expected each key once")
        what = f"the value of {one_line(key)}"
        entry = Entry(head.value_type(what), head.pos)
        skip_value(head, entry.type, what, depth=0)
        entries[key] = entry
    return entries


def skip_value(head: Head, kind: ValueType, what: str, depth: int) -> None:
    """Step over one value, checking that it lies in the file and is well-formed."""
    if kind is ValueType.ARRAY:
        skip_array(head, what, depth)
    elif kind is ValueType.STRING:
        skip_strings(head, 1, what)
    else:
        skip_numbers(head, kind, 1, what)


def skip_array(head: Head, what: str, depth: int) -> None:
    """Step over an array: its element type, its count, its elements."""
    if depth == MAX_ARRAY_DEPTH:
        raise head.error(head.pos, f"{what} nests deeper than {MAX_ARRAY_DEPTH} arrays")
    element = head.value_type(f"the elements of {what}")
    if element is ValueType.STRING:
        skip_strings(head, head.count(f"strings in {what}", 8), what)
    elif element is ValueType.ARRAY:
        for _ in range(head.count(f"arrays in {what}", 12)):
            skip_array(head, what, depth + 1)
    else:
        count = head.count(f"elements in {what}", VALUE_DTYPES[element].itemsize)
        skip_numbers(head, element, count, what)


def skip_numbers(head: Head, kind: ValueType, count: int, what: str) -> None:
    """Step over `count` values of fixed size; a bool is 0 or 1."""
    end = head.pos + count * VALUE_DTYPES[kind].itemsize
    head.need(end, what)
    if kind is ValueType.BOOL:
        wrong = head.data[head.pos : end].lstrip(b"\x00\x01")
        if wrong:
            raise head.error(end - len(wrong), f"{what}: found bool {wrong[0]}, expected 0 or 1")
    head.pos = end


def skip_strings(head: Head, count: int, what: str) -> None:
    """Step over `count` strings in one tight loop, reading on when the bytes in memory run out."""
    done = 0
    while done < count:
        head.need(head.pos + 8, f"the length of string {done} of {what}")
        before = done
        done, end = scan_strings(head.data, head.pos, before, count)
        if end > head.size:  # walk there again, so that the error names where this string begins
            _, head.pos = scan_strings(head.data, head.pos, before, done - 1)
        head.need(end, f"string {done - 1} of {what}")
        head.pos = end


def scan_strings(data: bytes, pos: int, done: int, count: int) -> tuple[int, int]:
    """Step over strings while their lengths lie in `data`: how many are done, where the last ends.

    That may be beyond `data`. This is the loop that opening a large vocabulary waits for, so the
    core runs it; a size that no file has it leaves to the loop below.
    """
    if core and (walked := core.scan_strings(data, pos, done, count)):
        return int(walked[0]), int(walked[1])
    unpack_from, last_start = U64.unpack_from, len(data) - 8
    while done < count and pos <= last_start:
        pos += 8 + unpack_from(data, pos)[0]
        done += 1
    return done, pos


def read_alignment(head: Head, entries: dict[str, Entry]) -> int:
    """general.alignment, or the default where the key is absent."""
    entry = entries.get("general.alignment")
    if entry is None:
        return DEFAULT_ALIGNMENT
    if entry.type is not ValueType.UINT32:
        raise head.error(entry.start, f"general.alignment is {entry.type.name}, expected UINT32")
    (number,) = U32.unpack_from(head.data, entry.start)
    if not is_alignment(number):
        raise head.error(
            entry.start,
            f"general.alignment is {number}, expected a power of two of at most {MAX_ALIGNMENT}",
        )
    return int(number)


def read_tensor_info(head: Head) -> TensorInfo:
    """One row of the tensor table; its start is still relative to the data section."""
    row = head.pos
    name = head.text("a tensor name")
    what = f"tensor {one_line(name)}"
    ne = read_dimensions(head, what)
    kind = read_tensor_type(head, what)
    layout = BLOCK_LAYOUTS[kind]
    if ne[0] % layout.values:
        raise head.error(
            row,
            f"{what} ({kind.name}) has rows of {ne[0]}, expected a multiple of {layout.values}",
        )
    nbytes = prod(ne) // layout.values * layout.nbytes  # Python's integers do not overflow
    start = head.number(U64, f"the offset of {what}")
    return TensorInfo(name, kind, tuple(reversed(ne)), start, nbytes, row)


def read_dimensions(head: Head, what: str) -> list[int]:
    """A tensor's dimensions as ggml orders them, ne[0] fastest."""
    start = head.pos
    n_dims = head.number(U32, f"the dimensions of {what}")
    if not 1 <= n_dims <= MAX_DIMS:
        raise head.error(start, f"{what} has {n_dims} dimensions, expected 1 to {MAX_DIMS}")
    ne = [head.number(U64, f"a dimension of {what}") for _ in range(n_dims)]
    if 0 in ne:
        raise head.error(start, f"{what} has dimensions {ne}, expected none of them to be 0")
    return ne


def read_tensor_type(head: Head, what: str) -> TensorType:
    """A tensor's type, one that ggml still has."""
    start = head.pos
    number = head.number(U32, f"the type of {what}")
    if number in REMOVED_TENSOR_TYPES:
        name = REMOVED_TENSOR_TYPES[number]
        raise head.error(start, f"{what} has type {number} ({name}), which ggml has removed")
    try:
        return TensorType(number)
    except ValueError:
        last = max(TensorType)
        raise head.error(start, f"{what} has type {number}, expected 0 to {last.value}") from None


def place_tensors(
    head: Head, infos: list[TensorInfo], data_start: int, alignment: int
) -> dict[str, TensorInfo]:
    """The tensors by name in the table's order, each aligned, in the file, apart from the others.

    ggml demands more (gguf.cpp, gguf_init_from_reader: every offset is the padded end of the tensor
    before). The format's text asks only for alignment, so gaps and any order are read here.
    """
    tensors: dict[str, TensorInfo] = {}
    for info in infos:
        place = info._replace(start=data_start + info.start)
        what = f"tensor {one_line(info.name)}"
        if info.start % alignment:
            raise head.error(
                info.row,
                f"{what} has offset {info.start}, expected a multiple of the alignment {alignment}",
            )
        if place.start + info.nbytes > head.size:
            raise head.error(
                info.row,
                f"{what} has {info.nbytes} bytes from byte {place.start}, "
                f"expected to end by byte {head.size}, the file's end",
            )
        if info.name in tensors:
            raise head.error(info.row, f"found {what} twice, expected each name once")
        tensors[info.name] = place
    check_apart(head, tensors)
    return tensors


def check_apart(head: Head, tensors: dict[str, TensorInfo]) -> None:
    """No two tensors may share a byte."""
    by_place = sorted(tensors.values(), key=lambda info: info.start)
    for before, after in pairwise(by_place):
        if before.start + before.nbytes > after.start:
            raise head.error(
                after.row,
                f"tensor {one_line(after.name)} starts at byte {after.start}, inside "
                f"tensor {one_line(before.name)}, which ends at {before.start + before.nbytes}",
            )
