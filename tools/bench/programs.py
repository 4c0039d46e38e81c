"""The programs side by side: how each opens a vocabulary, and the expressions that are timed.

Each does what its own fastest interface does on one thread, from a Python str to its own kind of
array. The packages are imported when a vocabulary is opened, after `one_thread` has set what they
read at their first import.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import spm
from tools.bench import byte_level
from tools.oracles import LlamaCppOracle

Ids = NDArray[np.int64]


def one_thread() -> None:
    """Keep the thread pools of the programs in Rust from starting a second thread."""
    os.environ["RAYON_NUM_THREADS"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"


@dataclass(frozen=True)
class Program:
    """A program, and its calls as expressions of `tokenizer` and of `text`, `texts` or `ids`."""

    name: str
    package: str
    reads: tuple[str, ...]
    open: Callable[[Path], Any]  # raises what the program raises
    document: str  # to its own array
    lines: str  # to its own array of rows, or rows of arrays
    prompt: str  # to a list
    count: str
    decode: str  # of a list, to str or bytes, as it has it

    def function(self, tokenizer: Any, parameter: str, expression: str) -> Callable[[Any], Any]:
        """One of the expressions as a function."""
        made: Callable[[Any], Any]
        made = eval(f"lambda {parameter}: {expression}", {"tokenizer": tokenizer})
        return made

    @property
    def installed(self) -> str | None:
        """The version, or None. spm is there even if it runs from a checkout."""
        try:
            return version(self.package)
        except PackageNotFoundError:
            return "this one" if self.package == spm.__name__ else None

    def why_missing(self, path: Path) -> str | None:
        """Why there are no figures for a file, or None if there are."""
        if self.installed is None:
            return f"{self.package} is not installed"
        if path.suffix not in self.reads:
            return f"reads {' and '.join(self.reads)} only"
        try:
            tokenizer = self.open(path)
            self.function(tokenizer, "text", self.document)("one")
            self.function(tokenizer, "texts", self.lines)(["one"])  # first calls import things
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # a panic in Rust is no Exception
            return f"refuses it: {in_one_line(error)}"
        return None


def in_one_line(error: BaseException) -> str:
    """An error of some program, short enough for a table."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:150]


def row(encoded: Any) -> Ids:
    """All ids that a document or a batch has become, in one row."""
    if isinstance(encoded, spm.Batch):
        return encoded.ids.astype(np.int64)
    if type(encoded).__module__.startswith("awkward"):
        import awkward

        return np.asarray(awkward.flatten(encoded), np.int64)
    if len(encoded) and not isinstance(encoded[0], (int, np.integer)):
        return np.concatenate([np.asarray(ids, np.int64) for ids in encoded])
    return np.asarray(encoded, np.int64)


def _open_spm(path: Path) -> spm.Tokenizer:
    """In the dialect of the reference that reads the file."""
    made_by = spm.Tokenizer
    return made_by.from_gguf(path) if path.suffix == ".gguf" else made_by.from_sentencepiece(path)


def _open_gigatoken(path: Path) -> Any:
    """Its object in Rust, which is a little faster without the Python around it."""
    import gigatoken

    if path.suffix == ".gguf":
        return gigatoken.Tokenizer.from_json(byte_level.tokenizer_json(path)).backend
    return gigatoken.Tokenizer.from_sentencepiece(path).backend


def _open_kitoken(path: Path) -> Any:
    import kitoken

    return kitoken.Kitoken.from_sentencepiece_file(str(path))


def _open_hugging_face(path: Path) -> Any:
    import tokenizers

    return tokenizers.Tokenizer.from_str(_tokenizer_json(path))


@lru_cache(maxsize=4)
def _tokenizer_json(path: Path) -> str:
    """What gigatoken makes of a `.model`, once: it is no part of opening the tokenizer.json."""
    if path.suffix == ".gguf":
        return byte_level.tokenizer_json(path)
    from gigatoken._load.sentencepiece import sentencepiece_to_tokenizer_json

    json: str = sentencepiece_to_tokenizer_json(path.read_bytes())
    return json


