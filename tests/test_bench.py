"""tools.bench: figures for whoever is there, a name for whoever is not. Nothing here is timed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tools.bench import encode
from tools.bench.__main__ import main
from tools.bench.programs import SENTENCEPIECE, SPM, in_one_line, row
from tools.bench.texts import Text, read, repeated, size, worst

VOCABS = Path(__file__).parent.parent / "golden" / "vocabs"
MODEL = VOCABS / "identity.model"
TEXT = "Once upon a time there was a tokenizer.\nIt read 日本語, too: naïve.\r\n" * 20


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "story.txt"
    path.write_bytes(TEXT.encode())
    return path


@pytest.fixture(autouse=True)
def _environment_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAYON_NUM_THREADS", "TOKENIZERS_PARALLELISM"):
        monkeypatch.setenv(name, "1")


def run(tmp_path: Path, table: str, *options: object) -> dict[str, Any]:
    out = tmp_path / "figures.json"
    main([table, "--models", str(MODEL), "--turns", "1", "--json", str(out), *map(str, options)])
    figures: dict[str, Any] = json.loads(out.read_text())
    return figures


@pytest.mark.parametrize(
    ("table", "rows"),
    [
        ("encode", 2 * 2 * 2),  # programs, shapes, states
        ("calls", 2 * 5),
        ("load", 2),
        ("worst", 1 + len(worst(10))),  # of spm alone
        ("threads", 2 * 3),
    ],
)
def test_every_table_has_positive_figures(
    tmp_path: Path, text: Path, table: str, rows: int, capsys: pytest.CaptureFixture[str]
) -> None:
    needs = [] if table == "load" else ["--texts", text, "--limit-mb", "0.001"]
    programs = ["spm", "sentencepiece"][: 1 if table == "worst" else 2]
    found = run(tmp_path, table, *needs, "--programs", *programs)
    assert rows == len(found["rows"])
    figures = {"mb_per_s", "ratio", "seconds", "ns_per_byte", "times_real", "times_faster"}
    shown = [value for row in found["rows"] for key, value in row.items() if key in figures]
    assert shown
    assert all(value > 0 for value in shown)
    printed = capsys.readouterr().out
    assert "identity.model" in printed
    assert found["machine"] in printed


def test_ratios_are_over_spms_own_figure_and_the_ids_are_the_references(
    tmp_path: Path, text: Path
) -> None:
    cells = run(tmp_path, "encode", "--texts", text, "--programs", "spm", "sentencepiece")["rows"]
    by_name = {(c["program"], c["shape"], c["state"]): c for c in cells}
    for (program, shape, state), cell in by_name.items():
        own = by_name["spm", shape, state]["mb_per_s"]
        assert own / by_name[program, shape, state]["mb_per_s"] == pytest.approx(cell["ratio"])
        assert cell["ids_differ"] is False


def test_who_is_missing_is_named(
    tmp_path: Path, text: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = run(tmp_path, "encode", "--texts", text, "--programs", "spm", "llama.cpp")["rows"]
    assert {"spm"} == {cell["program"] for cell in found}
    assert {None} == {cell["ids_differ"] for cell in found}  # sentencepiece did not run
    assert "llama.cpp is missing: " in capsys.readouterr().out


def test_why_a_program_is_missing(tmp_path: Path) -> None:
    nobody = replace(SPM, package="no-such-thing")
    assert "no-such-thing is not installed" == nobody.why_missing(MODEL)
    assert "reads .model only" == SENTENCEPIECE.why_missing(VOCABS / "identity.gguf")
    broken = tmp_path / "broken.model"
    broken.write_bytes(b"\n\xff")
    reason = SPM.why_missing(broken)
    assert reason is not None
    assert reason.startswith("refuses it: VocabError: ")
    assert SPM.why_missing(MODEL) is None


def test_other_ids_are_marked(capsys: pytest.CaptureFixture[str]) -> None:
    wrong = replace(SPM, name="wrong", document=SPM.document + "[::-1]")
    story = Text("story", (["Once upon"], [" a time"]))
    cells = encode.measure(MODEL, story, "doc", [SPM, wrong, SENTENCEPIECE], turns=1)
    expected = {"spm": False, "wrong": True, "sentencepiece": False}
    assert expected == {cell.program: cell.ids_differ for cell in cells}


def test_without_spm_there_is_no_ratio() -> None:
    story = Text("story", (["a"], ["b"]))
    cells = encode.measure(MODEL, story, "lines", [SENTENCEPIECE], turns=1)
    assert [None, None] == [cell.ratio for cell in cells]


def test_a_program_that_fails_on_a_text_leaves_the_others(
    capsys: pytest.CaptureFixture[str],
) -> None:
    fails = replace(SPM, name="fails", lines="[][1]")
    cells = encode.measure(MODEL, Text("story", (["a"], ["b"])), "lines", [SPM, fails], turns=2)
    assert ["spm", "spm"] == [cell.program for cell in cells]
    expected = "  fails fails on story, lines: IndexError: list index out of range\n"
    assert expected == capsys.readouterr().out


def test_a_text_is_cut_at_a_line_near_its_middle(text: Path) -> None:
    story = read(text, limit_mb=1)
    first, second = story.halves
    assert TEXT == story.whole == "".join(first + second)
    assert abs(size(first) - size(second)) <= 2 * max(map(len, TEXT.encode().splitlines(True)))
    assert len(TEXT.encode()) == size(first + second)


def test_a_text_is_limited_between_characters(tmp_path: Path) -> None:
    path = tmp_path / "long.txt"
    path.write_text("日" * 10, encoding="utf-8")
    assert "日" * 3 == read(path, limit_mb=10e-6).whole


def test_lines_are_repeated_up_to_the_size() -> None:
    lines = repeated([Text("story", (["one\n"], ["two\n"]))], mb=10e-6)
    assert ["one\n", "two\n", "one\n"] == lines


def test_the_worst_strings_are_as_long_as_asked() -> None:
    for name, document in worst(1_000).items():
        data = document if isinstance(document, bytes) else document.encode()
        assert 900 <= len(data) <= 1_000, name


def test_all_shapes_of_ids_become_one_row() -> None:
    batch = SPM.open(MODEL).encode_batch(["a", "b c"], add_special=False)
    rows = batch.to_lists()
    for shape in (rows, [np.array(ids) for ids in rows], batch, rows[0] + rows[1]):
        assert rows[0] + rows[1] == row(shape).tolist()


def test_errors_take_one_line() -> None:
    assert "ValueError: a b" == in_one_line(ValueError("a\n b"))
