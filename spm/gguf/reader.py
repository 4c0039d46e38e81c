"""A GGUF file, opened: metadata decoded when asked for, tensors as views of the mapped file.

The steps of `GGUF.open`:
1. open the path as what it is: a regular file, never a FIFO that blocks or a folder;
2. read and check the header (header.py), a copy of which the metadata is decoded from (values.py);
3. find the other parts when the model is split (splits.py), and open each in the same way;
4. keep each file that holds tensors open, and mapped.

A mapped file that is cut short kills the process that touches what is gone (SIGBUS). So only
`Tensor.data`, which promises a view, touches the mapping, after a look at the file's size; metadata
is a copy, and `dequantize` and `rows` read. A view that was handed out earlier cannot be guarded:
copy it if the file may be cut while you compute. Renaming another file over it is harmless, the old
one stays open.
"""

from __future__ import annotations

import mmap
import os
import stat
import threading
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from spm.errors import GGUFError, brief, one_line
from spm.gguf.header import Header, TensorInfo, read_header
from spm.gguf.quants import dequantize
from spm.gguf.splits import check_part, part_paths, split_number
from spm.gguf.types import TensorType, ValueType
from spm.gguf.values import Metadata

READ_AHEAD = 1 << 20


@dataclass(frozen=True)
class Tensor:
    """One tensor of an open file; its bytes stay in the file until asked for."""

    name: str
    type: TensorType
    shape: tuple[int, ...]  # row-major, [out, in]: ggml's ne reversed
    nbytes: int
    offset: int  # of its first byte in the file `path`
    path: Path
    _file: TensorFile = field(repr=False)

    @property
    def data(self) -> npt.NDArray[np.uint8]:
        """The tensor's bytes: a read-only uint8 view of the file, (nbytes,).

        Raises GGUFError when the GGUF is closed or the file has become too short.
        """
        return self._bytes(self._file.view, 0, self.nbytes)

    def descriptor(self) -> int:
        """The open file's descriptor, for those who read it themselves from `offset` on.

        Raises GGUFError as `data` does.
        """
        self._bytes(self._file.view, 0, self.nbytes)
        return self._file.fileno()

    def dequantize(self) -> npt.NDArray[np.float32]:
        """The tensor as float32 of `shape`, a new array.

        Raises GGUFError as `data` does.
        """
        return dequantize(self.type, self._bytes(self._file.read, 0, self.nbytes), self.shape)

    def rows(self, start: int, stop: int) -> npt.NDArray[np.float32]:
        """Rows [start, stop) of a matrix as float32 (stop - start, shape[1]); no other is read.

        Raises GGUFError for a tensor that is no matrix and for rows it does not have.
        """
        return dequantize(self.type, self.row_bytes(start, stop), (stop - start, self.shape[1]))

    def row_bytes(self, start: int, stop: int) -> npt.NDArray[np.uint8]:
        """Rows [start, stop) of a matrix as the file has them, a copy (n,) of their bytes.

        Raises GGUFError as `rows` does.
        """
        if len(self.shape) != 2 or not 0 <= start <= stop <= self.shape[0]:
            raise GGUFError(
                f"{self._place()}: rows {brief(start)}:{brief(stop)} of shape {list(self.shape)},"
                " expected rows of a matrix"
            )
        row = self.nbytes // self.shape[0]
        return self._bytes(self._file.read, start * row, stop * row)

    def _bytes(
        self, get: Callable[[int, int], npt.NDArray[np.uint8]], start: int, stop: int
    ) -> npt.NDArray[np.uint8]:
        try:
            return get(self.offset + start, stop - start)
        except ValueError:
            raise GGUFError(f"{self._place()}: the file has been closed") from None
        except EOFError as error:
            raise GGUFError(
                f"{self._place()}: byte {error}: the file ends here since it was opened, "
                f"expected at least {self.offset + stop} bytes"
            ) from None

    def _place(self) -> str:
        return f"{one_line(self.path)}: tensor {one_line(self.name)}"


