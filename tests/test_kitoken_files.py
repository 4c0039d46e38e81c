"""The conformance files of another tokenizer, kitoken: ids and texts that sentencepiece gave it.

`utf8` is encoded as one text, the others line by line. In `small` \\n and \\s stand for white
space, and an `output` file tells what the ids decode to.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from spm import Tokenizer

MODELS = {  # as the files call them -> the file of the model
    "nai-t5": "nai_t5",
    "xlnet_base_cased": "xlnet_base_cased",
    "llama2": "llama2_32000",
    "mistral01": "mistral_v1",
    "mistral03": "mistral_v3_240323",
}


def unescaped(text: str) -> str:
    return text.replace("\\n", "\n").replace("\\s", " ")


def ids_in(path: Path) -> list[list[int]]:
    lines = path.read_text("utf-8").split("\n")
    return [[int(i) for i in line.replace(",", " ").split()] for line in lines]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("part", ["small", "mixed", "utf8"])
def test_ids_and_texts(shared: Path, name: str, part: str) -> None:
    folder = shared / "conformance" / "kitoken"
    model = shared / "sentencepiece" / f"{MODELS[name]}.model"
    if not folder.exists() or not model.exists():
        pytest.skip(f"{folder} or {model} is not there")
    tok = Tokenizer.from_sentencepiece(model)
    text = (folder / f"{part}_input.txt").read_bytes().decode()
    lines = [text] if part == "utf8" else text.split("\n")
    rows = ids_in(folder / "sentencepiece" / f"{part}_tokens_{name}.txt")

    if part == "small":
        assert rows == [tok.encode(unescaped(line)) for line in lines]
    else:
        assert [i for row in rows for i in row] == [i for line in lines for i in tok.encode(line)]
    output = folder / "sentencepiece" / f"{part}_output_{name}.txt"
    if part == "small" and output.exists():
        told = output.read_bytes().decode().split("\n")
        assert [unescaped(line) for line in told] == [tok.decode(row) for row in rows]
