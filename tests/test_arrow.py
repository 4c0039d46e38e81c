"""A batch as Arrow sees it, read with nothing but the structures of its C data interface."""

from __future__ import annotations

import ctypes
import gc
from ctypes import POINTER, c_char_p, c_int64, c_void_p, pythonapi
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from spm import Batch, EncodeError, Tokenizer
from spm.native import core
from tests.making import BYTES, HEAD, pieces, write_vocab

needs_core = pytest.mark.skipif(core is None, reason="the compiled core is not built")


class Schema(ctypes.Structure):
    pass


class Array(ctypes.Structure):
    pass


Schema._fields_ = [
    ("format", c_char_p), ("name", c_char_p), ("metadata", c_char_p), ("flags", c_int64),
    ("n_children", c_int64), ("children", POINTER(POINTER(Schema))), ("dictionary", c_void_p),
    ("release", c_void_p), ("private_data", c_void_p),
]  # fmt: skip
Array._fields_ = [
    ("length", c_int64), ("null_count", c_int64), ("offset", c_int64), ("n_buffers", c_int64),
    ("n_children", c_int64), ("buffers", POINTER(c_void_p)), ("children", POINTER(POINTER(Array))),
    ("dictionary", c_void_p), ("release", c_void_p), ("private_data", c_void_p),
]  # fmt: skip

pythonapi.PyCapsule_GetPointer.restype = c_void_p
pythonapi.PyCapsule_GetPointer.argtypes = [ctypes.py_object, c_char_p]


def structure(capsule: object, kind: type[ctypes.Structure], name: bytes) -> ctypes.Structure:
    return kind.from_address(pythonapi.PyCapsule_GetPointer(capsule, name))


def numbers(array: ctypes.Structure, count: int, kind: type) -> list[int]:
    return list(ctypes.cast(array.buffers[1], POINTER(kind))[:count])


def rows(capsule: object) -> list[list[int]]:
    array = structure(capsule, Array, b"arrow_array")
    offsets = numbers(array, array.length + 1, ctypes.c_int64)
    ids = numbers(array.children[0].contents, offsets[-1], ctypes.c_int32)
    return [ids[begin:end] for begin, end in pairwise(offsets)]


@pytest.fixture
def batch(tmp_path: Path) -> Batch:
    entries = [*HEAD, *BYTES, *pieces("▁ a b ab")]
    tok = Tokenizer.from_gguf(write_vocab(tmp_path / "v.gguf", entries))
    return tok.encode_batch(["ab", "", "b a", "aab"], add_special=False)


@needs_core
def test_arrow_reads_a_large_list_of_int32(batch: Batch) -> None:
    capsule = batch.to_arrow().__arrow_c_schema__()
    schema = structure(capsule, Schema, b"arrow_schema")
    child = schema.children[0].contents

    assert (b"+L", 1) == (schema.format, schema.n_children)
    assert (b"i", b"item", 0) == (child.format, child.name, child.n_children)


@needs_core
def test_arrow_reads_the_rows(batch: Batch) -> None:
    _, array = batch.to_arrow().__arrow_c_array__()

    assert batch.to_lists() == rows(array)
    assert 0 == structure(array, Array, b"arrow_array").null_count


@needs_core
def test_the_memory_lives_as_long_as_the_capsule(batch: Batch) -> None:
    expected = batch.to_lists()
    copy = Batch(batch.ids.copy(), batch.offsets.copy(), None)
    _, array = copy.to_arrow().__arrow_c_array__()
    del copy
    gc.collect()
    np.ones(1 << 16)

    assert expected == rows(array)


@needs_core
def test_a_child_that_was_moved_away_outlives_its_parent(batch: Batch) -> None:
    _, array = batch.to_arrow().__arrow_c_array__()
    child = structure(array, Array, b"arrow_array").children[0].contents
    moved = Array.from_buffer_copy(child)
    child.release = None  # as whoever moves it has to
    del array
    gc.collect()

    assert batch.ids.tolist() == numbers(moved, len(batch.ids), ctypes.c_int32)
    ctypes.CFUNCTYPE(None, POINTER(Array))(moved.release)(ctypes.byref(moved))
    assert not moved.release


@needs_core
def test_an_empty_batch_has_no_rows(batch: Batch) -> None:
    none = Batch(np.empty(0, np.int32), np.zeros(1, np.int64), None)

    assert [] == rows(none.to_arrow().__arrow_c_array__()[1])


@needs_core
def test_pyarrow_agrees(batch: Batch) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    read = pyarrow.array(batch.to_arrow())
    read.validate(full=True)

    assert batch.to_lists() == read.to_pylist()


@pytest.mark.skipif(core is not None, reason="there is a core")
def test_without_the_core_there_is_no_arrow(batch: Batch) -> None:
    with pytest.raises(EncodeError, match="to_arrow: there is no compiled core"):
        batch.to_arrow()
