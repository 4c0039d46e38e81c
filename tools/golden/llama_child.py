"""The process that llama.cpp runs in: questions come in on standard input, answers go out.

llama.cpp ends its process on vocabularies and texts that it does not like (GGML_ASSERT, exceptions
that cross a C boundary). So the answers are given by a fork of this process, which holds the loaded
vocabulary; where a fork dies, its question is answered `null`, and the next fork begins behind it.

First line in: the path of a GGUF. Then a JSON list a line, `["encode", text in hex, add_special,
parse_special]` or `["decode", ids, remove_special, unparse_special]`. Out: "loaded" or "refused",
then a JSON answer a line: ids, or text in hex.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tools.oracles import LlamaCppOracle


def answer(oracle: LlamaCppOracle, question: list[Any]) -> list[int] | str:
    """One question to one answer."""
    kind, what, first, second = question
    if kind == "encode":
        return oracle.encode(bytes.fromhex(what), add_special=first, parse_special=second)
    return oracle.decode(what, remove_special=first, unparse_special=second).hex()


def answer_in_fork(oracle: LlamaCppOracle, questions: list[str]) -> Iterator[str]:
    """Answers as JSON, as many as one fork lived to give."""
    inlet, outlet = os.pipe()
    if os.fork() == 0:
        with os.fdopen(outlet, "w") as out:
            for question in questions:
                print(json.dumps(answer(oracle, json.loads(question))), file=out, flush=True)
        os._exit(0)
    os.close(outlet)
    with os.fdopen(inlet) as lines:
        yield from (line.rstrip("\n") for line in lines)
    os.wait()


def main() -> None:
    """Load the vocabulary, answer until every question has its line."""
    os.environ["GGML_NO_BACKTRACE"] = "1"
    path, *questions = sys.stdin.read().splitlines()
    try:
        oracle = LlamaCppOracle(Path(json.loads(path)))
    except ValueError:
        print(json.dumps("refused"))
        return
    print(json.dumps("loaded"), flush=True)
    while questions:
        answers = list(answer_in_fork(oracle, questions))
        died = len(answers) < len(questions)
        print("\n".join([*answers, "null"] if died else answers), flush=True)
        questions = questions[len(answers) + died :]


if __name__ == "__main__":
    main()
