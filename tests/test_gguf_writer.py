"""Writing GGUF files: gguf-py reads ours, we read gguf-py's, and nothing is left half done."""

from __future__ import annotations

import errno
import os
import tracemalloc
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

import spm.gguf.writer
from spm.errors import GGUFError
from spm.gguf import (
    GGUF,
    Quantized,
    StringArray,
    TensorType,
    Typed,
    ValueType,
    quantize,
    write_gguf,
)

METADATA: dict[str, Any] = {
    "general.architecture": "llama",
    "text": "▁the\0 end",
    "count": 7,
    "negative": -7,
    "number": 1.5,
    "yes": True,
    "no": Typed(ValueType.BOOL, False),
    "u8": Typed(ValueType.UINT8, 255),
    "i8": np.int8(-128),
    "u16": Typed(ValueType.UINT16, 65535),
    "i16": Typed(ValueType.INT16, -32768),
    "u64": Typed(ValueType.UINT64, 2**64 - 1),
    "i64": Typed(ValueType.INT64, -(2**63)),
    "f64": Typed(ValueType.FLOAT64, 1e300),
    "big.endian": np.array([1, 2], ">u4"),
    "scores": np.array([0.5, -1e9, np.inf], np.float32),
    "types": Typed(ValueType.ARRAY, [1, 2, 6], ValueType.INT32),
    "flags": [True, False],
    "words": ["a", "", "▁b"],
    "nothing": Typed(ValueType.ARRAY, [], ValueType.UINT16),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.gguf"


def read_back(path: Path) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in GGUF.open(path).metadata.items():
        found[key] = value.tolist() if isinstance(value, np.ndarray) else value
    return found


def random_tensors() -> dict[str, Any]:
    rng = np.random.default_rng(3)
    rows = rng.standard_normal((3, 64)).astype(np.float32)
    return {
        "f32": rows,
        "f16": rows.astype(np.float16),
        "f64": rows[0].astype(np.float64),
        "i8": np.arange(-3, 4, dtype=np.int8),
        "i16": np.arange(3, dtype=np.int16).reshape(1, 1, 3),
        "i32": np.arange(24, dtype=np.int32).reshape(2, 3, 2, 2),
        "i64": np.arange(2, dtype=np.int64),
        "q8_0": Quantized(TensorType.Q8_0, (3, 64), quantize(TensorType.Q8_0, rows)),
    }


# ---- round trips ----


def test_our_reader_reads_what_was_written(path: Path) -> None:
    write_gguf(path, METADATA, {})

    found = read_back(path)

    for key, value in METADATA.items():
        expected: Any = value.value if isinstance(value, Typed) else value
        if isinstance(expected, (np.ndarray, np.generic)):
            expected = expected.tolist()
        if key == "words":
            expected = [word.encode() for word in expected]
        assert expected == found[key], key


def test_gguf_py_reads_the_same_values_and_types(path: Path) -> None:
    write_gguf(path, METADATA, {})

    fields = gguf.GGUFReader(path).fields

    for key, value in METADATA.items():
        expected: Any = value.value if isinstance(value, Typed) else value
        if isinstance(expected, (np.ndarray, np.generic)):
            expected = expected.tolist()
        if key != "nothing":  # gguf-py has no element to tell the type by
            assert expected == fields[key].contents(), key
        if isinstance(value, Typed):
            assert fields[key].types[0].name == value.type.name, key


def test_gguf_py_reads_the_same_tensors(path: Path) -> None:
    tensors = random_tensors()
    write_gguf(path, {"general.architecture": "llama"}, tensors)

    found = gguf.GGUFReader(path).tensors

    assert list(tensors) == [t.name for t in found]
    for theirs, ours in zip(found, tensors.values(), strict=True):
        data = ours.data if isinstance(ours, Quantized) else ours
        assert list(ours.shape) == theirs.shape.tolist()[::-1]
        assert theirs.name.upper() == theirs.tensor_type.name
        assert data.tobytes() == theirs.data.tobytes()


def test_we_read_what_gguf_py_writes(path: Path) -> None:
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_custom_alignment(64)
    writer.add_uint8("u8", 255)
    writer.add_int64("i64", -(2**63))
    writer.add_float64("f64", 1e300)
    writer.add_bool("yes", True)
    writer.add_string("text", "▁the")
    writer.add_array("words", ["a", "", "▁b"])
    writer.add_array("numbers", [1, -2, 3])
    tensors = random_tensors()
    for name, tensor in tensors.items():
        if isinstance(tensor, Quantized):
            raw_dtype = gguf.GGMLQuantizationType.Q8_0
            writer.add_tensor(name, tensor.data, raw_dtype=raw_dtype)
        else:
            writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()

    file = GGUF.open(path)

    assert file.alignment == 64
    assert read_back(path) == {
        "general.architecture": "llama",
        "general.alignment": 64,
        "u8": 255,
        "i64": -(2**63),
        "f64": 1e300,
        "yes": True,
        "text": "▁the",
        "words": [b"a", b"", "▁b".encode()],
        "numbers": [1, -2, 3],
    }
    for name, ours in tensors.items():
        data = ours.data if isinstance(ours, Quantized) else ours
        assert data.tobytes() == file.tensors[name].data.tobytes(), name
        assert ours.shape == file.tensors[name].shape
        assert name.upper() == file.tensors[name].type.name


def test_nested_arrays_and_read_values_can_be_written_again(path: Path, tmp_path: Path) -> None:
    nested = Typed(ValueType.ARRAY, [[["a"], [b"\xff", "c"]], [], [[]]], ValueType.ARRAY)
    inner_empty = Typed(ValueType.ARRAY, [], ValueType.STRING)
    nested.value[1:] = [Typed(ValueType.ARRAY, [inner_empty], ValueType.ARRAY)]  # type: ignore[index]
    write_gguf(path, {"nested": nested, "lists": [[1, 2], [3]], "words": ["a", "b"]}, {})

    first = GGUF.open(path).metadata
    write_gguf(tmp_path / "again", dict(first), {})

    assert first["nested"] == [[[b"a"], [b"\xff", b"c"]], [[]]]
    assert [part.tolist() for part in first["lists"]] == [[1, 2], [3]]  # type: ignore[union-attr]
    assert isinstance(first["words"], StringArray)
    assert path.read_bytes() == (tmp_path / "again").read_bytes()


def test_a_custom_alignment_is_written_and_kept(path: Path) -> None:
    tensors: dict[str, Any] = {"a": np.ones(1, np.float32), "b": np.ones(3, np.float16)}
    write_gguf(path, {}, tensors, alignment=128)

    file = GGUF.open(path)

    assert file.alignment == 128
    assert file.value_type("general.alignment") is ValueType.UINT32
    assert [t.offset % 128 for t in file.tensors.values()] == [0, 0]
    assert path.stat().st_size % 128 == 0


def test_the_default_alignment_may_be_said(path: Path) -> None:
    write_gguf(path, {"general.alignment": Typed(ValueType.UINT32, 32)}, {})

    assert GGUF.open(path).alignment == 32


def test_equal_input_gives_equal_bytes(path: Path, tmp_path: Path) -> None:
    write_gguf(path, METADATA, random_tensors())
    write_gguf(tmp_path / "again", METADATA, random_tensors())

    assert path.read_bytes() == (tmp_path / "again").read_bytes()


def test_any_layout_of_an_array_is_written_row_major_little_endian(path: Path) -> None:
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    write_gguf(path, {}, {"t": values.T, "be": values.astype(">f4"), "step": values[:, ::2]})

    tensors = GGUF.open(path).tensors

    assert np.array_equal(values.T, tensors["t"].dequantize())
    assert np.array_equal(values, tensors["be"].dequantize())
    assert np.array_equal(values[:, ::2], tensors["step"].dequantize())


def test_tensors_are_not_copied_to_be_written(path: Path) -> None:
    tensors = {name: np.zeros(1 << 20, np.float32) for name in "abcd"}

    tracemalloc.start()
    write_gguf(path, {}, tensors)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 1 << 20


# ---- what the format cannot hold ----


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (2**32, "expected UINT32"),
        (-(2**31) - 1, "expected INT32"),
        (2**70, "expected UINT32"),
        (Typed(ValueType.UINT8, 256), r"found \[256\], expected UINT8"),
        (Typed(ValueType.UINT8, 1.5), "expected UINT8"),
        (Typed(ValueType.UINT8, True), "expected UINT8"),
        (Typed(ValueType.BOOL, 1), "expected BOOL"),
        (Typed(ValueType.FLOAT32, 1e300), "expected FLOAT32"),
        (Typed(ValueType.FLOAT32, "1"), "expected FLOAT32"),
        (Typed(ValueType.STRING, 1), "found 1, expected str or bytes"),
        ("\ud800", "which UTF-8 cannot hold"),
        (b"a", "found b'a', expected str$"),
        (None, "found None, whose type is not plain"),
        ([], "whose type is not plain"),
        (np.zeros((2, 2)), r"found float64 \(2, 2\), expected numbers of shape"),
        (np.array(["a"]), "found <U1"),
        (Typed(ValueType.ARRAY, 1, ValueType.UINT8), "expected a sequence"),
        (Typed(ValueType.ARRAY, "ab", ValueType.UINT8), "expected a sequence"),
        (Typed(ValueType.ARRAY, [1]), "element type None, expected a ValueType"),
        ([[1], 2], "found 2, expected an array inside"),
        ([1, "a"], "expected UINT32"),
        ([1, [2]], "expected UINT32"),
        ([[[[[[[[[1]]]]]]]]], "nested at most 8 deep"),
    ],
)  # fmt: skip
def test_values_that_do_not_fit_are_errors(path: Path, value: Any, message: str) -> None:
    with pytest.raises(GGUFError, match=rf"model\.gguf: key the\.key: .*{message}") as caught:
        write_gguf(path, {"the.key": value}, {})

    assert "\n" not in str(caught.value)
    assert not path.exists()


