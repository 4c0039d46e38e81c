"""Where the tests find what they did not make themselves."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

SHARED = Path(os.environ.get("SPM_SHARED", Path(__file__).parents[2] / "shared")) / "data"

# How hard the properties are tried, e.g. SPM_HYPOTHESIS=nightly pytest tests/test_properties.py
for profile, examples in {"dev": 50, "ci": 200, "nightly": 20_000}.items():
    settings.register_profile(profile, max_examples=examples, deadline=None)
settings.load_profile(os.environ.get("SPM_HYPOTHESIS", "dev"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real vocabularies, models and corpora; a test is skipped without it."""
    if not SHARED.is_dir():
        pytest.skip(f"real data not found in {SHARED}; set SPM_SHARED to the folder above data/")
    return SHARED
