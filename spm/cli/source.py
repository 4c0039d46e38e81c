"""Where a verb gets its vocabulary and its text from."""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path
from typing import Final

from spm.errors import SpmError, VocabError, one_line
from spm.gguf.header import OLD_MAGICS
from spm.gguf.reader import open_regular
from spm.tokenizer import Tokenizer

DIALECTS: Final = ("llama.cpp", "sentencepiece", "huggingface")
_HEAD_BYTES: Final = 4096
_JSON_OBJECT: Final = re.compile(rb"\s*\{\s*[\"}]")  # a .model may begin with \n{, too


def add_vocabulary(parser: argparse.ArgumentParser) -> None:
    """The arguments that name a vocabulary and how to read it."""
    parser.add_argument(
        "model", metavar="MODEL", help="a GGUF file, a sentencepiece .model or a tokenizer.json"
    )
    parser.add_argument(
        "--dialect",
        choices=DIALECTS,
        help="whose ids (default: llama.cpp for a GGUF, sentencepiece for a .model, huggingface for"
        " a tokenizer.json)",
    )


def open_tokenizer(args: argparse.Namespace) -> Tokenizer:
    """Open MODEL by what is in it, not by its name."""
    dialect = {"dialect": args.dialect} if args.dialect else {}
    head = _head(args.model)
    if _is_gguf(head):
        return Tokenizer.from_gguf(args.model, **dialect)
    if not _JSON_OBJECT.match(head):
        return Tokenizer.from_sentencepiece(args.model, **dialect)
    if args.dialect not in (None, "huggingface"):
        raise VocabError(
            f"{one_line(args.model)}: dialect is '{args.dialect}', expected 'huggingface' for a"
            " tokenizer.json"
        )
    return Tokenizer.from_hf(args.model)


def is_gguf(path: str) -> bool:
    """Whether the file is a ggml container of any kind, by its first bytes."""
    return _is_gguf(_head(path))


def _is_gguf(head: bytes) -> bool:
    return head[:4] in (b"GGUF", *OLD_MAGICS)


def _head(path: str) -> bytes:
    """The first bytes of a file."""
    try:
        with open_regular(Path(path)) as file:
            return file.read(_HEAD_BYTES)
    except OSError as error:
        expected = "a GGUF, a .model or a tokenizer.json"
        raise SpmError(f"{one_line(path)}: {error.strerror}, expected {expected}") from None


def read_text(text: str) -> bytes:
    """TEXT as the bytes that were typed, or all of standard input for `-`."""
    if text != "-":
        return os.fsencode(text)
    if sys.stdin is None:
        raise SpmError("standard input is closed, expected a text")
    return sys.stdin.buffer.read()
