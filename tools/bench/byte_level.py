"""Byte-level BPE vocabularies of GGUF files as the other programs read them.

Only names of `tokenizer.ggml.pre` are here whose patterns all programs can be given: what they then
make of a text is theirs, and the tables mark where it is not what llama.cpp makes.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import spm
from spm.text.byte_level import BYTE_OF
from spm.vocab import Vocab
from spm.vocab.pretokenizers import PRE_TOKENIZERS

_LLAMA3: Final = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_PATTERNS: Final = {
    "gpt-2": r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "llama-bpe": _LLAMA3,
    "qwen2": _LLAMA3.replace("{1,3}", ""),
}


@lru_cache(maxsize=4)
def vocab_of(path: Path) -> Vocab:
    """The vocabulary of a file. Raises ValueError if the others cannot be given it."""
    vocab = spm.Tokenizer.from_gguf(path).vocab
    if vocab.pre not in _PATTERNS:
        raise ValueError(f"pre-tokenizer {vocab.pre!r}, expected one of {', '.join(_PATTERNS)}")
    return vocab


@lru_cache(maxsize=4)
def tokenizer_json(path: Path) -> str:
    """As Hugging Face spells it, without special pieces, which no text here has."""
    vocab = vocab_of(path)
    known = {piece.decode(): i for i, piece in enumerate(vocab.pieces) if vocab.types[i] == 1}
    merges = [merge.decode() for merge in vocab.merges]
    split = {"type": "Split", "pattern": {"Regex": _PATTERNS[vocab.pre]}, "behavior": "Isolated"}
    alone = vocab.pre == "gpt-2"  # whose pattern is the one that is built in
    letters = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    letters["use_regex"] = alone
    steps = [{**split, "invert": False}, letters]
    model: dict[str, Any] = {
        "type": "BPE",
        "vocab": known,
        "merges": [merge for merge in merges if merge.replace(" ", "", 1) in known],
        "ignore_merges": PRE_TOKENIZERS[vocab.pre].ignore_merges,
    }
    made: dict[str, Any] = {
        "version": "1.0",
        "added_tokens": [],
        "pre_tokenizer": letters if alone else {"type": "Sequence", "pretokenizers": steps},
        "decoder": letters,
        "model": model,
    }
    return json.dumps(made, ensure_ascii=False)


def open_tiktoken(path: Path) -> Any:
    """tiktoken merges by the id of what results, which is the rank in these files."""
    import tiktoken

    vocab = vocab_of(path)
    texts = [piece.decode() for piece in vocab.pieces]
    ranks = {
        bytes(BYTE_OF[c] for c in text): i
        for i, text in enumerate(texts)
        if vocab.types[i] == 1 and all(c in BYTE_OF for c in text)
    }
    return tiktoken.Encoding(
        path.stem, pat_str=_PATTERNS[vocab.pre], mergeable_ranks=ranks, special_tokens={}
    )
