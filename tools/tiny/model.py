"""The Llama of `spm.llama`, written once more in PyTorch: the half that learns.

Its parameters carry the names that a GGUF file gives them, and RoPE turns neighbours, as GGUF's
`llama` architecture does; so weights move from here to a file without a rename or a permutation.
Shapes: B sequences, T ids, D dim, F hidden, H heads, K kv heads, V vocabulary.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention, silu

from tools.tiny.shape import Shape


class Block(nn.Module):  # type: ignore[misc]  # torch comes without types here
    """Attention, then a SwiGLU, each added to what came in."""

    def __init__(self, s: Shape) -> None:
        super().__init__()
        self.head_dim = s.head_dim
        self.attn_norm = nn.RMSNorm(s.dim, eps=s.norm_eps)
        self.attn_q = nn.Linear(s.dim, s.n_heads * s.head_dim, bias=False)
        self.attn_k = nn.Linear(s.dim, s.n_kv_heads * s.head_dim, bias=False)
        self.attn_v = nn.Linear(s.dim, s.n_kv_heads * s.head_dim, bias=False)
        self.attn_output = nn.Linear(s.n_heads * s.head_dim, s.dim, bias=False)
        self.ffn_norm = nn.RMSNorm(s.dim, eps=s.norm_eps)
        self.ffn_gate = nn.Linear(s.dim, s.hidden_dim, bias=False)
        self.ffn_up = nn.Linear(s.dim, s.hidden_dim, bias=False)
        self.ffn_down = nn.Linear(s.hidden_dim, s.dim, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Take (B, T, D) and the angles (T, head_dim / 2), give (B, T, D)."""
        n = self.attn_norm(x)
        q = rotate(self.heads(self.attn_q(n)), cos, sin)  # (B, H, T, head_dim)
        k = rotate(self.heads(self.attn_k(n)), cos, sin)  # (B, K, T, head_dim)
        v = self.heads(self.attn_v(n))  # (B, K, T, head_dim)
        mix = scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        x = x + self.attn_output(mix.transpose(1, 2).flatten(2))  # (B, T, D)
        n = self.ffn_norm(x)
        return x + self.ffn_down(silu(self.ffn_gate(n)) * self.ffn_up(n))

    def heads(self, x: Tensor) -> Tensor:
        """Cut the last axis into heads: (B, T, n * head_dim) -> (B, n, T, head_dim)."""
        return x.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """RoPE on the pairs (2i, 2i + 1)."""
    even, odd = x.unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2)


class TinyLlama(nn.Module):  # type: ignore[misc]
    """Ids (B, T) -> logits (B, T, V)."""

    def __init__(self, s: Shape) -> None:
        super().__init__()
        self.token_embd = nn.Embedding(s.vocab_size, s.dim)
        self.blk = nn.ModuleList(Block(s) for _ in range(s.n_layers))
        self.output_norm = nn.RMSNorm(s.dim, eps=s.norm_eps)
        self.output = nn.Linear(s.dim, s.vocab_size, bias=False)
        speed = s.rope_theta ** (-torch.arange(0, s.head_dim, 2) / s.head_dim)
        angle = torch.arange(s.max_seq_len)[:, None] * speed  # (T, head_dim / 2)
        self.cos, self.sin = angle.cos(), angle.sin()
        for name, weight in self.named_parameters():
            if weight.ndim == 2:
                nn.init.normal_(weight, std=first_size(name, weight, s))

    def forward(self, ids: Tensor) -> Tensor:
        """Logits for every place: those at t have seen the ids up to t."""
        x = self.token_embd(ids)  # (B, T, D)
        cos, sin = self.cos[: ids.shape[1]], self.sin[: ids.shape[1]]
        for block in self.blk:
            x = block(x, cos, sin)
        return self.output(self.output_norm(x))


def first_size(name: str, weight: Tensor, s: Shape) -> float:
    """The spread of a matrix before training."""
    if name == "token_embd.weight":
        return 0.3  # wide, so that two names stay two: alike in use, they grow alike otherwise
    if name == "output.weight":
        return 0.02  # narrow: at first no piece is likelier than another
    spread = 1 / math.sqrt(weight.shape[1])  # keeps the size of what passes through
    added = name.endswith(("attn_output.weight", "ffn_down.weight"))
    return spread / math.sqrt(2 * s.n_layers) if added else spread
