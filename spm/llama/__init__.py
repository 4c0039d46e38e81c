"""ids -> logits -> ids: a Llama read from a GGUF file, and what to do with its answers."""

from spm.llama.cache import KVCache
from spm.llama.config import LlamaConfig
from spm.llama.generation import Choice, Finish, generate, generate_batch, generate_ids
from spm.llama.model import Llama
from spm.llama.sampling import Sampling

__all__ = [
    "Choice",
    "Finish",
    "KVCache",
    "Llama",
    "LlamaConfig",
    "Sampling",
    "generate",
    "generate_batch",
    "generate_ids",
]
