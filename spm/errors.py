"""Every error that bad input can cause: one line, saying where, what was found, what expected."""

from __future__ import annotations

import reprlib
from pathlib import Path


class SpmError(ValueError):
    """Anything wrong with a file, a vocabulary, a text, an id or a model that was handed in."""


class GGUFError(SpmError):
    """A container that is not a well-formed GGUF file, or uses what this reader does not read."""


class VocabError(SpmError):
    """A vocabulary, or a way to read it, that cannot be: missing keys, contradictions."""


class EncodeError(SpmError):
    """A text that cannot become ids, or an argument that encoding does not take."""


class ChatError(SpmError):
    """A chat template that cannot be run to its end, or messages that it does not take."""


class DecodeError(SpmError):
    """An id that this vocabulary does not hold."""


class ModelError(SpmError):
    """A model that contradicts itself or is not computed here, or a bad argument to one."""


class DoubleBOSWarning(UserWarning):
    """A text that begins with BOS was encoded with another BOS in front of it."""


def one_line(text: Path | str) -> str:
    """A path or a name as a message shows it: printable, and never long."""
    line = str(text)
    if not line.isprintable():
        line = ascii(line)
    return line if len(line) <= 200 else f"{line[:100]}...{line[-90:]}"


def brief(value: object) -> str:
    """A value as a message shows it: on one line, never long, and without printing huge numbers."""
    if isinstance(value, int) and value.bit_length() > 128:
        return f"an integer of {value.bit_length()} bits"
    try:
        return one_line(reprlib.repr(value))
    except ValueError:  # an integer inside that Python refuses to print
        return f"a {type(value).__name__} of huge numbers"


def quoted(piece: bytes, limit: int = 40) -> str:
    """A piece as a message shows it: in quotes, printable, and never long."""
    text = piece[: limit * 4].decode("utf-8", "backslashreplace")
    escaped = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return f"'{escaped}'" if len(escaped) <= limit else f"'{escaped[:limit]}…' ({len(piece)} bytes)"
