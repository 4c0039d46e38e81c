"""What a GGUF must say about a vocabulary, what may be absent, and what makes two the same."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spm import Tokenizer
from spm.errors import SpmError, VocabError, quoted
from spm.gguf import GGUF, Typed, ValueType, write_gguf
from spm.vocab import Normalization, TokenType, Vocab, vocab_from_gguf
from spm.vocab.vocab import BYTE_OF_PIECE, byte_piece
from tests.making import BYTES, HEAD, Piece, metadata, piece, pieces, write_vocab

ENTRIES = [*HEAD, *pieces("a b ab:-1")]  # 6 pieces
N = len(ENTRIES)


def load(tmp_path: Path, entries: list[Piece] = ENTRIES, **keys: Any) -> Vocab:
    with GGUF.open(write_vocab(tmp_path / "v.gguf", entries, **keys)) as gguf:
        return vocab_from_gguf(gguf)


def refusal(tmp_path: Path, entries: list[Piece] = ENTRIES, **keys: Any) -> str:
    with pytest.raises(VocabError) as error:
        load(tmp_path, entries, **keys)
    message = str(error.value)
    assert "\n" not in message
    assert len(message) < 400
    assert message.startswith(f"{tmp_path}")
    return message.removeprefix(f"{tmp_path / 'v.gguf'}: ")


def test_a_whole_file(tmp_path: Path) -> None:
    vocab = load(
        tmp_path,
        [*ENTRIES, piece("<pad>", 0, 3), piece("u", 2.5, 4), piece("n", 0, 5), BYTES[10]],
        bos_token_id=np.uint32(3),
        eos_token_id=np.uint32(4),
        unknown_token_id=np.uint32(5),
        padding_token_id=np.uint32(6),
        add_bos_token=False,
        add_eos_token=True,
        add_space_prefix=False,
        name="a model",
    )

    assert vocab.source == str(tmp_path / "v.gguf")
    assert len(vocab) == 10
    assert vocab.pieces[5:] == (b"ab", b"<pad>", b"u", b"n", b"<0x0A>")
    assert vocab.scores.dtype == np.float32
    assert vocab.scores[5:].tolist() == [-1.0, 0.0, 2.5, 0.0, 0.0]
    assert vocab.types == (
        TokenType.UNKNOWN, TokenType.CONTROL, TokenType.CONTROL, TokenType.NORMAL,
        TokenType.NORMAL, TokenType.NORMAL, TokenType.CONTROL, TokenType.USER_DEFINED,
        TokenType.UNUSED, TokenType.BYTE,
    )  # fmt: skip
    assert (vocab.bos_id, vocab.eos_id, vocab.unk_id, vocab.pad_id) == (3, 4, 5, 6)
    assert (vocab.add_bos, vocab.add_eos, vocab.add_space_prefix) == (False, True, False)
    assert vocab.name_rule == ""
    assert vocab.piece_to_id[b"ab"] == 5
    assert vocab.eog_ids == {4}
    assert vocab.byte_fallback
    assert "10 pieces" in repr(vocab)
    assert "v.gguf" in repr(vocab)


def test_the_defaults_are_those_of_llama_cpp(tmp_path: Path) -> None:
    vocab = load(tmp_path)

    assert (vocab.bos_id, vocab.eos_id, vocab.unk_id, vocab.pad_id) == (1, 2, 0, None)
    assert (vocab.add_bos, vocab.add_eos, vocab.add_space_prefix) == (True, False, True)
    assert vocab.name_rule == ""
    assert not vocab.byte_fallback


@pytest.mark.parametrize("key", ["model", "tokens"])
def test_a_missing_key_is_named(tmp_path: Path, key: str) -> None:
    assert refusal(tmp_path, **{key: None}).startswith(f"tokenizer.ggml.{key} is missing")


def test_without_scores_all_are_zero_and_without_types_all_are_normal(tmp_path: Path) -> None:
    # llama_vocab::impl::load of llama.cpp
    vocab = load(tmp_path, scores=None)
    assert vocab.scores.tolist() == [0.0] * N
    assert vocab.scores.dtype == np.float32
    assert vocab.types[:4] == (2, 3, 3, 1)

    assert load(tmp_path, token_type=None).types == (TokenType.NORMAL,) * N


@pytest.mark.parametrize(
    "key", ["scores", "token_type", "add_space_prefix", "remove_extra_whitespaces"]
)
def test_what_sentencepiece_would_need_is_told(tmp_path: Path, key: str) -> None:
    keys = {"add_space_prefix": True, "remove_extra_whitespaces": True, key: None}
    vocab = load(tmp_path, **keys)

    assert vocab.normalization is None
    assert vocab.lacks == f"tokenizer.ggml.{key}"


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("model", 5, "tokenizer.ggml.model is UINT32, expected STRING"),
        ("model", "elmo", "tokenizer.ggml.model is 'elmo', expected 'llama'"),
        ("tokens", "abc", "tokenizer.ggml.tokens is STRING, expected ARRAY"),
        ("tokens", np.zeros(N, np.int32), "is an array of INT32, expected of STRING"),
        ("scores", 1.0, "tokenizer.ggml.scores is FLOAT32, expected ARRAY"),
        ("scores", np.zeros(N, np.float64), "array of FLOAT64, expected of FLOAT32 or INT32"),
        ("scores", np.zeros(N, np.uint8), "array of UINT8, expected of FLOAT32 or INT32"),
        ("scores", ["0"] * N, "array of STRING, expected of FLOAT32 or INT32"),
        ("token_type", np.zeros(N, np.uint32), "array of UINT32, expected of INT32"),
        ("token_type", np.ones(N, np.float32), "array of FLOAT32, expected of INT32"),
        ("scores", np.zeros(N - 1, np.float32), "scores has 5 elements, expected 6"),
        ("token_type", np.ones(N - 1, np.int32), "token_type has 5 elements, expected 6"),
        ("bos_token_id", "1", "tokenizer.ggml.bos_token_id is STRING, expected UINT32"),
        ("bos_token_id", np.int32(-1), "bos_token_id is INT32, expected UINT32"),
        ("add_bos_token", 1, "tokenizer.ggml.add_bos_token is UINT32, expected BOOL"),
        ("add_eos_token", "yes", "tokenizer.ggml.add_eos_token is STRING, expected BOOL"),
        ("add_space_prefix", 0, "tokenizer.ggml.add_space_prefix is UINT32, expected BOOL"),
    ],
)
def test_a_key_of_the_wrong_type_or_length_is_named(
    tmp_path: Path, key: str, value: Any, expected: str
) -> None:
    assert expected in refusal(tmp_path, **{key: value})


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("remove_extra_whitespaces", "no", "remove_extra_whitespaces is STRING, expected BOOL"),
        ("precompiled_charsmap", np.zeros(4, np.int32), "INT32, expected of UINT8 or INT8"),
        ("precompiled_charsmap", "abc", "precompiled_charsmap is STRING, expected ARRAY"),
    ],
)
def test_the_normaliser_s_keys_are_checked_where_they_are_used(
    tmp_path: Path, key: str, value: Any, expected: str
) -> None:
    keys = {"add_space_prefix": True, "remove_extra_whitespaces": True, key: value}

    assert expected in refusal(tmp_path, **keys)


def test_arrays_may_be_longer_than_the_vocabulary(tmp_path: Path) -> None:
    scores = np.arange(N + 3, dtype=np.float32)
    types = np.array([2, 3, 3, 1, 1, 1, 99, 99], np.int32)

    vocab = load(tmp_path, scores=scores, token_type=types)

    assert vocab.scores.tolist() == [0, 1, 2, 3, 4, 5]
    assert len(vocab.types) == N


def test_scores_may_be_integers(tmp_path: Path) -> None:
    vocab = load(tmp_path, scores=np.arange(0, -N, -1, dtype=np.int32))

    assert vocab.scores.dtype == np.float32
    assert vocab.scores.tolist() == [0, -1, -2, -3, -4, -5]


@pytest.mark.parametrize("number", [0, 7, -1, 2**31 - 1, -(2**31)])
def test_a_type_out_of_range_is_named_with_its_id(tmp_path: Path, number: int) -> None:
    types = np.array([2, 3, 3, 1, number, 1], np.int32)

    expected = f"tokenizer.ggml.token_type: id 4 has type {number}, expected 1 to 6"
    assert refusal(tmp_path, token_type=types) == expected


ROLES = {
    "bos_token_id": "bos", "eos_token_id": "eos", "unknown_token_id": "unk",
    "padding_token_id": "pad", "eot_token_id": "eot", "eom_token_id": "eom",
    "fim_pre_token_id": "fim_pre", "fim_suf_token_id": "fim_suf", "fim_mid_token_id": "fim_mid",
    "fim_pad_token_id": "fim_pad", "fim_rep_token_id": "fim_rep", "fim_sep_token_id": "fim_sep",
    "prefix_token_id": "fim_pre", "suffix_token_id": "fim_suf", "middle_token_id": "fim_mid",
}  # fmt: skip


@pytest.mark.parametrize(("key", "role"), ROLES.items())
def test_every_special_id_has_its_role_and_its_range(tmp_path: Path, key: str, role: str) -> None:
    assert load(tmp_path, **{key: np.uint32(N - 1)}).special_ids[role] == N - 1
    for value in (N, 2**31, 2**32 - 2):
        expected = f"tokenizer.ggml.{key} is {value}, expected 0 to {N - 1}"
        assert refusal(tmp_path, **{key: np.uint32(value)}) == expected


@pytest.mark.parametrize(("key", "role"), ROLES.items())
def test_minus_one_as_unsigned_means_that_there_is_none(
    tmp_path: Path, key: str, role: str
) -> None:
    vocab = load(tmp_path, **{key: np.uint32(2**32 - 1)})

    assert vocab.special_ids == {"bos": 1, "eos": 2, "unk": 0}


def test_a_default_outside_a_tiny_vocabulary_is_refused(tmp_path: Path) -> None:
    one = [piece("a")]

    message = refusal(tmp_path, one)
    assert "bos_token_id is missing and its default 1 is outside the vocabulary" in message
    message = refusal(tmp_path, [piece("a"), piece("b")])
    assert "eos_token_id is missing and its default 2 is outside" in message


def test_a_vocabulary_of_one_piece_can_be_read(tmp_path: Path) -> None:
    ids = {"bos_token_id": np.uint32(0), "eos_token_id": np.uint32(0)}
    vocab = load(tmp_path, [piece("a")], **ids)

    assert len(vocab) == 1
    assert vocab.special_ids == {"bos": 0, "eos": 0, "unk": 0}


def test_a_vocabulary_of_no_piece_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "v.gguf"
    empty = Typed(ValueType.ARRAY, [], ValueType.STRING)
    write_gguf(path, metadata([], tokens=empty), {})

    with GGUF.open(path) as gguf, pytest.raises(VocabError, match=r"expected 0 to -1|0 pieces"):
        vocab_from_gguf(gguf)


def test_a_vocab_of_no_piece_cannot_be_made_by_hand_either() -> None:
    with pytest.raises(VocabError, match="has 0 pieces, expected at least 1"):
        by_hand([], special_ids={})


def test_duplicate_pieces_are_refused(tmp_path: Path) -> None:
    twice = [*ENTRIES, piece("b"), piece("q"), piece("b")]

    message = refusal(tmp_path, twice)
    assert message == "piece 'b' stands 3 times (first at id 4), expected every piece once"


def test_a_nan_score_is_refused_where_it_has_no_order(tmp_path: Path) -> None:
    scores = np.array([0, 0, 0, 0, np.nan, 0], np.float32)
    path = write_vocab(tmp_path / "v.gguf", ENTRIES, scores=scores)

    with pytest.raises(VocabError, match="the score of id 4 is NaN, expected a number") as error:
        Tokenizer.from_gguf(path)
    assert str(error.value).startswith(str(path))


def test_infinite_scores_are_read(tmp_path: Path) -> None:
    scores = np.array([0, 0, 0, np.inf, -np.inf, 0], np.float32)

    assert load(tmp_path, scores=scores).scores.tolist() == scores.tolist()


@pytest.mark.parametrize(
    "text", ["<0x-1>", "<0xZZ>", "<0x>", "<0x0a>", "<0x100>", "0x0A", "<0X0A>", "\n", "<0x0A"]
)
def test_a_byte_piece_that_is_no_byte_is_refused(tmp_path: Path, text: str) -> None:
    message = refusal(tmp_path, [*ENTRIES, piece(text, 0, 6)])

    assert f"id {N} has type BYTE and piece {quoted(text.encode())}" in message


@pytest.mark.parametrize("role", ["bos", "eos"])
def test_a_special_id_that_is_added_must_exist(role: str) -> None:
    with pytest.raises(
        VocabError, match=f"add_{role}_token is true, but there is no {role} id, expected one$"
    ):
        by_hand(ENTRIES, special_ids={}, **{f"add_{role}": True})


@pytest.mark.parametrize("wrong", [-1, N, 10**9])
def test_a_special_id_must_be_an_id(wrong: int) -> None:
    with pytest.raises(VocabError, match=f"the pad id is {wrong}, expected 0 to {N - 1}"):
        by_hand(ENTRIES, special_ids={"pad": wrong})


@pytest.mark.parametrize("value", ["a\nb", "x" * 1_000_000, "a\u2028b\x1b[2J"])
def test_a_hostile_model_key_cannot_write_its_own_lines(tmp_path: Path, value: str) -> None:
    message = refusal(tmp_path, model=value)

    assert message.isprintable()


def test_a_path_with_a_newline_stays_one_line(tmp_path: Path) -> None:
    path = write_vocab(tmp_path / "a\nb.gguf", ENTRIES, tokens=None)

    with pytest.raises(VocabError) as error:
        Tokenizer.from_gguf(path)
    assert "\n" not in str(error.value)


def test_a_name_of_the_wrong_type_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "v.gguf"
    write_gguf(path, {**metadata(ENTRIES), "general.name": 5}, {})

    with GGUF.open(path) as gguf, pytest.raises(SpmError, match=r"general\.name"):
        vocab_from_gguf(gguf)


def test_a_flag_of_the_wrong_type_is_refused_although_it_is_not_used(tmp_path: Path) -> None:
    refusal(tmp_path, remove_extra_whitespaces="yes")


# ---- the normaliser's keys


def test_without_the_normaliser_s_keys_the_first_missing_one_is_told(tmp_path: Path) -> None:
    neither = load(tmp_path)
    one = load(tmp_path, add_space_prefix=True)

    assert neither.normalization is None
    assert neither.lacks == "tokenizer.ggml.add_space_prefix"
    assert one.normalization is None
    assert one.lacks == "tokenizer.ggml.remove_extra_whitespaces"


@pytest.mark.parametrize("kind", [np.uint8, np.int8])
def test_with_the_normaliser_s_keys_it_is_complete(tmp_path: Path, kind: Any) -> None:
    charsmap = np.array([1, 2, 255], np.uint8).view(kind)
    vocab = load(
        tmp_path, add_space_prefix=False, remove_extra_whitespaces=True,
        precompiled_charsmap=charsmap,
    )  # fmt: skip

    assert vocab.lacks == ""
    assert vocab.normalization == Normalization(
        charsmap=b"\x01\x02\xff", add_dummy_prefix=False, remove_extra_whitespaces=True
    )


# ---- a Vocab is a value


def by_hand(entries: list[Piece], **changes: Any) -> Vocab:
    fields: dict[str, Any] = {
        "source": "here",
        "pieces": tuple(entry.text for entry in entries),
        "scores": np.array([entry.score for entry in entries], np.float32),
        "types": tuple(TokenType(entry.type) for entry in entries),
        "special_ids": {"bos": 1, "eos": 2, "unk": 0},
        "add_bos": False,
        "add_eos": False,
        "add_space_prefix": True,
    }
    return Vocab(**{**fields, **changes})


CHANGES: dict[str, dict[str, Any]] = {
    "a piece": {"pieces": (b"<unk>", b"<s>", b"</s>", b"a", b"b", b"ac")},
    "where a piece ends": {"pieces": (b"<unk>", b"<s>", b"</s>a", b"", b"b", b"ab")},
    "a score": {"scores": np.array([0, 0, 0, 0, 0, -2], np.float32)},
    "the sign of zero": {"scores": np.array([0, 0, 0, -0.0, 0, -1], np.float32)},
    "a type": {"types": tuple(TokenType(t) for t in (2, 3, 3, 1, 4, 1))},
    "a special id": {"special_ids": {"bos": 1, "eos": 2, "unk": 3}},
    "one special id more": {"special_ids": {"bos": 1, "eos": 2, "unk": 0, "pad": 0}},
    "add_bos": {"add_bos": True},
    "add_eos": {"add_eos": True},
    "add_space_prefix": {"add_space_prefix": False},
    "eog": {"eog_ids": frozenset([3])},
    "rstrip": {"rstrip_ids": frozenset([3])},
    "byte_fallback": {"byte_fallback": False},
    "unk_surface": {"unk_surface": b"?"},
    "normalization": {"normalization": Normalization()},
    "charsmap": {"normalization": Normalization(charsmap=b"x")},
    "prefix": {"normalization": Normalization(add_dummy_prefix=False)},
    "spaces": {"normalization": Normalization(remove_extra_whitespaces=False)},
    "escape": {"normalization": Normalization(escape_whitespaces=False)},
    "suffix": {"normalization": Normalization(treat_whitespace_as_suffix=True)},
    "denormalization": {"denormalization": Normalization()},
}


def test_the_fingerprint_changes_with_everything_that_can_change_an_id_or_a_text() -> None:
    prints = {name: by_hand(ENTRIES, **change).fingerprint for name, change in CHANGES.items()}
    prints["nothing"] = by_hand(ENTRIES).fingerprint

    assert len(set(prints.values())) == len(prints)


def test_the_fingerprint_is_a_sha256_and_does_not_change_with_the_path() -> None:
    fingerprint = by_hand(ENTRIES).fingerprint

    assert len(bytes.fromhex(fingerprint)) == 32
    assert by_hand(ENTRIES, source="there").fingerprint == fingerprint
    assert by_hand(ENTRIES, special_ids={"unk": 0, "eos": 2, "bos": 1}).fingerprint == fingerprint


def test_the_fingerprint_of_a_file_is_that_of_its_copy(tmp_path: Path) -> None:
    first = load(tmp_path)
    (tmp_path / "other").mkdir()

    assert load(tmp_path / "other").fingerprint == first.fingerprint


def test_a_name_changes_the_fingerprint_only_if_it_changes_ids(tmp_path: Path) -> None:
    prints = [load(tmp_path, name=name).fingerprint for name in ("", "other", "a PHI-3", "phi3")]
    assert prints[0] == prints[1] != prints[2] == prints[3]
    assert by_hand(ENTRIES, name_rule="phi-3").fingerprint != by_hand(ENTRIES).fingerprint


def test_a_vocab_does_not_change() -> None:
    vocab = by_hand(ENTRIES)

    with pytest.raises(FrozenInstanceError):
        vocab.source = "there"  # type: ignore[misc]
    with pytest.raises(ValueError, match="read-only"):
        vocab.scores[0] = 1.0


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda v: pickle.loads(pickle.dumps(v))])
def test_a_copied_vocab_is_the_same_vocabulary(clone: Any) -> None:
    vocab = by_hand(ENTRIES)

    assert clone(vocab).fingerprint == vocab.fingerprint
    assert clone(vocab).piece_to_id == vocab.piece_to_id


@pytest.mark.parametrize(
    "clone",
    [
        pytest.param(copy.deepcopy, id="deepcopy"),
        pytest.param(lambda v: pickle.loads(pickle.dumps(v)), id="pickle"),
    ],
)
def test_a_copied_vocab_does_not_change_either(clone: Any) -> None:
    with pytest.raises(ValueError, match="read-only"):
        clone(by_hand(ENTRIES)).scores[0] = 1.0


def test_the_special_ids_do_not_change() -> None:
    with pytest.raises(TypeError):
        by_hand(ENTRIES).special_ids["bos"] = 3  # type: ignore[index]


def test_replace_checks_again() -> None:
    with pytest.raises(VocabError, match="stands 2 times"):
        replace(by_hand(ENTRIES), pieces=(b"a", b"a", b"b", b"c", b"d", b"e"))


def test_another_reading_of_the_same_pieces_shares_their_index_and_is_checked() -> None:
    vocab = by_hand(ENTRIES)
    types = (*vocab.types[:3], TokenType.CONTROL, *vocab.types[4:])
    vocab.fingerprint, vocab.type_numbers  # noqa: B018  # known, and of the first reading alone

    other = vocab.reread(types=types, special_ids={"bos": 3})

    assert other.piece_to_id is vocab.piece_to_id
    assert other.fingerprint == replace(vocab, types=types, special_ids={"bos": 3}).fingerprint
    assert [1, 2, 3] == other.ids_of_type(TokenType.CONTROL)
    assert [0, 1, 2] == vocab.ids_of_type(TokenType.CONTROL, TokenType.UNKNOWN)
    with pytest.raises(VocabError, match="the bos id is 6, expected 0 to 5"):
        vocab.reread(special_ids={"bos": 6})
    with pytest.raises(TypeError):
        other.special_ids["bos"] = 1  # type: ignore[index]


# ---- pieces in messages


def test_byte_pieces_are_spelled_with_two_upper_case_digits() -> None:
    assert [byte_piece(b) for b in (0, 10, 171, 255)] == [
        b"<0x00>", b"<0x0A>", b"<0xAB>", b"<0xFF>",
    ]  # fmt: skip
    assert len(BYTE_OF_PIECE) == 256
    assert BYTE_OF_PIECE[b"<0xAB>"] == 171


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"abc", "'abc'"),
        (b"", "''"),
        ("▁é".encode(), "'▁é'"),
        (b"a\nb\r\0", "'a\\nb\\r\\x00'"),
        ("\u2028\x1b\u202e".encode(), "'\\u2028\\x1b\\u202e'"),
        (b"\xff\xfe", "'\\xff\\xfe'"),
        (b"x" * 40, "'" + "x" * 40 + "'"),
        (b"x" * 41, "'" + "x" * 40 + "…' (41 bytes)"),
        (b"x" * 10_000_000, "'" + "x" * 40 + "…' (10000000 bytes)"),
    ],
)
def test_a_piece_is_shown_in_one_short_printable_line(raw: bytes, expected: str) -> None:
    assert quoted(raw) == expected
