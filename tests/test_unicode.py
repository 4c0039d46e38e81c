"""Code points as llama.cpp's tables have them, all 1,114,112."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from spm import EncodeError
from spm.text.unicode import base, category, code_points, is_space, lower

RECORDED = json.loads((Path(__file__).parents[1] / "golden" / "words.json").read_text())

# llama.cpp's bits of a category, src/unicode.h
BITS = {"-": 1, "N": 2, "L": 4, "Z": 8, "M": 16, "P": 32, "S": 64, "C": 128}
WHITE_SPACE = 256


def test_every_code_point_is_what_it_is_for_llama_cpp() -> None:
    digest = hashlib.sha256()
    for point in range(0x110000):
        flags = BITS[category(point)] + WHITE_SPACE * is_space(point)
        digest.update(b"%d %d %d\n" % (flags, lower(point), base(point)))

    assert RECORDED["characters"] == digest.hexdigest()


@pytest.mark.parametrize(
    ("text", "characters", "begins"),
    [
        (b"", "", [0]),
        (b"a\xc3\xa9\xf0\x9f\x98\x80", "a\xe9\U0001f600", [0, 1, 3, 7]),
        (b"\xff\x80a", "\ufffd\ufffda", [0, 1, 2, 3]),  # a byte that begins nothing, alone
        (b"\xe2\x96", "\ufffd\ufffd", [0, 1, 2]),  # a character that does not end
        (b"\xc0\x80\xe0\x80\xa0", "\0 ", [0, 2, 5]),  # overlong spellings are read
        (b"\xed\xa0\x80", "\ud800", [0, 3]),  # surrogates as well
        (b"\xc3\xc3\xa9", "\ufffd\xe9", [0, 1, 3]),
    ],
)
def test_bytes_become_characters(text: bytes, characters: str, begins: list[int]) -> None:
    assert (characters, begins) == code_points(text)
    assert (characters, [10 + at for at in begins]) == code_points(text, 10)


def test_beyond_unicode_is_an_error_that_names_the_byte() -> None:
    with pytest.raises(EncodeError, match="byte 0 begins code point 0x1FFFFF"):
        code_points(b"\xf7\xbf\xbf\xbf")
    with pytest.raises(EncodeError) as error:
        code_points(b"ab\xf4\x90\x80\x80\xf7\xbf\xbf\xbf", 5)

    assert "text: byte 7 begins code point 0x110000, expected at most 0x10FFFF" == str(error.value)
