"""Where a family meets a dialect, the core or a format that is not for it."""

from pathlib import Path
from typing import Any

import pytest

from spm import SpmError, Tokenizer
from spm.native import core
from spm.text.word_stages import stages_of
from spm.vocab.pretokenizers import PRE_TOKENIZERS
from tests.making import (
    BYTES,
    CONTROL,
    HEAD,
    SENTENCEPIECE_KEYS,
    Piece,
    piece,
    pieces,
    trainer_spec,
    write_model,
    write_vocab,
)

LETTERS = [*(piece(letter) for letter in "Ġab"), piece("<s>", 0, CONTROL), *pieces("ab Ġab")]
MERGES = [b"a b", "Ġ ab".encode()]


def bpe(path: Path, entries: list[Piece] = LETTERS, **keys: Any) -> Tokenizer:
    given = {"model": "gpt2", "pre": "gpt-2", "merges": MERGES, "bos_token_id": 3, **keys}
    return Tokenizer.from_gguf(write_vocab(path / "v.gguf", entries, eos_token_id=3, **given))


def test_sentencepiece_reads_no_bpe_of_llama_cpp(tmp_path: Path) -> None:
    bpe(tmp_path, **SENTENCEPIECE_KEYS)
    with pytest.raises(SpmError, match=r"is BPE, which sentencepiece does not read"):
        Tokenizer.from_gguf(tmp_path / "v.gguf", dialect="sentencepiece")


def test_the_merges_are_part_of_the_fingerprint(tmp_path: Path) -> None:
    assert bpe(tmp_path).fingerprint != bpe(tmp_path, merges=MERGES[::-1]).fingerprint


def test_a_special_piece_may_spell_what_is_no_text(tmp_path: Path) -> None:
    strange = piece(b"\xf4\x90\x80\x80", 0, CONTROL)  # beyond U+10FFFF
    assert [5, 5] == bpe(tmp_path, [*LETTERS, strange]).encode(" ab ab")


@pytest.mark.parametrize("model_type", [1, 3, 4])
def test_what_does_not_merge_is_explained_by_its_ids(tmp_path: Path, model_type: int) -> None:
    trainer = trainer_spec(model_type=model_type, byte_fallback=False)
    entries = [*HEAD, *pieces("▁:-1 a:-2 ▁a:-1")]
    tok = Tokenizer.from_sentencepiece(write_model(tmp_path / "v.model", entries, trainer=trainer))
    found = tok.explain("a")

    assert tok.encode("a") == found.ids
    assert () == found.parts[0].merges


def test_gguf_has_no_name_for_whole_words(tmp_path: Path) -> None:
    trainer = trainer_spec(model_type=3, byte_fallback=False)
    path = write_model(tmp_path / "v.model", [*HEAD, *pieces("▁a")], trainer=trainer)
    with pytest.raises(SpmError, match=r"the vocabulary is WORD"):
        Tokenizer.from_sentencepiece(path).to_gguf(tmp_path / "w.gguf")


@pytest.mark.skipif(core is None, reason="the compiled core is not built")
def test_the_core_leaves_what_it_does_not_know(tmp_path: Path) -> None:
    assert bpe(tmp_path)._fast is not None
    assert bpe(tmp_path, pre="whitespace")._fast is None

    trainer = trainer_spec(model_type=1)
    huge = [*HEAD, *BYTES, piece("a", 3e38)]
    path = write_model(tmp_path / "v.model", huge, trainer=trainer)
    assert Tokenizer.from_sentencepiece(path)._fast is None


def test_more_sets_than_the_core_has_classes_for() -> None:
    few = tuple(rf"[{letter}]+" for letter in "abc")

    assert stages_of(few) is not None
    assert stages_of((*few, r"[d]+")) is None
    assert stages_of((r"[a]{2,7}",)) is None


def test_every_row_of_patterns_is_read_or_left_whole() -> None:
    read = {name for name, pre in PRE_TOKENIZERS.items() if stages_of(pre.patterns) is not None}

    assert {"gpt-2", "llama-bpe", "qwen2", "tekken", "deepseek-v3"} <= read
    assert not read & {"chameleon", "kimi-k2", "superbpe", "youtu"}


@pytest.mark.parametrize("pre", ["gpt-2", "qwen2"])
def test_a_gguf_of_bpe_that_was_written_again_is_the_same(tmp_path: Path, pre: str) -> None:
    tok = bpe(tmp_path, pre=pre)
    tok.to_gguf(tmp_path / "w.gguf")
    copy = Tokenizer.from_gguf(tmp_path / "w.gguf")

    assert tok.fingerprint == copy.fingerprint
    assert [5, 4] == copy.encode(" abab")


def test_a_word_piece_is_no_byte(tmp_path: Path) -> None:
    ids = {"bos_token_id": 0, "eos_token_id": 0, "seperator_token_id": 0, "unknown_token_id": 0}
    rest = {"padding_token_id": 0, "mask_token_id": 0, "model": "bert"}
    path = write_vocab(tmp_path / "v.gguf", [piece("[U]", 0, CONTROL), BYTES[0]], **ids, **rest)
    with pytest.raises(SpmError, match=r"id 1 has type BYTE, expected none in a WordPiece"):
        Tokenizer.from_gguf(path)


def test_a_stream_of_rwkv_stops_where_no_piece_goes_on(tmp_path: Path) -> None:
    path = write_vocab(tmp_path / "v.gguf", [*pieces("a xy"), piece("\n")], model="rwkv")
    stream = Tokenizer.from_gguf(path).stream_encoder()

    assert [0, 0] == stream.push("aaxzzz")
    with pytest.raises(SpmError, match=r"expected one of the pieces that begin with it"):
        stream.flush()


def test_word_pieces_need_what_stands_around_every_text(tmp_path: Path) -> None:
    ids = dict.fromkeys(["bos", "eos", "seperator", "unknown", "padding", "mask"], 0)
    keys = {f"{role}_token_id": i for role, i in ids.items()}
    path = write_vocab(tmp_path / "v.gguf", [piece("[U]", 0, CONTROL)], model="bert", **keys)
    vocab = Tokenizer.from_gguf(path).vocab
    with pytest.raises(SpmError, match=r"there is no sep id, expected bos and sep$"):
        Tokenizer(vocab.reread(special_ids={"bos": 0}), "llama.cpp")
