"""Models: which class does what a pipeline's model says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from spm.text.hf.bpe import Bpe
from spm.text.hf.spans import Model
from spm.text.hf.unigram import Unigram
from spm.text.hf.words import WordLevel, WordPiece
from spm.vocab import pipeline as hf

_MAKERS: Final[dict[type, Callable[[str, Mapping[str, int], Any], Model]]] = {
    hf.BPE: Bpe,
    hf.Unigram: Unigram,
    hf.WordPiece: WordPiece,
    hf.WordLevel: WordLevel,
}


def model(source: str, ids: Mapping[str, int], step: hf.Model) -> Model:
    """What turns a part of a text into ids; `ids` holds the pieces of the model itself."""
    return _MAKERS[type(step)](source, ids, step)
