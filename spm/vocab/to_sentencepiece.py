"""Vocab -> a sentencepiece `.model`: what `vocab_from_sentencepiece`, and others, read again.

Field numbers are those of sentencepiece's src/sentencepiece_model.proto.
"""

from __future__ import annotations

from typing import Final

from spm.errors import VocabError
from spm.vocab.protobuf import field
from spm.vocab.vocab import Family, Normalization, TokenType, Vocab

_MODEL_TYPES: Final = {Family.UNIGRAM: 1, Family.SPM: 2, Family.WORD: 3, Family.CHAR: 4}
_ROLE_FIELDS: Final = {"unk": 45, "bos": 46, "eos": 47, "pad": 48}  # the spelling of the piece


def model_bytes(vocab: Vocab) -> bytes:
    """A serialized `ModelProto`. Raises VocabError for what a `.model` cannot say."""
    if vocab.pipeline is not None:
        raise VocabError(f"{vocab.source}: a tokenizer.json, whose steps no .model holds")
    if vocab.family not in _MODEL_TYPES:
        raise VocabError(
            f"{vocab.source}: the vocabulary is {vocab.family.value}, which no .model holds,"
            f" expected {' or '.join(family.value for family in _MODEL_TYPES)}"
        )
    if vocab.lacks or vocab.normalization is None:
        raise VocabError(
            f"{vocab.source}: {vocab.lacks} is missing, so sentencepiece's normaliser is unknown;"
            " expected the key"
        )
    rows = zip(vocab.pieces, vocab.scores.tolist(), vocab.types)
    pieces = b"".join(field(1, _piece(*row)) for row in rows)
    rules = field(2, _trainer(vocab, vocab.normalization)) + field(3, _rules(vocab.normalization))
    back = field(5, _rules(vocab.denormalization)) if vocab.denormalization else b""
    return pieces + rules + back


def _piece(text: bytes, score: float, kind: TokenType) -> bytes:
    return field(1, text) + field(2, float(score)) + field(3, int(kind))


def _trainer(vocab: Vocab, rules: Normalization) -> bytes:
    spelled = {role: vocab.pieces[i] for role, i in vocab.special_ids.items()}
    roles = (field(n, spelled[role]) for role, n in _ROLE_FIELDS.items() if role in spelled)
    return (
        field(3, _MODEL_TYPES[vocab.family])
        + field(24, rules.treat_whitespace_as_suffix)
        + field(35, vocab.byte_fallback)
        + field(44, vocab.unk_surface)
        + b"".join(roles)
    )


def _rules(rules: Normalization) -> bytes:
    return (
        (field(2, rules.charsmap) if rules.charsmap else b"")
        + field(3, rules.add_dummy_prefix)
        + field(4, rules.remove_extra_whitespaces)
        + field(5, rules.escape_whitespaces)
    )
