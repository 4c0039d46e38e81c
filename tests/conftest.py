"""Where the tests find what they did not make themselves."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest
from hypothesis import settings

if importlib.util.find_spec("spm.native._core") is None:
    os.environ.setdefault("SPM_NATIVE", "0")  # the pure path, chosen here and not announced
CORE = "pure Python" if os.environ.get("SPM_NATIVE") == "0" else "compiled core"

SHARED = Path(os.environ.get("SPM_SHARED", Path(__file__).parents[2] / "shared")) / "data"

# How hard the properties are tried, e.g. SPM_HYPOTHESIS=nightly pytest tests/test_properties.py
for profile, examples in {"dev": 50, "ci": 200, "nightly": 20_000}.items():
    settings.register_profile(profile, max_examples=examples, deadline=None)
settings.load_profile(os.environ.get("SPM_HYPOTHESIS", "dev"))


def pytest_sessionstart() -> None:
    """With SPM_EXPECT set, the path that runs must be that one."""
    expected = os.environ.get("SPM_EXPECT", CORE)
    if expected != CORE:
        pytest.exit(f"the {CORE} would run, expected the {expected}", returncode=1)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which path ran."""
    terminalreporter.write_line(f"spm: {CORE}")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real vocabularies, models and corpora; a test is skipped without it."""
    if not SHARED.is_dir():
        pytest.skip(f"real data not found in {SHARED}; set SPM_SHARED to the folder above data/")
    return SHARED
