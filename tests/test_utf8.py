"""UTF-8, against Python's own codec: all sequences of one and two bytes, samples of longer ones."""

from __future__ import annotations

import itertools
import random

import pytest

from spm.text.utf8 import REPLACEMENT, characters, split_unfinished, well_formed_size

EDGES = [0x00, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1]
EDGES += [0xEC, 0xED, 0xEE, 0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xF7, 0xF8, 0xFF]


def sequences() -> list[bytes]:
    short = [bytes(s) for n in (1, 2) for s in itertools.product(range(256), repeat=n)]
    three = [bytes(s) for s in itertools.product(EDGES, repeat=3)]
    rng = random.Random(1)
    four = [bytes(rng.choices(EDGES, k=rng.randint(4, 6))) for _ in range(20_000)]
    edges = [0x7F, 0x80, 0x7FF, 0x800, 0xD7FF, 0xE000, 0xFFFD, 0xFFFF, 0x10000, 0x10FFFF]
    return short + three + four + [chr(point).encode() + b"\x80a" for point in edges]


SEQUENCES = sequences()


def first_character(data: bytes) -> int:
    """The size of the character that Python decodes at the beginning, or 0."""
    for size in range(1, min(len(data), 4) + 1):
        try:
            if len(data[:size].decode()) == 1:
                return size
        except UnicodeDecodeError:
            continue
    return 0


def can_become_a_character(data: bytes) -> bool:
    """Whether Python's decoder asks for more, and has nothing to complain of."""
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return error.reason == "unexpected end of data" and error.start == 0
    return False


def test_a_well_formed_character_is_one_that_python_decodes() -> None:
    for data in SEQUENCES:
        assert well_formed_size(data, 0) == first_character(data), data


def test_the_position_is_respected() -> None:
    data = b"a\xc3\xa9\xe2\x96\x81"

    assert [well_formed_size(data, at) for at in range(7)] == [1, 2, 0, 3, 0, 0, 0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", []),
        (b"abc", [b"a", b"b", b"c"]),
        ("a▁é😀".encode(), [b"a", "▁".encode(), "é".encode(), "😀".encode()]),
        (b"a\xe2\x96", [b"a", b"\xe2\x96"]),  # clipped
        (b"\xe2ab", [b"\xe2ab"]),  # what follows a lead byte is not looked at
        (b"\xf0abcd", [b"\xf0abc", b"d"]),
        (b"\x80\xbf", [b"\x80", b"\xbf"]),  # a byte that leads nothing stands alone
        (b"\xc0a\xff123", [b"\xc0a", b"\xff123"]),
        (b"\0\0", [b"\0", b"\0"]),
    ],
)
def test_characters_are_split_by_their_lead_bytes(text: bytes, expected: list[bytes]) -> None:
    assert characters(text) == expected


def test_every_lead_byte_takes_what_llama_cpp_and_sentencepiece_take() -> None:
    # unicode_len_utf8 and OneCharLen: by the high four bits, 1 up to 0xB., 2, 2, 3, 4
    for lead in range(256):
        size = [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 3, 4][lead >> 4]
        assert characters(bytes([lead]) + b"abc")[0] == (bytes([lead]) + b"abc")[:size]


def test_of_unfinished_text_nothing_is_lost_and_only_a_possible_character_is_held() -> None:
    for data in SEQUENCES:
        decided, rest = split_unfinished(data)

        if rest:
            assert can_become_a_character(rest), data
        expected, pos = bytearray(), 0
        while pos < len(data) - len(rest):
            size = first_character(data[pos:])
            expected += data[pos : pos + size] if size else REPLACEMENT
            pos += max(size, 1)
        assert decided == bytes(expected), data


def test_a_character_is_held_as_long_as_it_may_still_come() -> None:
    for char in ("é", "▁", "힣", "\ud7ff", "\ue000", "😀", "\U0010ffff", "\U000fffff"):
        data = char.encode()
        for cut in range(1, len(data)):
            assert split_unfinished(b"x" + data[:cut]) == (b"x", data[:cut])
        assert split_unfinished(data) == (data, b"")


def test_a_surrogate_half_is_three_bad_bytes() -> None:
    assert split_unfinished(b"\xed\xa0\x80") == (REPLACEMENT * 3, b"")
