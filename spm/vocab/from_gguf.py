"""GGUF metadata -> Vocab, as the file tells it.

Keys are those of the GGUF specification, defaults those of llama.cpp for `tokenizer.ggml.model`
(src/llama-vocab.cpp, `llama_vocab::impl::load`): without scores all are 0, without token
types all are NORMAL.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from spm.errors import VocabError, one_line
from spm.gguf import GGUF, StringArray, ValueType
from spm.vocab.llama_cpp import DEFAULTS, Defaults, as_c_strings, name_rule
from spm.vocab.pretokenizers import PRE_TOKENIZERS
from spm.vocab.vocab import Family, Normalization, TokenType, Vocab, token_types

_NO_ID: Final = 0xFFFFFFFF  # a converter's -1, "there is none"; llama.cpp takes its default instead
_SENTENCEPIECE_NEEDS: Final = (
    "scores",
    "token_type",
    "add_space_prefix",
    "remove_extra_whitespaces",
)
_ROLES: Final = {  # key -> role; the last three keys are old names
    "bos_token_id": "bos",
    "eos_token_id": "eos",
    "unknown_token_id": "unk",
    "seperator_token_id": "sep",
    "padding_token_id": "pad",
    "mask_token_id": "mask",
    "eot_token_id": "eot",
    "eom_token_id": "eom",
    "fim_pre_token_id": "fim_pre",
    "fim_suf_token_id": "fim_suf",
    "fim_mid_token_id": "fim_mid",
    "fim_pad_token_id": "fim_pad",
    "fim_rep_token_id": "fim_rep",
    "fim_sep_token_id": "fim_sep",
    "prefix_token_id": "fim_pre",
    "suffix_token_id": "fim_suf",
    "middle_token_id": "fim_mid",
}
KEY_OF_ROLE: Final = {role: key for key, role in reversed(_ROLES.items())}  # the first of them


def vocab_from_gguf(gguf: GGUF) -> Vocab:
    """Read the vocabulary of an open file.

    Raises VocabError naming the key if one is missing, of another type, or contradicts another, or
    if its family is not known.
    """
    keys = _Keys(gguf)
    model = keys.text("model")
    if model not in DEFAULTS:
        expected = " or ".join(map(repr, DEFAULTS))
        raise VocabError(f"{keys.where('model')} is '{one_line(model)}', expected {expected}")
    defaults = DEFAULTS[model]
    pre, merges = _pre_and_merges(keys, model) if defaults.family == Family.BPE else ("", ())
    if pre:
        defaults = defaults.with_pre(PRE_TOKENIZERS[pre])
    pieces = as_c_strings(keys.strings("tokens"))
    types = _types(keys, len(pieces))
    lacks = next((key for key in _SENTENCEPIECE_NEEDS if not keys.has(key)), "")
    special_ids = _special_ids(keys, defaults, len(pieces))
    normalization = _normalization(keys, defaults)  # in any case: its keys are checked
    lowercase = keys.flag("normalizer.lowercase", True)
    return Vocab(
        source=keys.source,
        pieces=pieces,
        scores=_scores(keys, len(pieces)),
        types=types,
        special_ids=special_ids,
        eog_ids=frozenset(i for role, i in special_ids.items() if role == "eos"),
        add_bos=keys.flag("add_bos_token", defaults.add_bos) or defaults.must_bos,
        add_eos=keys.flag("add_eos_token", defaults.add_eos),
        add_space_prefix=keys.flag("add_space_prefix", defaults.add_space_prefix),
        family=defaults.family,
        pre=pre,
        merges=merges,
        lowercase=lowercase,
        strip_accents=keys.flag("normalizer.strip_accents", lowercase),
        name_rule=name_rule(*keys.names()),
        normalization=normalization if defaults.family == Family.UNIGRAM or not lacks else None,
        lacks=lacks and f"tokenizer.ggml.{lacks}",
        byte_fallback=TokenType.BYTE in types,
    )


class _Keys:
    """The `tokenizer.ggml.*` keys of one file, each read as the type that it must have."""

    def __init__(self, gguf: GGUF) -> None:
        self.gguf = gguf
        self.source = one_line(gguf.path)

    def where(self, key: str) -> str:
        return f"{self.source}: tokenizer.ggml.{key}"

    def has(self, key: str) -> bool:
        return f"tokenizer.ggml.{key}" in self.gguf.metadata

    def text(self, key: str) -> str:
        return str(self._value(key, ValueType.STRING))

    def flag(self, key: str, default: bool) -> bool:
        return bool(self._value(key, ValueType.BOOL)) if self.has(key) else default

    def id(self, key: str) -> int | None:
        return int(self._value(key, ValueType.UINT32)) if self.has(key) else None  # type: ignore[call-overload]

    def strings(self, key: str) -> list[bytes]:
        value = self._array(key, ValueType.STRING)
        assert isinstance(value, StringArray)
        return value.to_list()

    def numbers(self, key: str, *kinds: ValueType) -> NDArray[np.generic]:
        return np.asarray(self._array(key, *kinds))

    def names(self) -> Iterator[str]:
        """The name of the model, of its pre-tokenizer, of its architecture; "" where not given."""
        for key in ("general.name", "tokenizer.ggml.pre", "general.architecture"):
            found = self.gguf.value_type(key) if key in self.gguf.metadata else None
            if found not in (None, ValueType.STRING):
                raise VocabError(f"{self.source}: {key} is {found.name}, expected STRING")
            yield str(self.gguf.metadata.get(key, ""))

    def _array(self, key: str, *kinds: ValueType) -> object:
        value = self._value(key, ValueType.ARRAY)
        found = self.gguf.element_type(f"tokenizer.ggml.{key}")
        if found not in kinds:
            expected = " or ".join(kind.name for kind in kinds)
            raise VocabError(
                f"{self.where(key)} is an array of {found.name}, expected of {expected}"
            )
        return value

    def _value(self, key: str, kind: ValueType) -> object:
        if not self.has(key):
            raise VocabError(f"{self.where(key)} is missing, expected {kind.name}")
        found = self.gguf.value_type(f"tokenizer.ggml.{key}")
        if found != kind:
            raise VocabError(f"{self.where(key)} is {found.name}, expected {kind.name}")
        return self.gguf.metadata[f"tokenizer.ggml.{key}"]


def _pre_and_merges(keys: _Keys, model: str) -> tuple[str, tuple[bytes, ...]]:
    """The name of the pre-tokenizer, and the merges; llama.cpp reads these as C strings, too."""
    pre = "gemma4" if model == "gemma4" else (keys.text("pre") if keys.has("pre") else "")
    pre = pre or "default"
    if pre not in PRE_TOKENIZERS:
        raise VocabError(
            f"{keys.where('pre')} is '{one_line(pre)}', expected a name of llama.cpp's"
        )
    if pre == "kimi-k2" and not keys.has("merges"):
        return pre, ()
    merges = keys.strings("merges")
    if b"\0" in b"".join(merges):  # one look at all: there may be half a million
        merges = [merge.partition(b"\0")[0] for merge in merges]
    return pre, tuple(merges)


def _scores(keys: _Keys, n: int) -> NDArray[np.float32]:
    if not keys.has("scores"):
        return np.zeros(n, np.float32)
    scores = keys.numbers("scores", ValueType.FLOAT32, ValueType.INT32)
    _expect_length(keys, "scores", len(scores), n)
    return scores[:n].astype(np.float32)


def _types(keys: _Keys, n: int) -> tuple[TokenType, ...]:
    if not keys.has("token_type"):
        return (TokenType.NORMAL,) * n
    types = keys.numbers("token_type", ValueType.INT32)
    _expect_length(keys, "token_type", len(types), n)
    numbers = types[:n].astype(np.int32)
    wrong = np.flatnonzero((numbers < min(TokenType)) | (numbers > max(TokenType)))
    if len(wrong):
        where = f"{keys.where('token_type')}: id {wrong[0]}"
        raise VocabError(f"{where} has type {numbers[wrong[0]]}, expected 1 to 6")
    return token_types(numbers)


def _expect_length(keys: _Keys, key: str, found: int, n: int) -> None:
    """Longer than needed is what llama.cpp accepts; shorter is memory that is not there."""
    if found < n:
        raise VocabError(
            f"{keys.where(key)} has {found} elements, expected {n}, one for each piece"
        )


def _special_ids(keys: _Keys, defaults: Defaults, n: int) -> dict[str, int]:
    ids = dict(defaults.special_ids)
    for key, role in _ROLES.items():
        value = keys.id(key)
        if value is None or value == _NO_ID:
            continue
        if value >= n:
            raise VocabError(f"{keys.where(key)} is {value}, expected 0 to {n - 1}")
        ids[role] = value
    for role, value in defaults.special_ids.items():
        if ids[role] >= n and role in ("pad", "mask"):
            del ids[role]  # nothing rests on these, and llama.cpp does without
        elif ids[role] >= n:
            raise VocabError(
                f"{keys.where(KEY_OF_ROLE[role])} is missing and its default {value} is outside"
                f" the vocabulary, expected 0 to {n - 1}"
            )
    return ids


def _normalization(keys: _Keys, defaults: Defaults) -> Normalization:
    """What a GGUF tells of sentencepiece's normaliser.

    It has no key for suffix mode, escaping and the denormaliser: the trainer's defaults are taken.
    """
    charsmap = b""
    if keys.has("precompiled_charsmap"):
        kinds = (ValueType.UINT8, ValueType.INT8)
        charsmap = keys.numbers("precompiled_charsmap", *kinds).tobytes()
        if defaults.family == Family.UNIGRAM and len(charsmap) < 4:
            where = keys.where("precompiled_charsmap")
            raise VocabError(f"{where} has {len(charsmap)} bytes, expected the size of a trie")
    return Normalization(
        charsmap=charsmap,
        add_dummy_prefix=keys.flag("add_space_prefix", defaults.add_space_prefix),
        remove_extra_whitespaces=keys.flag("remove_extra_whitespaces", False),
    )
