r"""RWKV as llama.cpp does it: of the bytes of a text always the longest piece, from left to right.

Pieces are any bytes, but a GGUF file holds text; so they are written with escapes, as Python prints
bytes: `\xe4\xbd`, `\n`, `\\`. A byte that begins no piece is unknown, alone.

    pieces  a  ab  abc  d          abcabd  ->  abc ab d

(`llm_tokenizer_rwkv_session` and `llama_unescape_rwkv_token` in llama.cpp's src/llama-vocab.cpp.)
Where pieces begin with a byte, but none of them is there, llama.cpp never ends: that is an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Final

from spm.errors import EncodeError, VocabError
from spm.text.automaton import LongestMatch
from spm.text.token import Stretch, Token
from spm.vocab import Vocab

_NAMED: Final = {ord("t"): b"\t", ord("n"): b"\n", ord("r"): b"\r"}


class Rwkv:
    """The RWKV family: an `Encoding`.

    Raises VocabError for a vocabulary with which llama.cpp cannot encode a line feed: it tries to.
    """

    cleans_spaces = False

    def __init__(self, vocab: Vocab) -> None:
        self.vocab = vocab
        self.pieces = tuple(map(unescape, vocab.pieces))
        self.ids = {piece: i for i, piece in enumerate(self.pieces)}  # of equal ones the last
        self.first_bytes = {piece[0] for piece in self.ids if piece}
        self.longest = max(map(len, self.pieces))
        if b"\n" not in self.ids and ord("\n") in self.first_bytes:
            raise VocabError(
                f"{vocab.source}: pieces begin with a line feed, but none is one, expected it too"
            )

    def stretches(
        self, text: bytes, begin: int, end: int, after_special: bool
    ) -> Iterator[Stretch]:
        """All of it, byte by byte."""
        yield Stretch([text[i : i + 1] for i in range(begin, end)], (), range(begin, end + 1))

    def tokens(self, stretch: Stretch) -> Iterator[Token]:
        """The longest pieces. Raises EncodeError where llama.cpp gives no id, or never ends."""
        text, origin = b"".join(stretch.symbols), stretch.origin
        longest = self._pieces.at_each_byte(text)
        pos = 0
        while pos < len(text):
            i, size = longest[pos]
            if size == 0:
                i, size = self._unk_id(text[pos], origin[pos]), 1
            yield Token(i, origin[pos], origin[pos + size])
            pos += size

    @cached_property
    def _pieces(self) -> LongestMatch:
        return LongestMatch(self.ids)

    def _unk_id(self, byte: int, at: int) -> int:
        where = f"{self.vocab.source}: byte {at} of the text is 0x{byte:02X}"
        if byte in self.first_bytes:
            raise EncodeError(f"{where}, expected one of the pieces that begin with it")
        if self.vocab.unk_id is None:
            raise EncodeError(f"{where}, expected the beginning of a piece, for there is no unk id")
        return self.vocab.unk_id

    def settled(self, text: bytes, begin: int, end: int) -> int:
        """Up to the first piece that might be longer with what follows."""
        longest = self._pieces.at_each_byte(text[begin:end])
        pos = begin
        while pos + self.longest <= end:
            size = longest[pos - begin][1]
            if size == 0 and text[pos] in self.first_bytes:
                break  # an error, for `tokens` to tell
            pos += size or 1
        return pos

    def piece_text(self, i: int) -> bytes:
        """The bytes that a piece stands for, whatever its type."""
        return self.pieces[i]


def unescape(piece: bytes) -> bytes:
    r"""`a\x0ab` -> its three bytes. Nothing is an error, as in llama.cpp.

    Behind \x two characters are digits, whichever they are, by their distance from 'a' or '0'; an
    escape that is cut short is nothing.
    """
    if b"\\" not in piece:
        return piece
    out = bytearray()
    characters = iter(piece)
    for char in characters:
        if char != ord("\\"):
            out.append(char)
            continue
        code = next(characters, None)
        if code == ord("x"):
            digits = [_digit(c) for _, c in zip(range(2), characters)]
            if len(digits) == 2:
                out.append((digits[0] * 16 + digits[1]) & 0xFF)
        elif code is not None:
            out += _NAMED.get(code, bytes([code]))
    return bytes(out)


def _digit(char: int) -> int:
    signed = char if char < 0x80 else char - 0x100  # C's char
    return signed - ord("a") + 10 if signed >= ord("a") else signed - ord("0")
