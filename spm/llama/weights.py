"""GGUF tensors -> Weights: named, checked against the configuration, in the back end's own form.

ggml writes `ne = [in, out]` with `in` running fastest, so the bytes of every matrix, whatever its
type, are a row-major (out, in) array, and every product is y = x · Wᵀ. Nothing is ever transposed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from spm.errors import ModelError, one_line
from spm.gguf import GGUF, Tensor, TensorType
from spm.llama.config import LlamaConfig
from spm.llama.ops import Array, Linear, Matrix, Ops

# Integers by themselves, doubles, and what ggml makes of activations: nobody's weights.
NO_WEIGHTS: Final = frozenset(
    TensorType[name] for name in ("I8", "I16", "I32", "I64", "F64", "Q8_1", "Q8_K")
)


@dataclass(frozen=True, eq=False)
class Layer:
    """One block, its fields named as the tensors `blk.N.*.weight`."""

    attn_norm: Array  # (D,)
    attn_q: Linear  # (H*head_dim, D)
    attn_k: Linear  # (K*head_dim, D)
    attn_v: Linear  # (K*head_dim, D)
    attn_output: Linear  # (D, H*head_dim)
    ffn_norm: Array  # (D,)
    ffn_gate: Linear  # (F, D)
    ffn_up: Linear  # (F, D)
    ffn_down: Linear  # (D, F)


@dataclass(frozen=True, eq=False)
class Weights:
    """A whole Llama. Where the file has no `output.weight`, `output` is `token_embd` itself."""

    token_embd: Matrix  # (V, D)
    rope_freqs: Array | None  # (head_dim/2,): Llama 3's scaling divides each pair's angle by these
    layers: tuple[Layer, ...]
    output_norm: Array  # (D,)
    output: Matrix  # (V, D)


Progress: TypeAlias = Callable[[int, int], None]  # bytes read so far, bytes in all


def load_weights(
    gguf: GGUF, config: LlamaConfig, ops: Ops, progress: Progress | None = None
) -> Weights:
    """Every tensor of `gguf`, each in its place, as `ops` multiplies with it.

    Raises ModelError naming a tensor that is missing, that has another shape than `config` asks
    for, that is of a type which weights never have, or that no place exists for (its effect on the
    output would be missing).
    """
    required, optional = tensor_shapes(config)
    _check(gguf, required, optional)
    gguf.expect_reads()
    total, read = sum(tensor.nbytes for tensor in gguf.tensors.values()), 0

    def load(name: str, form: Callable[[Tensor], Array]) -> Array:
        nonlocal read
        loaded = form(gguf.tensors[name])
        read += gguf.tensors[name].nbytes
        if progress:
            progress(read, total)
        return loaded

    def vector(name: str) -> Array:
        return load(name, ops.vector)

    def vector_or_none(name: str) -> Array | None:
        return vector(name) if name in gguf.tensors else None

    def matrix(name: str) -> Matrix:
        return load(name, ops.matrix)

    def linear(name: str) -> Linear:
        return Linear(matrix(f"{name}.weight"), vector_or_none(f"{name}.bias"))

    def layer(prefix: str) -> Layer:
        return Layer(
            attn_norm=vector(f"{prefix}.attn_norm.weight"),
            attn_q=linear(f"{prefix}.attn_q"),
            attn_k=linear(f"{prefix}.attn_k"),
            attn_v=linear(f"{prefix}.attn_v"),
            attn_output=linear(f"{prefix}.attn_output"),
            ffn_norm=vector(f"{prefix}.ffn_norm.weight"),
            ffn_gate=linear(f"{prefix}.ffn_gate"),
            ffn_up=linear(f"{prefix}.ffn_up"),
            ffn_down=linear(f"{prefix}.ffn_down"),
        )

    token_embd = matrix("token_embd.weight")
    return Weights(
        token_embd=token_embd,
        rope_freqs=vector_or_none("rope_freqs.weight"),
        layers=tuple(layer(f"blk.{i}") for i in range(config.n_layers)),
        output_norm=vector("output_norm.weight"),
        output=matrix("output.weight") if "output.weight" in gguf.tensors else token_embd,
    )


Shapes: TypeAlias = dict[str, tuple[int, ...]]


def tensor_shapes(config: LlamaConfig) -> tuple[Shapes, Shapes]:
    """Name -> shape of the tensors that a file must have, and of those that it may have."""
    D, F, V = config.dim, config.hidden_dim, config.vocab_size
    Q, KV = config.n_heads * config.head_dim, config.n_kv_heads * config.head_dim
    matrices = {
        "attn_q": (Q, D),
        "attn_k": (KV, D),
        "attn_v": (KV, D),
        "attn_output": (D, Q),
        "ffn_gate": (F, D),
        "ffn_up": (F, D),
        "ffn_down": (D, F),
    }
    required: Shapes = {"token_embd.weight": (V, D), "output_norm.weight": (D,)}
    optional: Shapes = {"output.weight": (V, D), "rope_freqs.weight": (config.head_dim // 2,)}
    for i in range(config.n_layers):
        required[f"blk.{i}.attn_norm.weight"] = required[f"blk.{i}.ffn_norm.weight"] = (D,)
        for name, (n_out, n_in) in matrices.items():
            required[f"blk.{i}.{name}.weight"] = (n_out, n_in)
            optional[f"blk.{i}.{name}.bias"] = (n_out,)
    return required, optional


def _check(gguf: GGUF, required: Shapes, optional: Shapes) -> None:
    known = required | optional
    if not gguf.tensors:
        raise ModelError(f"{one_line(gguf.path)}: found no tensors, expected a model's weights")
    if unknown := sorted(set(gguf.tensors) - set(known)):
        names = ", ".join(map(one_line, unknown[:4]))
        more = f" and {len(unknown) - 4} more" if len(unknown) > 4 else ""
        raise ModelError(
            f"{one_line(gguf.path)}: tensors {names}{more}: a Llama has no use for them"
        )
    for name, shape in required.items():
        if name not in gguf.tensors:
            found = f"found no such tensor, expected one of shape {list(shape)}"
            raise ModelError(f"{one_line(gguf.path)}: tensor {name}: {found}")
    for name, tensor in gguf.tensors.items():
        if tuple(tensor.shape) != known[name]:
            shapes = f"found shape {list(tensor.shape)}, expected {list(known[name])}"
            raise ModelError(f"{one_line(gguf.path)}: tensor {name}: {shapes}")
        if tensor.type in NO_WEIGHTS:
            found = f"found type {tensor.type.name}, expected float32, halves or blocks"
            raise ModelError(f"{one_line(gguf.path)}: tensor {name}: {found}")
