"""Small Llamas as GGUF files: random ones of every kind, and a given one in other block types.

A random model's dimensions differ, so that no wrong axis goes unseen. Its weights come from a seed
through a generator that NumPy has frozen (RandomState.random_sample), by exact arithmetic: the same
seed gives the same file everywhere. golden/llama/random.jsonl holds llama.cpp's logits for each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from spm.gguf import GGUF, Quantized, TensorType, quantize, write_gguf
from spm.gguf.types import BLOCK_LAYOUTS
from spm.llama.config import read_config
from spm.llama.weights import tensor_shapes

Array: TypeAlias = npt.NDArray[np.float32]
Encode: TypeAlias = Callable[[TensorType, Array], npt.NDArray[np.uint8]]

VOCAB_SIZE = 44
CONTEXT = 160


@dataclass(frozen=True)
class Case:
    """One model: its shape, its extra metadata, and which optional tensors it has."""

    seed: int
    why: str
    n_layers: int = 2
    dim: int = 24
    hidden_dim: int = 40
    n_heads: int = 4
    n_kv_heads: int = 4
    head_dim: int = 6
    metadata: dict[str, Any] = field(default_factory=dict)
    tied: bool = False
    biases: bool = False
    rope_freqs: bool = False
    vocab_size: int = VOCAB_SIZE
    context: int = CONTEXT


CASES: dict[str, Case] = {
    "plain": Case(1, "as many kv heads as heads, no optional key or tensor"),
    "grouped": Case(2, "6 heads share 2 kv heads", n_heads=6, n_kv_heads=2, head_dim=4),
    "one-kv-head": Case(3, "4 heads share 1", n_kv_heads=1),
    "wide-heads": Case(4, "heads wider than dim: not square", n_heads=3, n_kv_heads=3, head_dim=16),
    "narrow-heads": Case(5, "heads narrower than dim / n_heads", n_heads=4, head_dim=2),
    "theta": Case(6, "Llama 3's base", metadata={"llama.rope.freq_base": 500000.0}),
    "linear": Case(
        7,
        "angles a quarter as fast",
        metadata={"llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": 4.0},
    ),
    "scale-linear": Case(8, "the old key", metadata={"llama.rope.scale_linear": 2.0}),
    "scaling-none": Case(
        9,
        "a factor that type none switches off",
        metadata={"llama.rope.scaling.type": "none", "llama.rope.scaling.factor": 4.0},
    ),
    "rope-freqs": Case(10, "Llama 3's scaling as a tensor", head_dim=8, rope_freqs=True),
    "tied": Case(11, "no output.weight", tied=True),
    "biases": Case(12, "a bias on every matrix", n_kv_heads=2, biases=True),
    "epsilon": Case(
        13, "an epsilon that shows", metadata={"llama.attention.layer_norm_rms_epsilon": 0.5}
    ),
}

# Ids for teacher forcing, and the rows of the logits worth recording: the ends, the middle, and
# both sides of the 64 positions that our cache first has room for.
IDS = np.random.RandomState(0).randint(0, VOCAB_SIZE, 130).tolist()
ROWS = (0, 1, 2, 31, 63, 64, 65, 129)


def write_case(path: Path, case: Case) -> Path:
    """Write `case` to `path`; the same bytes every time."""
    write_gguf(path, metadata(case), tensors(case))
    return path


def metadata(case: Case) -> dict[str, Any]:
    """Every key that llama.cpp asks for, those of a head's shape, and the case's own."""
    return {
        "general.architecture": "llama",
        "tokenizer.ggml.model": "no_vocab",
        "llama.vocab_size": case.vocab_size,
        "llama.context_length": case.context,
        "llama.block_count": case.n_layers,
        "llama.embedding_length": case.dim,
        "llama.feed_forward_length": case.hidden_dim,
        "llama.attention.head_count": case.n_heads,
        "llama.attention.head_count_kv": case.n_kv_heads,
        "llama.attention.key_length": case.head_dim,
        "llama.attention.value_length": case.head_dim,
        "llama.rope.dimension_count": case.head_dim,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        **case.metadata,
    }


def tensors(case: Case) -> dict[str, Array]:
    """Weights large enough that attention is sharp: a wrong angle or mask moves every logit."""
    rng = np.random.RandomState(case.seed)

    def uniform(low: float, high: float, *shape: int) -> Array:
        return (low + (high - low) * rng.random_sample(shape)).astype(np.float32)

    def matrix(n_out: int, n_in: int) -> Array:
        return uniform(-0.5, 0.5, n_out, n_in)

    dim, hidden = case.dim, case.hidden_dim
    q, kv = case.n_heads * case.head_dim, case.n_kv_heads * case.head_dim
    made = {"token_embd.weight": uniform(-1, 1, case.vocab_size, dim)}
    for i in range(case.n_layers):
        shapes = {
            "attn_q": (q, dim),
            "attn_k": (kv, dim),
            "attn_v": (kv, dim),
            "attn_output": (dim, q),
            "ffn_gate": (hidden, dim),
            "ffn_up": (hidden, dim),
            "ffn_down": (dim, hidden),
        }
        for name, shape in shapes.items():
            made[f"blk.{i}.{name}.weight"] = matrix(*shape)
            if case.biases:
                made[f"blk.{i}.{name}.bias"] = uniform(-1, 1, shape[0])
        for norm in ("attn_norm", "ffn_norm"):
            made[f"blk.{i}.{norm}.weight"] = uniform(0.5, 1.5, dim)
    made["output_norm.weight"] = uniform(0.5, 1.5, dim)
    if not case.tied:
        made["output.weight"] = matrix(case.vocab_size, dim)
    if case.rope_freqs:
        made["rope_freqs.weight"] = uniform(1, 8, case.head_dim // 2)
    return made


BLOCK_TYPES = (TensorType.Q8_0, TensorType.Q4_0, TensorType.Q4_1, TensorType.Q5_0, TensorType.Q5_1)
K_TYPES = (TensorType.Q4_K, TensorType.Q5_K, TensorType.Q6_K)


def requantise(source: Path, path: Path, kind: TensorType, encode: Encode = quantize) -> Path:
    """Write `source` to `path` with its matrices as `kind`, where their rows are whole blocks."""
    with GGUF.open(source) as gguf:
        arrays = {name: each.dequantize() for name, each in gguf.tensors.items()}
        blocks = {name: _blocks(array, kind, encode) for name, array in arrays.items()}
        write_gguf(path, dict(gguf.metadata), blocks)
    return path


def _blocks(array: Array, kind: TensorType, encode: Encode) -> Array | Quantized:
    if array.ndim < 2 or array.shape[-1] % BLOCK_LAYOUTS[kind].values:
        return array
    return Quantized(kind, array.shape, encode(kind, array))


def widen(source: Path, path: Path) -> Path:
    """Write `source` to `path` four times as wide, saying the same: zeros stand beside its weights.

    So 64 dimensions become a row of 256, a super-block. New heads and hidden numbers are 0 and lead
    nowhere. RMSNorm divides by the root of (sum of squares / dim + epsilon): with dim four times as
    large and a quarter of epsilon it divides by half as much, which half its weights make up for.
    """
    with GGUF.open(source) as gguf:
        c = read_config(gguf)
        hidden_dim = -(-c.hidden_dim // 256) * 256
        wide = replace(
            c,
            dim=4 * c.dim,
            hidden_dim=hidden_dim,
            n_heads=4 * c.n_heads,
            n_kv_heads=4 * c.n_kv_heads,
        )
        required, optional = tensor_shapes(wide)
        arrays = {name: each.dequantize() for name, each in gguf.tensors.items()}
        made = {name: _in_zeros(a, (required | optional)[name]) for name, a in arrays.items()}
        for name in made:
            if name.endswith("norm.weight"):
                made[name] /= 2
        keys = {
            "llama.embedding_length": wide.dim,
            "llama.feed_forward_length": wide.hidden_dim,
            "llama.attention.head_count": wide.n_heads,
            "llama.attention.head_count_kv": wide.n_kv_heads,
            "llama.attention.layer_norm_rms_epsilon": c.norm_eps / 4,
        }
        write_gguf(path, {**gguf.metadata, **keys}, made)
    return path


def _in_zeros(array: Array, shape: tuple[int, ...]) -> Array:
    """`array` at the beginning of each axis of `shape`, 0 elsewhere."""
    return np.pad(array, [(0, more - n) for more, n in zip(shape, array.shape)])
