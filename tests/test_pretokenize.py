"""Words, as llama.cpp's own code cuts them for every name of `tokenizer.ggml.pre`."""

from __future__ import annotations

import itertools
import json
import random
from itertools import pairwise
from pathlib import Path

import pytest

from spm.text.pretokenize import last_boundary, words
from spm.vocab.pretokenizers import PRE_TOKENIZERS, PreTokenizer

RECORDED = json.loads((Path(__file__).parents[1] / "golden" / "words.json").read_text())
NAMES = {name: row for row in RECORDED["words"] for name in row.split()}

# One name for each row of patterns.
DIFFERENT = {(pre.patterns, pre.boundary): name for name, pre in PRE_TOKENIZERS.items()}.values()

# Characters that patterns tell apart: white space, line ends, letters, marks, digits, symbols, ...
KINDS = [*"aZ1 \n\r\t!/'s-.", "\u0301", "²", "漢", "\x80", "ª", "\u3000", "€", "\u0378"]


def cut(text: str, pre: PreTokenizer) -> list[str]:
    return [text[begin:end] for begin, end in pairwise(words(text, pre))]


def test_the_names_are_those_of_llama_cpp() -> None:
    assert RECORDED["names"].keys() == PRE_TOKENIZERS.keys()


@pytest.mark.parametrize("name", NAMES)
def test_words_are_those_of_llama_cpp(name: str) -> None:
    for text, expected in zip(RECORDED["texts"], RECORDED["words"][NAMES[name]], strict=True):
        assert expected == [len(word) for word in cut(text, PRE_TOKENIZERS[name])]


@pytest.mark.parametrize("name", NAMES)
def test_flags_are_those_of_llama_cpp(name: str) -> None:
    pre, told = PRE_TOKENIZERS[name], RECORDED["names"][name]

    assert told.get("ignore_merges", "false") == str(pre.ignore_merges).lower()
    assert told.get("add_bos", "false") == str(pre.add_bos).lower()
    assert told.get("clean_spaces", "true") == str(pre.clean_spaces).lower()
    assert told.get("escape_whitespaces", "false") == str(pre.escape_whitespaces).lower()
    assert ("special_bos_id" in told) != pre.default_bos
    assert (told["kind"] == "GEMMA4") == pre.whole_newlines == pre.must_bos
    assert (told["kind"] in ("GEMMA4", "SARVAM_MOE", "WHITESPACE")) != pre.byte_level


@pytest.mark.parametrize("name", DIFFERENT)
def test_a_boundary_parts_the_words_whatever_stands_around_it(name: str) -> None:
    pre, rng = PRE_TOKENIZERS[name], random.Random(name)
    for _ in range(400):
        text = "".join(rng.choices(KINDS, k=rng.randint(2, 12)))
        at = last_boundary(text, pre)
        more = "".join(rng.choices(KINDS, k=rng.randint(0, 4)))

        assert cut(text[:at], pre) + cut(text[at:] + more, pre) == cut(text + more, pre)


@pytest.mark.parametrize("name", DIFFERENT)
def test_there_are_boundaries(name: str) -> None:
    text = "One sentence.\nAnd another with 12 words\nand a few"

    assert last_boundary(text, PRE_TOKENIZERS[name]) > 30


@pytest.mark.parametrize("name", DIFFERENT)
def test_no_text_is_slow(name: str) -> None:
    """Every text of one or two characters over and over would take hours if it were quadratic."""
    pre, n = PRE_TOKENIZERS[name], 1 << 16
    units = ["a", "Z", "1", " ", "\n", " \n", "!", "\u0301", "\u0378", "aZ", "1²"]
    for unit in units:
        found = words(unit * (n // len(unit)), pre)
        assert (0, n // len(unit) * len(unit)) == (found[0], found[-1])
    for text in (" " * n + "x", "\n" + " " * n + "x", "ª" + "Z" * n, "<sentinel:" + "1" * n):
        assert len(text) == words(text, pre)[-1]


def test_a_million_characters() -> None:
    for name, unit in itertools.product(("gpt-2", "llama-bpe", "gemma4"), ("a", " ", "\n", " \n")):
        text = unit * (1_000_000 // len(unit))
        assert len(text) == words(text, PRE_TOKENIZERS[name])[-1]
