"""Where a verb gets its vocabulary and its text from."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Final

from spm.errors import SpmError, one_line
from spm.gguf.header import OLD_MAGICS
from spm.gguf.reader import open_regular
from spm.tokenizer import Tokenizer

DIALECTS: Final = ("llama.cpp", "sentencepiece")


def add_vocabulary(parser: argparse.ArgumentParser) -> None:
    """The arguments that name a vocabulary and how to read it."""
    parser.add_argument("model", metavar="MODEL", help="a GGUF file or a sentencepiece .model")
    parser.add_argument(
        "--dialect",
        choices=DIALECTS,
        help="whose ids (default: llama.cpp for a GGUF, sentencepiece for a .model)",
    )


def open_tokenizer(args: argparse.Namespace) -> Tokenizer:
    """Open MODEL by what is in it, not by its name."""
    dialect = {"dialect": args.dialect} if args.dialect else {}
    if is_gguf(args.model):
        return Tokenizer.from_gguf(args.model, **dialect)
    return Tokenizer.from_sentencepiece(args.model, **dialect)


def is_gguf(path: str) -> bool:
    """Whether the file is a ggml container of any kind, by its first bytes."""
    try:
        with open_regular(Path(path)) as file:
            return file.read(4) in (b"GGUF", *OLD_MAGICS)
    except OSError as error:
        raise SpmError(f"{one_line(path)}: {error.strerror}, expected a GGUF or .model") from None


def read_text(text: str) -> bytes:
    """TEXT as the bytes that were typed, or all of standard input for `-`."""
    if text != "-":
        return os.fsencode(text)
    if sys.stdin is None:
        raise SpmError("standard input is closed, expected a text")
    return sys.stdin.buffer.read()
