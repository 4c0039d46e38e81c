"""Weights and a vocabulary -> a GGUF file of any type; and such a file -> another type.

Only `spm.gguf` writes here. Matrices become blocks of the type asked for; the norms' gains stay
F32, as in every GGUF: they are few, and everything passes through them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from spm.gguf import (
    GGUF,
    MetadataValue,
    Quantized,
    StringArray,
    TensorSource,
    TensorType,
    quantize,
    write_gguf,
)
from tools.tiny.shape import Shape

if TYPE_CHECKING:
    import sentencepiece

# general.file_type of a file whose matrices have one type (llama.h, enum llama_ftype).
FILE_TYPES = {
    TensorType.F32: 0,
    TensorType.F16: 1,
    TensorType.Q4_0: 2,
    TensorType.Q4_1: 3,
    TensorType.Q8_0: 7,
    TensorType.Q5_0: 8,
    TensorType.Q5_1: 9,
    TensorType.Q4_K: 14,
    TensorType.Q5_K: 16,
    TensorType.Q6_K: 18,
    TensorType.BF16: 32,
}
Metadata: TypeAlias = dict[str, Any]
Weights: TypeAlias = dict[str, NDArray[np.float32]]  # GGUF name -> row-major (out, in), or (n,)

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)  # tokenizer.ggml.token_type


def metadata(shape: Shape, pieces: sentencepiece.SentencePieceProcessor) -> Metadata:
    """Every key that llama.cpp and `spm` read, and who made the file."""
    rows = [piece_row(pieces, i) for i in range(pieces.get_piece_size())]
    return {
        "general.architecture": "llama",
        "general.name": "spm tiny stories",
        "general.description": "Short stories in simple English, from a grammar of our own",
        "general.license": "mit",
        "general.languages": ["en"],
        "general.quantization_version": 2,
        "llama.vocab_size": shape.vocab_size,
        "llama.context_length": shape.max_seq_len,
        "llama.embedding_length": shape.dim,
        "llama.block_count": shape.n_layers,
        "llama.feed_forward_length": shape.hidden_dim,
        "llama.attention.head_count": shape.n_heads,
        "llama.attention.head_count_kv": shape.n_kv_heads,
        "llama.attention.layer_norm_rms_epsilon": shape.norm_eps,
        "llama.rope.dimension_count": shape.head_dim,
        "llama.rope.freq_base": shape.rope_theta,
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": [piece for piece, _, _ in rows],
        "tokenizer.ggml.scores": np.array([score for _, score, _ in rows], np.float32),
        "tokenizer.ggml.token_type": np.array([kind for _, _, kind in rows], np.int32),
        "tokenizer.ggml.bos_token_id": pieces.bos_id(),
        "tokenizer.ggml.eos_token_id": pieces.eos_id(),
        "tokenizer.ggml.unknown_token_id": pieces.unk_id(),
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.ggml.add_eos_token": False,
        "tokenizer.ggml.add_space_prefix": True,
        "tokenizer.ggml.remove_extra_whitespaces": False,
    }


def piece_row(pieces: sentencepiece.SentencePieceProcessor, i: int) -> tuple[str, float, int]:
    """A piece, its score and its type, as the reference library has them."""
    if pieces.is_unknown(i):
        kind = UNKNOWN
    elif pieces.is_control(i):
        kind = CONTROL
    else:
        kind = BYTE if pieces.is_byte(i) else NORMAL
    return pieces.id_to_piece(i), pieces.get_score(i), kind


def vocabulary_fingerprint(rows: Iterable[tuple[str, float, int]]) -> str:
    """The sha256 over a line for each piece: the piece, its score, its type, between tabs."""
    lines = "".join(f"{piece}\t{float(score)!r}\t{int(kind)}\n" for piece, score, kind in rows)
    return hashlib.sha256(lines.encode()).hexdigest()


def write(path: Path, about: Metadata, weights: Weights, kind: TensorType) -> None:
    """Write the model with its matrices as `kind`."""
    tensors = {name: source(weight, kind) for name, weight in weights.items()}
    write_gguf(path, {**about, "general.file_type": FILE_TYPES[kind]}, tensors)


def source(weight: NDArray[np.float32], kind: TensorType) -> TensorSource:
    """A gain as it is, a matrix (out, in) in blocks along its rows."""
    if weight.ndim == 1:
        return weight
    return Quantized(kind, weight.shape, quantize(kind, weight))


def read(path: Path) -> tuple[Metadata, Weights]:
    """A file's metadata and its weights in float32, ready for `write` in another type."""
    with GGUF.open(path) as gguf:
        about = {key: copied(value) for key, value in gguf.metadata.items()}
        return about, {name: tensor.dequantize() for name, tensor in gguf.tensors.items()}


def copied(value: MetadataValue) -> MetadataValue:
    """A value that outlives the file it was read from."""
    if isinstance(value, StringArray):
        return value.to_list()
    return value.copy() if isinstance(value, np.ndarray) else value
