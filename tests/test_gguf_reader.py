"""Reading good GGUF files: every value type, lazy arrays, tensors, split models."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

import spm.gguf.header
from spm.errors import GGUFError
from spm.gguf import GGUF, StringArray, Tensor, TensorType, ValueType, write_gguf
from spm.gguf.values import Metadata
from tests import gguf_bytes as raw

SCALARS = {
    "u8": (raw.U8, b"\xff", 255),
    "i8": (raw.I8, b"\xff", -1),
    "u16": (raw.U16, b"\xfe\xff", 65534),
    "i16": (raw.I16, b"\xfe\xff", -2),
    "u32": (raw.U32, b"\x01\0\0\x80", 0x80000001),
    "i32": (raw.I32, b"\x01\0\0\x80", -0x7FFFFFFF),
    "f32": (raw.F32, struct.pack("<f", 1.5), 1.5),
    "true": (raw.BOOL, b"\1", True),
    "false": (raw.BOOL, b"\0", False),
    "string": (raw.STRING, raw.text("▁a\0b"), "▁a\0b"),
    "u64": (raw.U64, b"\xff" * 8, 2**64 - 1),
    "i64": (raw.I64, b"\xff" * 8, -1),
    "f64": (raw.F64, struct.pack("<d", 1e300), 1e300),
}


def opened(path: Path, content: bytes) -> GGUF:
    path.write_bytes(content)
    return GGUF.open(path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.gguf"


# ---- metadata ----


@pytest.mark.parametrize("version", [2, 3])
def test_every_scalar_type_is_read(path: Path, version: int) -> None:
    keys = [raw.key(name, kind, value) for name, (kind, value, _) in SCALARS.items()]

    with opened(path, raw.gguf(keys, version=version)) as file:
        assert {name: value for name, (_, _, value) in SCALARS.items()} == dict(file.metadata)
        assert [kind for kind, _, _ in SCALARS.values()] == [file.value_type(k) for k in SCALARS]
        assert [type(v) for _, _, v in SCALARS.values()] == [
            type(v) for v in file.metadata.values()
        ]
        assert version == file.version
        assert file.alignment == 32
        assert repr(file) == f"GGUF({str(path)!r}, 13 keys, 0 tensors)"


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        (raw.U8, "u1"), (raw.I8, "i1"), (raw.U16, "<u2"), (raw.I16, "<i2"), (raw.U32, "<u4"),
        (raw.I32, "<i4"), (raw.F32, "<f4"), (raw.U64, "<u8"), (raw.I64, "<i8"), (raw.F64, "<f8"),
    ],
)  # fmt: skip
def test_arrays_of_numbers_are_read_only_numpy_arrays(path: Path, kind: int, dtype: str) -> None:
    expected = np.array([0, 1, 100], dtype)
    value = raw.array(kind, 3, expected.tobytes())

    array = opened(path, raw.gguf([raw.key("a", raw.ARRAY, value)])).metadata["a"]

    assert isinstance(array, np.ndarray)
    assert expected.dtype == array.dtype
    assert expected.tolist() == array.tolist()
    assert not array.flags.writeable
    assert not array.flags.owndata


def test_arrays_of_bools_are_bools(path: Path) -> None:
    keys = [raw.key("a", raw.ARRAY, raw.array(raw.BOOL, 3, b"\0\1\1"))]

    array = opened(path, raw.gguf(keys)).metadata["a"]

    assert isinstance(array, np.ndarray)
    assert array.dtype == np.bool_
    assert array.tolist() == [False, True, True]


def test_arrays_of_strings_are_bytes_decoded_one_by_one_or_all_at_once(path: Path) -> None:
    pieces = [b"", "▁the".encode(), b"\xff\xfe", b"x" * 300]
    value = raw.array(raw.STRING, 4, b"".join(map(raw.text, pieces)))
    keys = [raw.key("a", raw.ARRAY, value), raw.key("after", raw.U8, b"\7")]

    file = opened(path, raw.gguf(keys))
    strings = file.metadata["a"]

    assert isinstance(strings, StringArray)
    assert pieces == strings.to_list()
    assert pieces == list(strings)
    assert pieces == [strings[i] for i in range(4)]
    assert pieces[-1] == strings[-1]
    assert pieces[::-2] == strings[::-2]
    assert len(strings) == 4
    assert file.metadata["after"] == 7
    for outside in (4, -5):
        with pytest.raises(IndexError, match="array of 4"):
            strings[outside]
    assert strings is file.metadata["a"]


def test_string_arrays_compare_as_sequences_and_show_their_head(path: Path) -> None:
    value = raw.array(raw.STRING, 4, b"".join(map(raw.text, "abcd")))
    strings = opened(path, raw.gguf([raw.key("a", raw.ARRAY, value)])).metadata["a"]

    assert strings == [b"a", b"b", b"c", b"d"]
    assert strings != [b"a", b"b", b"c"]
    assert strings != [b"a", b"b", b"c", b"x"]
    assert strings != b"abcd"
    assert strings != 4
    assert repr(strings) == "StringArray([b'a', b'b', b'c', ...], len=4)"


def test_an_empty_string_array_is_empty(path: Path) -> None:
    keys = [raw.key("a", raw.ARRAY, raw.array(raw.STRING, 0))]
    strings = opened(path, raw.gguf(keys)).metadata["a"]

    assert isinstance(strings, StringArray)
    assert strings.to_list() == []
    assert repr(strings) == "StringArray([], len=0)"


def test_nested_arrays_are_lists(path: Path) -> None:
    numbers = raw.array(raw.U8, 2, b"\1\2")
    strings = raw.array(raw.STRING, 2, raw.text("a") + raw.text("bc"))
    inner = raw.array(raw.ARRAY, 2, numbers + strings)
    value = raw.array(raw.ARRAY, 2, inner + raw.array(raw.F32, 0))
    keys = [raw.key("a", raw.ARRAY, value), raw.key("after", raw.U8, b"\7")]

    file = opened(path, raw.gguf(keys))
    outer = file.metadata["a"]

    assert isinstance(outer, list)
    (first, second), empty = outer
    assert first.tolist() == [1, 2]
    assert second == [b"a", b"bc"]
    assert empty.tolist() == []
    assert file.element_type("a") is ValueType.ARRAY
    assert file.metadata["after"] == 7


def test_types_of_keys_can_be_asked_for(path: Path) -> None:
    keys = [
        raw.key("scores", raw.ARRAY, raw.array(raw.F32, 1, bytes(4))),
        raw.key("count", raw.U16, b"\1\0"),
    ]
    file = opened(path, raw.gguf(keys))

    assert file.value_type("scores") is ValueType.ARRAY
    assert file.element_type("scores") is ValueType.FLOAT32
    with pytest.raises(GGUFError, match=r"model\.gguf: key absent is absent$"):
        file.value_type("absent")
    with pytest.raises(GGUFError, match="key count is UINT16, expected ARRAY"):
        file.element_type("count")
    with pytest.raises(KeyError):
        file.metadata["absent"]


def test_a_string_that_is_not_utf8_is_an_error_when_it_is_asked_for(path: Path) -> None:
    file = opened(path, raw.gguf([raw.key("bad", raw.STRING, raw.text(b"ok\xff"))]))

    with pytest.raises(GGUFError, match=r"byte 49: key bad: found ff, expected UTF-8$"):
        file.metadata["bad"]


def test_metadata_longer_than_one_read_is_read_on(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spm.gguf.header, "FIRST_READ", 8)
    pieces = [bytes([i % 251]) * (i % 40) for i in range(500)]
    value = raw.array(raw.STRING, 500, b"".join(map(raw.text, pieces)))
    keys = [raw.key("a", raw.ARRAY, value), raw.key("after", raw.U8, b"\7")]

    file = opened(path, raw.gguf(keys, [raw.tensor()], bytes(128)))

    assert pieces == file.metadata["a"]
    assert file.metadata["after"] == 7
    assert isinstance(file.metadata, Metadata)
    assert path.stat().st_size - 128 == file.tensors["t"].offset


def test_general_alignment_moves_the_tensors(path: Path) -> None:
    keys = [raw.key("general.alignment", raw.U32, raw.u32(64))]
    tensors = [raw.tensor("a", [1]), raw.tensor("b", [1], offset=64)]
    data = struct.pack("<f60xf", 1.0, 2.0)

    file = opened(path, raw.gguf(keys, tensors, data, alignment=64))

    assert file.alignment == 64
    assert [t.offset % 64 for t in file.tensors.values()] == [0, 0]
    assert [t.dequantize().tolist() for t in file.tensors.values()] == [[1.0], [2.0]]


# ---- tensors ----


def matrix(path: Path) -> Tensor:
    """3 rows of 4: ne is [4, 3]."""
    data = np.arange(12, dtype="<f2").tobytes()
    return opened(path, raw.gguf([], [raw.tensor("w", [4, 3], kind=1)], data)).tensors["w"]


def test_a_tensor_is_row_major_with_ne_reversed(path: Path) -> None:
    tensor = matrix(path)

    assert (tensor.name, tensor.type, tensor.shape) == ("w", TensorType.F16, (3, 4))
    assert (tensor.nbytes, tensor.offset, tensor.path) == (24, 96, path)
    assert tensor.dequantize().dtype == np.float32
    assert tensor.dequantize().tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]


def test_tensor_data_is_a_read_only_view_of_the_file(path: Path) -> None:
    data = matrix(path).data

    assert data.dtype == np.uint8
    assert data.tobytes() == path.read_bytes()[96:]
    assert not data.flags.writeable
    assert not data.flags.owndata


def test_rows_decode_only_some_rows(path: Path) -> None:
    tensor = matrix(path)

    assert tensor.rows(1, 3).tolist() == [[4, 5, 6, 7], [8, 9, 10, 11]]
    assert tensor.rows(2, 2).shape == (0, 4)


@pytest.mark.parametrize(("start", "stop"), [(-1, 1), (2, 1), (0, 4)])
def test_rows_outside_the_matrix_are_an_error(path: Path, start: int, stop: int) -> None:
    with pytest.raises(
        GGUFError,
        match=rf"tensor w: rows {start}:{stop} of shape \[3, 4\], expected rows of a matrix$",
    ):
        matrix(path).rows(start, stop)


def test_rows_are_had_as_the_file_has_them(path: Path) -> None:
    write_gguf(path, {}, {"w": np.arange(12, dtype=np.float32).reshape(4, 3)})
    with GGUF.open(path) as file:
        tensor = file.tensors["w"]

        expected = np.arange(3, 9, dtype="<f4").tobytes()
        assert expected == tensor.row_bytes(1, 3).tobytes()
        assert expected == os.pread(tensor.descriptor(), 24, tensor.offset + 12)
    with pytest.raises(GGUFError, match="tensor w: the file has been closed"):
        tensor.descriptor()


class AtOnce:
    """A thread whose work is done when it is started, or that cannot be started."""

    there_are_more = True
    asked = 0

    def __init__(self, target: Callable[..., None], args: tuple[int, int], daemon: bool) -> None:
        self.target, self.args = target, args

    def start(self) -> None:
        AtOnce.asked += 1
        if not self.there_are_more:
            raise RuntimeError("can't start new thread")
        self.target(*self.args)


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="this system cannot be told")
@pytest.mark.parametrize("there_are_more", [True, False])
def test_reads_are_expected_once_and_only_to_save_time(
    path: Path, there_are_more: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_gguf(path, {}, {"w": np.zeros((600, 1024), np.float32)})
    monkeypatch.setattr(AtOnce, "there_are_more", there_are_more)
    monkeypatch.setattr(AtOnce, "asked", 0)
    monkeypatch.setattr("spm.gguf.reader.threading.Thread", AtOnce)
    advised: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "posix_fadvise", lambda file, at, n, how: advised.append((at, n)))

    with GGUF.open(path) as file:
        open_files = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
        file.expect_reads()
        file.expect_reads()
        if open_files:
            assert open_files == len(os.listdir("/proc/self/fd"))
    with GGUF.open(path) as closed:
        closed.close()
        closed.expect_reads()

    assert AtOnce.asked == 1
    assert advised == (
        [(0, 1 << 20), (1 << 20, 1 << 20), (2 << 20, 1 << 20)] if there_are_more else []
    )


def test_rows_of_a_vector_are_an_error(path: Path) -> None:
    file = opened(path, raw.gguf([], [raw.tensor("v", [4])], bytes(16)))

    with pytest.raises(GGUFError, match=r"tensor v: rows 0:1 of shape \[4\]"):
        file.tensors["v"].rows(0, 1)


def test_tensors_may_stand_in_any_order_and_apart(path: Path) -> None:
    tensors = [raw.tensor("b", [1], offset=64), raw.tensor("a", [1], offset=0)]

    file = opened(path, raw.gguf([], tensors, struct.pack("<f60xf", 1.0, 2.0)))

    assert list(file.tensors) == ["b", "a"]
    assert [t.dequantize().tolist() for t in file.tensors.values()] == [[2.0], [1.0]]


# ---- the file while it is open ----


def test_a_closed_file_has_no_tensor_data(path: Path) -> None:
    tensor = matrix(path)
    file = GGUF.open(path)
    with file:
        pass

    with pytest.raises(GGUFError, match=r"model\.gguf: tensor w: the file has been closed$"):
        file.tensors["w"].dequantize()
    assert tensor.dequantize().shape == (3, 4)


def test_a_view_outlives_closing(path: Path) -> None:
    matrix(path)
    with GGUF.open(path) as file:
        data = file.tensors["w"].data

    assert data.tobytes() == path.read_bytes()[96:]


@pytest.mark.skipif(os.name == "nt", reason="Windows does not shorten a mapped file")
def test_a_file_that_shrinks_gives_an_error_and_keeps_its_metadata(path: Path) -> None:
    keys = [raw.key("a", raw.STRING, raw.text("still here"))]
    file = opened(path, raw.gguf(keys, [raw.tensor("w", [4096])], bytes(4 * 4096)))
    os.truncate(path, 5000)

    assert file.metadata["a"] == "still here"
    for read in (lambda: file.tensors["w"].data, file.tensors["w"].dequantize):
        with pytest.raises(GGUFError, match="tensor w: byte 5000: the file ends here"):
            read()


@pytest.mark.skipif(os.name == "nt", reason="Windows does not replace a mapped file")
def test_a_file_that_is_replaced_keeps_its_old_content(path: Path, tmp_path: Path) -> None:
    tensor = matrix(path)
    (tmp_path / "other").write_bytes(b"short")
    os.replace(tmp_path / "other", path)

    assert tensor.dequantize()[2, 3] == 11


# ---- split models ----


def part(tmp_path: Path, number: int, count: int, name: str, **keys: object) -> Path:
    path = tmp_path / f"model-{number:05d}-of-{count:05d}.gguf"
    metadata = {"split.no": number - 1, "split.count": count, "split.tensors.count": count}
    tensors = {name: np.full((2, 2), number, np.float32)}
    write_gguf(path, {**metadata, **keys}, tensors)  # type: ignore[dict-item]
    return path


@pytest.mark.parametrize("opened_part", [0, 1, 2])
def test_any_part_opens_the_whole_model(tmp_path: Path, opened_part: int) -> None:
    parts = [part(tmp_path, i, 3, f"t{i}", which=i) for i in (1, 2, 3)]

    file = GGUF.open(parts[opened_part])

    assert parts[0] == file.path
    assert file.metadata["which"] == 1
    assert list(file.tensors) == ["t1", "t2", "t3"]
    assert [t.dequantize()[0, 0] for t in file.tensors.values()] == [1, 2, 3]
    assert parts == [t.path for t in file.tensors.values()]


def test_a_missing_part_is_named(tmp_path: Path) -> None:
    first = part(tmp_path, 1, 3, "t1")
    part(tmp_path, 3, 3, "t3")

    with pytest.raises(
        GGUFError, match=r"model-00002-of-00003\.gguf: cannot be read: No such file"
    ):
        GGUF.open(first)


def test_a_renamed_part_is_an_error(tmp_path: Path) -> None:
    alone = part(tmp_path, 1, 2, "t1").rename(tmp_path / "model.gguf")

    with pytest.raises(
        GGUFError, match=r"split\.no is 0 of 2, expected a name ending in -00001-of-"
    ):
        GGUF.open(alone)


def test_a_part_whose_number_is_not_its_names_is_an_error(tmp_path: Path) -> None:
    first = part(tmp_path, 1, 2, "t1")
    part(tmp_path, 1, 2, "t2")
    first.rename(tmp_path / "model-00002-of-00002.gguf")
    first = part(tmp_path, 1, 2, "t1")

    with pytest.raises(GGUFError, match=r"00002-of-00002\.gguf: split\.no is 0, expected 1$"):
        GGUF.open(first)


def test_a_whole_model_with_the_name_of_a_part_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "model-00001-of-00002.gguf"

    with pytest.raises(GGUFError, match=r"the name says part 1 of 2, but split\.count does not"):
        opened(path, raw.gguf())


def test_a_part_beyond_the_last_is_an_error(tmp_path: Path) -> None:
    parts = [part(tmp_path, i, 2, f"t{i}") for i in (1, 2, 3)]

    with pytest.raises(GGUFError, match=r"split\.no is 2 of 2, expected a name ending in"):
        GGUF.open(parts[2])


@pytest.mark.parametrize("count", [0, 1])
def test_a_merged_model_says_that_it_has_no_other_parts(path: Path, count: int) -> None:
    write_gguf(path, {"split.count": np.uint16(count)}, {"t": np.zeros(1, np.float32)})

    assert list(GGUF.open(path).tensors) == ["t"]


def test_the_only_part_of_one_is_a_whole_model(tmp_path: Path) -> None:
    assert len(opened(tmp_path / "model-00001-of-00001.gguf", raw.gguf()).tensors) == 0


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"split.no": 0, "split.count": 2},
            r"split\.tensors\.count is absent, expected an integer",
        ),
        ({"split.no": "0", "split.count": 2}, r"split\.no is '0', expected an integer from 0"),
        ({"split.no": -1, "split.count": 2}, r"split\.no is -1, expected an integer from 0"),
        ({"split.count": 2}, r"split\.no is absent"),
        ({"split.count": True}, r"split\.count is True"),
        (
            {"split.no": 0, "split.count": 2, "split.tensors.count": 9},
            r"split\.tensors\.count is 9, found 2 tensors in 2 parts",
        ),
    ],
)
def test_split_keys_are_checked(tmp_path: Path, keys: dict[str, object], message: str) -> None:
    path = tmp_path / "model-00001-of-00002.gguf"
    write_gguf(path, keys, {"t1": np.zeros(1, np.float32)})  # type: ignore[arg-type]
    part(tmp_path, 2, 2, "t2")

    with pytest.raises(GGUFError, match=message):
        GGUF.open(path)


def test_a_tensor_in_two_parts_is_an_error(tmp_path: Path) -> None:
    part(tmp_path, 1, 2, "same")

    with pytest.raises(GGUFError, match=r"tensor same is also in model-00001-of-00002\.gguf"):
        GGUF.open(part(tmp_path, 2, 2, "same"))


# ---- real files ----


def test_the_real_llama_vocabulary_is_read_as_gguf_py_reads_it(shared: Path) -> None:
    gguf = pytest.importorskip("gguf")
    path = shared / "gguf" / "ggml-vocab-llama-spm.gguf"
    expected = gguf.GGUFReader(path)

    file = GGUF.open(path)

    theirs = {k: f.contents() for k, f in expected.fields.items() if not k.startswith("GGUF.")}
    assert list(theirs) == list(file.metadata)
    for name, value in file.metadata.items():
        found = value.tolist() if isinstance(value, np.ndarray) else value
        if isinstance(value, StringArray):
            found = [piece.decode() for piece in value]
        assert theirs[name] == found, name


def test_the_real_tensors_are_read_as_gguf_py_reads_them(shared: Path) -> None:
    gguf = pytest.importorskip("gguf")
    path = shared / "gguf" / "stories260K.gguf"
    expected: Sequence[object] = gguf.GGUFReader(path).tensors

    tensors = GGUF.open(path).tensors

    assert [t.name for t in expected] == list(tensors)  # type: ignore[attr-defined]
    for theirs in expected:
        ours = tensors[theirs.name].dequantize()  # type: ignore[attr-defined]
        assert np.array_equal(theirs.data, ours)  # type: ignore[attr-defined]
