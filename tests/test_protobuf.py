"""The wire format, against bytes worked out by hand from protobuf's own description of it."""

from __future__ import annotations

import struct

import pytest

from spm.errors import VocabError
from spm.vocab.protobuf import Message
from tests.making import HEAD, field, model, pieces, sentencepiece_loads, varint


def message(data: bytes) -> Message:
    return Message(data, "here", range(1, 100))


def test_the_documentation_s_own_example() -> None:
    # https://protobuf.dev/programming-guides/encoding/: field 1 holds 150, field 2 "testing"
    found = message(bytes.fromhex("089601") + bytes.fromhex("120774657374696e67"))

    assert found.integer(1, 0) == 150
    assert found.raw(2, b"") == b"testing"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("00", 0),
        ("7f", 127),
        ("8001", 128),
        ("8000", 0),  # longer than it need be
        ("ffffffffffffffffff01", -1),
        ("feffffffffffffffff01", -2),
        ("80808080f8ffffffff01", -(1 << 31)),
    ],
)
def test_an_integer_is_seven_bits_a_byte_and_negative_as_64_bits(raw: str, expected: int) -> None:
    assert message(b"\x08" + bytes.fromhex(raw)).integer(1, 7) == expected


def test_what_is_absent_has_the_default() -> None:
    empty = message(b"")

    assert empty.integer(1, -3) == -3
    assert empty.flag(1, True) is True
    assert empty.flag(1, False) is False
    assert empty.raw(1, b"<s>") == b"<s>"
    assert empty.real(1, -0.5) == -0.5
    assert empty.all(1) == []
    assert not any(empty.message(1, range(1, 100)).fields.values())


def test_the_last_of_several_values_counts_and_a_repeated_field_keeps_all() -> None:
    found = message(b"\x0a\x01a" + b"\x10\x01" + b"\x0a\x01b" + b"\x10\x00")

    assert found.raw(1, b"") == b"b"
    assert found.all(1) == [b"a", b"b"]
    assert found.flag(2, True) is False


def test_a_real_is_four_bytes_little_endian() -> None:
    assert message(b"\x15\x00\x00\x20\xc1").real(2, 0.0) == -10.0


def test_a_message_in_two_parts_is_merged() -> None:
    found = message(b"\x12\x02\x08\x05" + b"\x12\x02\x10\x06").message(2, range(1, 100))

    assert (found.integer(1, 0), found.integer(2, 0)) == (5, 6)


def test_unknown_fields_of_every_wire_type_are_passed_over() -> None:
    unknown = varint(9 << 3) + b"\x05" + varint(10 << 3 | 1) + bytes(8)
    unknown += varint(11 << 3 | 2) + b"\x03abc" + varint(12 << 3 | 5) + bytes(4)

    assert message(unknown + b"\x08\x07").integer(1, 0) == 7


@pytest.mark.parametrize(
    ("raw", "where"),
    [
        (b"\x08", "offset 1: a varint"),
        (b"\x80", "offset 0: a varint"),
        (b"\x08\xff", "offset 1: a varint"),
        (b"\x08" + b"\xff" * 10 + b"\x01", "offset 1: a varint"),
        (b"\x0a\x05abc", "offset 2: 5 bytes announced, 3 left"),
        (b"\x0a" + varint(1 << 31), "offset 6: 2147483648 bytes announced, 0 left"),
        (b"\x0a" + varint((1 << 32) - 1), "offset 6: 4294967295 bytes announced, 0 left"),
        (b"\x0a" + varint(1 << 63), "offset 1: a varint"),
        (b"\x0a" + varint((1 << 64) - 1), "offset 1: a varint"),
        (b"\x0d\x00\x00\x00", "offset 1: 4 bytes announced, 3 left"),
        (b"\x09" + bytes(7), "offset 1: 8 bytes announced, 7 left"),
        (b"\x08\x01\x0b", "offset 2: wire type 3"),
        (b"\x0c", "wire type 4"),
        (b"\x0e\x00", "wire type 6"),
        (b"\x0f\x00", "wire type 7"),
        (b"\x00\x00", "offset 0: field number 0"),
        (b"\x02\x00", "field number 0"),
    ],
)
def test_a_broken_message_names_its_offset(raw: bytes, where: str) -> None:
    with pytest.raises(VocabError, match=where) as error:
        message(raw)

    assert str(error.value).startswith("here: ")
    assert "\n" not in str(error.value)


def test_a_field_of_another_wire_type_is_refused() -> None:
    found = message(field(1, 5) + field(2, b"text") + field(3, b"12345"))

    with pytest.raises(VocabError, match="field 1 is a number, expected bytes"):
        found.raw(1, b"")
    with pytest.raises(VocabError, match="field 1 is a number, expected bytes"):
        found.all(1)
    with pytest.raises(VocabError, match="field 2 is bytes, expected a number"):
        found.flag(2, False)
    with pytest.raises(VocabError, match="field 3 has 5 bytes, expected 4"):
        found.real(3, 0.0)


def test_a_score_of_eight_bytes_is_refused() -> None:
    with pytest.raises(VocabError, match="field 2 has 8 bytes, expected 4"):
        message(varint(2 << 3 | 1) + struct.pack("<d", 1.0)).real(2, 0.0)


@pytest.mark.parametrize(
    "overlong",
    [
        pytest.param(
            varint((1 << 29) << 3) + b"\0",
            id="field number 2^29",
        ),
        pytest.param(b"\xe8\x84\x80\x80\x80\x00\x00", id="key of six bytes"),
        pytest.param(varint(77 << 3 | 2) + b"\x82" + b"\x80" * 8 + b"\x00hi", id="size of ten"),
    ],
)
def test_keys_and_sizes_that_protobuf_refuses_are_refused(overlong: bytes) -> None:
    whole = model([*HEAD, *pieces("a")], extra=overlong)
    assert not sentencepiece_loads(whole)

    with pytest.raises(VocabError):
        message(whole)
