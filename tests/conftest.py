"""Where the tests find what they did not make themselves."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

SHARED = Path(os.environ.get("SPM_SHARED", Path(__file__).parents[2] / "shared")) / "data"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real vocabularies, models and corpora; the test is skipped where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"real data not found in {SHARED}; set SPM_SHARED to the folder above data/")
    return SHARED
