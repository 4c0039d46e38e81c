"""Where fuzzing begins: the vocabularies of golden/vocabs, as each target reads its input."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from spm import SpmError, Tokenizer, TokenType

VOCABS: Final = Path(__file__).parents[2] / "golden" / "vocabs"
MAX_BYTES: Final = 1 << 15  # of a file that a reader is given
_LETTERS: Final = "abc ▁é日🦙\n\0<d"  # input.hpp, kAlphabet
_TEXTS: Final = ["a b", "  ab\n", "abcabc", "é日🦙", "▁▁a", "<d>"]


def seeds(target: str) -> Iterator[tuple[str, bytes]]:
    """Names and inputs."""
    for path in sorted(VOCABS.iterdir()):
        if target in ("gguf", "model"):
            if path.suffix == f".{target}" and path.stat().st_size <= MAX_BYTES:
                yield path.name, path.read_bytes()
        elif path.suffix == ".gguf" and (tok := _tokenizer(path)):
            yield path.stem, _SHAPES.get(target, _vocabulary)(tok)


def _tokenizer(path: Path) -> Tokenizer | None:
    try:
        return Tokenizer.from_gguf(path)
    except SpmError:
        return None


def _renamed(text: str) -> bytes:
    """A text in the small alphabet: what repeats still repeats."""
    known = {c: i for i, c in enumerate(_LETTERS)}
    return bytes(known.get(c, ord(c) % 3 if c.isascii() else 5 + ord(c) % 3) for c in text)


def _pieces(tok: Tokenizer, most: int) -> list[tuple[bytes, int]]:
    """Renamed pieces and their roles as hostile.hpp numbers them, bytes and the like left out."""
    roles = {TokenType.USER_DEFINED: 1, TokenType.CONTROL: 2, TokenType.UNUSED: 3}
    found: dict[bytes, int] = {}
    for piece, kind in zip(tok.vocab.pieces, tok.vocab.types):
        renamed = _renamed(piece.decode("utf-8", "replace"))
        if kind not in (TokenType.BYTE, TokenType.UNKNOWN) and 1 <= len(renamed) <= 8:
            found.setdefault(renamed, roles.get(kind, 0))
    return list(found.items())[:most]


def _vocabulary(tok: Tokenizer) -> bytes:
    """hostile.hpp: flags, bytes, pieces, a choice, texts."""
    pieces = _pieces(tok, 40)
    out = bytes([2 * tok.vocab.add_space_prefix | 16, 0, len(pieces)])
    for i, (piece, role) in enumerate(pieces):
        out += bytes([i % 8 | (role > 0) << 3 | role << 4, len(piece) - 1]) + piece
    out += bytes([8])
    for i, text in enumerate(_TEXTS):
        out += bytes([4 * (len(text) // 4), 255 * (i % 2)]) + _renamed(text)
    return out


def _specials(tok: Tokenizer) -> bytes:
    pieces = _pieces(tok, 16)
    out = bytes([len(pieces)])
    for piece, _ in pieces:
        out += bytes([len(piece) - 1]) + piece
    return out + bytes([0, 0]) + b"ab <|a>\n ab|a>"


def _decoder(tok: Tokenizer) -> bytes:
    pieces = _pieces(tok, 39)
    out = bytes([2, len(pieces) - 1])
    for piece, _ in pieces:
        out += bytes([6 * (len(piece) % 8)]) + piece[:7]
    return out + bytes([1, *range(40)])


def _containers(tok: Tokenizer) -> bytes:
    pieces = tok.vocab.pieces[:50]
    return bytes([0, 0, 3, len(pieces)]) + b"".join(struct.pack("<Q", len(p)) + p for p in pieces)


_SHAPES: Final = {"specials": _specials, "decoder": _decoder, "containers": _containers}
