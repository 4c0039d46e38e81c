"""The two references, behind one small interface: bytes in, ids out, ids in, bytes out.

sentencepiece comes with the test extra. llama.cpp comes through llama-cpp-python, which must be
built against the pinned version; where it is missing `LlamaCppOracle` raises ImportError."""

from __future__ import annotations

import ctypes
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol


class Oracle(Protocol):
    """A reference implementation with one vocabulary loaded."""

    name: str

    def encode(self, text: bytes, parse_special: bool) -> list[int]:
        """The ids of `text`, without BOS and EOS."""

    def decode(self, ids: list[int]) -> bytes:
        """The text of `ids`, special pieces left out."""


class SentencePieceOracle:
    """sentencepiece, on a `.model`."""

    def __init__(self, path: Path) -> None:
        import sentencepiece

        self.name = f"sentencepiece {version('sentencepiece')}"
        self.processor: Any = sentencepiece.SentencePieceProcessor()
        self.processor.Load(str(path))

    def encode(self, text: bytes, parse_special: bool) -> list[int]:  # noqa: D102
        return list(self.processor.Encode(text))

    def decode(self, ids: list[int]) -> bytes:  # noqa: D102
        return bytes(self.processor.Decode(ids, out_type=bytes))


class LlamaCppOracle:
    """llama.cpp, on a GGUF, through its C interface."""

    def __init__(self, path: Path) -> None:
        import llama_cpp

        self.name = f"llama.cpp of llama-cpp-python {version('llama-cpp-python')}"
        self.lib: Any = llama_cpp
        self.lib.llama_backend_init()
        self._silence = self.lib.llama_log_callback(lambda level, text, data: None)
        self.lib.llama_log_set(self._silence, ctypes.c_void_p(0))
        params = self.lib.llama_model_default_params()
        params.vocab_only = True
        self.model = self.lib.llama_model_load_from_file(str(path).encode(), params)
        if not self.model:
            raise ValueError(f"{path}: llama.cpp does not load it")
        self.vocab = self.lib.llama_model_get_vocab(self.model)

    def encode(self, text: bytes, parse_special: bool) -> list[int]:  # noqa: D102
        room = 3 * len(text) + 16
        ids = (self.lib.llama_token * room)()
        n = self.lib.llama_tokenize(self.vocab, text, len(text), ids, room, False, parse_special)
        return list(ids[:n])

    def decode(self, ids: list[int], skip_special: bool = True) -> bytes:  # noqa: D102
        tokens = (self.lib.llama_token * max(len(ids), 1))(*ids)
        room = 64 + 256 * len(ids)
        text = ctypes.create_string_buffer(room)
        n = self.lib.llama_detokenize(
            self.vocab, tokens, len(ids), text, room, skip_special, not skip_special
        )
        return text.raw[:n]
