"""The seam to the compiled core: what a dialect hands over, once, so that the core does all of it.

Some vocabularies stay with the specification, and `fast_encoder` is None for them: families that do
not merge, but for sentencepiece's Unigram with scores below 1e30; pre-tokenizers that are not made
of the core's stages (word_stages.py); spaces that are not written ▁; user-defined pieces that are
not well-formed UTF-8 (they could stand inside a character); more than two million pieces, or for
Unigram so many different characters that eight million slots of a trie are too few. A text that
comes out as UNUSED pieces stays with it as well: how those are taken apart depends on all that was
considered before.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterable
from functools import cached_property
from typing import Any, Final, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from spm.errors import DoubleBOSWarning, EncodeError, VocabError
from spm.native import announce_missing, core
from spm.text.bpe import Bpe
from spm.text.clean_spaces import clean
from spm.text.dialect import Dialect
from spm.text.dialect_llama_cpp import LlamaCpp
from spm.text.dialect_sentencepiece import SentencePiece
from spm.text.ids import checked_ids
from spm.text.mergeable import Mergeable, can_occur, in_valid_text, mergeable
from spm.text.stream import CharacterDecoder
from spm.text.unigram import Standing, UnigramSentencePiece
from spm.text.utf8 import REPLACEMENT, is_utf8
from spm.text.word_stages import stages_of
from spm.vocab import SPACE, Family, Vocab
from spm.vocab.vocab import byte_piece

CACHE_BYTES: Final = 64 << 20  # that a tokenizer keeps from text to text
MAX_PIECES: Final = 2_000_000
MAX_SCORE: Final = 1e30  # of a Unigram piece; sums of such scores stay finite

Ids = NDArray[np.int32]

_READABLE: Final = (np.dtype(np.int32), np.dtype(np.int64))  # the ids that the core decodes


def fast_encoder(dialect: Dialect, cache_bytes: int = CACHE_BYTES) -> Any | None:
    """The core's encoder for a dialect, or None where the specification does it."""
    if core is None:
        announce_missing()
        return None
    if len(dialect.vocab) > MAX_PIECES:
        return None
    if isinstance(dialect, LlamaCpp) and isinstance(dialect.encoding, Bpe):
        return _bpe(dialect, dialect.encoding, cache_bytes)
    if isinstance(dialect, SentencePiece) and not _is_plain(dialect):
        return None
    if isinstance(dialect, SentencePiece) and isinstance(
        dialect.segmentation, UnigramSentencePiece
    ):
        return _unigram(dialect, dialect.segmentation.standing, cache_bytes)
    if dialect.score_merging is None:
        return None
    found = mergeable(dialect.score_merging)
    if isinstance(dialect, LlamaCpp):
        return _llama_cpp(dialect, found, cache_bytes)
    assert isinstance(dialect, SentencePiece)
    return _sentencepiece(dialect, found, cache_bytes)


def _is_plain(dialect: SentencePiece) -> bool:
    whole = dialect.user_defined.pieces
    return dialect.rules.escape_whitespaces and all(is_utf8(piece) for piece in whole)


def _llama_cpp(dialect: LlamaCpp, found: Mergeable, cache_bytes: int) -> Any:
    """Any bytes are a text, and special pieces are cut out of it."""
    vocab = dialect.vocab
    known = vocab.piece_to_id
    byte_ids = [known.get(byte_piece(b), known.get(bytes([b]), -1)) for b in range(256)]
    return _encoder(
        dialect,
        found,
        cache_bytes,
        user_defined=[],
        byte_ids=byte_ids,
        unknown_id=-1,
        rules=_verbatim(dialect, prefix=vocab.add_space_prefix, respells=False),
    )


def _bpe(dialect: LlamaCpp, encoding: Bpe, cache_bytes: int) -> Any | None:
    """Words of bytes, or lines of characters that the cut lemma parts."""
    vocab, pre = dialect.vocab, encoding.pre
    stages = stages_of(pre.patterns) if pre.byte_level else None
    if stages is None and not pre.escape_whitespaces:
        return None
    assert core is not None
    return core.Encoder.ranked(
        vocab.pieces,
        vocab.merges,
        bytes=pre.byte_level,
        whole_words=pre.ignore_merges,
        whole_newlines=pre.whole_newlines,
        byte_ids=np.array([vocab.piece_to_id.get(byte_piece(b), -1) for b in range(256)], np.int32),
        words=stages,
        common=_common(dialect, cache_bytes) | _verbatim(dialect, prefix=False, respells=True),
    )


