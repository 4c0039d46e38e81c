"""GGUF metadata -> LlamaConfig: every number the network needs, read from `llama.*` keys alone.

Nothing is taken from a file's name, and nothing is guessed. Which keys exist, their types, their
defaults and the limits on them are those of llama.cpp (`llama_model_base::load_hparams` in
src/llama-model.cpp and src/models/llama.cpp). What it would compute and this package does not
(YaRN, LongRoPE, experts) is an error that names the key, so that a wrong answer can never look like
a right one. The tensors' shapes are checked against the result in weights.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from spm.errors import ModelError, brief, one_line
from spm.gguf import GGUF, StringArray, ValueType

ARCHITECTURE = "llama"
MAX_LAYERS = 512  # LLAMA_MAX_LAYERS in llama.cpp's src/llama-hparams.h


@dataclass(frozen=True)
class LlamaConfig:
    """The shape of a Llama, in the names of docs/glossary.md.

    `rope_scale` multiplies every rotation angle: 1 / `rope.scaling.factor` where scaling is linear.
    """

    n_layers: int
    dim: int  # D
    hidden_dim: int  # F
    n_heads: int  # H
    n_kv_heads: int  # K
    head_dim: int
    vocab_size: int  # V
    max_seq_len: int
    rope_theta: float
    rope_scale: float
    norm_eps: float


def read_config(gguf: GGUF) -> LlamaConfig:
    """The configuration in `gguf`'s metadata; ModelError names the first key that is wrong."""
    found = _get(gguf, "general.architecture", ValueType.STRING)
    if found != ARCHITECTURE:
        raise _wrong(gguf, "general.architecture", found, repr(ARCHITECTURE))
    _refuse_what_is_not_computed(gguf)
    dim = _count(gguf, "llama.embedding_length")
    n_heads = _count(gguf, "llama.attention.head_count")
    return LlamaConfig(
        n_layers=_count(gguf, "llama.block_count", most=MAX_LAYERS),
        dim=dim,
        hidden_dim=_count(gguf, "llama.feed_forward_length"),
        n_heads=n_heads,
        n_kv_heads=_kv_heads(gguf, n_heads),
        head_dim=_head_dim(gguf, dim, n_heads),
        vocab_size=_vocab_size(gguf),
        max_seq_len=_count(gguf, "llama.context_length"),
        rope_theta=_positive(gguf, "llama.rope.freq_base", 10000.0),
        rope_scale=_rope_scale(gguf),
        norm_eps=_positive(gguf, "llama.attention.layer_norm_rms_epsilon"),
    )


def _refuse_what_is_not_computed(gguf: GGUF) -> None:
    """Keys that change llama.cpp's graph for this architecture, at any value but the inert one."""
    inert: list[tuple[str, ValueType, object]] = [
        ("llama.expert_count", ValueType.UINT32, 0),
        ("llama.nextn_predict_layers", ValueType.UINT32, 0),
        ("llama.attention.causal", ValueType.BOOL, True),
        ("llama.rope.scaling.attn_factor", ValueType.FLOAT32, 1.0),
    ]
    for key, kind, value in inert:
        found = _get(gguf, key, kind, value)
        if found != value:
            raise _wrong(gguf, key, found, f"{value!r}: anything else is not supported")
    # llama.cpp attends past a window that a file of this architecture announces. Where the window
    # is shorter than the context, that is not what the model was trained for: refuse to choose.
    key = "llama.attention.sliding_window"
    window, context = _int(gguf, key, 0), _int(gguf, "llama.context_length", 0)
    if 0 < window < context:
        raise _wrong(gguf, key, window, f"no window, or one of at least the context's {context}")


def _kv_heads(gguf: GGUF, n_heads: int) -> int:
    key = "llama.attention.head_count_kv"
    n_kv_heads = _count(gguf, key, n_heads, most=n_heads)
    if n_heads % n_kv_heads:
        raise _wrong(gguf, key, n_kv_heads, f"a divisor of the {n_heads} heads")
    return n_kv_heads


