"""Reading a tokenizer.json: what it says, and what is refused with a line that says where."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spm import Tokenizer, TokenType, VocabError
from spm.vocab import Family, vocab_from_hf
from spm.vocab import pipeline as hf

BPE: dict[str, Any] = {
    "type": "BPE",
    "vocab": {"<unk>": 0, "a": 1, "b": 2, "ab": 3, "abab": 4},
    "merges": ["a b", "ab ab"],
    "unk_token": "<unk>",
}
UNIGRAM: dict[str, Any] = {
    "type": "Unigram",
    "vocab": [["<unk>", 0.0], ["a", -1.5], ["ab", -2.0123445987701416]],
    "unk_id": 0,
}
WORD_PIECE: dict[str, Any] = {
    "type": "WordPiece",
    "vocab": {"[UNK]": 0, "a": 1},
    "unk_token": "[UNK]",
    "continuing_subword_prefix": "##",
    "max_input_chars_per_word": 100,
}
WORD_LEVEL: dict[str, Any] = {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}
TOKEN: dict[str, Any] = {
    "id": 5, "content": "<s>", "single_word": False, "lstrip": False, "rstrip": False,
    "normalized": False, "special": True,
}  # fmt: skip


def write(tmp_path: Path, model: dict[str, Any] = BPE, **stages: Any) -> Path:
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps({"version": "1.0", "model": model, **stages}))
    return path


def changed(model: dict[str, Any], **keys: Any) -> dict[str, Any]:
    return {**copy.deepcopy(model), **keys}


def message(path: Path) -> str:
    """The line of the error, without the file."""
    with pytest.raises(VocabError) as caught:
        Tokenizer.from_hf(path)
    line = str(caught.value)
    assert "\n" not in line
    assert len(line) < 700
    assert line.startswith(f"{path}: ")
    return line.removeprefix(f"{path}: ")


# ---- what it says


def test_pieces_types_and_merges_by_id(tmp_path: Path) -> None:
    vocab = vocab_from_hf(write(tmp_path, added_tokens=[TOKEN, {**TOKEN, "id": 1, "content": "a"}]))

    assert (b"<unk>", b"a", b"b", b"ab", b"abab", b"<s>") == vocab.pieces
    control, normal = TokenType.CONTROL, TokenType.NORMAL
    assert (TokenType.UNKNOWN, control, normal, normal, normal, control) == vocab.types
    assert Family.BPE == vocab.family
    assert vocab.pipeline is not None
    assert isinstance(vocab.pipeline.model, hf.BPE)
    assert ((1, 2, 3), (3, 3, 4)) == vocab.pipeline.model.merges
    assert 5 == vocab.pipeline.n_own


def test_merges_may_be_pairs(tmp_path: Path) -> None:
    pairs = changed(BPE, merges=[["a", "b"], ["ab", "ab"]])

    assert vocab_from_hf(write(tmp_path)).fingerprint == (
        vocab_from_hf(write(tmp_path, pairs)).fingerprint
    )


@pytest.mark.parametrize(
    ("model", "family"),
    [
        (BPE, Family.BPE), (UNIGRAM, Family.UNIGRAM), (WORD_PIECE, Family.WORDPIECE),
        (WORD_LEVEL, Family.WORD),
    ],
)  # fmt: skip
def test_old_files_do_not_name_the_type_of_their_model(
    model: dict[str, Any], family: Family, tmp_path: Path
) -> None:
    nameless = {key: value for key, value in model.items() if key != "type"}

    assert family == vocab_from_hf(write(tmp_path, nameless)).family


def test_scores_have_the_precision_of_the_file(tmp_path: Path) -> None:
    vocab = vocab_from_hf(write(tmp_path, UNIGRAM))

    assert vocab.pipeline is not None
    assert isinstance(vocab.pipeline.model, hf.Unigram)
    assert (0.0, -1.5, -2.0123445987701416) == vocab.pipeline.model.scores
    assert [0.0, -1.5, np.float32(-2.0123446)] == vocab.scores.tolist()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # What serde_json, which rounds twice, makes of them: recorded through tokenizers 0.23.3.
        ("-11.342029571533203", -11.342029571533203),
        ("-9.8765432109876543210", -9.876543210987655),
        ("1e-5", 1e-05),
        ("0.1", 0.1),
        ("0." + "0" * 320 + "5", 5e-321),
        ("-123456789012345678901234567890.5", -1.2345678901234568e29),
    ],
)
def test_decimals_round_as_in_the_library(text: str, expected: float, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    vocab = f'[["<unk>", 0], ["a", {text}]]'
    path.write_text(f'{{"model": {{"type": "Unigram", "unk_id": 0, "vocab": {vocab}}}}}')

    pipeline = vocab_from_hf(path).pipeline

    assert pipeline is not None
    assert isinstance(pipeline.model, hf.Unigram)
    assert expected == pipeline.model.scores[1]


def test_byte_pieces_are_bytes_where_the_model_falls_back(tmp_path: Path) -> None:
    pieces = [*UNIGRAM["vocab"], ["<0x0A>", -3.0]]
    for byte_fallback, kind in ((True, TokenType.BYTE), (False, TokenType.NORMAL)):
        model = changed(UNIGRAM, vocab=pieces, byte_fallback=byte_fallback)
        assert kind == vocab_from_hf(write(tmp_path, model)).types[3]


# ---- what is refused: the container


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "Expecting value: line 1 column 1 (char 0), expected a tokenizer.json"),
        (b"[]", " is [], expected an object"),
        (b"{}", "model is missing, expected an object"),
        (b'{"model"', "Expecting ':' delimiter: line 1 column 9 (char 8), expected a tokenizer"),
        (b"\xff\xfe", "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
        (b"[" * 100_000, "nested without end, expected a tokenizer.json"),
        (b'{"a": 1, "a": 2}', "key 'a' stands twice, expected a tokenizer.json"),
        (b'{"a": NaN}', "NaN is no number of JSON, expected a tokenizer.json"),
        (b'{"a": 1.0e999}', "a number is out of range, expected a tokenizer.json"),
        (b'{"a": ' + b"9" * 5000 + b"}", "Exceeds the limit (4300 digits) for integer"),
        (b'{"version": "2.0", "model": {}}', "version is '2.0', expected '1.0'"),
        (b'{"model": {"type": "BPE", "vocab": {"\\ud800": 0}}}', "expected a string without half"),
    ],
)  # fmt: skip
def test_what_is_no_file_of_this_kind(data: bytes, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(data)

    assert expected in message(path)


def test_what_is_no_file(tmp_path: Path) -> None:
    assert "No such file or directory, expected a tokenizer.json" == message(tmp_path / "nothing")
    assert "Is a directory, expected a tokenizer.json" == message(tmp_path)


def test_too_much_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path)
    monkeypatch.setattr("spm.vocab.from_hf.MAX_PIECES", 3)
    assert "model.vocab has 5 pieces, expected at most 3" == message(path)
    monkeypatch.setattr("spm.vocab.json_at.MAX_BYTES", 10)
    assert "more than 10 bytes, expected a tokenizer.json" == message(path)


# ---- what is refused: pieces


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (changed(BPE, vocab={"a": 0, "b": 0}), "model.vocab['b'] is 0, expected an id that 'a' do"),
        (
            changed(BPE, vocab={"a": 0, "ab": 2}, merges=[], unk_token=None),
            "no piece has id 1, but there is id 2, expected every id",
        ),
        (changed(BPE, vocab={"a": -1}), "model.vocab['a'] is -1, expected an integer from 0 to"),
        (changed(BPE, vocab={"a": "0"}), "model.vocab['a'] is '0', expected an integer from 0 to"),
        (changed(BPE, vocab={"a": True}), "model.vocab['a'] is True, expected an integer from 0 t"),
        (changed(BPE, vocab={"a": 1 << 40}), "model.vocab['a'] is 1099511627776, expected an inte"),
        (changed(BPE, vocab=[]), "model.vocab is [], expected an object"),
        (changed(BPE, vocab={}, merges=[], unk_token=None), "the vocabulary has 0 pieces"),
        (changed(BPE, merges=["a b", "b a"]), "model.merges[1] is 'b a', expected a merge of piec"),
        (changed(BPE, merges=["a c"]), "expected a merge of pieces that makes a piece: 'c' is non"),
        (changed(BPE, merges=["a b b"]), "model.merges[0] is 'a b b', expected two pieces"),
        (changed(BPE, merges=[["a"]]), "model.merges[0] is ['a'], expected two pieces"),
        (changed(BPE, merges=[["a", 1]]), "model.merges[0][1] is 1, expected a string"),
        (changed(BPE, merges=[3]), "model.merges[0] is 3, expected a string"),
        (changed(BPE, merges="ab"), "model.merges is 'ab', expected a list"),
        (changed(BPE, unk_token="c"), "model.unk_token is 'c', expected a piece of model.vocab"),
        (changed(BPE, dropout=0.1), "model.dropout is 0.1, expected null: ids that are drawn by"),
        (changed(BPE, fuse_unk=1), "model.fuse_unk is 1, expected true or false"),
        (
            changed(BPE, byte_fallback=True, end_of_word_suffix="</w>"),
            "model.byte_fallback is True, expected false beside continuing_subword_prefix or",
        ),
        (changed(UNIGRAM, unk_id=3), "model.unk_id is 3, expected an integer from 0 to 2"),
        (changed(UNIGRAM, vocab=[["a", 0], ["a", 1]]), "model.vocab[1][0] is 'a', expected a piec"),
        (changed(UNIGRAM, vocab=[["a"]]), "model.vocab[0] is ['a'], expected a piece and its scor"),
        (changed(UNIGRAM, vocab=[["a", "0"]]), "model.vocab[0][1] is '0', expected a number"),
        (changed(UNIGRAM, vocab=[], unk_id=None), "the vocabulary has 0 pieces, expected at least"),
        (changed(UNIGRAM, vocab=[["a" * 8001, 0]], unk_id=0), "model.vocab has a piece of 8001 ch"),
        (changed(WORD_PIECE, unk_token=None), "model.unk_token is None, expected a string"),
        (changed(WORD_PIECE, max_input_chars_per_word=-1), "max_input_chars_per_word is -1, expec"),
        ({"type": "Foo"}, "model.type is 'Foo', expected BPE or Unigram or WordPiece or WordLevel"),
    ],
)  # fmt: skip
def test_models_that_are_refused(model: dict[str, Any], expected: str, tmp_path: Path) -> None:
    assert expected in message(write(tmp_path, model))


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        ([{**TOKEN, "id": 6}], "added_tokens[0].id is 6, expected 5, which tokenizers gives '<s>'"),
        ([TOKEN, TOKEN], "added_tokens[1].content is '<s>', expected a text that no other added"),
        ([{**TOKEN, "content": ""}], "added_tokens[0].content is '', expected a text that no othe"),
        ([{**TOKEN, "special": 1}], "added_tokens[0].special is 1, expected true or false"),
        ([{"id": 5, "content": "x"}], "added_tokens[0].single_word is missing, expected true or"),
        ({"a": 1}, "added_tokens is {'a': 1}, expected a list"),
    ],
)  # fmt: skip
def test_added_tokens_that_are_refused(tokens: Any, expected: str, tmp_path: Path) -> None:
    assert expected in message(write(tmp_path, added_tokens=tokens))


def test_added_tokens_that_are_the_same_once_normalised(tmp_path: Path) -> None:
    tokens = [
        {**TOKEN, "content": "X", "normalized": True},
        {**TOKEN, "content": "x", "id": 6, "normalized": True},
    ]
    path = write(tmp_path, added_tokens=tokens, normalizer={"type": "Lowercase"})

    assert message(path).startswith("added token 6 is 'x' once normalised, expected a text that no")


# ---- what is refused: components


def split(pattern: Any, **keys: Any) -> dict[str, Any]:
    return {
        "type": "Split", "pattern": pattern, "behavior": "Removed", "invert": False, **keys
    }  # fmt: skip


TEMPLATE = {
    "type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "x", "type_id": 0}}, {"Sequence": {"id": "A"}}],
    "special_tokens": {"x": {"id": "x", "ids": [9], "tokens": ["x"]}},
}
BERT = {"type": "BertProcessing", "sep": ["a", 1], "cls": ["b", 2]}


@pytest.mark.parametrize(
    ("stage", "component", "expected"),
    [
        ("normalizer", {"type": "Foo"}, "normalizer.type is 'Foo', expected one of NFC, NFD, NFKC"),
        ("normalizer", {}, "normalizer.type is missing, expected a string"),
        (
            "normalizer", {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Bar"}]},
            "normalizer.normalizers[1].type is 'Bar', expected one of NFC",
        ),
        (
            "normalizer", {"type": "Sequence", "normalizers": [{"type": "NFC"}] * 300},
            "normalizer has more than 256 steps, expected few",
        ),
        (
            "normalizer", {"type": "Precompiled", "precompiled_charsmap": "*"},
            "normalizer.precompiled_charsmap is '*', expected base64",
        ),
        (
            "normalizer", {"type": "Precompiled", "precompiled_charsmap": "AAAA"},
            "normalizer: precompiled_charsmap: a trie of 0 bytes announced, 0 bytes follow",
        ),
        ("normalizer", {"type": "Strip", "strip_left": True}, "normalizer.strip_right is missing"),
        (
            "normalizer", {"type": "Replace", "pattern": {"Foo": "a"}, "content": ""},
            "normalizer.pattern is {'Foo': 'a'}, expected a String or a Regex",
        ),
        ("pre_tokenizer", {"type": "UnicodeScripts"}, "pre_tokenizer.type is 'UnicodeScripts', ex"),
        (
            "pre_tokenizer", split({"String": "a"}, behavior="removed"),
            "pre_tokenizer.behavior is 'removed', expected 'Removed' or 'Isolated' or",
        ),
        (
            "pre_tokenizer", {"type": "Metaspace", "replacement": "__"},
            "pre_tokenizer.replacement is '__', expected one character",
        ),
        (
            "pre_tokenizer",
            {"type": "Metaspace", "replacement": "_", "add_prefix_space": False},
            "pre_tokenizer.prepend_scheme is missing, expected 'never' beside an add_prefix_space ",
        ),
        (
            "pre_tokenizer", {"type": "FixedLength", "length": 0},
            "pre_tokenizer.length is 0, expected an integer from 1 to 2147483647",
        ),
        ("decoder", {"type": "Foo"}, "decoder.type is 'Foo', expected one of ByteLevel, Metaspace"),
        (
            "decoder", {"type": "Strip", "content": " ", "start": -1, "stop": 0},
            "decoder.start is -1, expected an integer from 0 to",
        ),
        (
            "post_processor", {"type": "Foo"},
            "post_processor.type is 'Foo', expected one of TemplateProcessing, BertProcessing,",
        ),
        (
            "post_processor", TEMPLATE,
            "post_processor.special_tokens.x.ids[0] is 9, expected an integer from 0 to 4",
        ),
        (
            "post_processor", {**TEMPLATE, "single": []},
            "post_processor.single is [], expected a template with the text in it once",
        ),
        (
            "post_processor", {**TEMPLATE, "single": [{"Sequence": {"id": "B"}}]},
            "post_processor.single[0].Sequence.id is 'B', expected 'A'",
        ),
        (
            "post_processor", {**TEMPLATE, "special_tokens": {}},
            "post_processor.special_tokens.x is missing, expected an object",
        ),
        (
            "post_processor", {"type": "Sequence", "processors": [BERT, BERT]},
            "post_processor.processors[1].type is 'BertProcessing', expected at most one post-proc",
        ),
        (
            "post_processor",
            {
                "type": "Sequence",
                "processors": [
                    BERT, {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True}
                ],
            },
            "post_processor.processors[1].type is 'ByteLevel', expected no ByteLevel behind",
        ),
        (
            "post_processor", {**BERT, "cls": ["b", 9]},
            "post_processor.cls[1] is 9, expected an integer from 0 to 4",
        ),
        (
            "post_processor",
            {
                "type": "Sequence",
                "processors": [
                    {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False}
                ] * 300,
            },
            "post_processor has too many steps, expected few",
        ),
        ("post_processor", {**BERT, "cls": ["b"]}, "post_processor.cls is ['b'], expected a token"),
    ],
)  # fmt: skip
def test_components_that_are_refused(
    stage: str, component: dict[str, Any], expected: str, tmp_path: Path
) -> None:
    assert expected in message(write(tmp_path, **{stage: component}))
