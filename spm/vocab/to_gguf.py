"""Vocab -> GGUF metadata: what `vocab_from_gguf`, and llama.cpp, read the same vocabulary from.

Keys that a file could leave to their defaults are written all the same: the next reader may have
other defaults.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from spm.errors import VocabError
from spm.gguf import MetadataValue
from spm.vocab.from_gguf import KEY_OF_ROLE
from spm.vocab.vocab import Family, Normalization, Vocab

_MODELS: Final = {
    Family.SPM: "llama",
    Family.BPE: "gpt2",
    Family.UNIGRAM: "t5",
    Family.WORDPIECE: "bert",
    Family.RWKV: "rwkv",
    Family.PLAMO2: "plamo2",
}
_NAMES: Final = {  # name rule -> the keys by which llama.cpp knows it
    "": {},
    "phi-3": {"general.name": "phi-3"},
    "[MASK]": {"general.name": "modern-bert"},
    "<mask>": {"general.architecture": "nomic-bert-moe"},
}


def gguf_metadata(vocab: Vocab) -> dict[str, MetadataValue]:
    """The metadata of a file that holds this vocabulary and nothing else.

    Raises VocabError for what GGUF has no key for.
    """
    if vocab.pipeline is not None:
        raise VocabError(f"{vocab.source}: a tokenizer.json, for whose steps GGUF has no keys")
    if vocab.family not in _MODELS:
        raise VocabError(
            f"{vocab.source}: the vocabulary is {vocab.family.value}, for which GGUF has no name,"
            f" expected {' or '.join(family.value for family in _MODELS)}"
        )
    keys: dict[str, MetadataValue] = {
        "model": _MODELS[vocab.family],
        "tokens": list(vocab.pieces),
        "scores": vocab.scores,
        "token_type": np.array(vocab.types_in_file or vocab.types, np.int32),
        **{KEY_OF_ROLE[role]: i for role, i in vocab.special_ids.items()},
        "add_bos_token": vocab.add_bos,
        "add_eos_token": vocab.add_eos,
        "add_space_prefix": vocab.add_space_prefix,
    }
    if vocab.normalization is not None:
        keys |= _normalizer_keys(vocab, vocab.normalization)
    if vocab.family == Family.BPE:
        keys |= {"pre": vocab.pre, "merges": list(vocab.merges)}
    names = {"general.architecture": "llama", **_NAMES[vocab.name_rule]}
    return {**names, **{f"tokenizer.ggml.{key}": value for key, value in keys.items()}}


def _normalizer_keys(vocab: Vocab, rules: Normalization) -> dict[str, MetadataValue]:
    without_key = {
        "a denormaliser": vocab.denormalization is not None,
        "spaces that are not escaped": not rules.escape_whitespaces,
        "▁ behind words": rules.treat_whitespace_as_suffix,
    }
    for what, found in without_key.items():
        if found:
            raise VocabError(f"{vocab.source} has {what}, expected none: GGUF has no key for it")
    keys: dict[str, MetadataValue] = {
        "add_space_prefix": rules.add_dummy_prefix,
        "remove_extra_whitespaces": rules.remove_extra_whitespaces,
    }
    if rules.charsmap:
        keys["precompiled_charsmap"] = np.frombuffer(rules.charsmap, np.uint8)
    return keys
