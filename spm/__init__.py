"""The tokenizer-first reference for GGUF language models.

>>> import spm
>>> tok = spm.Tokenizer.from_gguf("model.gguf")
>>> ids = tok.encode("Hello, world")
"""

from spm.batch import Batch
from spm.chat import ChatTemplate, Rendered
from spm.errors import (
    ChatError,
    DecodeError,
    DoubleBOSWarning,
    EncodeError,
    GGUFError,
    ModelError,
    SpmError,
    VocabError,
)
from spm.gguf import GGUF
from spm.llama import Llama, Sampling, generate, generate_batch
from spm.tokenizer import Tokenizer
from spm.vocab import TokenType, Vocab

__all__ = [
    "GGUF",
    "Batch",
    "ChatError",
    "ChatTemplate",
    "DecodeError",
    "DoubleBOSWarning",
    "EncodeError",
    "GGUFError",
    "Llama",
    "ModelError",
    "Rendered",
    "Sampling",
    "SpmError",
    "TokenType",
    "Tokenizer",
    "Vocab",
    "VocabError",
    "generate",
    "generate_batch",
]
