"""A vocabulary: what every id spells, how eagerly it merges, and what kind of piece it is.

A `Vocab` is data and nothing else. It is made once, by `vocab_from_gguf`,
`vocab_from_sentencepiece` or `vocab_from_hf`, checked while it is made, and never changes. Two
vocabularies are the same exactly if their fingerprints are.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from enum import Enum, IntEnum
from functools import cached_property
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from spm.errors import VocabError, quoted
from spm.vocab.pipeline import Pipeline

SPACE: Final = "\u2581".encode()  # ▁, which stands for U+0020 inside pieces


class Family(Enum):
    """How pieces are found in a text: the kinds of `tokenizer.ggml.model` and of `.model` files."""

    SPM = "SPM"  # merges by the score of what results
    BPE = "BPE"  # merges by the rank of a pair, inside of words
    UNIGRAM = "Unigram"  # the most probable row of pieces
    WORDPIECE = "WordPiece"  # the longest pieces of each word
    RWKV = "RWKV"  # the longest pieces of the text
    PLAMO2 = "PLaMo-2"  # the best row of pieces, found from the end
    WORD = "WORD"  # what stands between spaces
    CHAR = "CHAR"  # characters


class TokenType(IntEnum):
    """What a piece is, by the numbers of `tokenizer.ggml.token_type` and of sentencepiece."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


# model_interface.cc, `reserved_id_map_`: the types that no text becomes by itself
_RESERVED: Final = (TokenType.CONTROL, TokenType.UNKNOWN, TokenType.BYTE)
TOKEN_TYPES: Final = {int(kind): kind for kind in TokenType}
_BY_NUMBER: Final = np.array([None, *TokenType], object)


def token_types(numbers: NDArray[np.integer]) -> tuple[TokenType, ...]:
    """Numbers, of which every one is a token type's, as TokenTypes."""
    return tuple(_BY_NUMBER[numbers].tolist())


@dataclass(frozen=True)
class Normalization:
    """How sentencepiece rewrites a text before it merges: `NormalizerSpec`, suffix mode."""

    charsmap: bytes = b""  # precompiled_charsmap: a trie and its replacements; empty: identity
    add_dummy_prefix: bool = True
    remove_extra_whitespaces: bool = True
    escape_whitespaces: bool = True
    treat_whitespace_as_suffix: bool = False

    @property
    def only_spaces_change(self) -> bool:
        """Whether all it does is to write ▁ for each space, and one in front."""
        more = self.charsmap or self.remove_extra_whitespaces or self.treat_whitespace_as_suffix
        return self.escape_whitespaces and not more


