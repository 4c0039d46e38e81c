"""Where a verb gets its vocabulary and its text from."""

from __future__ import annotations

import argparse
import os
import sys

from spm.errors import SpmError
from spm.tokenizer import Tokenizer


def add_vocabulary(parser: argparse.ArgumentParser) -> None:
    """The arguments that name a vocabulary and how to read it."""
    parser.add_argument("model", metavar="MODEL", help="a GGUF file or a sentencepiece .model")
    parser.add_argument(
        "--dialect",
        choices=("llama.cpp", "sentencepiece"),
        help="whose ids (default: llama.cpp for a GGUF, sentencepiece for a .model)",
    )


def open_tokenizer(args: argparse.Namespace) -> Tokenizer:
    """Open MODEL by what is in it, not by its name."""
    dialect = {"dialect": args.dialect} if args.dialect else {}
    if is_gguf(args.model):
        return Tokenizer.from_gguf(args.model, **dialect)
    return Tokenizer.from_sentencepiece(args.model, **dialect)


def is_gguf(path: str) -> bool:
    """Whether the file begins as a ggml container; of which kind, the reader says."""
    try:
        if not os.path.isfile(path):
            raise SpmError(f"{path}: no such file, expected a GGUF file or a .model")
        with open(path, "rb") as file:
            return file.read(4) in (b"GGUF", b"FUGG", b"tjgg", b"fmgg", b"algg", b"lmgg")
    except OSError as error:
        raise SpmError(f"{path}: {error.strerror}, expected a readable file") from error


def read_text(text: str) -> bytes:
    """TEXT as the bytes that were typed, or all of standard input for `-`."""
    return sys.stdin.buffer.read() if text == "-" else os.fsencode(text)
