"""A sentencepiece `.model` file -> Vocab.

The file is one protobuf message, `ModelProto` of sentencepiece's src/sentencepiece_model.proto;
field numbers and defaults below are its. What `ModelInterface::InitializePieces` refuses is refused
here too, or where the sentencepiece dialect is made: byte pieces, the size of pieces, the charsmap.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spm.errors import VocabError, one_line, quoted
from spm.native import core
from spm.vocab.protobuf import Message
from spm.vocab.vocab import TOKEN_TYPES, Family, Normalization, TokenType, Vocab, token_types

MAX_FILE_BYTES: Final = 256 << 20  # real models are below 6 MB

_MODEL_FIELDS: Final = (1, 2, 3, 5)  # pieces, trainer_spec, normalizer_spec, denormalizer_spec
_PIECE_FIELDS: Final = (1, 2, 3)  # piece, score, type
_TRAINER_FIELDS: Final = (3, 24, 35, 44, 46, 47, 48)
_NORMALIZER_FIELDS: Final = (2, 3, 4, 5)
_MODEL_TYPES: Final = {1: Family.UNIGRAM, 2: Family.SPM, 3: Family.WORD, 4: Family.CHAR}


class Pieces(NamedTuple):
    """What a model says of every piece, by id."""

    texts: list[bytes]
    scores: NDArray[np.float32]
    types: NDArray[np.uint8]


def vocab_from_sentencepiece(path: str | os.PathLike[str]) -> Vocab:
    """Read a `.model` of any type: Unigram, BPE (which is SPM here), WORD or CHAR.

    `add_bos` and `add_eos` are False, as in the reference, where the caller asks for them.
    Raises VocabError if the file cannot be read or is malformed.
    """
    source = one_line(Path(path))
    data = _read(Path(path))
    found = core.read_model_pieces(data) if core else None  # None: something in it is not plain
    model = _read_model(found[3] if found else data, source)
    trainer = model.message(2, _TRAINER_FIELDS)
    kind = trainer.integer(3, 1)
    if kind not in _MODEL_TYPES:
        raise VocabError(f"{source}: trainer_spec.model_type is {kind}, expected 1 to 4")
    byte_fallback = trainer.flag(35, False)
    pieces = _as_arrays(*found[:3]) if found else _read_pieces(model)
    if byte_fallback and b"\0" in pieces.texts:
        pieces = _with_unused_nul(pieces)
    _check_as_sentencepiece(source, pieces, byte_fallback)
    suffix = trainer.flag(24, False)
    special_ids = _special_ids(trainer, pieces)
    normalization = _normalization(model.message(3, _NORMALIZER_FIELDS), suffix)
    return Vocab(
        source=source,
        pieces=tuple(pieces.texts),
        scores=pieces.scores,
        types=token_types(pieces.types),
        special_ids=special_ids,
        add_bos=False,
        add_eos=False,
        add_space_prefix=normalization.add_dummy_prefix,
        family=_MODEL_TYPES[kind],
        eog_ids=frozenset([special_ids["eos"]] if "eos" in special_ids else []),
        normalization=normalization,
        denormalization=_denormalization(model),
        byte_fallback=byte_fallback,
        unk_surface=trainer.raw(44, " \u2047 ".encode()),
    )


def _read(path: Path) -> bytes:
    try:
        if not path.is_file():
            what = "no such file" if not path.exists() else "not a regular file"
            raise VocabError(f"{one_line(path)}: {what}, expected a sentencepiece .model")
        if path.stat().st_size > MAX_FILE_BYTES:
            size = path.stat().st_size
            raise VocabError(f"{one_line(path)}: {size} bytes, expected at most {MAX_FILE_BYTES}")
        data = path.read_bytes()
    except OSError as error:
        raise VocabError(
            f"{one_line(path)}: {error.strerror}, expected a sentencepiece .model"
        ) from error
    if data[:4] == b"GGUF":
        raise VocabError(f"{one_line(path)}: a GGUF file, expected a sentencepiece .model")
    if not data:
        raise VocabError(f"{one_line(path)}: 0 bytes, expected a sentencepiece .model")
    return data


def _read_model(data: bytes, source: str) -> Message:
    try:
        return Message(data, source, _MODEL_FIELDS)
    except VocabError as error:
        raise VocabError(f"{error}: no sentencepiece .model") from None


def _as_arrays(texts: list[bytes], scores: bytes, types: bytes) -> Pieces:
    numbers = np.frombuffer(scores, "<f4").astype(np.float32)
    return Pieces(texts, numbers, np.frombuffer(types, np.uint8))


def _read_pieces(model: Message) -> Pieces:
    texts, scores, types = [], [], []
    for i, data in enumerate(model.all(1)):
        message = Message(data, f"{model.where}, piece {i}", _PIECE_FIELDS)
        kind = message.integer(3, TokenType.NORMAL)
        if kind not in TOKEN_TYPES:
            raise VocabError(f"{message.where}: type is {kind}, expected 1 to 6")
        texts.append(message.raw(1, b""))
        scores.append(message.real(2, 0.0))
        types.append(kind)
    return Pieces(texts, np.array(scores, np.float32), np.array(types, np.uint8))


def _with_unused_nul(pieces: Pieces) -> Pieces:
    """sentencepiece_processor.cc, Load: beside byte pieces a stray NUL piece is UNUSED."""
    types = pieces.types.copy()
    types[[i for i, text in enumerate(pieces.texts) if text == b"\0"]] = TokenType.UNUSED
    return pieces._replace(types=types)


def _check_as_sentencepiece(source: str, pieces: Pieces, byte_fallback: bool) -> None:
    has_nul = b"\0" in b"".join(pieces.texts)
    has_byte = TokenType.BYTE in pieces.types
    if has_nul or not all(pieces.texts) or (has_byte and not byte_fallback):
        _check_each(source, pieces, byte_fallback)
    unknown = np.count_nonzero(pieces.types == TokenType.UNKNOWN)
    if unknown > 1 or (unknown == 0 and not byte_fallback):
        raise VocabError(f"{source}: {unknown} pieces of type UNKNOWN, expected 1")


def _check_each(source: str, pieces: Pieces, byte_fallback: bool) -> None:
    for i, (piece, kind) in enumerate(zip(pieces.texts, pieces.types.tolist())):
        where = f"{source}: piece {i}"
        if not piece:
            raise VocabError(f"{where} is empty, expected a text")
        if b"\0" in piece and (piece, kind) != (b"\0", TokenType.UNUSED):
            raise VocabError(f"{where} {quoted(piece)} contains NUL, expected none")
        if kind == TokenType.BYTE and not byte_fallback:
            raise VocabError(f"{where} {quoted(piece)} is a BYTE, but byte_fallback is false")


def _special_ids(trainer: Message, pieces: Pieces) -> dict[str, int]:
    """sentencepiece_processor.cc, Load: a role goes to the CONTROL piece of its name."""
    names = {
        "bos": trainer.raw(46, b"") or b"<s>",
        "eos": trainer.raw(47, b"") or b"</s>",
        "pad": trainer.raw(48, b"") or b"<pad>",
    }
    controls = {pieces.texts[i]: i for i in _ids_of(pieces, TokenType.CONTROL)}
    special_ids = {role: controls[name] for role, name in names.items() if name in controls}
    special_ids.update(zip(["unk"], _ids_of(pieces, TokenType.UNKNOWN)))
    return special_ids


def _ids_of(pieces: Pieces, kind: TokenType) -> list[int]:
    ids: list[int] = np.flatnonzero(pieces.types == kind).tolist()
    return ids


def _normalization(spec: Message, suffix: bool) -> Normalization:
    return Normalization(
        charsmap=spec.raw(2, b""),
        add_dummy_prefix=spec.flag(3, True),
        remove_extra_whitespaces=spec.flag(4, True),
        escape_whitespaces=spec.flag(5, True),
        treat_whitespace_as_suffix=suffix,
    )


def _denormalization(model: Message) -> Normalization | None:
    """The second normaliser, applied to decoded text; it exists only where it has rules."""
    spec = _normalization(model.message(5, _NORMALIZER_FIELDS), suffix=False)
    return spec if spec.charsmap else None