def _open_sentencepiece(path: Path) -> Any:
    import sentencepiece

    return sentencepiece.SentencePieceProcessor(model_file=str(path))


class _LlamaCpp(LlamaCppOracle):
    def encode_array(self, text: str) -> NDArray[np.int32]:
        data = text.encode()
        ids = np.empty(3 * len(data) + 16, np.int32)  # as much room as `encode` allows
        first = ids.ctypes.data_as(ctypes.POINTER(ctypes.c_int32))
        n = self.lib.llama_tokenize(self.vocab, data, len(data), first, len(ids), False, False)
        return ids[:n]


SPM = Program(
    name="spm",
    package="spm",
    reads=(".model", ".gguf"),
    open=_open_spm,
    document="tokenizer.encode_array(text, threads=1, add_special=False)",
    lines="tokenizer.encode_batch(texts, threads=1, add_special=False)",
    prompt="tokenizer.encode(text, add_special=False)",
    count="tokenizer.count(text, add_special=False)",
    decode="tokenizer.decode(ids)",
)
SENTENCEPIECE = Program(
    name="sentencepiece",
    package="sentencepiece",
    reads=(".model",),
    open=_open_sentencepiece,
    document="tokenizer.Encode(text, return_type='numpy')",
    lines="tokenizer.Encode(texts, return_type='numpy', num_threads=1)",
    prompt="tokenizer.Encode(text)",
    count="len(tokenizer.Encode(text))",
    decode="tokenizer.Decode(ids)",
)
LLAMA_CPP = Program(
    name="llama.cpp",
    package="llama-cpp-python",
    reads=(".gguf",),
    open=_LlamaCpp,
    document="tokenizer.encode_array(text)",
    lines="[tokenizer.encode_array(text) for text in texts]",
    prompt="tokenizer.encode_array(text).tolist()",
    count="len(tokenizer.encode_array(text))",
    decode="tokenizer.decode(ids)",
)
GIGATOKEN = Program(
    name="gigatoken",
    package="gigatoken",
    reads=(".model", ".gguf"),
    open=_open_gigatoken,
    document="tokenizer.encode(text)",
    lines="tokenizer.encode_batch(texts, parallel=False)",
    prompt="tokenizer.encode(text).tolist()",
    count="len(tokenizer.encode(text))",
    decode="tokenizer.decode(ids)",
)
KITOKEN = Program(
    name="kitoken",
    package="kitoken",
    reads=(".model",),
    open=_open_kitoken,
    document="tokenizer.encode(text)",
    lines="tokenizer.encode_all(texts)",
    prompt="tokenizer.encode(text)",
    count="len(tokenizer.encode(text))",
    decode="tokenizer.decode(ids)",
)
HUGGING_FACE = Program(
    name="HF",
    package="tokenizers",
    reads=(".model", ".gguf"),
    open=_open_hugging_face,
    document="tokenizer.encode(text, add_special_tokens=False).ids",
    lines="[e.ids for e in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]",
    prompt="tokenizer.encode(text, add_special_tokens=False).ids",
    count="len(tokenizer.encode(text, add_special_tokens=False))",
    decode="tokenizer.decode(ids)",
)
TIKTOKEN = Program(
    name="tiktoken",
    package="tiktoken",
    reads=(".gguf",),
    open=byte_level.open_tiktoken,
    document="tokenizer.encode_to_numpy(text, disallowed_special=())",
    lines="tokenizer.encode_ordinary_batch(texts, num_threads=1)",
    prompt="tokenizer.encode_ordinary(text)",
    count="len(tokenizer.encode_ordinary(text))",
    decode="tokenizer.decode(ids)",
)

PROGRAMS = (SPM, GIGATOKEN, KITOKEN, TIKTOKEN, HUGGING_FACE, SENTENCEPIECE, LLAMA_CPP)
REFERENCES = {".model": SENTENCEPIECE, ".gguf": LLAMA_CPP}  # their ids are the right ones
