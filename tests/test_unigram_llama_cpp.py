"""Unigram in the llama.cpp dialect: recorded answers of llama.cpp, files, defaults, hostile ones.

golden/unigram/llama.cpp.jsonl holds odd vocabularies and what llama.cpp made of texts and ids.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spm import GGUFError, SpmError, Tokenizer, VocabError
from spm.vocab import Family, TokenType
from tests.making import (
    BYTES,
    HEAD,
    UNIGRAM,
    USER_DEFINED,
    Piece,
    normalizer_spec,
    piece,
    pieces,
    trained,
    trainer_spec,
    write_model,
)
from tests.making import write_vocab as write_gguf_vocab
from tools.golden_unigram import FILE, spm_answers, write_vocab

pytestmark = pytest.mark.filterwarnings("ignore::spm.errors.DoubleBOSWarning")

LINES = [json.loads(line) for line in FILE.read_text().splitlines()][1:]
T5 = [
    piece("<pad>", 0, 3),
    piece("</s>", 0, 3),
    piece("<unk>", 0, 2),
    *pieces("▁:-2 a:-2 b:-2 ▁a:-3 ab:-3"),
]


def t5(tmp_path: Path, entries: list[Piece] = T5, **keys: Any) -> Tokenizer:
    path = write_gguf_vocab(tmp_path / "t5.gguf", entries, **{"model": "t5", **keys})
    return Tokenizer.from_gguf(path)


@pytest.mark.parametrize("line", LINES, ids=lambda line: str(LINES.index(line)))
def test_answers_are_llama_cpps(tmp_path: Path, line: dict[str, Any]) -> None:
    path = write_vocab(tmp_path / "v.gguf", line["vocab"])
    texts = [bytes.fromhex(text) for text in line["texts"]]

    assert line["answers"] == spm_answers(path, texts, line["ids"])


def test_the_defaults_are_those_of_t5(tmp_path: Path) -> None:
    tok = t5(tmp_path)
    vocab = tok.vocab

    assert vocab.family == Family.UNIGRAM
    assert {"eos": 1, "unk": 2, "pad": 0} == dict(vocab.special_ids)
    assert (vocab.add_bos, vocab.add_eos, vocab.add_space_prefix) == (False, True, False)
    assert [4, 1] == tok.encode("a")
    assert "a" == tok.decode([4, 1])


@pytest.mark.parametrize("size", [0, 1, 3, 4, 5, 1027])
@pytest.mark.parametrize("kind", [np.uint8, np.int8])
def test_a_charsmap_that_is_none_is_refused(tmp_path: Path, size: int, kind: type) -> None:
    with pytest.raises(VocabError, match="precompiled_charsmap"):
        t5(tmp_path, precompiled_charsmap=np.ones(size, kind))


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"unknown_token_id": np.uint32(99)}, "unknown_token_id is 99, expected 0 to 7"),
        ({"add_bos_token": True}, "add_bos_token is true, but there is no bos id"),
        ({"scores": np.zeros(7, np.float32)}, "scores has 7 elements, expected 8"),
        ({"precompiled_charsmap": np.zeros(9, np.int32)}, "array of INT32, expected of UINT8"),
    ],
)
def test_what_llama_cpp_cannot_use_is_refused(
    tmp_path: Path, keys: dict[str, Any], expected: str
) -> None:
    with pytest.raises((VocabError, GGUFError), match=expected):
        t5(tmp_path, **keys)


def test_default_ids_outside_of_the_vocabulary_are_refused(tmp_path: Path) -> None:
    with pytest.raises(VocabError, match="default 2 is outside the vocabulary"):
        t5(tmp_path, T5[:2])


def test_pieces_spelled_alike_are_refused_here_and_taken_by_sentencepiece(tmp_path: Path) -> None:
    entries = [*HEAD, *pieces("<s> a")]
    trainer = trainer_spec(model_type=UNIGRAM, byte_fallback=False)
    path = write_model(tmp_path / "m.model", entries, trainer=trainer)

    assert Tokenizer.from_sentencepiece(path)
    with pytest.raises(VocabError, match="piece '<s>' stands 2 times"):
        Tokenizer.from_sentencepiece(path, dialect="llama.cpp")


def test_a_model_encodes_for_llama_cpp_as_if_it_were_converted(tmp_path: Path) -> None:
    for suffix in (False, True):
        data = trained("nmt_nfkc", model_type="unigram", treat_whitespace_as_suffix=suffix)
        (tmp_path / "m.model").write_bytes(data)
        tok = Tokenizer.from_sentencepiece(tmp_path / "m.model", dialect="llama.cpp")
        vocab, rules = tok.vocab, tok.vocab.normalization
        assert rules is not None
        converted = t5(
            tmp_path,
            [Piece(*entry) for entry in zip(vocab.pieces, vocab.scores.tolist(), vocab.types)],
            bos_token_id=np.uint32(1),
            eos_token_id=np.uint32(2),
            unknown_token_id=np.uint32(0),
            add_space_prefix=rules.add_dummy_prefix,
            remove_extra_whitespaces=rules.remove_extra_whitespaces,
            precompiled_charsmap=np.frombuffer(rules.charsmap, np.uint8),
        )

        assert vocab.fingerprint == converted.vocab.fingerprint
        for text in ("the quick  brown fox", " ", "ﬁne ｆｕｌｌ①½ </s>?", b"\xff\xe2\x96a"):
            assert tok.encode(text) == converted.encode(text)


def test_a_gguf_does_not_tell_that_spaces_are_kept(tmp_path: Path) -> None:
    trainer = trainer_spec(model_type=UNIGRAM, byte_fallback=True)
    spec = normalizer_spec(escape=False)
    entries = [*HEAD, *BYTES, *pieces("▁:-1 a:-1")]
    path = write_model(tmp_path / "m.model", entries, trainer=trainer, normalizer=spec)
    tok = Tokenizer.from_sentencepiece(path, dialect="llama.cpp")

    assert [259, 260, 2] == tok.encode("a")  # ▁ although the model does not escape


def test_spans_cover_what_they_were_made_of(tmp_path: Path) -> None:
    entries = [*T5, piece("<x>", 0, USER_DEFINED)]
    tok = t5(tmp_path, entries, remove_extra_whitespaces=True, add_space_prefix=True)
    ids, spans = tok.encode_offsets("  a   b?? <x> a ", unit="byte", add_special=False)

    # ▁a with the spaces, ▁ for the spaces between, b, one UNKNOWN for ??, <x>, ▁a
    assert [6, 3, 5, 2, 8, 6] == ids
    assert [[2, 3], [3, 6], [6, 7], [7, 9], [10, 13], [14, 15]] == spans.tolist()


def test_a_stream_lets_go_up_to_a_special_piece(tmp_path: Path) -> None:
    tok = t5(tmp_path, [*T5, piece("<x>", 0, USER_DEFINED)])
    stream = tok.stream_encoder(add_special=False)

    assert [] == stream.push("a b a")
    assert [4, 3, 5, 6, 8] == stream.push("<x>a")
    assert [4] == stream.flush()


def test_types_that_llama_cpp_corrects_still_stand_as_the_file_told(tmp_path: Path) -> None:
    """<|end|> is made CONTROL, but has been gathered as a NORMAL piece before."""
    entries = [*T5, piece("<|end|>", -1)]
    tok = t5(tmp_path, entries)

    assert tok.vocab.types[8] == TokenType.CONTROL
    assert tok.vocab.types_in_file[8] == TokenType.NORMAL
    assert [8, 1] == tok.encode("<|end|>", parse_special=True)
    assert [8, 1] == tok.encode("<|end|>")


def test_a_hundred_thousand_characters_without_a_space_end(tmp_path: Path) -> None:
    tok = t5(tmp_path)

    assert tok.count("ab" * 50_000) == 50_001


def test_errors_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(SpmError) as caught:
        t5(tmp_path, precompiled_charsmap=np.zeros(2, np.uint8))
    assert "\n" not in str(caught.value)
