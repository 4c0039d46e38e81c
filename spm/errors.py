"""Every error that bad input can cause: one line naming the place, what was found, what was expected."""

from __future__ import annotations


class SpmError(ValueError):
    """Anything wrong with a file, a vocabulary, a text, an id or a model that a caller handed in."""


class GGUFError(SpmError):
    """A container that is not a well-formed GGUF file, or that uses what this reader does not read."""


class VocabError(SpmError):
    """A vocabulary that cannot be used: missing keys, contradictory arrays, broken pieces."""


class EncodeError(SpmError):
    """A text that this vocabulary cannot turn into ids."""


class DecodeError(SpmError):
    """An id that this vocabulary does not hold."""


class ModelError(SpmError):
    """A model whose metadata and tensors contradict each other, or whose architecture is not read."""


class DoubleBOSWarning(UserWarning):
    """A text that begins with BOS was encoded with another BOS in front of it."""
