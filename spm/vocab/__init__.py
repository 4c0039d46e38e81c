"""Vocabularies: what a file says about pieces, and what each oracle makes of it."""

from spm.vocab.from_gguf import vocab_from_gguf
from spm.vocab.from_hf import vocab_from_hf
from spm.vocab.from_sentencepiece import vocab_from_sentencepiece
from spm.vocab.llama_cpp import as_converted, as_llama_cpp
from spm.vocab.to_gguf import gguf_metadata
from spm.vocab.to_hf import hf_json
from spm.vocab.to_sentencepiece import model_bytes
from spm.vocab.vocab import SPACE, Family, Normalization, TokenType, Vocab

__all__ = [
    "SPACE",
    "Family",
    "Normalization",
    "TokenType",
    "Vocab",
    "as_converted",
    "as_llama_cpp",
    "gguf_metadata",
    "hf_json",
    "model_bytes",
    "vocab_from_gguf",
    "vocab_from_hf",
    "vocab_from_sentencepiece",
]
