"""The seam to the compiled core: text -> ids -> text for the vocabularies and texts that it knows.

To encode, the core takes valid UTF-8 in which nothing is to be normalised but spaces. Whatever else
a vocabulary or a text asks for goes the way of the specification: a whole dialect (`fast_encoder`
is None), or one part of one text.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from functools import cached_property
from typing import Any, Final, Protocol, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from spm.errors import EncodeError
from spm.native import announce_missing, core
from spm.text.dialect import Dialect
from spm.text.dialect_llama_cpp import LlamaCpp, escape
from spm.text.dialect_sentencepiece import SentencePiece
from spm.text.fragments import Fragment, partition
from spm.text.ids import checked_ids
from spm.text.normalize import PrefixMatcher
from spm.text.stream import CharacterDecoder
from spm.text.utf8 import REPLACEMENT, split_unfinished
from spm.vocab import SPACE, Vocab
from spm.vocab.vocab import byte_piece

MAX_WHOLE_BYTES: Final = 128  # of a user-defined piece: the core tries every size they have

Ids = NDArray[np.int32]

_READABLE: Final = (np.dtype(np.int32), np.dtype(np.int64))  # the ids that the core decodes


class FastEncoder(Protocol):
    """The ids of a text without BOS and EOS, int32 (n,), equal to those of the specification."""

    def encode(self, text: bytes, parse_special: bool) -> Ids:
        """Raises EncodeError as the specification does."""


def fast_encoder(dialect: Dialect) -> FastEncoder | None:
    """The core's encoder for a dialect, or None where there is no core or it knows too little."""
    if core is None:
        announce_missing()
        return None
    if isinstance(dialect, LlamaCpp):
        return FastLlamaCpp(dialect)
    if isinstance(dialect, SentencePiece) and _only_spaces_change(dialect):
        return FastSentencePiece(dialect)
    return None


def _only_spaces_change(dialect: SentencePiece) -> bool:
    rules = dialect.rules
    changes = rules.charsmap or rules.remove_extra_whitespaces or rules.treat_whitespace_as_suffix
    plain = rules.escape_whitespaces and not (changes or dialect.unused)
    return plain and _are_simple(dialect.user_defined)


def _are_simple(user_defined: PrefixMatcher) -> bool:
    """Whether the longest match is the one that counts, in well-formed text and in little time."""
    capped = user_defined.seen != list(range(len(user_defined.seen)))
    well_formed = all(_is_utf8(piece) for piece in user_defined.pieces)
    return well_formed and not capped and user_defined.longest <= MAX_WHOLE_BYTES


class FastLlamaCpp:
    """llama.cpp's dialect: special pieces are cut out here, the rest goes to the core."""

    def __init__(self, dialect: LlamaCpp) -> None:
        self.dialect = dialect
        self.core = _core_encoder(dialect, [], unknown_id=-1)

    def encode(self, text: bytes, parse_special: bool) -> Ids:  # noqa: D102  # as the protocol says
        found: list[Ids] = []
        after_special = True
        for fragment in partition(text, self.dialect.specials[parse_special]):
            if fragment.id is not None:
                found.append(np.array([fragment.id], np.int32))
            else:
                part = text[fragment.begin : fragment.end]
                found.append(self._encode_part(part, after_special))
            after_special = fragment.id is not None
        return found[0] if len(found) == 1 else np.concatenate([np.empty(0, np.int32), *found])

    def _encode_part(self, part: bytes, after_special: bool) -> Ids:
        prefix = after_special and self.dialect.vocab.add_space_prefix
        if core.valid_prefix(part) == len(part):  # type: ignore[union-attr]  # there is a core here
            return _encode(self.core, part, prefix, self.dialect.vocab)
        stretch = escape(part, Fragment(0, len(part)), prefix)
        return np.array([token.id for token in self.dialect.tokens(stretch)], np.int32)


class FastSentencePiece:
    """sentencepiece's dialect, for vocabularies whose normaliser only writes ▁ for spaces."""

    def __init__(self, dialect: SentencePiece) -> None:
        self.dialect = dialect
        vocab = dialect.vocab
        whole = [p for p in dialect.user_defined.pieces if _can_occur(p)]
        pairs = [(p, vocab.piece_to_id[p]) for p in whole]
        # In such a piece the core could not tell a space from a ▁ that was typed, which is longer.
        self.whole_has_space = any(SPACE in p for p in whole)
        unknown_id = -1 if vocab.byte_fallback else vocab.special_ids["unk"]
        self.core = _core_encoder(dialect, pairs, unknown_id)

    def encode(self, text: bytes, parse_special: bool) -> Ids:  # noqa: D102  # as the protocol says
        if parse_special or (self.whole_has_space and SPACE in text):
            parts = self.dialect.parts(text, parse_special)
            ids = [token.id for part in parts for token in self.dialect.tokens(part)]
            return np.array(ids, np.int32)
        if core.valid_prefix(text) != len(text):  # type: ignore[union-attr]  # there is a core here
            decided, rest = split_unfinished(text)
            text = decided + REPLACEMENT * len(rest)
        prefix = bool(text) and self.dialect.rules.add_dummy_prefix
        return _encode(self.core, text, prefix, self.dialect.vocab)


