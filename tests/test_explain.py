"""An explanation tells every merge, its score, and who lost a tie."""

from __future__ import annotations

from pathlib import Path

import pytest

from spm import Tokenizer
from spm.errors import EncodeError
from spm.text.explain import MAX_BYTES, Merge, Part
from spm.text.token import Token
from tests.making import ABCDE, BYTES, FIRST, HEAD, HELLO, piece, pieces, write_model, write_vocab


@pytest.fixture
def tok(tmp_path: Path) -> Tokenizer:
    return Tokenizer.from_gguf(write_vocab(tmp_path / "v.gguf", HELLO))


def rows(tok: Tokenizer, text: str) -> list[str]:
    (step,) = tok.explain(text).parts
    return [
        b"|".join(symbols).decode() for symbols in [step.symbols, *(m.symbols for m in step.merges)]
    ]


def test_hello_step_by_step(tok: Tokenizer) -> None:
    assert rows(tok, "hello") == [
        "▁|h|e|l|l|o",
        "▁|he|l|l|o",
        "▁|he|ll|o",
        "▁|hell|o",
        "▁|hello",
    ]


def test_every_part_of_an_explanation(tok: Tokenizer) -> None:
    found = tok.explain("he</s>", parse_special=True)

    space = "▁".encode()
    assert found.text == b"he</s>"
    assert found.dialect == "llama.cpp"
    assert found.parts == (
        Part(
            symbols=(space, b"h", b"e"),
            merges=(
                Merge(left=b"h", right=b"e", score=-1.0, rank=None, tied=0, symbols=(space, b"he")),
            ),
            tokens=(Token(FIRST, 0, 0), Token(FIRST + 5, 0, 2)),
        ),
        Part(symbols=(b"</s>",), merges=(), tokens=(Token(2, 2, 6),)),
    )
    assert found.ids == [FIRST, FIRST + 5, 2]


def test_of_a_tie_it_tells_how_many_lost(tmp_path: Path) -> None:
    path = write_vocab(tmp_path / "v.gguf", [*HEAD, *BYTES, *pieces("▁ a aa:-1 aaa:-1")])
    (step,) = Tokenizer.from_gguf(path).explain("aaaaa").parts

    # aaaaa: four pairs tie. aa|a|a|a: aa+a, and two pairs. aaa|a|a: one pair, none else
    assert [(m.left, m.right, m.tied) for m in step.merges] == [
        (b"a", b"a", 3), (b"aa", b"a", 2), (b"a", b"a", 0),
    ]  # fmt: skip
    assert [m.score for m in step.merges] == [-1.0, -1.0, -1.0]


def test_the_last_character_changes_the_first_merge(tmp_path: Path) -> None:
    tok = Tokenizer.from_gguf(write_vocab(tmp_path / "v.gguf", ABCDE))

    assert rows(tok, "abcd")[1:] == ["▁|a|b|cd", "▁|ab|cd"]
    assert rows(tok, "abcde")[1:] == ["▁|a|b|c|de", "▁|a|bc|de"]


def test_user_defined_pieces_are_whole_from_the_beginning(tmp_path: Path) -> None:
    entries = [*HEAD, *BYTES, *pieces("▁ a b ab:-1 abab:-1"), piece("ba", 0, 4)]
    tok = Tokenizer.from_sentencepiece(write_model(tmp_path / "m.model", entries))

    (step,) = tok.explain("abab").parts

    assert step.symbols == ("▁".encode(), b"a", b"ba", b"b")
    assert step.merges == ()


def test_nothing_is_explained_by_nothing(tok: Tokenizer) -> None:
    assert tok.explain("").parts == ()
    assert tok.explain(b"").ids == []


def test_a_long_text_is_refused(tok: Tokenizer) -> None:
    assert MAX_BYTES == 2000
    with pytest.raises(EncodeError, match="text: 2001 bytes, expected at most 2000 to explain"):
        tok.explain("a" * 2001)


def test_a_text_of_the_largest_size_is_explained(tok: Tokenizer) -> None:
    text = "he hello \n" * 40

    assert tok.explain(text).ids == tok.encode(text, add_special=False)


def test_bpe_tells_the_place_of_a_merge_in_the_list(tmp_path: Path) -> None:
    letters = [piece(letter) for letter in "Ġhelo"]
    merged = pieces("he ll hell hello Ġhello")
    merges = [b"h e", b"l l", b"he ll", b"hell o", "Ġ hello".encode()]
    keys = {"model": "gpt2", "pre": "gpt-2", "merges": merges, "scores": None}
    path = write_vocab(
        tmp_path / "v.gguf", [*letters, *merged], eos_token_id=0, bos_token_id=0, **keys
    )
    (word,) = Tokenizer.from_gguf(path).explain(" hello").parts

    assert [0, 1, 2, 3, 4] == [step.rank for step in word.merges]
    assert [None] * 5 == [step.score for step in word.merges]
    assert ["Ġhello".encode()] == list(word.merges[-1].symbols)
