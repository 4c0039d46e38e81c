"""The two reference libraries behind one shape: questions about a vocabulary in, answers out."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from tools.golden.cases import Case, Record, dump_text

ABORTED = {"error": "aborted"}  # llama.cpp ended its process


class RefusedError(Exception):
    """The oracle does not take this vocabulary at all; the message says what it said."""


class Oracle(Protocol):
    """Who is asked: a name, a version, and the two questions."""

    name: str
    version: str
    options: dict[str, Record]  # key of a record -> the arguments that made it

    def encode(self, vocab: Path, cases: Sequence[Case]) -> list[Record]:
        """A record a case: the ids by each way of asking that matters, or the error."""

    def decode(self, vocab: Path, lists: Sequence[list[int]]) -> list[Record]:
        """A record a list of ids: the text by each way of asking that matters."""


class SentencePiece:
    """The sentencepiece library itself."""

    name = "sentencepiece"
    options = {  # noqa: RUF012
        "ids": {"add_bos": False, "add_eos": False},
    }

    def __init__(self) -> None:
        self.version = importlib.metadata.version("sentencepiece")

    def encode(self, vocab: Path, cases: Sequence[Case]) -> list[Record]:
        """`SentencePieceProcessor.encode` of each case's bytes."""
        library = self._library(vocab)
        return [{"id": case.id, "ids": library.encode(case.data)} for case in cases]

    def decode(self, vocab: Path, lists: Sequence[list[int]]) -> list[Record]:
        """`SentencePieceProcessor.decode` of each list; always UTF-8."""
        library = self._library(vocab)
        return [{"text": library.decode(ids)} for ids in lists]

    @staticmethod
    def _library(vocab: Path) -> Any:
        import sentencepiece

        sentencepiece.set_min_log_level(2)  # errors only: our vocabularies are odd on purpose
        return sentencepiece.SentencePieceProcessor(model_file=str(vocab))


class LlamaCpp:
    """llama.cpp, through llama-cpp-python's C functions, in a process of its own."""

    name = "llama.cpp"
    options = {  # noqa: RUF012
        "ids": {"add_special": False, "parse_special": False},
        "parsed": {"add_special": False, "parse_special": True},
        "special": {"add_special": True, "parse_special": True},
        "text": {"remove_special": True, "unparse_special": False},
        "unparsed": {"remove_special": False, "unparse_special": True},
    }

    def __init__(self) -> None:
        self.version = "llama-cpp-python " + importlib.metadata.version("llama_cpp_python")

    def encode(self, vocab: Path, cases: Sequence[Case]) -> list[Record]:
        """`ids` by llama_tokenize; `parsed` and `special` where they say something new."""
        ways = [(False, False), (False, True), (True, True)]
        questions = [["encode", c.data.hex(), *way] for c in cases for way in ways]
        answers = ask(vocab, questions)
        return [
            _encoded(case, *answers[i * len(ways) : (i + 1) * len(ways)])
            for i, case in enumerate(cases)
        ]

    def decode(self, vocab: Path, lists: Sequence[list[int]]) -> list[Record]:
        """`text` by llama_detokenize; `unparsed` (special pieces shown) where it differs."""
        ways = [(True, False), (False, True)]
        answers = ask(vocab, [["decode", ids, *way] for ids in lists for way in ways])
        records = []
        for shown, unparsed in zip(answers[::2], answers[1::2], strict=True):
            record = dump_text(bytes.fromhex(shown))
            if unparsed != shown:
                record["unparsed"] = dump_text(bytes.fromhex(unparsed))
            records.append(record)
        return records


def _encoded(case: Case, plain: Any, parsed: Any, special: Any) -> Record:
    """`parsed` only where it differs from `ids`; `special` only for the theme about it."""
    if plain is None:
        return {"id": case.id, **ABORTED}
    record = {"id": case.id, "ids": plain}
    if parsed != plain:
        record["parsed"] = parsed
    if case.theme == "special":
        record["special"] = special
    return record


def ask(vocab: Path, questions: Sequence[list[Any]]) -> list[Any]:
    """Put the questions to llama.cpp; None answers one that ended its process."""
    done = subprocess.run(
        [sys.executable, "-m", "tools.golden.llama_child"],
        input="".join(json.dumps(line) + "\n" for line in [str(vocab.resolve()), *questions]),
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    status, *answers = [json.loads(line) for line in done.stdout.splitlines()] or ["aborted"]
    if status != "loaded":
        raise RefusedError(f"llama.cpp: {vocab.name}: {status}: {done.stderr.strip()[-300:]}")
    return answers


ORACLES: dict[str, tuple[str, Callable[[], Oracle]]] = {
    "sentencepiece": ("sentencepiece", SentencePiece),
    "llama.cpp": ("llama_cpp", LlamaCpp),
}


def available() -> list[Oracle]:
    """The oracles that this environment has."""
    found: list[Oracle] = []
    for module, oracle in ORACLES.values():
        if importlib.util.find_spec(module):
            found.append(oracle())
    return found


def missing(wanted: Iterable[str], *, real: bool) -> Iterator[str]:
    """What cannot be regenerated here, in words."""
    for name in wanted:
        module, _ = ORACLES[name]
        if not importlib.util.find_spec(module):
            yield f"{name} not found (import {module}): its files are left as they are"
    if not real:
        yield "no real vocabularies found (set SPM_SHARED): golden/real is left as it is"
