"""golden/ is what the oracles answer today; what fails says how it is mended."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.golden.__main__ import MEND, stale
from tools.golden.freshness import write_or_check


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


def test_a_check_tells_what_is_stale_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "some.json"

    assert 0 == write_or_check(path, "▁a\n", check=False)
    assert 0 == write_or_check(path, "▁a\n", check=True)
    assert 1 == write_or_check(path, "▁b\n", check=True)
    assert "▁a\n".encode() == path.read_bytes()
    assert "some.json is fresh\nsome.json is stale\n" == capsys.readouterr().out
