"""Hostile containers: each is answered by one GGUFError line, in bounded time and memory."""

from __future__ import annotations

import os
import random
import re
import struct
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from spm.errors import GGUFError
from spm.gguf import GGUF, Quantized, TensorType, write_gguf
from tests import gguf_bytes as raw

HUGE = (2**64 - 1, 2**63, 2**63 - 1, 2**62, 2**61, 2**32)
K = raw.key("k", raw.U8, b"\1")


def nested(depth: int) -> bytes:
    """An array of an array of ... of one u8."""
    value = raw.array(raw.U8, 1, b"\1")
    for _ in range(depth - 1):
        value = raw.array(raw.ARRAY, 1, value)
    return raw.gguf([raw.key("k", raw.ARRAY, value)])


def alignment(number: int) -> bytes:
    return raw.gguf([raw.key("general.alignment", raw.U32, raw.u32(number))])


def with_tensors(*tensors: bytes, data: int = 4096) -> bytes:
    return raw.gguf([], tensors, bytes(data))


def strings(*lengths: int, count: int | None = None) -> bytes:
    """A string array with claimed lengths, each followed by one byte of text."""
    body = b"".join(raw.u64(length) + b"x" for length in lengths)
    return raw.gguf([raw.key("k", raw.ARRAY, raw.array(raw.STRING, count or len(lengths), body))])