@dataclass(frozen=True, eq=False, repr=False)
class Vocab:
    """Pieces, scores and types by id, the ids with a role, and the flags that change ids.

    `scores` is float32 (V,), read-only. `pieces` are bytes because a piece may be any bytes.
    `special_ids` maps a role (bos, eos, unk, pad, eot, ...) to an id; a role that nobody has is
    absent. `normalization` is None where the source does not tell how sentencepiece would
    normalise; `lacks` then names the missing key.
    """

    source: str  # the file, for messages
    pieces: tuple[bytes, ...]
    scores: NDArray[np.float32]
    types: tuple[TokenType, ...]
    special_ids: Mapping[str, int]
    add_bos: bool
    add_eos: bool
    add_space_prefix: bool
    family: Family = Family.SPM
    pre: str = ""  # BPE: the name of the rules by which a text is parted into words
    merges: tuple[bytes, ...] = ()  # BPE: b"left right", the best first
    lowercase: bool = True  # WordPiece: whether a text is put into lower case
    strip_accents: bool = True  # WordPiece: and loses its accents
    name_rule: str = ""  # by which llama.cpp lets special pieces strip white space: llama_cpp.py
    types_in_file: tuple[TokenType, ...] = ()  # where llama.cpp changed some and asks for these too
    eog_ids: frozenset[int] = frozenset()  # any of these ends a generation
    lstrip_ids: frozenset[int] = frozenset()  # special pieces that eat the white space before them
    rstrip_ids: frozenset[int] = frozenset()  # and those that eat the white space after them
    normalization: Normalization | None = None
    denormalization: Normalization | None = None
    lacks: str = ""
    byte_fallback: bool = True
    unk_surface: bytes = " \u2047 ".encode()  # what sentencepiece decodes an unknown id to
    pipeline: Pipeline | None = None  # every step of a tokenizer.json
    piece_to_id: dict[bytes, int] = field(init=False)

    def __post_init__(self) -> None:
        piece_to_id = dict(zip(self.pieces, range(len(self.pieces))))
        if len(piece_to_id) < len(self.pieces):
            piece_to_id.update((self.pieces[i], i) for i in self.ids_of_type(*_RESERVED))
        scores = self.scores.copy()
        self.__setstate__({**vars(self), "scores": scores, "piece_to_id": piece_to_id})
        _check(self)

    def reread(self, **changes: object) -> Vocab:
        """The same pieces under other types, ids or flags: `replace`, without an index anew."""
        vocab = object.__new__(Vocab)
        vocab.__setstate__({**self.__getstate__(), **changes})
        _check(vocab)
        return vocab

    def __getstate__(self) -> dict[str, object]:
        fields = {name: vars(self)[name] for name in self.__dataclass_fields__}
        return {**fields, "special_ids": dict(self.special_ids)}

    def __setstate__(self, state: dict[str, object]) -> None:
        """Also for copies and pickles: nothing of a vocabulary can be changed."""
        vars(self).update(state)
        vars(self)["special_ids"] = MappingProxyType(dict(self.special_ids))
        self.scores.flags.writeable = False

    def __len__(self) -> int:
        return len(self.pieces)

    def __repr__(self) -> str:
        return f"Vocab({self.source!r}, {len(self)} pieces, {self.fingerprint[:12]})"

    @property
    def bos_id(self) -> int | None:
        """The id that begins a text, or None."""
        return self.special_ids.get("bos")

    @property
    def eos_id(self) -> int | None:
        """The id that ends a text, or None."""
        return self.special_ids.get("eos")

    @property
    def unk_id(self) -> int | None:
        """The id of what the vocabulary cannot spell, or None."""
        return self.special_ids.get("unk")

    @property
    def pad_id(self) -> int | None:
        """The id that fills up a batch, or None."""
        return self.special_ids.get("pad")

    @cached_property
    def type_numbers(self) -> NDArray[np.uint8]:
        """The types by id as an array, (V,), read-only."""
        return np.frombuffer(bytes(self.types), np.uint8)

    def ids_of_type(self, *types: TokenType) -> list[int]:
        """The ids of the pieces of some types, in order."""
        ids: list[int] = np.flatnonzero(np.isin(self.type_numbers, types)).tolist()
        return ids

    @cached_property
    def fingerprint(self) -> str:
        """The sha256, in hex, over everything that can change an id or a text: all but `source`."""
        digest = hashlib.sha256(b"spm vocabulary 1\n")
        for piece in self.pieces:
            digest.update(len(piece).to_bytes(8, "little") + piece)
        for merge in self.merges:
            digest.update(len(merge).to_bytes(8, "little") + merge)
        digest.update(self.scores.astype("<f4").tobytes() + self.type_numbers.tobytes())
        digest.update(repr(self._rules()).encode())
        return digest.hexdigest()

    def _rules(self) -> tuple[object, ...]:
        sets = (self.eog_ids, self.lstrip_ids, self.rstrip_ids)
        ids = (sorted(self.special_ids.items()), *map(sorted, sets), self.name_rule)
        flags = (self.add_bos, self.add_eos, self.add_space_prefix, self.byte_fallback)
        family = () if self.family == Family.SPM else (self.family.value, self.pre)
        words = (self.lowercase, self.strip_accents) if self.family == Family.WORDPIECE else ()
        rules = [spec and astuple(spec) for spec in (self.normalization, self.denormalization)]
        told = map(int, self.types_in_file)
        steps = () if self.pipeline is None else (self.pipeline.digest,)
        return (*ids, *flags, *rules, self.unk_surface, *family, *words, *told, *steps)


def byte_piece(byte: int) -> bytes:
    """The piece that stands for one raw byte: 10 -> b'<0x0A>'."""
    return b"<0x%02X>" % byte


BYTE_OF_PIECE: Final = {byte_piece(b): b for b in range(256)}  # bytes -> int


def _check(vocab: Vocab) -> None:
    """What both oracles refuse, or would crash on."""
    n = len(vocab.pieces)
    if n == 0:
        raise VocabError(f"{vocab.source}: the vocabulary has 0 pieces, expected at least 1")
    if len(vocab.piece_to_id) < n:
        check_duplicates(vocab, vocab.family in (Family.UNIGRAM, Family.WORD, Family.CHAR))
    for i in vocab.ids_of_type(TokenType.BYTE):
        piece = vocab.pieces[i]
        if piece not in BYTE_OF_PIECE:
            raise VocabError(
                f"{vocab.source}: id {vocab.piece_to_id[piece]} has type BYTE and piece"
                f" {quoted(piece)}, expected <0x00> to <0xFF>"
            )
    for role, i in vocab.special_ids.items():
        if not 0 <= i < n:
            raise VocabError(f"{vocab.source}: the {role} id is {i}, expected 0 to {n - 1}")
    for role, wanted in (("bos", vocab.add_bos), ("eos", vocab.add_eos)):
        if wanted and role not in vocab.special_ids and vocab.family != Family.RWKV:
            raise VocabError(
                f"{vocab.source}: add_{role}_token is true, but there is no {role} id, expected one"
            )


def check_duplicates(vocab: Vocab, apart: bool) -> None:
    """Raise VocabError if two pieces are spelled the same.

    With `apart` a reserved piece may be spelled like one that a text becomes: nothing takes the one
    for the other (model_interface.cc, `use_reserved_id_map`).
    """
    unused_nul = (b"\0", TokenType.UNUSED)  # sentencepiece steps over these, however many
    seen = Counter(
        (piece, apart and kind in _RESERVED)
        for piece, kind in zip(vocab.pieces, vocab.types)
        if (piece, kind) != unused_nul
    )
    (piece, _), count = seen.most_common(1)[0] if seen else ((b"", False), 0)
    if count > 1:
        first = vocab.pieces.index(piece)
        raise VocabError(
            f"{vocab.source}: piece {quoted(piece)} stands {count} times (first at id {first}),"
            " expected every piece once"
        )
