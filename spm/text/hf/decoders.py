"""Decoders: pieces -> text, one step after the other.

Each takes the pieces of all ids and gives other pieces; the last ones are put together as they are.
Sources: tokenizers/src/decoders, one file for each, `ByteLevel` and `Metaspace` beside the
pre-tokenizers of that name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from itertools import groupby
from typing import Any, Final

from spm.text.hf.patterns import compiled
from spm.text.hf.pretokenizers import byte_characters
from spm.vocab import pipeline as hf

Step = Callable[[list[str]], list[str]]

_BYTE: Final = re.compile(r"<0x([0-9A-Fa-f]{2}|\+[0-9A-Fa-f])>")  # Rust reads +A as a number too
_CLEANUPS: Final = (
    (" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"),
    (" 'm", "'m"), (" do not", " don't"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"),
)  # fmt: skip


def decoder(steps: tuple[hf.Decoder, ...] | None, where: str) -> Callable[[list[str]], str]:
    """What turns pieces into a text. Without a decoder pieces stand apart from each other."""
    if steps is None:
        return " ".join
    made = [_MAKERS[type(step)](step, where) for step in steps]

    def decode(pieces: list[str]) -> str:
        for step in made:
            pieces = step(pieces)
        return "".join(pieces)

    return decode


# ---- bytes


@cache
def _byte_of() -> dict[str, int]:
    return {char: byte for byte, char in enumerate(byte_characters())}


def bytes_of(piece: str) -> bytes:
    """The bytes that a piece shows; one with another character in it is text."""
    found = [_byte_of().get(char) for char in piece]
    return piece.encode() if None in found else bytes(byte for byte in found if byte is not None)


def _byte_level(pieces: list[str]) -> list[str]:
    return [b"".join(map(bytes_of, pieces)).decode("utf-8", "replace")]


def _byte_fallback(pieces: list[str]) -> list[str]:
    """Bytes side by side are a text, or each of them is U+FFFD."""

    def texts() -> Iterator[str]:
        for is_byte, run in groupby(pieces, key=lambda piece: bool(_BYTE.fullmatch(piece))):
            if not is_byte:
                yield from run
                continue
            data = bytes(int(piece[3:5], 16) for piece in run)
            try:
                yield data.decode()
            except UnicodeDecodeError:
                yield from "\ufffd" * len(data)

    return list(texts())


# ---- words


def _cleaned(text: str) -> str:
    for old, new in _CLEANUPS:
        text = text.replace(old, new)
    return text


def _word_piece(step: hf.WordPieceDecoder, where: str) -> Step:
    def shown(at: int, piece: str) -> str:
        if at:
            apart = not piece.startswith(step.prefix)
            piece = " " + piece if apart else piece[len(step.prefix) :]
        return _cleaned(piece) if step.cleanup else piece

    return lambda pieces: [shown(at, piece) for at, piece in enumerate(pieces)]


def _bpe(step: hf.BPEDecoder, where: str) -> Step:
    def decode(pieces: list[str]) -> list[str]:
        last = len(pieces) - 1
        return [p.replace(step.suffix, "" if at == last else " ") for at, p in enumerate(pieces)]

    return decode


def _metaspace(step: hf.Metaspace, where: str) -> Step:
    first = " " if step.prepend_scheme == "never" else ""

    def shown(at: int, piece: str) -> str:
        return piece.replace(step.replacement, " " if at else first)

    return lambda pieces: [shown(at, piece) for at, piece in enumerate(pieces)]


def _ctc(step: hf.CTC, where: str) -> Step:
    def texts(pieces: list[str]) -> Iterator[str]:
        for piece, _ in groupby(pieces):
            text = piece.replace(step.pad_token, "")
            if step.cleanup:
                text = _cleaned(text).replace(step.word_delimiter_token, " ")
            if text:
                yield text

    return lambda pieces: list(texts(pieces))


# ---- characters


def _replace(step: hf.Replace, where: str) -> Step:
    search = compiled(step.pattern, where)

    def shown(piece: str) -> str:
        found = search(piece)
        return "".join(step.content if is_match else piece[a:b] for a, b, is_match in found)

    return lambda pieces: [shown(piece) for piece in pieces]


def _strip(step: hf.StripDecoder, where: str) -> Step:
    def shown(piece: str) -> str:
        begin = min(len(piece) - len(piece.lstrip(step.content)), step.start)
        end = min(len(piece) - len(piece.rstrip(step.content)), step.stop)
        return piece[begin : max(len(piece) - end, begin)]

    return lambda pieces: [shown(piece) for piece in pieces]


_MAKERS: Final[dict[type, Callable[[Any, str], Step]]] = {
    hf.ByteLevel: lambda step, where: _byte_level,
    hf.ByteFallback: lambda step, where: _byte_fallback,
    hf.Fuse: lambda step, where: lambda pieces: ["".join(pieces)],
    hf.WordPieceDecoder: _word_piece,
    hf.BPEDecoder: _bpe,
    hf.Metaspace: _metaspace,
    hf.CTC: _ctc,
    hf.Replace: _replace,
    hf.StripDecoder: _strip,
}
