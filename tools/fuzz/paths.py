"""One vocabulary and some texts of any bytes: specification, core and sentencepiece must agree.

The input is read as hostile.hpp reads it, more or less, so that the seeds are the same.
"""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import Any, Final

import numpy as np
import sentencepiece

from spm import DoubleBOSWarning, EncodeError, SpmError, Tokenizer
from spm.gguf import write_gguf
from spm.text.dialect import encode
from tools.golden import wire
from tools.golden.crafted import BYTE, CONTROL, NORMAL, UNKNOWN, UNUSED, USER_DEFINED

ALPHABET: Final = [
    *(c.encode() for c in "abc ▁é日🦙\n\0<d"), b"\x80", b"\xff", b"\xe2\x96", b"\xf0\x9f",
]  # fmt: skip
SCORES: Final = [0.0, -0.0, -1.0, -1.5, -1.5, -2.0, 3.0, float("-inf")]
ROLES: Final = [NORMAL, USER_DEFINED, CONTROL, UNUSED]

Entry = tuple[bytes, float, int]  # piece, score, type


class Input:
    """Numbers and texts, one after the other; zero where the bytes have run out."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def byte(self) -> int:
        """The next number, below 256."""
        self._at += 1
        return self._data[self._at - 1] if self._at <= len(self._data) else 0

    def text(self, n: int) -> bytes:
        """`n` characters of a few."""
        return b"".join(ALPHABET[self.byte() % len(ALPHABET)] for _ in range(n))

    def is_empty(self) -> bool:
        """Whether the bytes have run out."""
        return self._at >= len(self._data)


def agree(data: bytes) -> None:
    """Make the vocabulary as both kinds of file; hold every reading of it against the others."""
    source = Input(data)
    flags = source.byte()
    entries = _entries(source, has_bytes=source.byte() & 1 == 0, has_roles=bool(flags & 16))
    texts = [_text(source)]
    while not source.is_empty() and len(texts) < 4:
        texts.append(_text(source))
    with tempfile.TemporaryDirectory() as folder:
        for tok, reference in _readings(Path(folder), entries, flags):
            for text in texts:
                _check(tok, reference, text)


# ---- the vocabulary and the texts


def _entries(source: Input, has_bytes: bool, has_roles: bool) -> list[Entry]:
    entries: list[Entry] = [(b"<unk>", 0, UNKNOWN), (b"<s>", 0, CONTROL), (b"</s>", 0, CONTROL)]
    if has_bytes:
        entries += [(b"<0x%02X>" % byte, 0.0, BYTE) for byte in range(256)]
    seen = {piece for piece, _, _ in entries}
    for _ in range(source.byte() % 41):
        bits, shape = source.byte(), source.byte()
        piece = source.text(1 + (shape & 7))
        role = ROLES[bits >> 4 & 3] if has_roles and bits >> 3 & 1 else NORMAL
        if piece not in seen:
            entries.append((piece, SCORES[bits & 7], role))
        seen.add(piece)
    return entries


def _text(source: Input) -> bytes:
    n, times = source.byte() & 63, source.byte()
    return source.text(n) * max(times - 190, 1) if times < 250 else source.text(n) * 100


def _readings(folder: Path, entries: list[Entry], flags: int) -> list[tuple[Tokenizer, Any]]:
    """Tokenizers with what they must agree with beside themselves: sentencepiece, or None."""
    gguf, model = folder / "any.gguf", folder / "any.model"
    write_gguf(gguf, _metadata(entries, flags), {})
    model.write_bytes(_model(entries, flags))
    found: list[tuple[Tokenizer, Any]] = []
    for make, path, dialect in (
        (Tokenizer.from_gguf, gguf, "llama.cpp"),
        (Tokenizer.from_sentencepiece, model, "llama.cpp"),
        (Tokenizer.from_sentencepiece, model, "sentencepiece"),
    ):
        try:
            tok = make(path, dialect=dialect)
        except SpmError:
            continue
        found.append((tok, _sentencepiece(model) if dialect == "sentencepiece" else None))
    return found


def _metadata(entries: list[Entry], flags: int) -> dict[str, Any]:
    return {
        "general.architecture": "llama",
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": [piece for piece, _, _ in entries],
        "tokenizer.ggml.scores": np.array([score for _, score, _ in entries], np.float32),
        "tokenizer.ggml.token_type": np.array([kind for _, _, kind in entries], np.int32),
        "tokenizer.ggml.add_space_prefix": bool(flags & 2),
        "tokenizer.ggml.add_eos_token": bool(flags & 8),
    }


def _model(entries: list[Entry], flags: int) -> bytes:
    has_bytes = any(kind == BYTE for _, _, kind in entries)
    trainer = wire.field(3, 2) + wire.field(24, bool(flags & 32)) + wire.field(35, has_bytes)
    normalizer = wire.field(3, bool(flags & 2)) + wire.field(4, bool(flags & 64))
    return (
        b"".join(
            wire.field(1, wire.field(1, p) + wire.field(2, float(s)) + wire.field(3, k))
            for p, s, k in entries
        )
        + wire.field(2, trainer)
        + wire.field(3, normalizer + wire.field(5, True))
    )


def _sentencepiece(model: Path) -> Any:
    processor = sentencepiece.SentencePieceProcessor()
    try:
        processor.LoadFromSerializedProto(model.read_bytes())
    except RuntimeError:
        return None
    return processor


# ---- one text


def _check(tok: Tokenizer, reference: Any, text: bytes) -> None:
    for parse_special in {False, tok.dialect == "llama.cpp"}:
        specified = _specified(tok, text, parse_special)
        assert _encoded(tok, text, parse_special) == specified, (text, parse_special)
    ids = _specified(tok, text, False)
    if isinstance(ids, str):
        return
    found, spans = tok.encode_offsets(text, unit="byte", add_special=False)
    tokens = encode(tok._dialect, text, parse_special=False)
    assert found == ids, text
    assert spans.tolist() == [[token.begin, token.end] for token in tokens], text
    assert tok.count(text, add_special=False) == len(ids), text
    _check_decoding(tok, ids)
    _check_stream(tok, text, ids)
    if reference is not None:
        expected = reference.Encode(text, return_type="offset_mapping")
        assert expected["ids"] == ids, text
        assert spans.tolist() == [list(span) for span in expected["offsets"]], text


def _specified(tok: Tokenizer, text: bytes, parse_special: bool) -> list[int] | str:
    try:
        return [token.id for token in encode(tok._dialect, text, parse_special)]
    except EncodeError as error:
        return str(error)


def _encoded(tok: Tokenizer, text: bytes, parse_special: bool) -> list[int] | str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DoubleBOSWarning)
        try:
            return tok.encode(text, add_special=False, parse_special=parse_special)
        except EncodeError as error:
            return str(error)


def _check_stream(tok: Tokenizer, text: bytes, ids: list[int]) -> None:
    """A stream of the text's characters, which must be some."""
    try:
        characters = text.decode()
    except UnicodeDecodeError:
        return
    stream = tok.stream_encoder(add_special=False)
    found = [i for character in characters for i in stream.push(character)] + stream.flush()
    assert found == ids, text


def _check_decoding(tok: Tokenizer, ids: list[int]) -> None:
    for skip_special in (True, False):
        decoder = tok._dialect.decoder(skip_special)
        expected = b"".join(map(decoder.push, ids)) + decoder.flush()
        assert tok.decode_bytes(ids, skip_special=skip_special) == expected, ids
        stream = tok.stream_decoder(skip_special=skip_special)
        text = "".join(map(stream.push, ids)) + stream.flush()
        assert text == expected.decode("utf-8", "replace"), ids
