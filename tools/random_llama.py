"""A Llama of random weights and real size, to measure speed with.

    python -m tools.random_llama f16.gguf --vocabulary ggml-vocab-llama-spm.gguf
    llama-quantize f16.gguf q4_k_m.gguf Q4_K_M

How fast a product is does not depend on the weights' values. The shape is that of TinyLlama 1.1B;
the vocabulary is that of a GGUF file, so that text can go in and come out. The norms are such that
numbers stay of the size that trained models have.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spm.gguf import GGUF, write_gguf

LAYERS, DIM, HIDDEN, HEADS, KV_HEADS, HEAD_DIM, VOCAB, CONTEXT = (
    22,
    2048,
    5632,
    32,
    4,
    64,
    32000,
    2048,
)


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--vocabulary", type=Path, required=True, help="a GGUF with 32,000 pieces")
    parser.add_argument("--layers", type=int, default=LAYERS)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with GGUF.open(args.vocabulary) as gguf:
        vocabulary = {k: v for k, v in gguf.metadata.items() if k.startswith("tokenizer.")}
    rng = np.random.default_rng(args.seed)
    write_gguf(args.out, {**metadata(args.layers), **vocabulary}, dict(tensors(args.layers, rng)))


def metadata(layers: int) -> dict[str, Any]:
    """The shape, in the keys of a Llama."""
    return {
        "general.architecture": "llama",
        "general.file_type": 1,
        "llama.context_length": CONTEXT,
        "llama.block_count": layers,
        "llama.embedding_length": DIM,
        "llama.feed_forward_length": HIDDEN,
        "llama.attention.head_count": HEADS,
        "llama.attention.head_count_kv": KV_HEADS,
        "llama.rope.dimension_count": HEAD_DIM,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
    }


def tensors(layers: int, rng: np.random.Generator) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    """Every tensor, the matrices as float16."""

    def matrix(n_out: int, n_in: int) -> npt.NDArray[np.float16]:
        values = rng.standard_normal((n_out, n_in), np.float32)
        values *= np.float32(n_in**-0.5)
        return values.astype(np.float16)

    queries, keys = HEADS * HEAD_DIM, KV_HEADS * HEAD_DIM
    yield "token_embd.weight", matrix(VOCAB, DIM)
    for i in range(layers):
        yield f"blk.{i}.attn_norm.weight", np.ones(DIM, np.float32)
        yield f"blk.{i}.attn_q.weight", matrix(queries, DIM)
        yield f"blk.{i}.attn_k.weight", matrix(keys, DIM)
        yield f"blk.{i}.attn_v.weight", matrix(keys, DIM)
        yield f"blk.{i}.attn_output.weight", matrix(DIM, queries)
        yield f"blk.{i}.ffn_norm.weight", np.ones(DIM, np.float32)
        yield f"blk.{i}.ffn_gate.weight", matrix(HIDDEN, DIM)
        yield f"blk.{i}.ffn_up.weight", matrix(HIDDEN, DIM)
        yield f"blk.{i}.ffn_down.weight", matrix(DIM, HIDDEN)
    yield "output_norm.weight", np.ones(DIM, np.float32)
    yield "output.weight", matrix(VOCAB, DIM)


if __name__ == "__main__":
    main()
