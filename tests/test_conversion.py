"""Vocabularies written to a file of another kind, and held against the original."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from spm import GGUF, SpmError, Tokenizer
from spm.gguf import write_gguf
from tests.making import (
    BYTES,
    CONTROL,
    HEAD,
    HELLO,
    SENTENCEPIECE_KEYS,
    USER_DEFINED,
    metadata,
    normalizer_spec,
    piece,
    pieces,
    processor,
    trained,
    trainer_spec,
    write_model,
    write_vocab,
)
from tests.test_charsmap import charsmap_of

TEXTS = ["hello hello", " ell  o", "naïve ﬁne déjà-vu", "日本語", "<s>\n\0x", "", "a" * 50]

ENTRIES = [
    *HEAD, *BYTES, *pieces("▁ a b ab:-1.5 ba:2"), piece("<x>", 0, USER_DEFINED),
    piece("<y>", 0, CONTROL), piece(b"\xff\xfe", -3),
]  # fmt: skip


def test_a_gguf_says_what_a_model_said(tmp_path: Path) -> None:
    tok = Tokenizer.from_sentencepiece(write_model(tmp_path / "v.model", ENTRIES[:-1]))
    tok.to_gguf(tmp_path / "v.gguf")

    expected = {
        **metadata(ENTRIES[:-1], bos_token_id=1, eos_token_id=2, unknown_token_id=0),
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.ggml.add_eos_token": False,
        "tokenizer.ggml.add_space_prefix": True,
        "tokenizer.ggml.remove_extra_whitespaces": False,
    }
    with GGUF.open(tmp_path / "v.gguf") as gguf:
        found = {
            key: value if isinstance(value, (str, int)) else list(value)  # type: ignore[call-overload]
            for key, value in gguf.metadata.items()
        }
    assert {k: v if isinstance(v, (str, int)) else list(v) for k, v in expected.items()} == found


@pytest.mark.parametrize("rule", ["identity", "nmt_nfkc"])
def test_what_was_a_model_and_became_a_gguf_has_the_ids_of_sentencepiece(
    tmp_path: Path, rule: str
) -> None:
    data = trained(rule)
    (tmp_path / "v.model").write_bytes(data)
    Tokenizer.from_sentencepiece(tmp_path / "v.model").to_gguf(tmp_path / "v.gguf")
    tok = Tokenizer.from_gguf(tmp_path / "v.gguf", dialect="sentencepiece")

    for text in TEXTS:
        assert processor(data).Encode(text) == tok.encode(text, add_special=False)


@pytest.mark.parametrize("rule", ["identity", "nmt_nfkc"])
def test_sentencepiece_opens_a_model_that_was_a_gguf(tmp_path: Path, rule: str) -> None:
    data = trained(rule)
    (tmp_path / "v.model").write_bytes(data)
    Tokenizer.from_sentencepiece(tmp_path / "v.model").to_gguf(tmp_path / "v.gguf")
    Tokenizer.from_gguf(tmp_path / "v.gguf").to_sentencepiece(tmp_path / "w.model")
    reopened = processor((tmp_path / "w.model").read_bytes())

    for text in TEXTS:
        assert processor(data).Encode(text) == reopened.Encode(text)
        ids = reopened.Encode(text)
        assert processor(data).Decode(ids) == reopened.Decode(ids)


def test_sentencepiece_opens_a_model_that_was_written_again(tmp_path: Path) -> None:
    path = write_model(
        tmp_path / "v.model", ENTRIES[:-1], normalizer=normalizer_spec(escape=False, prefix=False),
        denormalizer=b"", trainer=trainer_spec(suffix=True),
    )  # fmt: skip
    Tokenizer.from_sentencepiece(path).to_sentencepiece(tmp_path / "w.model")
    first, second = (processor((tmp_path / f"{name}.model").read_bytes()) for name in "vw")

    for text in [*TEXTS, "ab <x> ba", "<y>"]:
        assert first.Encode(text) == second.Encode(text)
    for i in range(len(ENTRIES) - 1):
        assert first.IdToPiece(i) == second.IdToPiece(i)
        assert first.GetScore(i) == second.GetScore(i)
    assert (first.bos_id(), first.eos_id(), first.unk_id(), first.pad_id()) == (
        second.bos_id(), second.eos_id(), second.unk_id(), second.pad_id(),
    )  # fmt: skip


def test_a_gguf_that_was_a_gguf_is_the_same_vocabulary(tmp_path: Path) -> None:
    keys = {**SENTENCEPIECE_KEYS, "padding_token_id": 5, "add_eos_token": True}
    first = Tokenizer.from_gguf(write_vocab(tmp_path / "v.gguf", ENTRIES, **keys))
    first.to_gguf(tmp_path / "w.gguf")

    assert first.fingerprint == Tokenizer.from_gguf(tmp_path / "w.gguf").fingerprint


@pytest.mark.parametrize("name", ["Phi-3 mini", "Modern-BERT"])
def test_a_gguf_keeps_the_rule_that_a_name_brings(tmp_path: Path, name: str) -> None:
    entries = [*ENTRIES, piece("<|endoftext|>", 0, CONTROL), piece("[MASK]", 0, CONTROL)]
    first = Tokenizer.from_gguf(write_vocab(tmp_path / "v.gguf", entries, name=name))
    first.to_gguf(tmp_path / "w.gguf")
    second = Tokenizer.from_gguf(tmp_path / "w.gguf")

    text = "a <y>  b [MASK]  a"
    assert first.vocab.name_rule != ""
    assert first.encode(text, parse_special=True) == second.encode(text, parse_special=True)


@pytest.mark.parametrize(
    ("spec", "trainer", "found"),
    [
        ({"normalizer": normalizer_spec(escape=False)}, {}, "spaces that are not escaped"),
        ({}, {"suffix": True}, "▁ behind words"),
        (
            {"denormalizer": normalizer_spec(charsmap=charsmap_of({b"a": b"b"}))},
            {},
            "a denormaliser",
        ),
    ],
)
def test_what_gguf_has_no_key_for_is_refused(
    tmp_path: Path, spec: dict[str, bytes], trainer: dict[str, bool], found: str
) -> None:
    path = write_model(tmp_path / "v.model", HELLO, trainer=trainer_spec(**trainer), **spec)
    with pytest.raises(SpmError, match=rf" has {found}, expected none: GGUF has no key for it$"):
        Tokenizer.from_sentencepiece(path).to_gguf(tmp_path / "w.gguf")
    assert ["v.model"] == os.listdir(tmp_path)


def test_a_family_that_the_format_does_not_have_is_refused(tmp_path: Path) -> None:
    word = trainer_spec(model_type=3, byte_fallback=False)
    path = write_model(tmp_path / "v.model", [*HEAD, piece("a")], trainer=word)
    with pytest.raises(SpmError, match="is WORD, for which GGUF has no name, expected SPM or BPE"):
        Tokenizer.from_sentencepiece(path).to_gguf(tmp_path / "w.gguf")

    path = write_vocab(tmp_path / "v.gguf", [*HEAD, piece("a")], model="rwkv")
    with pytest.raises(SpmError, match=r"is RWKV, which no \.model holds, expected Unigram or SPM"):
        Tokenizer.from_gguf(path).to_sentencepiece(tmp_path / "w.model")


def test_a_gguf_that_does_not_know_the_normaliser_makes_no_model(tmp_path: Path) -> None:
    tok = Tokenizer.from_gguf(write_vocab(tmp_path / "v.gguf", HELLO))
    with pytest.raises(SpmError, match=r"v\.gguf: tokenizer\.ggml\.add_space_prefix is missing"):
        tok.to_sentencepiece(tmp_path / "v.model")
    assert ["v.gguf"] == os.listdir(tmp_path)


def test_a_file_that_would_give_other_ids_is_not_written(tmp_path: Path) -> None:
    tok = Tokenizer.from_gguf(write_vocab(tmp_path / "v.gguf", HELLO))
    (tmp_path / "w.gguf").write_bytes(b"what was there")
    other = {**metadata(HELLO), "tokenizer.ggml.scores": np.arange(len(HELLO), dtype=np.float32)}
    with (
        mock.patch("spm.tokenizer.gguf_metadata", return_value=other),
        pytest.raises(SpmError, match=r"w\.gguf: not written, since '.*' would have ids \[.*\]$"),
    ):
        tok.to_gguf(tmp_path / "w.gguf")
    assert ["v.gguf", "w.gguf"] == sorted(os.listdir(tmp_path))
    assert b"what was there" == (tmp_path / "w.gguf").read_bytes()


def _replace_fails(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("method", [Tokenizer.to_gguf, Tokenizer.to_sentencepiece])
def test_a_full_disk_is_one_line_and_leaves_nothing(
    tmp_path: Path, method: Callable[[Tokenizer, Path], None]
) -> None:
    tok = Tokenizer.from_sentencepiece(write_model(tmp_path / "v.model", HELLO))
    with (
        mock.patch("spm.conversion.os.replace", _replace_fails),
        pytest.raises(SpmError, match=r"w\.x: cannot be written: No space left on device$"),
    ):
        method(tok, tmp_path / "w.x")
    assert ["v.model"] == os.listdir(tmp_path)


def test_a_vocabulary_takes_nobody_s_weights_away(tmp_path: Path) -> None:
    path = tmp_path / "v.gguf"
    write_gguf(path, metadata(HELLO), {"w": np.ones((2, 32), np.float32)})
    before = path.read_bytes()
    with pytest.raises(SpmError, match=r"v\.gguf: a GGUF with 1 tensors, expected none"):
        Tokenizer.from_gguf(path).to_gguf(tmp_path / "." / "v.gguf")
    assert before == path.read_bytes()


def test_a_vocabulary_may_take_the_place_of_another(tmp_path: Path) -> None:
    tok = Tokenizer.from_gguf(write_vocab(tmp_path / "v.gguf", HELLO))
    write_vocab(tmp_path / "w.gguf", ENTRIES)
    for name in ("v.gguf", "w.gguf"):
        tok.to_gguf(tmp_path / name)
        assert tok.fingerprint == Tokenizer.from_gguf(tmp_path / name).fingerprint