def _sentencepiece(dialect: SentencePiece, found: Mergeable, cache_bytes: int) -> Any:
    """A text is normalised to valid UTF-8, and user-defined pieces are found while it merges."""
    known = dialect.vocab.piece_to_id
    return _encoder(
        dialect,
        in_valid_text(found),
        cache_bytes,
        user_defined=[(p, known[p]) for p in dialect.user_defined.pieces if can_occur(p)],
        **_unknown(dialect),
        rules=_normalizing(dialect),
    )


def _unigram(dialect: SentencePiece, standing: Standing, cache_bytes: int) -> Any | None:
    """A text is normalised to valid UTF-8; user-defined pieces win by what they score."""
    pieces = dialect.vocab.pieces
    ids = [i for i in standing.ids if can_occur(pieces[i])]
    scores = standing.scores[ids]
    if np.abs([*scores, standing.unknown_score]).max() > MAX_SCORE:
        return None
    assert core is not None
    unknown = _unknown(dialect)
    return core.Encoder.unigram(
        [pieces[i] for i in ids],
        scores,
        np.array(ids, np.int32),
        standing.unknown_score,
        unknown_id=unknown["unknown_id"],
        byte_ids=np.array(unknown["byte_ids"], np.int32),
        common=_common(dialect, cache_bytes) | _normalizing(dialect),
    )


def _unknown(dialect: SentencePiece) -> dict[str, Any]:
    """How what is no piece is spelled: by its bytes, or as UNKNOWN."""
    unknown_id = -1 if dialect.vocab.byte_fallback else dialect.vocab.special_ids["unk"]
    return {"byte_ids": dialect.byte_ids or [-1] * 256, "unknown_id": unknown_id}


def _verbatim(dialect: LlamaCpp, *, prefix: bool, respells: bool) -> dict[str, Any]:
    """Texts are taken as they are, and special pieces are cut out of them."""
    return {
        "prefix": prefix,
        "replaces_malformed": False,
        "specials": list(dialect.specials[False]),
        "all_specials": list(dialect.specials[True]),
        "normalizer": None,
        "normalizes": False,
        "respells": respells,
    }


def _normalizing(dialect: SentencePiece) -> dict[str, Any]:
    """Texts are normalised; none of their pieces is special."""
    rules, whole = dialect.rules, dialect.user_defined.pieces
    # A piece with one of these may be found in the text as typed and, elsewhere, as normalised.
    rewritten = (b" ", SPACE, REPLACEMENT)
    found_twice = any(char in p for p in whole for char in rewritten)
    normalizer = (
        rules.add_dummy_prefix,
        rules.remove_extra_whitespaces,
        rules.treat_whitespace_as_suffix,
        whole,
        rules.charsmap,
    )
    return {
        "prefix": rules.add_dummy_prefix,
        "replaces_malformed": True,
        "specials": [],
        "all_specials": [],
        "normalizer": normalizer if found_twice or not rules.only_spaces_change else None,
        "normalizes": not rules.only_spaces_change,
        "respells": False,
    }


def _encoder(
    dialect: Dialect,
    found: Mergeable,
    cache_bytes: int,
    *,
    user_defined: list[tuple[bytes, int]],
    byte_ids: list[int],
    unknown_id: int,
    rules: dict[str, Any],
) -> Any:
    vocab, merging = dialect.vocab, dialect.score_merging
    assert merging is not None
    unused = [vocab.piece_to_id[p] for p in merging.taken_apart]
    nowhere = [vocab.piece_to_id[p] for p in merging.unused if p not in merging.taken_apart]
    found = found._replace(
        ids=np.where(np.isin(found.ids, nowhere), -1, found.ids).astype(np.int32)
    )
    assert core is not None
    return core.Encoder(
        *found,
        user_defined=user_defined,
        unused=np.array(unused, np.int32),
        byte_ids=np.array(byte_ids, np.int32),
        unknown_id=unknown_id,
        common=_common(dialect, cache_bytes) | rules,
    )


