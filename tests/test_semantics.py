"""What "the same ids" means, on the vocabularies that people use: Llama-2 and Mistral 7B.

llama.cpp's own cases come with its vocabulary file; sentencepiece answers in this process.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest

from spm import Tokenizer
from spm.errors import VocabError

QUESTION = "<|user|>\nWhat is the capital of France?"
LLAMA_2 = [1, 529, 29989, 1792, 29989, 29958, 13, 5618, 338, 278, 7483, 310, 3444, 29973]
MISTRAL = [1, 523, 28766, 1838, 28766, 28767, 13, 3195, 349, 272, 5565, 302, 4843, 28804]
SEPARATOR = b"\n__ggml_vocab_test__\n"

KILLERS = [
    "", "hello", " hello", "\nHello", "a\n\nb", "tab\there", "　全角", "\u00a0x", "a\u00a0b",
    "aaaaaaa", "x" * 16, "=========", "lllll", "  two  spaces", "hahahaha", "-----", "naïve café",
    "Great chatbot.</s>\n<|user|>", "▁", "a▁b", "▁▁▁", "<0x0A>", "<s>", "<s>hello</s>", "<unk>",
    "👩\u200d👩\u200d👧\u200d👦", "🏳️\u200d🌈", "\0", "a\0b", "\ufeffx", "e\u0301", "\u2028", "\r\n",
    "𝕏", "ﬁ①½", "\ud7ff\ue000", "Ⅷ㍿",
]  # fmt: skip
BROKEN = [b"\xed\xa0\x80", b"\xed\xa0\x80\xed\xb0\x80", b"\xe2\x96", b"\xf0\x9f\x98", b"a\xffb",
          b"\xc3", b"\x80\x80", b"hello\xe2\x96\x81\xe2", b"\xf8\x88\x80\x80\x80"]  # fmt: skip
SPACES = [
    text
    for n in range(1, 41)
    for text in (" " * n, "a" + " " * n, " " * n + "a", "a" + " " * n + "b", "\n" + " " * n + "\n")
]


@cache
def llama_2(shared: Path) -> Tokenizer:
    return Tokenizer.from_gguf(shared / "gguf/ggml-vocab-llama-spm.gguf")


@cache
def model(shared: Path, name: str) -> tuple[Tokenizer, Any]:
    import sentencepiece

    path = shared / "sentencepiece" / name
    processor = sentencepiece.SentencePieceProcessor()
    processor.Load(str(path))
    return Tokenizer.from_sentencepiece(path), processor


def llama_cpp_cases(shared: Path) -> list[tuple[bytes, list[int]]]:
    stem = shared / "gguf/ggml-vocab-llama-spm.gguf"
    *texts, rest = Path(f"{stem}.inp").read_bytes().split(SEPARATOR)
    assert rest == b""
    lines = Path(f"{stem}.out").read_text().splitlines()
    assert len(lines) == len(texts)
    return [(text, [int(i) for i in line.split()]) for text, line in zip(texts, lines)]


def test_llama_cpp_s_own_cases(shared: Path) -> None:
    cases = llama_cpp_cases(shared)
    tok = llama_2(shared)

    assert len(cases) == 46
    assert [tok.encode(text, add_special=False) for text, _ in cases] == [ids for _, ids in cases]


def test_llama_cpp_s_own_cases_decode(shared: Path) -> None:
    tok = llama_2(shared)

    for text, ids in llama_cpp_cases(shared):
        assert tok.decode_bytes(ids) == text


def test_a_question_to_llama_2(shared: Path) -> None:
    assert llama_2(shared).encode(QUESTION) == LLAMA_2


def test_the_same_question_to_mistral(shared: Path) -> None:
    path = shared / "sentencepiece/mistral_v1.model"

    assert Tokenizer.from_sentencepiece(path, dialect="llama.cpp").encode(QUESTION) == MISTRAL
    strict, real = model(shared, "mistral_v1.model")
    assert strict.encode(QUESTION) == MISTRAL[1:] == real.Encode(QUESTION)


def test_a_typed_end_of_text_is_text_unless_parsed(shared: Path) -> None:
    tok, text = llama_2(shared), "chatbot.</s>\n<|user|>"

    parsed = tok.encode(text, parse_special=True)
    at = parsed.index(2)
    assert parsed[at : at + 4] == [2, 29871, 13, 29966]  # </s>, then a prefix, \n, <
    assert 2 not in tok.encode(text)


@pytest.mark.parametrize("name", ["llama2_32000.model", "mistral_v1.model"])
def test_what_kills_wrong_tokenizers_is_read_as_sentencepiece_reads_it(
    shared: Path, name: str
) -> None:
    tok, real = model(shared, name)
    for text in [*(t.encode() for t in KILLERS), *BROKEN]:
        ids = tok.encode(text)
        assert ids == real.Encode(text), text
        assert tok.decode_bytes(ids) == real.Decode(ids, out_type=bytes), text


@pytest.mark.parametrize("name", ["llama2_32000.model", "mistral_v1.model"])
def test_one_to_forty_spaces(shared: Path, name: str) -> None:
    tok, real = model(shared, name)
    for text in SPACES:
        assert tok.encode(text) == real.Encode(text), text


def test_the_gguf_and_the_model_of_llama_2_are_one_vocabulary(shared: Path) -> None:
    path = shared / "sentencepiece/llama2_32000.model"
    converted, gguf = Tokenizer.from_sentencepiece(path, dialect="llama.cpp"), llama_2(shared)

    assert converted.vocab.pieces == gguf.vocab.pieces
    for text in [*(t.encode() for t in [*KILLERS, *SPACES]), *BROKEN]:
        assert converted.encode(text) == gguf.encode(text), text


def test_without_the_normaliser_s_keys_there_is_no_sentencepiece_dialect(shared: Path) -> None:
    path = shared / "gguf/ggml-vocab-llama-spm.gguf"

    with pytest.raises(VocabError, match=r"tokenizer\.ggml\.add_space_prefix is missing"):
        Tokenizer.from_gguf(path, dialect="sentencepiece")


def test_facts_of_the_llama_2_vocabulary(shared: Path) -> None:
    vocab = llama_2(shared).vocab
    normal = [i for i, kind in enumerate(vocab.types) if kind == 1]

    assert len(vocab) == 32_000
    assert len(normal) == 31_741
    assert len({float(vocab.scores[i]) for i in normal}) == 31_726
    assert max(len(vocab.pieces[i]) for i in normal) == 48
    space = "▁".encode()
    assert not [i for i in normal if space in vocab.pieces[i].lstrip(space)]


def test_every_piece_of_mistral_comes_back(shared: Path) -> None:
    tok, real = model(shared, "mistral_v1.model")
    for i in range(0, len(tok.vocab), 7):
        assert tok.decode_bytes([i]) == real.Decode([i], out_type=bytes)
        assert tok.decode_bytes([13, i]) == real.Decode([13, i], out_type=bytes)