class TensorFile:
    """A file with tensors, open: mapped for views, read for copies.

    Both raise ValueError after `close`, and EOFError with the file's size when it ends too early.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._lock = threading.Lock()  # one position in the file, for all threads
        self._expected = False
        self._close_file = weakref.finalize(self, file.close)

    def view(self, start: int, nbytes: int) -> npt.NDArray[np.uint8]:
        """Bytes of the mapping, read-only."""
        if (size := self._map.size()) < start + nbytes:
            raise EOFError(size)
        return np.frombuffer(self._map, np.uint8, nbytes, start)

    def fileno(self) -> int:
        """The descriptor of the file."""
        return self._file.fileno()

    def read(self, start: int, nbytes: int) -> npt.NDArray[np.uint8]:
        """A copy of bytes of the file."""
        data = np.empty(nbytes, np.uint8)
        with self._lock:
            self._file.seek(start)
            found = self._file.readinto(data)  # type: ignore[attr-defined]  # every buffered file has it
        if found < nbytes:
            raise EOFError(start + found)
        return data

    def expect_reads(self) -> None:
        """Have the system begin to read all of the file, in a thread of its own."""
        if hasattr(os, "posix_fadvise") and not self._expected:
            self._expected = True
            file = os.dup(self._file.fileno())
            reader = threading.Thread(
                target=_read_ahead, args=(file, self._map.size()), daemon=True
            )
            try:
                reader.start()
            except RuntimeError:  # no thread is to be had: it was only to save time
                os.close(file)

    def close(self) -> None:
        """Close and unmap. Arrays handed out as views keep the mapping until they are gone."""
        self._close_file()
        with suppress(BufferError):
            self._map.close()


def _read_ahead(file: int, size: int) -> None:
    """Ask for a file bit by bit: of a longer stretch, Linux reads only the beginning."""
    with os.fdopen(file, "rb"), suppress(OSError):
        for start in range(0, size, READ_AHEAD):
            os.posix_fadvise(file, start, READ_AHEAD, os.POSIX_FADV_WILLNEED)


class GGUF:
    """An open GGUF model: `metadata`, `tensors`, and where they come from. Made by `GGUF.open`."""

    def __init__(self, parts: list[Part]) -> None:
        first = parts[0]
        self.path: Path = first.path
        self.version: int = first.header.version
        self.alignment: int = first.header.alignment
        self.metadata: Metadata = first.metadata
        self.tensors: Mapping[str, Tensor] = MappingProxyType(join_tensors(parts))
        self._files = [part.file for part in parts if part.file is not None]

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> GGUF:
        """Open a little-endian GGUF file of version 2 or 3; any part of a split model opens all.

        Raises GGUFError: one line naming the file, the byte, what was found, what was expected.
        """
        part = read_part(Path(path))
        parts = [part]
        paths = part_paths(part.path, part.metadata)
        if len(paths) > 1:
            parts = []
            for i, other in enumerate(paths):
                parts.append(part if other == part.path else read_part(other))
                check_part(other, parts[i].metadata, i, len(paths))
        return cls(parts)

    def value_type(self, key: str) -> ValueType:
        """The type of a metadata value. Raises GGUFError when the key is absent."""
        return self.metadata.entry(key).type

    def element_type(self, key: str) -> ValueType:
        """The element type of an array. Raises GGUFError when the key is absent or no array."""
        return self.metadata.element_type(key)

    def expect_reads(self) -> None:
        """Tell the system that all tensors are about to be read, so that it begins at once."""
        for file in self._files:
            file.expect_reads()

    def close(self) -> None:
        """Close the file. Arrays handed out as views stay good."""
        for file in self._files:
            file.close()

    def __enter__(self) -> GGUF:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"GGUF({str(self.path)!r}, {len(self.metadata)} keys, {len(self.tensors)} tensors)"


@dataclass(frozen=True)
class Part:
    """One file of a model, its head read; it stays open if it has tensors."""

    path: Path
    header: Header
    metadata: Metadata
    file: TensorFile | None


def read_part(path: Path) -> Part:
    """Open and check one file."""
    try:
        file = open_regular(path)
        try:
            header = read_header(file, path, os.fstat(file.fileno()).st_size)
            tensors = TensorFile(file) if header.tensors else None
        except BaseException:
            file.close()
            raise
        if tensors is None:
            file.close()
    except OSError as error:
        raise GGUFError(f"{one_line(path)}: cannot be read: {error.strerror}") from None
    return Part(path, header, Metadata(path, header), tensors)


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file, through symbolic links; O_NONBLOCK so that a FIFO answers at once."""
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        fd = os.open(path, flags)
    except ValueError as error:  # a NUL in the name
        raise GGUFError(f"{one_line(path)}: cannot be opened: {error}") from None
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise GGUFError(f"{one_line(path)}: not a regular file, expected a GGUF file")
    return os.fdopen(fd, "rb")


def join_tensors(parts: list[Part]) -> dict[str, Tensor]:
    """The tensors of all parts in the parts' order; a split model must have them all, once."""
    tensors: dict[str, Tensor] = {}
    for part in parts:
        for info in part.header.tensors.values():
            if info.name in tensors:
                raise GGUFError(
                    f"{one_line(part.path)}: byte {info.start}: tensor {one_line(info.name)} is "
                    f"also in {one_line(tensors[info.name].path.name)}, expected it once"
                )
            tensors[info.name] = make_tensor(part, info)
    if len(parts) > 1:
        first = parts[0]
        expected = split_number(first.path, first.metadata, "split.tensors.count")
        if len(tensors) != expected:
            raise GGUFError(
                f"{one_line(first.path)}: split.tensors.count is {expected}, "
                f"found {len(tensors)} tensors in {len(parts)} parts"
            )
    return tensors


def make_tensor(part: Part, info: TensorInfo) -> Tensor:
    """A row of the tensor table with the map that its bytes are in."""
    assert part.file is not None  # it has tensors
    return Tensor(info.name, info.type, info.shape, info.nbytes, info.start, part.path, part.file)
