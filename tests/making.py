"""Vocabularies made for one test: sentencepiece models byte by byte, GGUFs through our own writer.

The `ModelProto` is written here from protobuf's text and sentencepiece's field numbers, and shares
nothing with the reader under test. Models of a realistic size are trained by sentencepiece itself.
"""

from __future__ import annotations

import copy
import io
import struct
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import sentencepiece

from spm import Tokenizer
from spm.gguf import write_gguf

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
UNIGRAM, BPE, WORD, CHAR = range(1, 5)  # types of a model
SPACE = "▁"


class Piece(NamedTuple):
    text: bytes
    score: float = 0.0
    type: int = NORMAL


def piece(text: str | bytes, score: float = 0.0, kind: int = NORMAL) -> Piece:
    return Piece(text.encode() if isinstance(text, str) else text, score, kind)


def pieces(scored: str) -> list[Piece]:
    """'a b ab:-1' -> NORMAL pieces; a score of 0 is left out. A ▁ in the text is ▁ in the piece."""
    parts = (word.partition(":") for word in scored.split())
    return [piece(text, float(score or 0)) for text, _, score in parts]


HEAD = [piece("<unk>", 0, UNKNOWN), piece("<s>", 0, CONTROL), piece("</s>", 0, CONTROL)]
BYTES = [piece(f"<0x{byte:02X}>", 0, BYTE) for byte in range(256)]
FIRST = len(HEAD) + len(BYTES)  # the id of the first piece of one's own

# The example of spm/text/spm.py: hello in a few bites.
HELLO = [*HEAD, *BYTES, *pieces("▁ h e l o he:-1 ll:-2 el:-3 hello:-4 hell:-5")]

# No look-ahead is enough: `abcd` is ab|cd, but `abcde` is a|bc|de.
ABCDE = [*HEAD, *BYTES, *pieces("a b c d e ab:-3 bc:-2 cd:-1 de")]


# ---- protobuf


def varint(number: int) -> bytes:
    """The base-128 number; negative ones as 64 bits, as protobuf does."""
    number &= (1 << 64) - 1
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def field(number: int, value: int | bool | float | bytes | str) -> bytes:
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def piece_message(entry: Piece) -> bytes:
    kind = b"" if entry.type == NORMAL else field(3, entry.type)
    return field(1, entry.text) + field(2, float(entry.score)) + kind


def trainer_spec(
    *, model_type: int = 2, byte_fallback: bool = True, suffix: bool = False, extra: bytes = b""
) -> bytes:
    return field(3, model_type) + field(24, suffix) + field(35, byte_fallback) + extra


def normalizer_spec(
    *, charsmap: bytes = b"", prefix: bool = True, remove: bool = True, escape: bool = True
) -> bytes:
    rules = field(2, charsmap) if charsmap else b""
    return rules + field(3, prefix) + field(4, remove) + field(5, escape)


PLAIN = normalizer_spec(remove=False)  # Llama's: only a space prefix


def model(
    entries: Iterable[Piece], *, trainer: bytes | None = None, normalizer: bytes = PLAIN,
    denormalizer: bytes = b"", extra: bytes = b"",
) -> bytes:  # fmt: skip
    """A serialized `ModelProto`."""
    entries = list(entries)
    if trainer is None:
        trainer = trainer_spec(byte_fallback=any(entry.type == BYTE for entry in entries))
    out = b"".join(field(1, piece_message(entry)) for entry in entries)
    out += field(2, trainer) + field(3, normalizer)
    return out + (field(5, denormalizer) if denormalizer else b"") + extra


def write_model(path: Path, entries: Iterable[Piece], **specs: Any) -> Path:
    path.write_bytes(model(entries, **specs))
    return path


def processor(data: bytes) -> Any:
    """The real thing with these bytes loaded; raises if sentencepiece refuses them."""
    loaded = sentencepiece.SentencePieceProcessor()
    loaded.LoadFromSerializedProto(data)
    return loaded


def sentencepiece_loads(data: bytes) -> bool:
    try:
        processor(data)
    except Exception:
        return False
    return True


# ---- GGUF


def metadata(entries: Sequence[Piece], **keys: Any) -> dict[str, Any]:
    """The keys of a vocabulary; `keys` override or add `tokenizer.ggml.*`, None leaves one out."""
    found = {
        "model": "llama",
        "tokens": [entry.text for entry in entries],
        "scores": np.array([entry.score for entry in entries], np.float32),
        "token_type": np.array([entry.type for entry in entries], np.int32),
        **keys,
    }
    named = {f"tokenizer.ggml.{key}": value for key, value in found.items() if value is not None}
    return {"general.architecture": "llama", **named}


def write_vocab(
    path: Path, entries: Sequence[Piece], *, name: str | None = None, **keys: Any
) -> Path:
    """A GGUF that holds a vocabulary and nothing else."""
    told = {} if name is None else {"general.name": name}
    write_gguf(path, {**metadata(entries, **keys), **told}, {})
    return path


SENTENCEPIECE_KEYS = {"add_space_prefix": True, "remove_extra_whitespaces": False}


# ---- without the core


def specified(tok: Tokenizer) -> Tokenizer:
    """The same tokenizer, the way of the specification."""
    with mock.patch("spm.text.fast.core", None), mock.patch("spm.text.fast.announce_missing"):
        return copy.copy(tok)


# ---- trained


CORPUS_WORDS = "the quick brown fox jumps over a lazy dog while naïve cafés sell déjà-vu"


def corpus() -> list[str]:
    words = CORPUS_WORDS.split()
    lines = [" ".join(words[(i * k) % len(words)] for k in range(1, 9)) for i in range(60)]
    lines += [f"{i} + {i * 7} = {i * 8};  x{i}" for i in range(40)]
    return lines + ["日本語の文章を分割する", "ﬁne ｆｕｌｌ①½", "Привет мир, мир привет"] * 5


@cache
def trained(rule: str = "identity", **options: Any) -> bytes:
    """A model trained by sentencepiece on `corpus`, BPE unless told, serialized."""
    out = io.BytesIO()
    settings: dict[str, Any] = {
        "model_type": "bpe",
        "vocab_size": 420, "byte_fallback": True, "character_coverage": 0.98,
        "hard_vocab_limit": False, "num_threads": 1, "minloglevel": 2,
    }  # fmt: skip
    settings.update(options)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus()), model_writer=out,
        normalization_rule_name=rule, **settings,
    )  # fmt: skip
    return out.getvalue()