def _head_dim(gguf: GGUF, dim: int, n_heads: int) -> int:
    """Keys, values and rotation span the whole head: llama.cpp's graph asserts that they agree."""
    head_dim = _count(gguf, "llama.attention.key_length", dim // n_heads)
    if head_dim == 0 or head_dim % 2:
        raise _wrong(gguf, "llama.attention.key_length", head_dim, "an even number above 0")
    for key, default in (
        ("llama.attention.value_length", dim // n_heads),
        ("llama.rope.dimension_count", head_dim),
    ):
        if (found := _count(gguf, key, default)) != head_dim:
            raise _wrong(gguf, key, found, f"the head's {head_dim} dimensions")
    return head_dim


def _vocab_size(gguf: GGUF) -> int:
    """The number of pieces; `llama.vocab_size` speaks only for files without a vocabulary."""
    key = "tokenizer.ggml.tokens"
    if key not in gguf.metadata:
        return _count(gguf, "llama.vocab_size")
    pieces = gguf.metadata[key]
    if not isinstance(pieces, StringArray) or not len(pieces):
        raise ModelError(
            f"{one_line(gguf.path)}: {key}: found no pieces, expected an array of strings"
        )
    return len(pieces)


def _rope_scale(gguf: GGUF) -> float:
    """What linear scaling multiplies angles by. Llama 3's scaling is in `rope_freqs.weight`."""
    key = "llama.rope.scaling.type"
    kind = _get(gguf, key, ValueType.STRING, "linear")
    if kind not in ("none", "linear"):
        raise _wrong(gguf, key, kind, "'none' or 'linear'")
    key = "llama.rope.scaling.factor"
    if key not in gguf.metadata:
        key = "llama.rope.scale_linear"  # its name before llama.cpp learnt other kinds of scaling
    factor = _float(gguf, key, 0.0)
    if factor < 0 or not math.isfinite(factor):
        raise _wrong(gguf, key, factor, "a finite number, 0 or above")
    return 1.0 if kind == "none" or factor == 0.0 else 1.0 / factor


# Typed reading. A default of None makes a key obligatory.


def _count(gguf: GGUF, key: str, default: int | None = None, most: int = 2**31 - 1) -> int:
    value = _int(gguf, key, default)
    if key in gguf.metadata and not 1 <= value <= most:
        raise _wrong(gguf, key, value, f"1 to {most}")
    return value


def _positive(gguf: GGUF, key: str, default: float | None = None) -> float:
    value = _float(gguf, key, default)
    if not (value > 0 and math.isfinite(value)):
        raise _wrong(gguf, key, value, "a finite number above 0")
    return value


def _int(gguf: GGUF, key: str, default: int | None = None) -> int:
    value: int = _get(gguf, key, ValueType.UINT32, default)
    return value


def _float(gguf: GGUF, key: str, default: float | None = None) -> float:
    value: float = _get(gguf, key, ValueType.FLOAT32, default)
    return value


def _get(gguf: GGUF, key: str, kind: ValueType, default: Any = None) -> Any:
    """The value, of exactly the type `kind`: llama.cpp converts none (llama-model-loader.cpp)."""
    if key not in gguf.metadata:
        if default is None:
            raise ModelError(
                f"{one_line(gguf.path)}: {key}: found no such key, expected type {kind.name}"
            )
        return default
    if (found := gguf.value_type(key)) != kind:
        raise ModelError(
            f"{one_line(gguf.path)}: {key}: found type {found.name}, expected {kind.name}"
        )
    return gguf.metadata[key]


def _wrong(gguf: GGUF, key: str, found: object, expected: str) -> ModelError:
    return ModelError(f"{one_line(gguf.path)}: {key}: found {brief(found)}, expected {expected}")
