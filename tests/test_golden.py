"""spm gives the answers in golden/; where it does not, golden/README.md says what to do."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path

import pytest

import spm
from tools.golden import questions
from tools.golden.cases import ROOT, inputs, read, sha256
from tools.golden.questions import Question

pytestmark = pytest.mark.filterwarnings("ignore::spm.errors.DoubleBOSWarning")


def golden(folder: str) -> pytest.MarkDecorator:
    paths = questions.golden_files(folder)
    return pytest.mark.parametrize("path", paths, ids=lambda p: f"{p.parent.name}/{p.stem}")


@cache
def tokenizer(vocab: Path, oracle: str) -> spm.Tokenizer:
    gguf = vocab.suffix == ".gguf"
    make = spm.Tokenizer.from_gguf if gguf else spm.Tokenizer.from_sentencepiece
    return make(vocab, dialect=oracle)


@cache
def vocabs_by_sha256(folder: Path) -> dict[str, Path]:
    return {sha256(p): p for p in folder.rglob("*") if p.suffix in (".model", ".gguf")}


def answer(tok: spm.Tokenizer, question: Question) -> list[int] | bytes | None:
    if isinstance(question.given, list):
        return tok.decode_bytes(question.given, **question.options)
    try:
        return tok.encode(question.given, **question.options)
    except spm.EncodeError:
        return None


def check(path: Path, tok: spm.Tokenizer, asked: Iterable[Question]) -> None:
    wrong = [(q, actual) for q in asked if (actual := answer(tok, q)) != q.expected]
    report = [f"{path.relative_to(ROOT.parent)} by {tok}: {len(wrong)} answers differ"]
    report += [f"{q.label} {q.given!r}\n  {q.expected} expected\n  {a!r}" for q, a in wrong[:5]]
    assert not wrong, "\n".join(report)


@golden("ids")
def test_encode_gives_the_oracles_ids(path: Path) -> None:
    header = read(path).header
    vocab = ROOT / "vocabs" / header["vocab"]
    model = vocab.with_suffix(".model")  # encodes for llama.cpp as if it were converted

    assert header["sha256"] == sha256(vocab)
    for source in {vocab, model} if model.exists() else {vocab}:
        check(path, tokenizer(source, header["oracle"]), questions.encodings(read(path)))


@golden("decode")
def test_decode_gives_the_oracles_text(path: Path) -> None:
    header, ids = read(path).header, read(ROOT / "ids" / path.parent.name / path.name)
    tok = tokenizer(ROOT / "vocabs" / header["vocab"], header["oracle"])
    check(path, tok, questions.decodings(read(path), ids))


@golden("real")
def test_encode_of_a_real_vocabulary(path: Path, shared: Path) -> None:
    header = read(path).header
    vocab = vocabs_by_sha256(shared).get(header["sha256"])
    if vocab is None:
        pytest.skip(f"{header['vocab']} (sha256 {header['sha256'][:12]}…) is not in {shared}")
    check(path, tokenizer(vocab, header["oracle"]), questions.encodings(read(path)))


@pytest.mark.parametrize("folder", ["ids", "real"])
def test_the_oracles_differ_where_it_is_listed_and_nowhere_else(folder: str) -> None:
    listed = questions.divergences_listed(folder)

    assert len(listed) == len(set(listed))
    assert questions.divergences_found(folder) == set(listed)


def test_every_case_has_its_reason() -> None:
    explained = (ROOT / "README.md").read_text("utf-8")
    reasons = {record["reason"] for record in read(ROOT / "divergences.jsonl").records}

    assert [case.id for case in inputs().values() if not case.why] == []
    assert [reason for reason in reasons if f"**{reason}** " not in explained] == []