def _core_encoder(dialect: Dialect, user_defined: list[tuple[bytes, int]], unknown_id: int) -> Any:
    """Hand a vocabulary to the core: every piece that one of its texts can merge to."""
    vocab = dialect.vocab
    pieces = [p for p in dialect.ranks if _can_occur(p)]
    ranks = np.array([dialect.ranks[p] for p in pieces])
    _, dense = np.unique(ranks, return_inverse=True)  # equal ranks stay equal
    ids = [vocab.piece_to_id[p] for p in pieces]
    assert core is not None
    return core.Encoder(
        pieces,
        dense.astype(np.int32),
        np.array(ids, np.int32),
        user_defined,
        np.array(_byte_ids(dialect), np.int32),
        unknown_id,
        secrets.randbits(64),
    )


def _byte_ids(dialect: Dialect) -> list[int]:
    if isinstance(dialect, LlamaCpp):
        known = dialect.vocab.piece_to_id
        return [known.get(byte_piece(b), known.get(bytes([b]), -1)) for b in range(256)]
    assert isinstance(dialect, SentencePiece)
    return dialect.byte_ids or [-1] * 256


def _can_occur(piece: bytes) -> bool:
    """Whether a text of valid UTF-8, with ▁ for its spaces, can contain a piece."""
    return bool(piece) and b" " not in piece and _is_utf8(piece)


def _is_utf8(piece: bytes) -> bool:
    try:
        piece.decode()
    except UnicodeDecodeError:
        return False
    return True


def _encode(encoder: Any, text: bytes, prefix: bool, vocab: Vocab) -> Ids:
    try:
        ids: Ids = encoder.encode(text, prefix)
    except LookupError as error:
        byte = error.args[0]
        raise EncodeError(
            f"{vocab.source}: byte 0x{byte:02X} of the text has no piece,"
            f" expected {byte_piece(byte).decode()}"
        ) from None
    return ids


# ---- ids -> text


def fast_decoder(dialect: Dialect) -> FastDecoder | None:
    """The core's decoder for a dialect, or None where there is no core or it knows too little.

    A denormaliser rewrites the whole of a text, so such vocabularies stay with the specification.
    So do those whose UNKNOWN shows nothing, of which the core could not tell if it lost a space.
    """
    if core is None:
        return None
    if isinstance(dialect, LlamaCpp):
        return FastDecoder(dialect.vocab, _rules_of_llama_cpp(dialect.vocab))
    assert isinstance(dialect, SentencePiece)
    if dialect.denormalizer is not None or not dialect.vocab.unk_surface:
        return None
    return FastDecoder(dialect.vocab, _rules_of_sentencepiece(dialect))


def _rules_of_llama_cpp(vocab: Vocab) -> dict[str, Any]:
    return {
        "sentencepiece": False,
        "strip_space": vocab.add_space_prefix,
        "strip_spaces": False,
        "bos_id": vocab.special_ids["bos"] if vocab.add_bos else -1,
        "eos_id": vocab.special_ids["eos"] if vocab.add_eos else -1,
        "unknown": b"",
    }


def _rules_of_sentencepiece(dialect: SentencePiece) -> dict[str, Any]:
    rules = dialect.rules
    return {
        "sentencepiece": True,
        "strip_space": rules.add_dummy_prefix or rules.remove_extra_whitespaces,
        "strip_spaces": rules.remove_extra_whitespaces,
        "bos_id": -1,
        "eos_id": -1,
        "unknown": dialect.vocab.unk_surface,
    }


class FastDecoder:
    """Ids -> text in the core, equal to the specification. Any number of threads may use it."""

    def __init__(self, vocab: Vocab, rules: dict[str, Any]) -> None:
        self.vocab = vocab
        self.rules = rules

    @cached_property
    def core(self) -> Any:
        """The tables, made when they are first needed; if two threads make them, both are right."""
        assert core is not None
        return core.Decoder(self.vocab.pieces, bytes(self.vocab.types), **self.rules)

    def decode(self, ids: Iterable[SupportsIndex], skip_special: bool) -> str:
        """The text of ids, with U+FFFD for what is not UTF-8. Raises DecodeError for a bad id."""
        text: str | None = self.core.decode(_plain(ids), bool(skip_special))
        if text is None:  # some are bad, or not plain
            text = self.core.decode(checked_ids(self.vocab, ids), bool(skip_special))
        assert text is not None
        return text

    def decode_bytes(self, ids: Iterable[SupportsIndex], skip_special: bool) -> bytes:
        """The text of ids as bytes. Raises DecodeError for a bad id."""
        text: bytes | None = self.core.decode_bytes(_plain(ids), bool(skip_special))
        if text is None:
            text = self.core.decode_bytes(checked_ids(self.vocab, ids), bool(skip_special))
        assert text is not None
        return text

    def stream(self, skip_special: bool) -> CharacterDecoder:
        """A decoder for ids that come one by one."""
        stream: CharacterDecoder = self.core.stream(bool(skip_special))
        return stream


def _plain(ids: Iterable[SupportsIndex]) -> list[Any] | NDArray[Any]:
    """Ids as the core reads them without a look at each from here, or else an id that is none."""
    if type(ids) is list:
        return ids
    if type(ids) is np.ndarray and ids.ndim == 1 and ids.dtype.kind in "iu":
        readable = ids.dtype in _READABLE and ids.flags.c_contiguous
        return ids if readable else ids.astype(np.int64)
    return [-1]
