"""The documents say what is true: their examples run, their links lead somewhere."""

from __future__ import annotations

import doctest
import json
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
GOLDEN = ROOT / "golden"
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = sorted(p for p in ROOT.rglob("*.md") if not set(p.parts) & {".venv", "node_modules"})


def test_the_tutorial_can_be_typed() -> None:
    text = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    example = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, "tutorial", None, 0)

    results = doctest.DocTestRunner().run(example)

    assert results.attempted > 20
    assert 0 == results.failed


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_to_files_that_exist(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8"))

    assert [] == [link for link in links if not (page.parent / link).exists()]


# ---- the README's table of what is recorded in golden/


def loaded(name: str) -> Any:
    return json.loads((GOLDEN / name).read_text(encoding="utf-8"))


def counted(*folders: str) -> tuple[int, int]:
    """Files, and records in them, of which the first line of each is none."""
    files = [path for folder in folders for path in (GOLDEN / folder).iterdir()]
    return len(files), sum(len(path.read_bytes().splitlines()) - 1 for path in files)


def recorded() -> list[str]:
    """How much there is, row by row."""
    own = [counted("ids/llama.cpp"), counted("ids/sentencepiece")]
    real = [counted("real/llama.cpp"), counted("real/sentencepiece")]
    _, decoded = counted("decode/llama.cpp", "decode/sentencepiece")
    _, unigram = counted("unigram")
    words = loaded("words.json")
    crafted = loaded("huggingface/answers.json")["answers"].values()
    written = loaded("huggingface/written.json")["files"].values()
    answered = [file["answers"] for file in written if isinstance(file, dict)]
    chats = loaded("chat/transformers.json")
    return [
        *(f"{files} vocabularies, {texts:,} texts" for files, texts in own),
        f"{decoded:,} lists of ids",
        *(f"{files} vocabularies, {texts:,} texts" for files, texts in real),
        f"{len(loaded('bpe.json').keys() - {'oracle'})} BPE, {unigram} Unigram",
        f"{len(words['names'])} names of pre-tokenizers, {len(words['texts'])} texts",
        *(f"{len(files)} files, {sum(map(len, files))} texts" for files in (crafted, answered)),
        f"{len(chats['templates'])} templates, {len(chats['cases'])} cases",
    ]


def test_the_readme_tells_how_much_is_recorded() -> None:
    _, _, rows = README.partition("| recorded |")
    told = [row.split(" | ")[2] for row in rows.partition("\n\n")[0].splitlines()[2:]]

    assert recorded() == told[: len(recorded())]


def test_the_readme_names_the_tests_that_read_it() -> None:
    tests = re.findall(r"`(test_\w+\.py)`", README)

    assert len(tests) > 8
    assert [] == [name for name in tests if not (ROOT / "tests" / name).exists()]


@pytest.mark.parametrize(
    "name", ["huggingface/answers", "huggingface/written", "chat/transformers"]
)
def test_the_readme_names_the_version_that_answered(name: str) -> None:
    assert loaded(f"{name}.json")["oracle"] in README
