"""Any bytes as a file: the readers answer, or refuse with one line. Anything else is a finding."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from spm import GGUF, SpmError, Tokenizer

TEXT = " a▁b\nHello é".encode()


def gguf(data: bytes) -> None:
    """Open it, look at everything that it says, and encode with its vocabulary."""
    _read(data, "any.gguf", _look_at_gguf)


def model(data: bytes) -> None:
    """Read the vocabulary in both dialects, and encode with it."""
    _read(data, "any.model", lambda path: _use(Tokenizer.from_sentencepiece(path)))
    _read(data, "any.model", _look_at_converted)


def _read(data: bytes, name: str, use: Callable[[Path], None]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        _answered_or_refused(lambda: use(path))


def _answered_or_refused(call: Callable[[], object]) -> None:
    refusal = ""
    try:
        call()
    except SpmError as error:
        refusal = str(error)
    assert "\n" not in refusal, f"an error of several lines: {refusal!r}"


def _look_at_gguf(path: Path) -> None:
    with GGUF.open(path) as opened:
        for key in opened.metadata:
            opened.value_type(key)
            _answered_or_refused(lambda key=key: opened.metadata[key])  # type: ignore[misc]
        for tensor in opened.tensors.values():
            assert tensor.data.nbytes == tensor.nbytes
        _use(Tokenizer.from_gguf(opened))


def _look_at_converted(path: Path) -> None:
    _use(Tokenizer.from_sentencepiece(path, dialect="llama.cpp"))


def _use(tok: Tokenizer) -> None:
    ids = tok.encode(TEXT, add_special=False)
    tok.decode(ids)
    tok.decode_bytes(range(min(len(tok.vocab), 100)))
