"""The model that comes with the package; README.md beside it is its card."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from spm.errors import ModelError


def embedded_model() -> Path:
    """The path of the embedded model: a small Llama that tells stories (Q8_0, under 4 MB).

    It is the installed file itself, to be opened and mapped but never written to. Raises ModelError
    where the package was not unpacked (imported from a zip file): nothing there can be mapped.
    """
    path = files(__name__) / "tiny.gguf"
    if not isinstance(path, Path):
        raise ModelError(f"{path}: found inside an archive, expected a file: install spm unpacked")
    return path
