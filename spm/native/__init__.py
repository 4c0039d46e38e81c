"""The compiled core, where it was built: `core` is the module, or None.

The pure Python path is the specification and needs no compiler; the core is proven equal to it by
the same tests. `SPM_NATIVE=0` in the environment chooses the pure path, `SPM_NATIVE=1` insists on
the core. Without either, a missing core is announced once, when it would first have been used.
"""

from __future__ import annotations

import importlib
import os
import warnings
from functools import cache
from types import ModuleType


def _load() -> ModuleType | None:
    wanted = os.environ.get("SPM_NATIVE", "")
    if wanted == "0":
        return None
    try:
        return importlib.import_module("spm.native._core")
    except ImportError as error:
        if wanted == "1":
            raise ImportError(f"SPM_NATIVE is 1, but there is no compiled core: {error}") from None
        return None


@cache
def announce_missing() -> None:
    """Say once that the pure Python path is used because nothing else is there."""
    if core is None and os.environ.get("SPM_NATIVE") != "0":
        warnings.warn(
            "spm is installed without its compiled core: exact as ever, but many times slower",
            RuntimeWarning,
            stacklevel=2,
        )


core = _load()
