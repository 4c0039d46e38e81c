"""What the embedded model is, in the numbers that its training, its file and its card agree on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """A Llama in small. Rows are multiples of 256 long, so that each is whole super-blocks."""

    vocab_size: int = 1024
    dim: int = 256
    hidden_dim: int = 512
    n_layers: int = 4
    n_heads: int = 4
    n_kv_heads: int = 2
    head_dim: int = 64
    max_seq_len: int = 512
    rope_theta: float = 10000.0
    norm_eps: float = 1e-5
