"""A sentencepiece Unigram `.model` -> a GGUF that holds its vocabulary as llama.cpp reads T5's.

    python -m tools.t5_gguf t5.model t5.gguf

The keys are those that llama.cpp's convert_hf_to_gguf.py writes for T5: pieces, scores and types,
the normaliser's charsmap and two of its flags, and the special ids that the model has.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from spm.gguf import write_gguf
from spm.vocab import Vocab, vocab_from_sentencepiece

_ID_KEYS = {
    "bos": "bos_token_id",
    "eos": "eos_token_id",
    "unk": "unknown_token_id",
    "pad": "padding_token_id",
}


def metadata(vocab: Vocab) -> dict[str, Any]:
    """The keys of a vocabulary as T5's."""
    rules = vocab.normalization
    assert rules is not None
    found: dict[str, Any] = {
        "model": "t5",
        "pre": "default",
        "tokens": list(vocab.pieces),
        "scores": vocab.scores,
        "token_type": vocab.type_numbers.astype(np.int32),
        "add_space_prefix": rules.add_dummy_prefix,
        "remove_extra_whitespaces": rules.remove_extra_whitespaces,
        **{_ID_KEYS[role]: np.uint32(i) for role, i in vocab.special_ids.items()},
    }
    if rules.charsmap:
        found["precompiled_charsmap"] = np.frombuffer(rules.charsmap, np.uint8)
    keys = {f"tokenizer.ggml.{key}": value for key, value in found.items()}
    return {"general.architecture": "t5", **keys}


def main() -> None:
    """Parse the command line, convert."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("gguf", type=Path)
    args = parser.parse_args()
    write_gguf(args.gguf, metadata(vocab_from_sentencepiece(args.model)), {})


if __name__ == "__main__":
    main()
