"""The three references, behind one small interface: bytes in, ids out, ids in, bytes out.

sentencepiece comes with the test extra. llama.cpp comes through llama-cpp-python, which must be
built against the pinned version; where it is missing `LlamaCppOracle` raises ImportError."""

from __future__ import annotations

import ctypes
from importlib.metadata import version
from itertools import accumulate
from pathlib import Path
from typing import Any, Protocol


class Oracle(Protocol):
    """A reference implementation with one vocabulary loaded."""

    name: str

    def encode(self, text: bytes, parse_special: bool) -> list[int]:
        """The ids of `text`, without BOS and EOS."""

    def locate(self, text: bytes, parse_special: bool) -> tuple[list[int], list[list[int]] | None]:
        """The ids of `text`, and where each begins and ends in it, if the library tells."""

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

    def locate(  # noqa: D102
        self, text: bytes, parse_special: bool
    ) -> tuple[list[int], list[list[int]] | None]:
        found = self.processor.Encode(text, return_type="offset_mapping")
        return list(found["ids"]), [[begin, end] for begin, end in found["offsets"]]

    def decode(self, ids: list[int]) -> bytes:  # noqa: D102
        return bytes(self.processor.Decode(ids, out_type=bytes))


class HuggingFaceOracle:
    """Hugging Face tokenizers, on a `tokenizer.json`; texts must be UTF-8.

    What the file says of truncation and padding is left out.
    """

    def __init__(self, path: Path) -> None:
        import tokenizers

        self.name = f"tokenizers {version('tokenizers')}"
        self.tokenizer: Any = tokenizers.Tokenizer.from_file(str(path))
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()

    def encode(self, text: bytes, parse_special: bool) -> list[int]:  # noqa: D102
        return self.locate(text, parse_special)[0]

    def locate(  # noqa: D102
        self, text: bytes, parse_special: bool, add_special: bool = False
    ) -> tuple[list[int], list[list[int]]]:
        self.tokenizer.encode_special_tokens = not parse_special
        string = text.decode()
        found = self.tokenizer.encode(string, add_special_tokens=add_special)
        at = [0, *accumulate(len(char.encode()) for char in string)]
        return list(found.ids), [[at[begin], at[end]] for begin, end in found.offsets]

    def decode(self, ids: list[int], skip_special: bool = True) -> bytes:  # noqa: D102
        text: str = self.tokenizer.decode(ids, skip_special_tokens=skip_special)
        return text.encode()


class LlamaCppOracle:
    """llama.cpp, on a GGUF, through its C interface. Raises ValueError for a file that it refuses.

    It ends the process on some vocabularies and texts: `tools.golden.llama_child` is for those.
    """

    def __init__(self, path: Path, vocab_only: bool = True) -> None:
        import llama_cpp

        self.name = f"llama.cpp of llama-cpp-python {version('llama-cpp-python')}"
        self.lib: Any = llama_cpp
        self._quiet = llama_cpp.llama_log_callback(lambda level, text, data: None)
        llama_cpp.llama_log_set(self._quiet, ctypes.c_void_p(0))
        params = llama_cpp.llama_model_default_params()
        params.vocab_only = vocab_only
        params.n_gpu_layers = 0
        self.model = llama_cpp.llama_model_load_from_file(str(path).encode(), params)
        if not self.model:
            raise ValueError(f"{path}: llama.cpp refuses it")
        self.vocab = llama_cpp.llama_model_get_vocab(self.model)

    def encode(self, text: bytes, parse_special: bool, add_special: bool = False) -> list[int]:
        """llama_tokenize: n bytes make at most n ids, or 3 for each space, and two more."""
        room = 3 * len(text) + 16
        ids = (self.lib.llama_token * room)()
        n = self.lib.llama_tokenize(
            self.vocab, text, len(text), ids, room, add_special, parse_special
        )
        if n < 0:
            raise RuntimeError(f"llama_tokenize wants room for {-n} ids, expected at most {room}")
        return list(ids[:n])

    def locate(  # noqa: D102
        self, text: bytes, parse_special: bool
    ) -> tuple[list[int], list[list[int]] | None]:
        return self.encode(text, parse_special), None

    def decode(
        self, ids: list[int], remove_special: bool = True, unparse_special: bool = False
    ) -> bytes:
        """llama_detokenize, asked again with the room that it wants."""
        tokens = (self.lib.llama_token * len(ids))(*ids)
        room = 64
        while True:
            text = ctypes.create_string_buffer(room)
            size = self.lib.llama_detokenize(
                self.vocab, tokens, len(ids), text, room, remove_special, unparse_special
            )
            if size >= 0:
                return text.raw[:size]
            room = -size
