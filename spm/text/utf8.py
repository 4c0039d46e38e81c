"""UTF-8 as the oracles see it, good and bad.

Both split a text into characters by the lead byte alone and do not look at what follows it
(llama.cpp `unicode_len_utf8`, sentencepiece `string_util::OneCharLen`). sentencepiece's normaliser
and decoder look closer: a byte that begins no well-formed character becomes U+FFFD, alone
(`string_util::DecodeUTF8`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from spm.errors import EncodeError

REPLACEMENT: Final = "\ufffd".encode()

_SIZES: Final = [1] * 0xC0 + [2] * 0x20 + [3] * 0x10 + [4] * 0x10  # by lead byte, in bytes

_LEAD_BITS: Final = [0, 0x7F, 0x1F, 0x0F, 0x07]  # which bits of the lead byte count, by size

_TAIL = rb"[\x80-\xbf]"
_CODE_POINT: Final = re.compile(
    rb"[\xc0-\xdf]%(t)s|[\xe0-\xef]%(t)s{2}|[\xf0-\xf7]%(t)s{3}|." % {b"t": _TAIL}, re.DOTALL
)
_WELL_FORMED: Final = re.compile(
    rb"[\x00-\x7f]|[\xc2-\xdf]%(t)s|\xe0[\xa0-\xbf]%(t)s|[\xe1-\xec\xee\xef]%(t)s{2}|\xed[\x80-\x9f]%(t)s"
    rb"|\xf0[\x90-\xbf]%(t)s{2}|[\xf1-\xf3]%(t)s{3}|\xf4[\x80-\x8f]%(t)s{2}" % {b"t": _TAIL}
)
_UNFINISHED: Final = re.compile(
    rb"[\xc2-\xdf]|\xe0[\xa0-\xbf]?|[\xe1-\xec\xee\xef]%(t)s?|\xed[\x80-\x9f]?"
    rb"|\xf0(?:[\x90-\xbf]%(t)s?)?|[\xf1-\xf3]%(t)s{0,2}|\xf4(?:[\x80-\x8f]%(t)s?)?" % {b"t": _TAIL}
)
# As llama.cpp reads code points (`wide_code_points`):
BEYOND_UNICODE: Final = re.compile(rb"\xf4[\x90-\xbf]%(t)s{2}|[\xf5-\xf7]%(t)s{3}" % {b"t": _TAIL})
CLIPPED: Final = re.compile(  # a character that has just begun, at the end of a text
    rb"(?:[\xc0-\xdf]|[\xe0-\xef]%(t)s?|[\xf0-\xf7]%(t)s{0,2})\Z" % {b"t": _TAIL}
)


def characters(text: bytes) -> list[bytes]:
    """Split by lead bytes, clipped at the end: b'a\\xe2\\x96' -> [b'a', b'\\xe2\\x96']."""
    chars: list[bytes] = []
    pos = 0
    while pos < len(text):
        end = pos + _SIZES[text[pos]]
        chars.append(text[pos:end])
        pos = end
    return chars


def is_utf8(text: bytes) -> bool:
    """Whether a text is well-formed."""
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def is_clipped(char: bytes) -> bool:
    """Whether a character has fewer bytes than its first one announces."""
    return len(char) < _SIZES[char[0]]


def well_formed_size(text: bytes, pos: int) -> int:
    """The bytes of the well-formed character at `pos`, or 0 if none begins there."""
    match = _WELL_FORMED.match(text, pos)
    return match.end() - pos if match else 0


def structural_size(text: bytes, pos: int) -> int:
    """The bytes of the character at `pos` if as many continue it as its first one announces, or 0.

    llama.cpp's `unicode_cpt_from_utf8` asks no more: surrogates and overlong forms are characters.
    """
    size = _SIZES[text[pos]]
    tail = text[pos + 1 : pos + size]
    if size == 1:
        return int(text[pos] < 0x80)
    announced = len(tail) == size - 1 and text[pos] < 0xF8
    return size if announced and all(byte & 0xC0 == 0x80 for byte in tail) else 0


def wide_code_points(text: bytes, begin: int, end: int) -> Iterator[tuple[int, int, int]]:
    """The code points of text[begin:end] as llama.cpp reads them, and where each begins and ends.

    Overlong forms, surrogates and numbers up to 0x1FFFFF are taken as they are; a byte that begins
    nothing is U+FFFD, alone (src/unicode.cpp, `unicode_cpts_from_utf8`).
    """
    for match in _CODE_POINT.finditer(text, begin, end):
        char, (first, last) = match[0], match.span()
        if len(char) == 1:
            yield char[0] if char[0] < 0x80 else 0xFFFD, first, last
            continue
        number = char[0] & _LEAD_BITS[len(char)]
        for byte in char[1:]:
            number = number << 6 | byte & 0x3F
        yield number, first, last


def from_code_point(number: int) -> bytes:
    """The bytes of a code point up to 0x1FFFFF, surrogates among them."""
    if number < 0x110000:
        return chr(number).encode("utf-8", "surrogatepass")
    return bytes([0xF0 | number >> 18, *(0x80 | number >> i & 0x3F for i in (12, 6, 0))])


def split_unfinished(text: bytes) -> tuple[bytes, bytes]:
    """Bytes -> what is decided and what could still become a character.

    In the first part every byte that begins no character is U+FFFD; the second has at most three
    bytes.
    """
    decided = bytearray()
    pos = 0
    while pos < len(text):
        if size := well_formed_size(text, pos):
            decided += text[pos : pos + size]
        elif _UNFINISHED.fullmatch(text, pos):
            break
        else:
            decided += REPLACEMENT
            size = 1
        pos += size
    return bytes(decided), text[pos:]


def utf8(text: str | bytes) -> bytes:
    """The bytes of a text. Raises EncodeError for half a surrogate pair, TypeError for no text."""
    if isinstance(text, bytes):
        return text
    if not isinstance(text, str):
        raise TypeError(f"text is {type(text).__name__}, expected str or bytes")
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        lone = f"U+{ord(text[error.start]):04X}"
        raise EncodeError(
            f"text: lone surrogate {lone} at character {error.start},"
            " expected Unicode text or bytes"
        ) from None