@pytest.mark.parametrize("key", ["", "é", "a\nb", "k" * 65536])
def test_keys_are_short_printable_ascii(path: Path, key: str) -> None:
    with pytest.raises(GGUFError, match="expected 1 to 65535 printable ASCII letters") as caught:
        write_gguf(path, {key: 1}, {})

    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        ("", np.zeros(1, np.float32), "tensor name '', expected 1 to 63 bytes"),
        ("n" * 64, np.zeros(1, np.float32), "expected 1 to 63 bytes"),
        ("t", np.zeros(1, np.uint8), "tensor t: dtype uint8, expected a float or a signed"),
        ("t", np.zeros((), np.float32), r"shape \[\], expected 1 to 4 dimensions"),
        ("t", np.zeros((1,) * 5, np.float32), "expected 1 to 4 dimensions"),
        ("t", np.zeros((2, 0), np.float32), r"shape \[2, 0\], .* none 0"),
        ("t", Quantized(TensorType.Q8_0, (33,), np.zeros(34, np.uint8)), "a multiple of 32 for Q8"),
        ("t", Quantized(TensorType.Q8_0, (32,), np.zeros(33, np.uint8)), "33 bytes .* expected 34"),
        ("t", Quantized(TensorType.Q8_0, (32,), np.zeros(34, np.int8)), "int8, expected uint8"),
    ],
)  # fmt: skip
def test_tensors_that_do_not_fit_are_errors(
    path: Path, name: str, tensor: Any, message: str
) -> None:
    with pytest.raises(GGUFError, match=message):
        write_gguf(path, {}, {name: tensor})

    assert not path.exists()


