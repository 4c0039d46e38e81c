"""golden/ is what the oracles answer today; what fails says how it is mended."""

from __future__ import annotations

import pytest

from tools.golden.__main__ import MEND, stale


def check(oracle: str) -> None:
    found = stale([oracle])
    assert not found, "\n".join([*found, f"mend it with: {MEND}"])


def test_sentencepieces_half_is_fresh() -> None:
    pytest.importorskip("sentencepiece")
    pytest.importorskip("gguf")

    check("sentencepiece")


def test_llama_cpps_half_is_fresh() -> None:
    pytest.importorskip("llama_cpp", reason="llama_cpp not found: llama.cpp's half is not checked")

    check("llama.cpp")
