"""The seam to the compiled core: text -> ids for the vocabularies and texts that it knows.

The core takes valid UTF-8 in which nothing is to be normalised but spaces. Whatever else a
vocabulary or a text asks for goes the way of the specification: a whole dialect (`fast_encoder` is
None), or one part of one text.
"""

from __future__ import annotations

import secrets
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from spm.errors import EncodeError
from spm.native import announce_missing, core
from spm.text.dialect import Dialect
from spm.text.dialect_llama_cpp import LlamaCpp, escape
from spm.text.dialect_sentencepiece import SentencePiece
from spm.text.fragments import Fragment, partition
from spm.text.mergeable import can_occur, in_valid_text, mergeable
from spm.text.normalize import PrefixMatcher
from spm.text.utf8 import REPLACEMENT, split_unfinished
from spm.vocab import SPACE, Vocab
from spm.vocab.vocab import byte_piece

MAX_WHOLE_BYTES: Final = 128  # of a user-defined piece: the core tries every size they have

Ids = NDArray[np.int32]


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
        whole = [p for p in dialect.user_defined.pieces if can_occur(p)]
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
    assert core is not None
    return core.Encoder(
        *in_valid_text(mergeable(dialect)),
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