# name -> (the file's bytes, what the message must say)
FILES: dict[str, tuple[bytes, str]] = {
    # ---- magic and version ----
    "empty": (b"", r"byte 0: found '', expected 'GGUF'"),
    "not GGUF": (b"PK\3\4" * 9, r"byte 0: found 'PK\\x03\\x04', expected 'GGUF'"),
    **{
        f"{name} {magic[:4]!r}": (magic, f"byte 0: this is a {name} file, older than GGUF")
        for name in ("ggml", "ggmf", "ggjt", "ggla")
        for magic in (name.encode() + bytes(40), name[::-1].encode() + bytes(40))
    },
    "magic only": (b"GGUF", "byte 4: the version would end at byte 8"),
    "version 0": (raw.head(0, 0, version=0), "byte 4: this is GGUF version 0, expected 2 or 3"),
    "version 1": (raw.head(0, 0, version=1), "byte 4: this is GGUF version 1, expected 2 or 3"),
    "version 4": (raw.head(0, 0, version=4), "byte 4: this is GGUF version 4, expected 2 or 3"),
    "big-endian": (
        struct.pack(">4sIQQ", b"GGUF", 3, 0, 0),
        r"byte 4: this file is big-endian \(version 0x3000000\), expected little-endian",
    ),
    # ---- counts and lengths that overflow ----
    **{
        f"{number} tensors": (
            raw.head(number, 0),
            f"byte 8: found {number} tensors, expected at",
        )
        for number in (*HUGE, 1)
    },
    **{
        f"{number} keys": (
            raw.head(0, number),
            f"byte 16: found {number} metadata keys, exp",
        )
        for number in (*HUGE, 1)
    },
    **{
        f"key of {number} bytes": (
            raw.head(0, 1) + raw.u64(number) + bytes(40),
            f"byte 32: a metadata key would end at byte {number + 32}, but the file ends at",
        )
        for number in HUGE
    },
    **{
        f"string of {number} bytes": (
            raw.head(0, 1) + raw.key("k", raw.STRING, raw.u64(number) + b"x"),
            f"byte 37: string 0 of the value of k would end at byte {number + 45}, but the file",
        )
        for number in (*HUGE, 2)
    },
    **{
        f"array of {number} {kind}": (
            raw.head(0, 1) + raw.key("k", raw.ARRAY, raw.array(kind, number, bytes(3))),
            rf"byte 41: found {number} \w+ in the value of k, expected at most",
        )
        for number in (*HUGE, 4)
        for kind in (raw.U8, raw.F64, raw.BOOL, raw.STRING, raw.ARRAY)
    },
    "string 2 of 3 is too long": (
        strings(1, 1, 2**63),
        "byte 67: string 2 of the value of k would end at byte",
    ),
    "strings whose lengths run past the end": (
        strings(1, 10, 1),
        "byte 76: the length of string 2 of the value of k would end at byte 84",
    ),
    "fewer strings than counted": (
        strings(1, 1, 1, count=3)[:-1],
        "byte 67: string 2 of the value of k would end at byte 76, but the file ends at byte 75",
    ),
    # ---- keys and values ----
    "duplicate key": (raw.gguf([K, K]), "byte 38: found key k twice"),
    "empty key": (
        raw.gguf([raw.key("", raw.U8, b"\1"), K]) + bytes(9),
        "byte 24: found an empty metadata key",
    ),
    "key that is not UTF-8": (
        raw.gguf([raw.key(b"a\xff\xfe", raw.U8, b"\1")]),
        "byte 24: a metadata key is not UTF-8: found ff fe",
    ),
    "key with line breaks": (
        raw.gguf([raw.key("a\nb", 77, b"\1")]),
        r"byte 35: the value of 'a\\nb' has type 77, expected 0 to 12",
    ),
    "very long key": (raw.gguf([raw.key("k" * 9999, 77, b"\1")]), r"k\.\.\.kkk.* has type 77"),
    "unknown element type": (
        raw.gguf([raw.key("k", raw.ARRAY, raw.array(13, 0))]),
        "byte 37: the elements of the value of k has type 13",
    ),
    "bool of 2": (
        raw.gguf([raw.key("k", raw.BOOL, b"\2")]),
        "byte 37: .* found bool 2, expected 0 or 1",
    ),
    "bool of 255 in an array": (
        raw.gguf([raw.key("k", raw.ARRAY, raw.array(raw.BOOL, 3, b"\0\1\xff"))]),
        "byte 51: .* found bool 255, expected 0 or 1",
    ),
    "arrays nested 9 deep": (nested(9), "the value of k nests deeper than 8 arrays"),
    "arrays nested 5000 deep": (nested(5000), "the value of k nests deeper than 8 arrays"),
    # ---- alignment ----
    **{
        f"alignment {number}": (
            alignment(number),
            f"general.alignment is {number}, expected a power",
        )
        for number in (0, 3, 33, 2**21, 2**31, 2**32 - 1)
    },
    **{
        f"alignment of type {kind}": (
            raw.gguf([raw.key("general.alignment", kind, value)]),
            "byte 53: general.alignment is .*, expected UINT32",
        )
        for kind, value in (
            (raw.U64, raw.u64(32)),
            (raw.I32, raw.u32(32)),
            (raw.F32, bytes(4)),
            (raw.STRING, raw.text("32")),
            (raw.ARRAY, raw.array(raw.U32, 1, raw.u32(32))),
        )
    },
    # ---- the tensor table ----
    **{
        f"{n} dimensions": (
            with_tensors(raw.tensor(ne=[1] * n)),
            f"byte 33: tensor t has {n} dimen",
        )
        for n in (0, 5, 100)
    },
    "2^32-1 dimensions": (
        raw.head(1, 0) + raw.text("t") + raw.u32(2**32 - 1) + bytes(64),
        "tensor t has 4294967295 dimensions, expected 1 to 4",
    ),
    "zero first dimension": (
        with_tensors(raw.tensor(ne=[0, 4])),
        r"dimensions \[0, 4\], expected none",
    ),
    "zero last dimension": (
        with_tensors(raw.tensor(ne=[4, 0])),
        r"dimensions \[4, 0\], expected none",
    ),
    **{
        f"dimension {number}": (
            with_tensors(raw.tensor(ne=[number])),
            "tensor t has .* bytes from byte .*, exp",
        )
        for number in (*HUGE, 1025)
    },
    "dimensions whose product is 0 modulo 2^64": (
        with_tensors(raw.tensor(ne=[2**32, 2**32])),
        "tensor t has 73786976294838206464 bytes",
    ),
    "four dimensions of 2^62": (
        with_tensors(raw.tensor(ne=[2**62] * 4)),
        "tensor t has .* bytes from",
    ),
    **{
        f"rows of {number} in {kind.name}": (
            with_tensors(raw.tensor(ne=[number, 2], kind=kind)),
            rf"tensor t \({kind.name}\) has rows of {number}, expected a multiple of",
        )
        for kind, number in (
            (TensorType.Q4_0, 33),
            (TensorType.Q8_0, 16),
            (TensorType.Q4_K, 32),
            (TensorType.Q6_K, 257),
            (TensorType.NVFP4, 32),
            (TensorType.MXFP4, 31),
            (TensorType.TQ1_0, 128),
        )
    },
    **{
        f"tensor type {kind}": (
            with_tensors(raw.tensor(kind=kind)),
            f"byte 45: tensor t has type {kind}, expected 0 to 42",
        )
        for kind in (43, 1000, 2**31 - 1, 2**31, 2**32 - 1)
    },
    **{
        f"tensor type {kind}, removed": (
            with_tensors(raw.tensor(kind=kind)),
            rf"byte 45: tensor t has type {kind} \((Q4|IQ4)_\w+\), which ggml has removed",
        )
        for kind in (4, 5, 31, 32, 33, 36, 37, 38)
    },
    "tensor name that is not UTF-8": (
        with_tensors(raw.tensor(b"\xc3")),
        "a tensor name is not UTF-8",
    ),
    "duplicate tensor names": (
        with_tensors(raw.tensor(), raw.tensor(offset=128)),
        "found tensor t twice, expected each name once",
    ),
    **{
        f"offset {offset}": (
            with_tensors(raw.tensor(offset=offset)),
            "tensor t has offset|tensor t has 128 bytes",
        )
        for offset in (1, 31, 33, 4096, 4096 - 32, *HUGE, 2**64 - 32)
    },
    "overlapping tensors": (
        with_tensors(raw.tensor("a", [16]), raw.tensor("b", [16], offset=32)),
        "byte 57: tensor b starts at byte 128, inside tensor a, which ends at 160",
    ),
    "tensors that share one byte": (
        raw.gguf(
            [raw.key("general.alignment", raw.U32, raw.u32(1))],
            [raw.tensor("a", [5], 24), raw.tensor("b", [5], 24, offset=4)],
            bytes(9),
            alignment=1,
        ),
        "tensor b starts at byte .* inside tensor a",
    ),
    "a tensor inside another": (
        with_tensors(raw.tensor("b", [1], offset=64), raw.tensor("a", [64])),
        "tensor b starts at .* inside tensor a",
    ),
    "two tensors in one place": (
        with_tensors(raw.tensor("a"), raw.tensor("b")),
        "tensor b starts at .* inside tensor a",
    ),
    "no tensor data": (raw.gguf([], [raw.tensor()]), "byte 24: tensor t has 128 bytes"),
    "one byte too few": (
        with_tensors(raw.tensor(), data=127),
        "tensor t has 128 bytes from byte 64, exp",
    ),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "hostile.gguf"


def refused(path: Path | str) -> str:
    """The one line that answers this file."""
    with pytest.raises(GGUFError) as caught:
        GGUF.open(path)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 1000
    return message


def touch(path: Path) -> bool:
    """Use everything in a file; False if that, or opening, ends in a GGUFError."""
    try:
        with GGUF.open(path) as file:
            for key in file.metadata:
                value = file.metadata[key]
                repr(list(value) if isinstance(value, Sequence) else value)
                file.value_type(key)
            for tensor in file.tensors.values():
                tensor.dequantize()
    except GGUFError as error:
        if "\n" in str(error):
            raise
        return False
    return True


# ---- one by one ----


@pytest.mark.parametrize("name", FILES)
def test_a_hostile_file_is_refused_in_one_line(path: Path, name: str) -> None:
    content, expected = FILES[name]
    path.write_bytes(content)

    assert re.search(rf"hostile\.gguf: .*{expected}", refused(path))


@pytest.mark.parametrize("name", FILES)
def test_a_hostile_file_never_takes_much_memory(path: Path, name: str) -> None:
    path.write_bytes(FILES[name][0])

    assert peak_memory(path) < 64 * 1024 + 4 * path.stat().st_size


def peak_memory(path: Path) -> int:
    tracemalloc.start()
    touch(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


@pytest.mark.parametrize("good", [nested(8), alignment(1), alignment(2**20), nested(1)])
def test_the_last_value_inside_a_limit_is_accepted(path: Path, good: bytes) -> None:
    path.write_bytes(good)

    assert touch(path)


# ---- headers that are all entries: what one byte of a file can cost at most ----

DENSE: dict[str, Callable[[], bytes]] = {
    "keys": lambda: raw.gguf([raw.key(f"{i:x}", raw.U8, b"\1") for i in range(4000)]),
    "tensors": lambda: raw.gguf(
        [raw.key("general.alignment", raw.U32, raw.u32(1))],
        [raw.tensor(f"{i:x}", [1], 24, i) for i in range(2000)],
        bytes(2000),
        alignment=1,
    ),
    "empty strings": lambda: strings_of_nothing(20_000),
    "empty arrays": lambda: raw.gguf(
        [raw.key("k", raw.ARRAY, raw.array(raw.ARRAY, 5000, raw.array(raw.U8, 0) * 5000))]
    ),
    "one long string": lambda: raw.gguf([raw.key("k", raw.STRING, raw.text("x" * 200_000))]),
    "one long array": lambda: raw.gguf(
        [raw.key("k", raw.ARRAY, raw.array(raw.U8, 200_000, bytes(200_000)))]
    ),
}


def strings_of_nothing(count: int) -> bytes:
    return raw.gguf([raw.key("k", raw.ARRAY, raw.array(raw.STRING, count, bytes(8 * count)))])


@pytest.mark.parametrize("name", DENSE)
def test_a_dense_header_costs_a_small_multiple_of_its_size(path: Path, name: str) -> None:
    path.write_bytes(DENSE[name]())

    tracemalloc.start()
    file = GGUF.open(path)
    if name != "one long array":
        [file.metadata[key] for key in file.metadata]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 64 * 1024 + 30 * path.stat().st_size


def test_opening_does_not_decode_strings(path: Path) -> None:
    path.write_bytes(strings_of_nothing(20_000))

    tracemalloc.start()
    GGUF.open(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 64 * 1024 + 3 * path.stat().st_size


# ---- files that are not files ----


def test_a_folder_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path).startswith(str(tmp_path))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path / "nothing").endswith("cannot be read: No such file or directory")


def test_a_name_with_a_nul_is_refused() -> None:
    assert refused("a\0b").startswith(r"'a\x00b': cannot be opened: ")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
def test_a_fifo_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")

    assert refused(tmp_path / "fifo").endswith("fifo: not a regular file, expected a GGUF file")


@pytest.mark.skipif(os.name == "nt", reason="symbolic links need a privilege there")
def test_symbolic_links_lead_to_files_and_loops_are_refused(tmp_path: Path) -> None:
    (tmp_path / "good").write_bytes(raw.gguf([K]))
    (tmp_path / "link").symlink_to(tmp_path / "good")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")

    assert touch(tmp_path / "link")
    assert "loop: cannot be read: " in refused(tmp_path / "loop")


def test_a_path_with_line_breaks_stays_on_one_line(tmp_path: Path) -> None:
    assert r"two\nlines" in refused(tmp_path / "two\nlines")


def test_a_file_that_shrinks_while_it_is_read_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_bytes(raw.gguf([raw.key("k", raw.STRING, raw.text("x" * 100))]))
    real = os.fstat

    def larger(fd: int) -> os.stat_result:
        fields = list(real(fd))
        fields[6] += 10
        return os.stat_result(fields)

    monkeypatch.setattr("spm.gguf.reader.os.fstat", larger)

    assert "byte 145: the file ends here, expected 155 bytes" in refused(path)


# ---- every truncation, every flipped byte ----


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A good file with some of everything, ending with its last tensor's last byte."""
    path = tmp_path_factory.mktemp("small") / "small.gguf"
    metadata = {
        "general.architecture": "llama",
        "a.bool": True,
        "a.float": 0.5,
        "a.bools": [True, False],
        "a.scores": np.array([-1.5, np.nan], np.float32),
        "a.words": ["<s>", "▁", b"\xff"],
        "a.nest": [[1, 2], [3]],
        "general.alignment": 16,
    }
    tensors = {
        "f": np.arange(4, dtype=np.float32).reshape(2, 2),
        "h": np.arange(3, dtype=np.float16),
        "q": Quantized(TensorType.Q4_0, (32,), np.arange(18, dtype=np.uint8)),
    }
    write_gguf(path, metadata, tensors, alignment=16)  # type: ignore[arg-type]
    return path.read_bytes()[:-14]


def test_the_small_file_is_good(path: Path, small: bytes) -> None:
    path.write_bytes(small)

    assert touch(path)


def test_every_truncation_is_refused(path: Path, small: bytes) -> None:
    for length in range(len(small)):
        path.write_bytes(small[:length])
        assert str(path) in refused(path)


@pytest.mark.parametrize("flip", [0x01, 0x04, 0x20, 0x80, 0xFF])
def test_every_flipped_byte_gives_an_error_or_a_file(path: Path, small: bytes, flip: int) -> None:
    content = bytearray(small)
    for i in range(len(content)):
        content[i] ^= flip
        path.write_bytes(content)
        touch(path)
        content[i] ^= flip


@pytest.mark.parametrize("seed", range(4))
def test_random_damage_gives_an_error_or_a_file(path: Path, small: bytes, seed: int) -> None:
    choose = random.Random(seed)
    for _ in range(300):
        content = bytearray(small)
        for _ in range(choose.randint(2, 6)):
            content[choose.randrange(len(content))] = choose.choice((0, 1, 0x7F, 0x80, 0xFF))
        path.write_bytes(content)
        touch(path)


# ---- malformed files of another project ----

GRIDCORE = {
    "bad-version.bin": "byte 4: this is GGUF version 1, expected 2 or 3",
    "hdr-suppress-eos.gguf": "byte 8181: a tensor name would end at byte 8200, but the file ends",
    "hdr-wrap-first-offset.gguf": "tensor token_embd.weight has offset 18446744073709551600, exp",
    "hdr-zero-first-dim.gguf": r"tensor token_embd.weight has dimensions \[0, 259\], expected none",
    "huge-counts.bin": "byte 8: found 18446744073709551615 tensors, expected at most 0",
    "kv-arr-huge-n.bin": "byte 41: found 4294967295 strings in the value of k, expected at most 0",
    "kv-huge-strlen.bin": "byte 16: found 1 metadata keys, expected at most 0 in 32 bytes",
    "magic-only.bin": "byte 4: the version would end at byte 8",
    "tensor-huge-dims.bin": "tensor t has .* bytes from",
    "trunc-magic.bin": "byte 0: found 'GGU', expected 'GGUF'",
    "v3-empty.bin": "",
    "valid-small.gguf": "",
    "vocab-bpe-gpt4o.gguf": "",
    "vocab-bpe-llama3.gguf": "",
    "vocab-bpe-qwen2.gguf": "",
    "vocab-bpe-qwen35.gguf": "",
    "vocab-bpe-smollm.gguf": "",
    "vocab-bpe-spm-gemma4.gguf": "",
}  # an empty message: the container is good


def test_every_gridcore_file_has_its_answer(shared: Path) -> None:
    files = sorted((shared / "gguf" / "gridcore").iterdir())

    assert sorted(GRIDCORE) == [file.name for file in files]
    for file in files:
        if GRIDCORE[file.name]:
            assert re.search(GRIDCORE[file.name], refused(file)), file.name
        else:
            assert touch(file), file.name


def test_a_file_cut_short_while_its_tensors_are_read_is_an_error(path: Path) -> None:
    whole = raw.gguf([], [raw.tensor("w", [4, 1024])], bytes(4 * 4096))
    path.write_bytes(whole)
    with GGUF.open(path) as file:
        tensor = file.tensors["w"]
        os.truncate(path, len(whole) - 1)

        with pytest.raises(GGUFError, match=f"byte {len(whole) - 1}: the file ends here"):
            tensor.dequantize()
        with pytest.raises(GGUFError, match="the file ends here"):
            tensor.rows(1023, 1024)
        assert 0 == tensor.rows(0, 1).sum()
