"""Measuring: every figure where there is one, every back end apart. No figure is judged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spm.data import embedded_model
from spm.errors import GGUFError, ModelError, SpmError
from spm.llama import measure
from spm.llama.measure import Figures, Missing, measure_apart
from tools.small_llamas import CASES, write_case


@pytest.fixture
def short(tmp_path: Path) -> Path:
    """A model with a context of 160."""
    return write_case(tmp_path / "m.gguf", CASES["plain"])


def test_there_is_a_figure_wherever_the_context_is_long_enough(short: Path) -> None:
    figures = measure.measure(short, "numpy", None, turns=2)

    assert isinstance(figures, Figures)
    assert "NumPy, float32 weights" == figures.description
    assert figures.load_seconds > 0
    assert [128, 512] == list(figures.prefill)
    assert [0, 512] == list(figures.decode)
    assert figures.prefill[512] is None
    assert figures.decode[512] is None
    assert all(rate and rate > 0 for rate in (figures.prefill[128], figures.decode[0]))


def test_512_ids_fill_a_context_of_512_and_nothing_is_decoded_behind_them() -> None:
    figures = measure.measure(embedded_model(), "numpy", None, turns=1)

    assert isinstance(figures, Figures)
    assert figures.prefill[512]
    assert figures.decode[512] is None


def test_rates_are_ids_over_seconds(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock:
        now = 0.0

    def step(model: Any, texts: Any) -> np.ndarray:
        """A millisecond for each id that is read, and one for the step."""
        for ids, cache in texts:
            cache.advance(len(ids))
            Clock.now += (len(ids) + 1) / 1000
        return np.eye(1, 44, dtype=np.float32)

    monkeypatch.setattr(measure.time, "perf_counter", lambda: Clock.now)
    monkeypatch.setattr(measure.Llama, "step", step)
    figures = measure.measure(short, "numpy", None, turns=3)

    assert isinstance(figures, Figures)
    assert figures.prefill[128] == pytest.approx(128 / 0.129)
    assert figures.decode[0] == pytest.approx(1 / 0.002)


def test_medians_leave_out_what_is_not_there() -> None:
    assert measure._median([3.0, None, 1.0, 2.0]) == 2.0
    assert measure._median([None]) is None


def test_a_back_end_is_measured_apart_and_its_memory_is_its_own(short: Path) -> None:
    ballast = np.ones(50_000_000)  # 400 MB that are not the child's

    figures = measure_apart(short, "numpy", None, 1)

    assert ballast.all()
    assert isinstance(figures, Figures)
    assert figures.peak_bytes is None or 10e6 < figures.peak_bytes < 400e6
    assert (measure.peak_bytes() or 1e9) > 400e6


def test_a_back_end_that_is_not_there_is_missing(short: Path) -> None:
    missing = measure_apart(short, "cuda", None, 1)

    assert isinstance(missing, Missing)
    assert "backend 'cuda': unknown" in missing.reason


def test_errors_come_back(tmp_path: Path) -> None:
    (tmp_path / "no.gguf").write_bytes(b"GGUF" + bytes(100))

    with pytest.raises(GGUFError, match=r"no\.gguf"):
        measure_apart(tmp_path / "no.gguf", "numpy", None, 1)
    with pytest.raises(SpmError, match=r"absent\.gguf"):
        measure_apart(tmp_path / "absent.gguf", "numpy", None, 1)


def test_a_process_that_dies_is_named(
    short: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(measure, "_send", json.dumps)  # as if: it takes other arguments

    with pytest.raises(ModelError, match="backend 'numpy': its process ended with code 1, expect"):
        measure_apart(short, "numpy", None, 1)
