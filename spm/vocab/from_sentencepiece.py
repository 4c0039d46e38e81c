"""A sentencepiece `.model` file -> Vocab.

The file is one protobuf message, `ModelProto` of sentencepiece's src/sentencepiece_model.proto;
field numbers and defaults below are its. What sentencepiece refuses at load
(`ModelInterface::InitializePieces`, `Normalizer::DecodePrecompiledCharsMap`) is refused here too.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import numpy as np

from spm.errors import VocabError
from spm.gguf.header import shown
from spm.vocab.protobuf import Message
from spm.vocab.vocab import TOKEN_TYPES, Normalization, TokenType, Vocab, show

MAX_FILE_BYTES: Final = 256 << 20  # real models are below 6 MB

_MODEL_TYPES = {1: "UNIGRAM", 2: "BPE", 3: "WORD", 4: "CHAR"}


def vocab_from_sentencepiece(path: str | os.PathLike[str]) -> Vocab:
    """Read a BPE `.model`.

    `add_bos` and `add_eos` are False, as in the reference, where the caller asks for them.
    Raises VocabError if the file cannot be read, is malformed, or holds another kind of model.
    """
    source = shown(Path(path))
    model = Message(_read(Path(path)), source)
    trainer, normalizer = model.message(2), model.message(3)
    kind = trainer.integer(3, 1)
    if kind != 2:
        found = _MODEL_TYPES.get(kind, kind)
        raise VocabError(f"{source}: trainer_spec.model_type is {found}, expected BPE")
    byte_fallback = trainer.flag(35, False)
    pieces, scores, types = _read_pieces(model, byte_fallback)
    _check_as_sentencepiece(source, pieces, types, byte_fallback)
    suffix = trainer.flag(24, False)
    special_ids = _special_ids(trainer, pieces, types)
    normalization = _normalization(normalizer, suffix)
    return Vocab(
        source=source,
        pieces=tuple(pieces),
        scores=np.array(scores, np.float32),
        types=tuple(types),
        special_ids=special_ids,
        add_bos=False,
        add_eos=False,
        add_space_prefix=normalization.add_dummy_prefix,
        eog_ids=frozenset([special_ids["eos"]] if "eos" in special_ids else []),
        normalization=normalization,
        denormalization=_denormalization(model),
        byte_fallback=byte_fallback,
        unk_surface=trainer.text(44, " \u2047 ".encode()),
    )


def _read(path: Path) -> bytes:
    try:
        if not path.is_file():
            what = "no such file" if not path.exists() else "not a regular file"
            raise VocabError(f"{shown(path)}: {what}, expected a sentencepiece .model")
        if path.stat().st_size > MAX_FILE_BYTES:
            size = path.stat().st_size
            raise VocabError(f"{shown(path)}: {size} bytes, expected at most {MAX_FILE_BYTES}")
        data = path.read_bytes()
    except OSError as error:
        raise VocabError(
            f"{shown(path)}: {error.strerror}, expected a sentencepiece .model"
        ) from error
    if not data:
        raise VocabError(f"{shown(path)}: 0 bytes, expected a sentencepiece .model")
    return data


def _read_pieces(
    model: Message, byte_fallback: bool
) -> tuple[list[bytes], list[float], list[TokenType]]:
    pieces, scores, types = [], [], []
    for i, data in enumerate(model.all(1)):
        message = Message(data, f"{model.where}, piece {i}")
        kind = message.integer(3, TokenType.NORMAL)
        if kind not in TOKEN_TYPES:
            raise VocabError(f"{message.where}: type is {kind}, expected 1 to 6")
        piece = message.text(1, b"")
        if byte_fallback and piece == b"\0":  # sentencepiece_processor.cc, Load: a stray NUL piece
            kind = TokenType.UNUSED
        pieces.append(piece)
        scores.append(message.real(2, 0.0))
        types.append(TOKEN_TYPES[kind])
    return pieces, scores, types


def _check_as_sentencepiece(
    source: str, pieces: list[bytes], types: list[TokenType], byte_fallback: bool
) -> None:
    for i, (piece, kind) in enumerate(zip(pieces, types)):
        where = f"{source}: piece {i}"
        if not piece:
            raise VocabError(f"{where} is empty, expected a text")
        if b"\0" in piece and (piece, kind) != (b"\0", TokenType.UNUSED):
            raise VocabError(f"{where} {show(piece)} contains NUL, expected none")
        if kind == TokenType.BYTE and not byte_fallback:
            raise VocabError(f"{where} {show(piece)} is a BYTE, but byte_fallback is false")
    unknown = types.count(TokenType.UNKNOWN)
    if unknown > 1 or (unknown == 0 and not byte_fallback):
        raise VocabError(f"{source}: {unknown} pieces of type UNKNOWN, expected 1")


def _special_ids(trainer: Message, pieces: list[bytes], types: list[TokenType]) -> dict[str, int]:
    """sentencepiece_processor.cc, Load: a role goes to the CONTROL piece of its name."""
    names = {
        "bos": trainer.text(46, b"") or b"<s>",
        "eos": trainer.text(47, b"") or b"</s>",
        "pad": trainer.text(48, b"") or b"<pad>",
    }
    controls = {p: i for i, (p, t) in enumerate(zip(pieces, types)) if t == TokenType.CONTROL}
    special_ids = {role: controls[name] for role, name in names.items() if name in controls}
    if TokenType.UNKNOWN in types:
        special_ids["unk"] = types.index(TokenType.UNKNOWN)
    return special_ids


def _normalization(spec: Message, suffix: bool) -> Normalization:
    return Normalization(
        charsmap=spec.text(2, b""),
        add_dummy_prefix=spec.flag(3, True),
        remove_extra_whitespaces=spec.flag(4, True),
        escape_whitespaces=spec.flag(5, True),
        treat_whitespace_as_suffix=suffix,
    )


def _denormalization(model: Message) -> Normalization | None:
    """The second normaliser, applied to decoded text; it exists only where it has rules."""
    spec = _normalization(model.message(5), suffix=False)
    return spec if spec.charsmap else None