def _common(dialect: Dialect, cache_bytes: int) -> dict[str, Any]:
    """What every encoder of the core is told, with `_verbatim` or `_normalizing`."""
    return {
        "bos": next(iter(dialect.before), -1),
        "eos": next(iter(dialect.behind), -1),
        "seed": secrets.randbits(64),
        "isa": _isa(),
        "memory": cache_bytes,
        "pick_threads": pick_threads,
        "encode_error": EncodeError,
        "double_bos_warning": DoubleBOSWarning,
        "source": dialect.vocab.source,
        "remake": (fast_encoder, (dialect, cache_bytes)),
    }


def pick_threads() -> int:
    """As many as there are cores for this process; one in a worker of multiprocessing.

    There the other cores are busy with other workers.
    """
    process = sys.modules.get("multiprocessing.process")
    if process is not None and process.parent_process() is not None:
        return 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _isa() -> int:
    """The best instruction set that there is, or the one that SPM_ISA names."""
    assert core is not None
    wanted = os.environ.get("SPM_ISA")
    if wanted is None:
        return next(i for i in range(len(core.ISAS)) if core.supports(i))
    if wanted not in core.ISAS or not core.supports(core.ISAS.index(wanted)):
        there = [name for i, name in enumerate(core.ISAS) if core.supports(i)]
        raise VocabError(f"SPM_ISA is {wanted!r}, expected {' or '.join(there)} on this machine")
    return int(core.ISAS.index(wanted))


# ---- ids -> text


_SHOWN_AS_THEY_PLEASE: Final = (Family.RWKV, Family.PLAMO2)


def fast_decoder(dialect: Dialect) -> FastDecoder | None:
    """The core's decoder for a dialect, or None where there is no core or it knows too little.

    Two small families write their pieces in ways of their own, and stay with the specification. So
    do vocabularies with a denormaliser, which rewrites the whole of a text, and those whose UNKNOWN
    shows nothing, of which the core could not tell if it lost a space.
    """
    if core is None:
        return None
    if isinstance(dialect, LlamaCpp) and dialect.vocab.family not in _SHOWN_AS_THEY_PLEASE:
        return FastDecoder(
            dialect.vocab, _rules_of_llama_cpp(dialect), dialect.encoding.cleans_spaces
        )
    if not isinstance(dialect, SentencePiece):
        return None
    if dialect.denormalizer is not None or not dialect.vocab.unk_surface:
        return None
    return FastDecoder(dialect.vocab, _rules_of_sentencepiece(dialect))


def _rules_of_llama_cpp(dialect: LlamaCpp) -> dict[str, Any]:
    vocab, encoding = dialect.vocab, dialect.encoding
    return {
        "sentencepiece": False,
        "byte_level": isinstance(encoding, Bpe) and not encoding.pre.escape_whitespaces,
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
        "byte_level": False,
        "strip_space": rules.add_dummy_prefix or rules.remove_extra_whitespaces,
        "strip_spaces": rules.remove_extra_whitespaces,
        "bos_id": -1,
        "eos_id": -1,
        "unknown": dialect.vocab.unk_surface,
    }


class FastDecoder:
    """Ids -> text in the core, equal to the specification. Any number of threads may use it."""

    def __init__(self, vocab: Vocab, rules: dict[str, Any], cleans_spaces: bool = False) -> None:
        self.vocab = vocab
        self.rules = rules
        self.cleans_spaces = cleans_spaces

    @cached_property
    def core(self) -> Any:
        """The tables, made when they are first needed; if two threads make them, both are right."""
        assert core is not None
        return core.Decoder(self.vocab.pieces, bytes(self.vocab.types), **self.rules)

    def decode(self, ids: Iterable[SupportsIndex], skip_special: bool) -> str:
        """The text of ids, with U+FFFD for what is not UTF-8. Raises DecodeError for a bad id."""
        if self.cleans_spaces:
            return self.decode_bytes(ids, skip_special).decode("utf-8", "replace")
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
        return clean(text) if self.cleans_spaces else text

    def stream(self, skip_special: bool) -> CharacterDecoder | None:
        """A decoder for ids that come one by one; None if the specification has to clean."""
        if self.cleans_spaces:
            return None
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
