"""GPT-2's alphabet of bytes: every byte as a character that can be seen.

A byte that is a printable character of Latin-1 other than white space stands for itself; the
others, in order, are the characters from U+0100 on: a space is Ġ, a line feed Ċ. So a piece of any
bytes can be written down as text, and an é is two characters: Ã©.
"""

from __future__ import annotations

from typing import Final

_VISIBLE: Final = (*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100))
_HIDDEN: Final = [byte for byte in range(0x100) if byte not in _VISIBLE]
_POINT_OF: Final = {byte: byte for byte in _VISIBLE} | {
    byte: 0x100 + i for i, byte in enumerate(_HIDDEN)
}

LETTERS: Final = tuple(chr(_POINT_OF[byte]).encode() for byte in range(0x100))  # by byte
BYTE_OF: Final = {chr(point): byte for byte, point in _POINT_OF.items()}  # by letter
