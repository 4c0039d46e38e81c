"""kernels.metal as CUDA: what can be seen without a GPU, and, where there is one, its numbers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from spm.gguf import TensorType
from tests.block_llamas import TEN

ROOT = Path(__file__).parents[1]
KINDS = [*TEN, TensorType.F16, TensorType.BF16]
WITHOUT_CUPY = """
import runpy, sys
sys.modules["cupy"] = None
runpy.run_module("tools.metal_on_cuda", run_name="__main__")
"""


@pytest.fixture(scope="module")
def tool() -> Any:
    pytest.importorskip("cupy", reason="CuPy is not installed: pip install cupy-cuda12x")
    pytest.importorskip("mlx.core", reason="mlx is not installed: pip install 'spm[metal]'")
    from tools import metal_on_cuda

    return metal_on_cuda


def test_what_is_missing_is_told_in_a_line() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT_CUPY], cwd=ROOT, capture_output=True, text=True
    )

    assert (2, "", 1) == (ran.returncode, ran.stdout, ran.stderr.count("\n"))
    assert ran.stderr.startswith("error: ")
    assert "cupy" in ran.stderr


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_nvrtc_takes_the_kernels(kind: TensorType, tool: Any) -> None:
    if found := tool.missing(compile_only=True):
        pytest.skip(found)
    dequantize, one_row, *_, eight_rows = tool.sources(kind)

    for text in (dequantize, one_row, eight_rows):
        assert tool.machine_code(text).startswith(b"\x7fELF")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_gpu_computes_what_numpy_does(kind: TensorType, tool: Any) -> None:
    if found := tool.missing(compile_only=False):
        pytest.skip(found)

    figures = tool.figures(kind, columns=3328, nbytes=1 << 24)

    assert figures.differing == 0
    assert figures.error <= 2e-5
