"""WordPiece against a definition by hand, and against what llama.cpp refuses.

That its ids are llama.cpp's is for golden/ to say, and for real vocabularies to say here.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spm import Tokenizer
from spm.errors import EncodeError, VocabError
from tests.making import BYTE, CONTROL, Piece, piece, write_vocab

SPECIAL = [piece(text, 0, CONTROL) for text in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")]
_TEXTS = """▁play ing ed ▁! ▁ a b é e ▁é ▁ab abb ▁日 ▁$ € ▁B B É ▁É ▁. i ▁i bab aba ▁ba
 ▁\u0301 \u0301"""
TEXTS = _TEXTS.split()
UNK, CLS, SEP = 1, 2, 3
IDS = {
    "padding_token_id": np.uint32(0), "unknown_token_id": np.uint32(UNK),
    "bos_token_id": np.uint32(CLS), "seperator_token_id": np.uint32(SEP),
}  # fmt: skip


def write(path: Path, texts: list[str], extra: list[Piece] | None = None, **keys: Any) -> Path:
    entries = [*SPECIAL, *map(piece, texts), *(extra or [])]
    return write_vocab(path, entries, **{"model": "bert", "scores": None, **IDS, **keys})


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[bool, bool], Tokenizer]:
    """By lowercase and strip_accents."""
    folder, made = tmp_path_factory.mktemp("wordpiece"), {}
    for lowercase in (False, True):
        for strip in (False, True):
            keys = {"normalizer.lowercase": lowercase, "normalizer.strip_accents": strip}
            path = write(folder / f"{lowercase}{strip}.gguf", TEXTS, **keys)
            made[lowercase, strip] = Tokenizer.from_gguf(path)
    return made


def spelled(tok: Tokenizer, text: str | bytes) -> str:
    ids = tok.encode(text, add_special=False)
    return " ".join(tok.vocab.pieces[i].decode("utf-8", "replace") for i in ids)


def test_a_word_without_pieces_needs_an_unk_id(
    tokenizers: dict[tuple[bool, bool], Tokenizer],
) -> None:
    vocab = tokenizers[False, False].vocab
    ids = {role: i for role, i in vocab.special_ids.items() if role != "unk"}
    tok = Tokenizer(replace(vocab, special_ids=ids), "llama.cpp")

    expected = r"gguf: byte 5 of the text begins '▁x', which has no pieces, expected an unk id for"
    with pytest.raises(EncodeError, match=expected):
        tok.encode("play x")


# ---- the definition, over characters whose nature was written down by hand

ALONE, BETWEEN, NOTHING = "!.$日", " \n\u00a0\u3000\u2028", "\0\x01\x7f\u00ad\u200b\ufffd\ue000"
LETTERS = "abeiB€\u0378"  # the last one is not assigned
ACCENTED = {"é": "e", "É": "E"}
LOWER = {"B": "b", "E": "e", "É": "é"}


def words(text: str, lowercase: bool, strip: bool) -> list[str]:
    if strip:
        text = "".join(ACCENTED.get(c, c) for c in text if c != "\u0301")
    text = "".join(c for c in text if c not in NOTHING)
    text = "".join(f" {c} " if c in ALONE else " " if c in BETWEEN else c for c in text)
    return "".join(LOWER.get(c, c) if lowercase else c for c in text).split(" ")


def longest_pieces(word: str) -> list[str] | None:
    if not word:
        return []
    found = [text for text in TEXTS if word.startswith(text)]
    if not found:
        return None
    longest = max(found, key=len)
    rest = longest_pieces(word[len(longest) :])
    return None if rest is None else [longest, *rest]


alphabet = ALONE + BETWEEN + NOTHING + LETTERS + "éÉ\u0301" + "aabbab  "


@given(st.text(alphabet, max_size=30), st.booleans(), st.booleans())
def test_the_longest_pieces_of_each_word(
    tokenizers: dict[tuple[bool, bool], Tokenizer], text: str, lowercase: bool, strip: bool
) -> None:
    expected: list[str] = []
    for word in words(text, lowercase, strip):
        expected += (longest_pieces("▁" + word) or ["[UNK]"]) if word else []

    assert expected == spelled(tokenizers[lowercase, strip], text).split()


@given(st.binary(max_size=20) | st.text(alphabet, max_size=20).map(str.encode), st.data())
def test_a_stream_gives_the_ids_of_the_whole(
    tokenizers: dict[tuple[bool, bool], Tokenizer], data: bytes, draw: st.DataObject
) -> None:
    tok, text = tokenizers[True, True], data.decode("utf-8", "ignore")
    cuts = draw.draw(st.lists(st.integers(0, len(text)), max_size=4).map(sorted))
    encoder = tok.stream_encoder()
    parts = [encoder.push(text[a:b]) for a, b in pairwise([0, *cuts, len(text)])]

    assert tok.encode(text) == [i for part in [*parts, encoder.flush()] for i in part]


# The first and last characters that were words of their own between two letters, and the neighbours
# of these that were not: answered by llama.cpp of llama-cpp-python 0.3.36.
CHINESE = [
    0x3400, 0x4DBF, 0x4E00, 0x9FFF, 0xF900, 0xFAFF, 0x20000, 0x2A6DF, 0x2A700, 0x2B73F, 0x2B740,
    0x2B81F, 0x2B920, 0x2CEAF, 0x2F800, 0x2FA1F,
]  # fmt: skip
NOT_CHINESE = [
    0x33FF, 0x4DC0, 0x4DFF, 0xA000, 0xF8FF, 0xFB00, 0x1FFFF, 0x2A6E0, 0x2A6FF, 0x2B820, 0x2B91F,
    0x2CEB0, 0x2F7FF, 0x2FA20,
]  # fmt: skip


def test_which_characters_are_chinese(tokenizers: dict[tuple[bool, bool], Tokenizer]) -> None:
    tok = tokenizers[False, False]
    parts = {c: tok.count(f"a{chr(c)}a", add_special=False) for c in CHINESE + NOT_CHINESE}

    assert CHINESE == [c for c, n in parts.items() if n == 5]  # ▁ a, UNK, ▁ a


def test_the_example_of_its_file(tokenizers: dict[tuple[bool, bool], Tokenizer]) -> None:
    assert spelled(tokenizers[True, True], "Playing, playful!") == "▁play ing [UNK] [UNK] ▁!"


def test_offsets_are_of_the_text_as_given(tokenizers: dict[tuple[bool, bool], Tokenizer]) -> None:
    ids, spans = tokenizers[True, True].encode_offsets(" Play\u00edng\u0301 !zz!", unit="char")

    assert [CLS, 5, 6, 8, UNK, 8, SEP] == ids
    assert spans.tolist() == [[0, 0], [1, 5], [5, 9], [10, 11], [11, 13], [13, 14], [14, 14]]


def test_cls_and_sep_whatever_the_flags_say(tmp_path: Path) -> None:
    flags = {"add_bos_token": False, "add_eos_token": False, "add_sep_token": False}
    tok = Tokenizer.from_gguf(write(tmp_path / "v.gguf", TEXTS, **flags))

    assert [CLS, SEP] == tok.encode("")
    assert [] == tok.encode("", add_special=False)
    assert tok.count("") == 2


def test_strip_accents_follows_lowercase(tmp_path: Path) -> None:
    path = write(tmp_path / "v.gguf", TEXTS, **{"normalizer.lowercase": False})
    vocab = Tokenizer.from_gguf(path).vocab

    assert (vocab.lowercase, vocab.strip_accents) == (False, False)
    assert vocab.fingerprint != Tokenizer.from_gguf(write(path, TEXTS)).fingerprint


def test_decoding_cleans_spaces(tokenizers: dict[tuple[bool, bool], Tokenizer]) -> None:
    tok = tokenizers[True, True]
    assert tok.decode(tok.encode("playing !")) == " playing!"  # as llama.cpp does it


# ---- what cannot be


def refusal(path: Path) -> str:
    with pytest.raises(VocabError) as error:
        Tokenizer.from_gguf(path)
    return str(error.value).removeprefix(f"{path}: ")


def test_what_ends_llama_cpp_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "v.gguf"
    byte = refusal(write(path, TEXTS, [piece("<0x41>", 0, BYTE)]))
    sep = refusal(write(path, TEXTS, seperator_token_id=None))
    number = refusal(write(path, TEXTS, **{"normalizer.lowercase": 1}))

    assert byte == "id 32 has type BYTE, expected none in a WordPiece vocabulary"
    assert sep.startswith("tokenizer.ggml.seperator_token_id is missing and its default 102 is")
    assert number == "tokenizer.ggml.normalizer.lowercase is UINT32, expected BOOL"


def test_a_code_point_beyond_unicode(tokenizers: dict[tuple[bool, bool], Tokenizer]) -> None:
    with pytest.raises(EncodeError, match="byte 3 begins code point 0x110000, expected at most"):
        tokenizers[True, True].encode(b"ab \xf4\x90\x80\x80")


def test_invalid_utf8_goes_away(tokenizers: dict[tuple[bool, bool], Tokenizer]) -> None:
    tok = tokenizers[True, True]
    assert tok.encode(b"\xffa\xe2\x96b\xc3") == tok.encode("ab")


# ---- llama.cpp took 111 s for 11,001 letters once (#8029)


def test_a_word_of_a_hundred_thousand_letters(
    tokenizers: dict[tuple[bool, bool], Tokenizer],
) -> None:
    n, tok = 100_000, tokenizers[True, True]

    assert tok.count("ab" + "a" * n, add_special=False) == n + 1
    assert tok.encode("a" * n + "z") == [CLS, UNK, SEP]
    assert tok.encode("\u0301" * n) == [CLS, SEP]
    assert tok.count("!" * n) == n + 2


# ---- real


def test_the_ids_that_llama_cpp_ships_with_its_vocabulary(shared: Path) -> None:
    path = shared / "gguf" / "ggml-vocab-bert-bge.gguf"
    *inputs, _ = Path(f"{path}.inp").read_bytes().split(b"\n__ggml_vocab_test__\n")
    lines = Path(f"{path}.out").read_text("ascii").splitlines()
    outputs = [list(map(int, line.split())) for line in lines]
    tok = Tokenizer.from_gguf(path)

    assert len(inputs) == len(outputs) == 46
    assert outputs == [tok.encode(text, add_special=False) for text in inputs]
