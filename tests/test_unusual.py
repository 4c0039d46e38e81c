"""What `Tokenizer.unusual` says of vocabularies that were made to be so."""

import json
from pathlib import Path

import pytest

from spm import Tokenizer
from tests.making import (
    BYTES,
    CONTROL,
    HEAD,
    SENTENCEPIECE_KEYS,
    UNUSED,
    Piece,
    piece,
    pieces,
    write_vocab,
)

FUSE = {"type": "Fuse"}
PLAIN = [*HEAD, *BYTES, *pieces("▁ a b c ab:-1 bc:-2 abc:-3")]


def unusual(tmp_path: Path, entries: list[Piece], dialect: str = "llama.cpp") -> list[str]:
    path = write_vocab(tmp_path / "v.gguf", entries, **SENTENCEPIECE_KEYS)
    return Tokenizer.from_gguf(path, dialect=dialect).unusual()


def test_nothing_is_unusual_about_scores_that_fall(tmp_path: Path) -> None:
    assert [] == unusual(tmp_path, PLAIN, "sentencepiece")


def test_special_pieces_that_no_text_spells_are_not_unusual(tmp_path: Path) -> None:
    entries = [entry for entry in PLAIN if entry.text not in (b"<unk>", b"<s>", b"</s>")]
    heads = [piece("\u2047", 0, 2), piece("\u2048", 0, CONTROL), piece("\u2049", 0, CONTROL)]
    found = unusual(tmp_path, [*heads, *entries])
    # one character is a piece without any merge, and llama.cpp reads it as the special piece
    expected = "3 pieces that are not for text come of their spelling, such as '\u2047' (id 0)"
    assert [expected] == found


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (pieces("ca:-2"), "2 pieces share their score with another, such as 'bc' (id 264)"),
        (
            pieces("abca:-0.5"),
            "1 pieces may merge before a part of theirs does, such as 'abca' (id 266)",
        ),
        ([piece(b"\xe2\x96", -9)], "1 pieces are not UTF-8, such as '\\xe2\\x96' (id 266)"),
        (
            [*pieces("<a:-5 <a>:-6"), piece("<a>b", -7, CONTROL)],
            "1 pieces that are not for text come of their spelling, such as '<a>b' (id 268)",
        ),
        (
            [piece("cab", -7, UNUSED)],
            "1 pieces that are not for text come of their spelling, such as 'cab' (id 266)",
        ),
    ],
)
def test_a_finding_has_a_number_and_an_example(
    tmp_path: Path, more: list[Piece], expected: str
) -> None:
    assert expected in unusual(tmp_path, [*PLAIN, *more])


def test_a_missing_byte_is_named(tmp_path: Path) -> None:
    entries = [entry for entry in PLAIN if entry.text != b"<0x41>"]
    assert "1 of 256 byte pieces are missing, such as <0x41>" in unusual(tmp_path, entries)


def test_no_byte_piece_at_all_is_a_choice(tmp_path: Path) -> None:
    entries = [entry for entry in PLAIN if entry not in BYTES]
    assert not any("byte pieces" in line for line in unusual(tmp_path, entries))


def test_a_missing_key_says_which_dialect_is_missing_with_it(tmp_path: Path) -> None:
    tok = Tokenizer.from_gguf(write_vocab(tmp_path / "v.gguf", PLAIN))
    assert (
        "tokenizer.ggml.add_space_prefix is missing: there is no sentencepiece dialect"
        in tok.unusual()
    )


@pytest.mark.parametrize("dialect", ["llama.cpp", "sentencepiece"])
def test_llama_2_has_as_many_improper_pieces_as_were_counted_elsewhere(
    shared: Path, dialect: str
) -> None:
    path = shared / "sentencepiece" / "llama2_32000.model"
    found = Tokenizer.from_sentencepiece(path, dialect=dialect).unusual()
    assert any(line.startswith("7947 pieces may merge before a part") for line in found)
    assert any(line.startswith("15 pieces share their score") for line in found)


def test_what_a_tokenizer_json_leaves_out_or_does_to_any_text(tmp_path: Path) -> None:
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": True}
    tokens = [
        {"id": 1, "content": "<s>", "special": True, **flags},
        {"id": 2, "content": "b", "special": False, **flags},
    ]
    content = {
        "added_tokens": tokens,
        "normalizer": {"type": "NFC"},
        "model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"},
    }
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(content))
    expected = [
        "there is no decoder: pieces are put together with spaces between them",
        "1 added tokens come of any text, since they are not special, such as 'b' (id 2)",
        "1 special tokens are looked for in the normalised text, such as '<s>' (id 1)",
    ]
    assert expected == Tokenizer.from_hf(path).unusual()[:3]

    path.write_text(
        json.dumps({**content, "normalizer": None, "added_tokens": [], "decoder": FUSE})
    )
    assert not any("decoder" in line for line in Tokenizer.from_hf(path).unusual())
