"""The core reads the long lists of both file formats as the readers in Python do, or not at all.

It has no errors of its own: for anything odd it answers None, and the reader finds the words. So
what a damaged file gives must be the same with the core and without it, to the last letter.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from spm import SpmError
from spm.gguf import GGUF, header, values, write_gguf
from spm.native import core
from spm.vocab import Vocab, from_sentencepiece, vocab_from_gguf, vocab_from_sentencepiece
from tests import gguf_bytes as raw
from tests.making import (
    BYTES,
    HEAD,
    field,
    metadata,
    model,
    normalizer_spec,
    piece,
    pieces,
    trainer_spec,
    varint,
)

pytestmark = pytest.mark.skipif(core is None, reason="the compiled core is not built")

TEXTS = [b"a", b"", b"bc", "▁é".encode(), b"\0\xff" * 200, b"x" * 70_000]
STRINGS = b"".join(map(raw.text, TEXTS))
ENTRIES = [*HEAD, *pieces("▁ a b:-1 ab:-2.5"), piece("u", 0.5, 4), piece("n", 0, 5)]


# ---- GGUF


def test_strings_are_read_from_anywhere_in_the_data() -> None:
    assert TEXTS == core.read_strings(b"before" + STRINGS + b"behind", 6, len(TEXTS))
    assert TEXTS[2:4] == core.read_strings(STRINGS, 9 + 8, 2)
    assert [] == core.read_strings(b"", 0, 0)


@pytest.mark.parametrize(
    ("data", "pos", "count"),
    [
        (STRINGS[:-1], 0, len(TEXTS)),
        (STRINGS, 0, len(TEXTS) + 1),
        (STRINGS, 0, 2**64 - 1),
        (STRINGS, len(STRINGS), 1),
        (STRINGS, len(STRINGS) + 1, 1),
        (STRINGS, 2**64 - 1, 1),
        (b"", 0, 1),
        (bytes(7), 0, 1),
        *((raw.u64(size) + b"abc", 0, 1) for size in (4, 2**62, 2**63, 2**64 - 8, 2**64 - 1)),
        (raw.text("a") + raw.u64(2**64 - 9), 0, 2),  # back to where it began
    ],
    ids=str,
)
def test_strings_that_are_not_all_there_are_not_read(data: bytes, pos: int, count: int) -> None:
    assert core.read_strings(data, pos, count) is None


def test_a_scan_ends_where_the_sizes_do() -> None:
    assert (2, 17) == core.scan_strings(STRINGS, 0, 0, 2)
    assert (7, 17) == core.scan_strings(STRINGS, 9, 6, 7)
    assert (1, 9) == core.scan_strings(STRINGS[:16], 0, 0, 9)  # half a size behind
    assert (0, 0) == core.scan_strings(STRINGS[:7], 0, 0, 9)
    assert (len(TEXTS), len(STRINGS)) == core.scan_strings(STRINGS[:-9], 0, 0, len(TEXTS))
    assert (1, 8 + 2**62) == core.scan_strings(raw.u64(2**62), 0, 0, 2)
    assert core.scan_strings(raw.u64(2**62 + 1), 0, 0, 2) is None


# ---- sentencepiece


def test_the_pieces_of_a_model_and_the_message_without_them() -> None:
    texts, scores, types, others = core.read_model_pieces(model(ENTRIES))

    assert [entry.text for entry in ENTRIES] == texts
    assert struct.pack(f"<{len(ENTRIES)}f", *(entry.score for entry in ENTRIES)) == scores
    assert bytes(entry.type for entry in ENTRIES) == types
    assert model([], trainer=trainer_spec(byte_fallback=False)) == others


def test_what_a_piece_does_not_say_has_its_default_and_the_last_value_counts() -> None:
    said_twice = field(1, "a") + field(2, 1.0) + field(3, 3) + field(1, "b") + field(2, -1.0)
    data = field(1, b"") + field(9, "x") + field(1, said_twice + field(3, 4))

    found = core.read_model_pieces(data)

    assert ([b"", b"b"], struct.pack("<2f", 0, -1), b"\1\4", field(9, "x")) == found


def with_piece(message: bytes) -> bytes:
    return model(ENTRIES, extra=field(1, message))


ODD = {
    "a piece as number": model(ENTRIES, extra=field(1, 7)),
    "a text as number": with_piece(field(1, 7)),
    "a text of four bytes": with_piece(varint(1 << 3 | 5) + b"abcd"),
    "a score as number": with_piece(field(1, "x") + field(2, 3)),
    "a score as bytes": with_piece(field(1, "x") + field(2, b"abcd")),
    "a score of eight bytes": with_piece(field(1, "x") + varint(2 << 3 | 1) + bytes(8)),
    "a NaN": with_piece(field(1, "x") + varint(2 << 3 | 5) + bytes.fromhex("010080ff")),
    "a type as bytes": with_piece(field(1, "x") + field(3, "1")),
    "a type as number and as bytes": with_piece(field(1, "x") + field(3, 3) + field(3, "1")),
    "a type of 0": with_piece(field(1, "x") + field(3, 0)),
    "a type of 7": with_piece(field(1, "x") + field(3, 7)),
    "a type of -1": with_piece(field(1, "x") + field(3, -1)),
    "a type of 66 bits": with_piece(field(1, "x") + b"\x18\x81" + b"\x80" * 8 + b"\x04"),
    "a varint of 11 bytes": with_piece(field(1, "x") + b"\x18" + b"\x80" * 10 + b"\x01"),
    "a varint without end": with_piece(field(1, "x") + b"\x18\x81"),
    "a key of six bytes": with_piece(b"\xe8\x84\x80\x80\x80\x00\x00"),
    "a size of six bytes": with_piece(b"\x0a\x81\x80\x80\x80\x80\x00x"),
    "a size beyond": with_piece(field(1, "x") + b"\x0a\x05abcd"),
    "a size far beyond": model(ENTRIES, extra=varint(77 << 3 | 2) + b"\xff\xff\xff\xff\x7f"),
    "a field 0": model(ENTRIES, extra=b"\0\0"),
    "a field 2^29": model(ENTRIES, extra=varint(1 << 29 << 3) + b"\0"),
    "a group": model(ENTRIES, extra=varint(99 << 3 | 3) + varint(99 << 3 | 4)),
    "a wire type 7": model(ENTRIES, extra=varint(99 << 3 | 7)),
    "seven bytes of eight": model(ENTRIES, extra=varint(99 << 3 | 1) + bytes(7)),
    "three bytes of four": model(ENTRIES, extra=varint(99 << 3 | 5) + bytes(3)),
}


@pytest.mark.parametrize("name", ODD)
def test_what_is_odd_is_left_to_the_reader(tmp_path: Path, name: str) -> None:
    assert core.read_model_pieces(ODD[name]) is None

    agree(tmp_path / "odd.model", ODD[name])


PLAIN = {
    "an unknown number": model(ENTRIES, extra=field(99, 2**64 - 1)),
    "unknown bytes": model(ENTRIES, extra=varint(99 << 3 | 1) + bytes(8)),
    "the largest field": model(ENTRIES, extra=varint(((1 << 29) - 1) << 3) + b"\0"),
    "infinity": with_piece(field(1, "x") + field(2, float("-inf"))),
    "nothing": b"",
    "an empty piece": with_piece(b""),
    "a NUL beside bytes": model([*HEAD, *BYTES, piece("\0"), piece("\0", 0, 3)]),
    "a NUL without bytes": model([*ENTRIES, piece("\0")]),
    "bytes without byte_fallback": model(
        [*HEAD, *BYTES], trainer=trainer_spec(byte_fallback=False)
    ),
    "another model": model(ENTRIES, trainer=trainer_spec(model_type=1)),
    "a charsmap": model(ENTRIES, normalizer=normalizer_spec(charsmap=b"\1\2"), extra=field(5, "")),
}


@pytest.mark.parametrize("name", PLAIN)
def test_what_is_plain_is_read_alike(tmp_path: Path, name: str) -> None:
    assert core.read_model_pieces(PLAIN[name]) is not None

    agree(tmp_path / "plain.model", PLAIN[name])


# ---- files, whole and damaged


@contextmanager
def pure_python() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for module in (header, values, from_sentencepiece):
            patch.setattr(module, "core", None)
        yield


def outcome(path: Path) -> tuple[object, ...]:
    """What a file gives: its vocabulary, or its error."""
    try:
        vocab = read(path)
    except SpmError as error:
        return type(error), str(error)
    return vocab.fingerprint, vocab.pieces, vocab.scores.tobytes(), vocab.types


def read(path: Path) -> Vocab:
    if path.suffix == ".model":
        return vocab_from_sentencepiece(path)
    with GGUF.open(path) as gguf:
        return vocab_from_gguf(gguf)


def agree(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    with pure_python():
        expected = outcome(path)
    assert expected == outcome(path)


def gguf_file(tmp_path: Path) -> bytes:
    path = tmp_path / "whole.gguf"
    write_gguf(path, {**metadata(ENTRIES), "a.list": ["x", "", "yz"]}, {})
    return path.read_bytes()


def model_file(tmp_path: Path) -> bytes:
    return model(ENTRIES, extra=field(77, "other") + field(78, 1 << 40))


@pytest.mark.parametrize(("suffix", "make"), [("gguf", gguf_file), ("model", model_file)])
def test_a_damaged_file_gives_the_same_with_and_without_the_core(
    tmp_path: Path, suffix: str, make: Callable[[Path], bytes]
) -> None:
    data, rng, path = make(tmp_path), random.Random(suffix), tmp_path / f"damaged.{suffix}"
    agree(path, data)
    for size in range(len(data)):
        agree(path, data[:size])
    for _ in range(600):
        damaged = bytearray(data)
        for at in rng.choices(range(len(data)), k=rng.randint(1, 3)):
            damaged[at] = rng.choice(
                (0, 1, 2, 0x7F, 0x80, 0xFF, damaged[at] ^ 1 << rng.randrange(8))
            )
        agree(path, bytes(damaged))
