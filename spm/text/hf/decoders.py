"""Decoders: pieces -> text, one step after the other, as early as it is certain.

Each step takes pieces one by one and gives pieces; the last ones are put together as they are. Two
steps join all pieces into one, which is known only at the end: `Fuse` and `ByteLevel`. Where such a
step is the last, or only a `Strip` of the beginning follows, its parts are shown as they come, and
those of `ByteLevel` as bytes, since the characters they make may end in a later piece.

    steps    Replace ▁ by a space    ByteFallback    Fuse    Strip one space at the beginning
    ▁a       " a"                    " a"            shown   "a"
    <0xC3>   <0xC3>                  waits
    <0xA9>   <0xA9>                  waits
    b        b                       é, b            shown   "éb"

Sources: tokenizers/src/decoders, one file for each, `ByteLevel` and `Metaspace` beside the
pre-tokenizers of that name.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, Protocol

from spm.text.byte_level import BYTE_OF
from spm.text.hf.patterns import compiled
from spm.vocab import pipeline as hf

_BYTE: Final = re.compile(r"<0x([0-9A-Fa-f]{2}|\+[0-9A-Fa-f])>")  # Rust reads +A as a number too
_CLEANUPS: Final = (
    (" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"),
    (" 'm", "'m"), (" do not", " don't"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"),
)  # fmt: skip


class Step(Protocol):
    """One decoder at the beginning of a text."""

    def push(self, piece: str) -> list[str]:
        """The pieces that are certain now and were not before."""

    def flush(self) -> list[str]:
        """The pieces that were held back."""


Make = Callable[[], Step]


class PieceByPiece:
    """A step that looks at one piece at a time, and at its number."""

    def __init__(self, show: Callable[[int, str], str]) -> None:
        self.show = show
        self.count = 0

    def push(self, piece: str) -> list[str]:  # noqa: D102
        self.count += 1
        return [self.show(self.count - 1, piece)]

    def flush(self) -> list[str]:  # noqa: D102
        return []


class Joined:
    """`Fuse`, and `ByteLevel` where other steps follow: one piece of all."""

    def __init__(self, join: Callable[[list[str]], str]) -> None:
        self.join = join
        self.pieces: list[str] = []

    def push(self, piece: str) -> list[str]:  # noqa: D102
        self.pieces.append(piece)
        return []

    def flush(self) -> list[str]:  # noqa: D102
        return [self.join(self.pieces)]


class ByteFallback:
    """Bytes side by side are a text, or each of them is U+FFFD."""

    def __init__(self) -> None:
        self.data = bytearray()

    def push(self, piece: str) -> list[str]:  # noqa: D102
        if _BYTE.fullmatch(piece):
            self.data.append(int(piece[3:5], 16))
            return []
        return [*self.flush(), piece]

    def flush(self) -> list[str]:  # noqa: D102
        data = bytes(self.data)
        self.data.clear()
        try:
            return [data.decode()] if data else []
        except UnicodeDecodeError:
            return ["\ufffd"] * len(data)


class WordEnds:
    """`BPEDecoder`: the suffix becomes a space, in the last piece nothing."""

    def __init__(self, suffix: str) -> None:
        self.suffix = suffix
        self.held: list[str] = []

    def push(self, piece: str) -> list[str]:  # noqa: D102
        shown = [held.replace(self.suffix, " ") for held in self.held]
        self.held = [piece]
        return shown

    def flush(self) -> list[str]:  # noqa: D102
        return [held.replace(self.suffix, "") for held in self.held]


class Ctc:
    """Repeated pieces count once."""

    def __init__(self, step: hf.CTC) -> None:
        self.step = step
        self.last: str | None = None

    def push(self, piece: str) -> list[str]:  # noqa: D102
        if piece == self.last:
            return []
        self.last = piece
        text = piece.replace(self.step.pad_token, "")
        if self.step.cleanup:
            text = _cleaned(text).replace(self.step.word_delimiter_token, " ")
        return [text] if text else []

    def flush(self) -> list[str]:  # noqa: D102
        return []


# ---- the last step


class Text:
    """The last pieces as bytes; up to `start` times `content` goes at the very beginning."""

    def __init__(self, content: str = "", start: int = 0) -> None:
        self.content = content
        self.start = start

    def show(self, piece: str) -> bytes:
        """What a piece adds."""
        while piece and self.start and piece[0] == self.content:
            piece, self.start = piece[1:], self.start - 1
        if piece:
            self.start = 0
        return piece.encode()


class Bytes:
    """`ByteLevel` as the last step."""

    def show(self, piece: str) -> bytes:
        """The bytes that a piece shows."""
        return bytes_of(piece)


class Chain:
    """All steps at the beginning of a text."""

    def __init__(self, steps: list[Step], last: Text | Bytes) -> None:
        self.steps = steps
        self.last = last

    def push(self, piece: str) -> bytes:
        """The bytes that are certain now and were not before."""
        return self._show([piece], 0)

    def flush(self) -> bytes:
        """The bytes that were held back; the text ends."""
        return b"".join(self._show(step.flush(), at) for at, step in enumerate(self.steps, 1))

    def _show(self, pieces: list[str], first: int) -> bytes:
        """What pieces become in all steps from one on."""
        for step in self.steps[first:]:
            pieces = [shown for piece in pieces for shown in step.push(piece)]
        return b"".join(map(self.last.show, pieces))


def decoder(steps: tuple[hf.Decoder, ...] | None, where: str) -> Callable[[], Chain]:
    """What makes a chain of these steps. Without a decoder pieces stand apart from each other."""
    if steps is None:
        return lambda: Chain([PieceByPiece(lambda at, piece: f" {piece}" if at else piece)], Text())
    steps, last = _last_step(steps)
    makers = [_MAKERS[type(step)](step, where) for step in steps]
    return lambda: Chain([make() for make in makers], last())


def _last_step(
    steps: tuple[hf.Decoder, ...],
) -> tuple[tuple[hf.Decoder, ...], Callable[[], Text | Bytes]]:
    """The steps that need no look at the end of the text are done by what shows it."""
    match steps:
        case (*before, hf.ByteLevel()):
            return tuple(before), Bytes
        case (*before, hf.Fuse()):
            return tuple(before), Text
        case (*before, hf.Fuse(), hf.StripDecoder(content, start, 0)):
            return tuple(before), lambda: Text(content, start)
    return steps, Text


# ---- bytes


def bytes_of(piece: str) -> bytes:
    """The bytes that a piece shows; one with another character in it is text."""
    found = [BYTE_OF.get(char) for char in piece]
    return piece.encode() if None in found else bytes(byte for byte in found if byte is not None)


def _text_of_bytes(pieces: list[str]) -> str:
    return b"".join(map(bytes_of, pieces)).decode("utf-8", "replace")


# ---- the steps


def _cleaned(text: str) -> str:
    for old, new in _CLEANUPS:
        text = text.replace(old, new)
    return text


def _word_piece(step: hf.WordPieceDecoder, where: str) -> Make:
    def show(at: int, piece: str) -> str:
        if at:
            apart = not piece.startswith(step.prefix)
            piece = " " + piece if apart else piece[len(step.prefix) :]
        return _cleaned(piece) if step.cleanup else piece

    return lambda: PieceByPiece(show)


def _metaspace(step: hf.Metaspace, where: str) -> Make:
    first = " " if step.prepend_scheme == "never" else ""

    def show(at: int, piece: str) -> str:
        return piece.replace(step.replacement, " " if at else first)

    return lambda: PieceByPiece(show)


def _replace(step: hf.Replace, where: str) -> Make:
    search = compiled(step.pattern, where)

    def show(at: int, piece: str) -> str:
        found = search(piece)
        return "".join(step.content if is_match else piece[a:b] for a, b, is_match in found)

    return lambda: PieceByPiece(show)


def _strip(step: hf.StripDecoder, where: str) -> Make:
    def show(at: int, piece: str) -> str:
        begin = min(len(piece) - len(piece.lstrip(step.content)), step.start)
        end = min(len(piece) - len(piece.rstrip(step.content)), step.stop)
        return piece[begin : max(len(piece) - end, begin)]

    return lambda: PieceByPiece(show)


_MAKERS: Final[dict[type, Callable[[Any, str], Make]]] = {
    hf.ByteLevel: lambda step, where: lambda: Joined(_text_of_bytes),
    hf.ByteFallback: lambda step, where: ByteFallback,
    hf.Fuse: lambda step, where: lambda: Joined("".join),
    hf.WordPieceDecoder: _word_piece,
    hf.BPEDecoder: lambda step, where: lambda: WordEnds(step.suffix),
    hf.Metaspace: _metaspace,
    hf.CTC: lambda step, where: lambda: Ctc(step),
    hf.Replace: _replace,
    hf.StripDecoder: _strip,
}