@pytest.mark.parametrize("alignment", [0, -32, 3, 1 << 31])
def test_alignments_are_powers_of_two(path: Path, alignment: int) -> None:
    with pytest.raises(GGUFError, match=f"alignment {alignment}, expected a power of two"):
        write_gguf(path, {}, {}, alignment=alignment)


def test_the_alignment_in_the_metadata_must_be_the_one_used(path: Path) -> None:
    with pytest.raises(GGUFError, match=r"key general\.alignment is 64, expected alignment=32"):
        write_gguf(path, {"general.alignment": 64}, {})


# ---- whole or not at all ----


class Disk:
    """An fsync that fails in the given way."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __call__(self, fd: int) -> None:
        raise self.error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), GGUFError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    expected: type[BaseException],
) -> None:
    write_gguf(path, {"a": 1}, {})
    before = path.read_bytes()
    monkeypatch.setattr("spm.gguf.writer.os.fsync", Disk(error))

    with pytest.raises(expected):
        write_gguf(path, {"a": 2}, {})

    assert before == path.read_bytes()
    assert os.listdir(path.parent) == ["model.gguf"]


def test_a_failure_while_writing_leaves_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(spm.gguf.writer, "write_parts", fail)

    with pytest.raises(GGUFError, match=r"model\.gguf: cannot be written: No space left"):
        write_gguf(path, {}, {})

    assert os.listdir(path.parent) == []


@pytest.mark.parametrize("name", ["", "no/such/folder/x.gguf", "nul\0.gguf"])
def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path, name: str) -> None:
    target = tmp_path / name if name else Path("/")

    with pytest.raises(GGUFError, match="cannot be written"):
        write_gguf(target, {}, {})


def test_a_new_file_is_as_readable_as_any_other(path: Path, tmp_path: Path) -> None:
    write_gguf(path, {}, {})
    (tmp_path / "plain").write_bytes(b"")

    assert (tmp_path / "plain").stat().st_mode == path.stat().st_mode


@pytest.mark.parametrize(
    ("metadata", "tensors"),
    [
        ({"k": Typed(99, 1)}, {}),  # type: ignore[arg-type]
        ({"k": Typed(ValueType.ARRAY, [1], "x")}, {}),  # type: ignore[arg-type]
        ({"general.alignment": np.array([1, 2])}, {}),
        ({1: 1}, {}),
        ({"k": 10**5000}, {}),
        ({"k": [10**5000]}, {}),
        ({}, {"t": [1.0]}),
        ({}, {"t": Quantized(TensorType.F32, (3,), [1, 2, 3])}),  # type: ignore[arg-type]
        ({}, {"t": Quantized("x", (3,), np.zeros(12, np.uint8))}),  # type: ignore[arg-type]
    ],
)
def test_what_is_of_no_use_is_refused_in_one_line(
    tmp_path: Path, metadata: Any, tensors: Any
) -> None:
    with pytest.raises(GGUFError) as caught:
        write_gguf(tmp_path / "x.gguf", metadata, tensors)

    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600
    assert [] == list(tmp_path.iterdir())


def test_a_list_that_contains_itself_is_refused(tmp_path: Path) -> None:
    endless: list[Any] = []
    endless.append(endless)

    with pytest.raises(GGUFError, match=r"contains itself|nested at most"):
        write_gguf(tmp_path / "x.gguf", {"k": endless}, {})
