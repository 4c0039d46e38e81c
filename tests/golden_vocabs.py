"""The crafted vocabularies of golden/, as tokenizers."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from spm import SpmError, Tokenizer

VOCABS = Path(__file__).parents[1] / "golden" / "vocabs"
FILES = sorted(path for path in VOCABS.iterdir() if path.suffix in (".model", ".gguf"))


@cache
def golden(name: str, **options: Any) -> Tokenizer:
    """One of them, in the dialect of the reference that reads such files."""
    gguf = name.endswith(".gguf")
    return (Tokenizer.from_gguf if gguf else Tokenizer.from_sentencepiece)(VOCABS / name, **options)


@cache
def golden_or_none(name: str, **options: Any) -> Tokenizer | None:
    """None if the reference of that dialect refuses it."""
    try:
        return golden(name, **options)
    except SpmError:
        return None
