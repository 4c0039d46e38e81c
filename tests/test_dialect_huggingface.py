"""tokenizer.json against what Hugging Face tokenizers answered: golden/huggingface."""

from __future__ import annotations

import copy
import json
import pickle
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from spm import EncodeError, SpmError, Tokenizer, VocabError
from spm.text.token import Stretch
from tools.hf_crafted import files

ANSWERS = Path(__file__).parents[1] / "golden" / "huggingface" / "answers.json"
RECORDED: dict[str, Any] = json.loads(ANSWERS.read_text(encoding="utf-8"))
NAMES = sorted(RECORDED["answers"])


@cache
def crafted() -> dict[str, Any]:
    return files(RECORDED["models"], RECORDED["charsmap"])


@pytest.fixture
def written(tmp_path: Path) -> Any:
    """Writes a crafted file, changed at will, and opens it."""

    def write(name: str, **changes: Any) -> Tokenizer:
        path = tmp_path / "tokenizer.json"
        path.write_text(json.dumps({**crafted()[name], **changes}))
        return Tokenizer.from_hf(path)

    return write


def test_the_answers_are_of_the_version_that_the_documentation_names() -> None:
    assert "tokenizers 0.23.3" == RECORDED["oracle"]
    assert set(crafted()) == set(NAMES)


@pytest.mark.filterwarnings("ignore::spm.DoubleBOSWarning")
@pytest.mark.parametrize("name", NAMES)
def test_ids_places_and_texts_are_the_recorded_ones(name: str, written: Any) -> None:
    tok = written(name)

    for text, parse_special, ids, places, decoded in RECORDED["answers"][name]:
        found, spans = tok.encode_offsets(text, parse_special=parse_special)
        assert (ids, places) == (found, spans.reshape(-1).tolist())
        assert decoded == tok.decode(ids)
        assert len(ids) == tok.count(text, parse_special=parse_special)


@pytest.mark.parametrize("name", NAMES)
def test_ids_one_by_one_decode_to_the_same_text(name: str, written: Any) -> None:
    tok = written(name)

    for _, _, ids, _, decoded in RECORDED["answers"][name]:
        stream = tok.stream_decoder()
        parts = [stream.push(i) for i in ids]
        assert decoded == "".join(parts) + stream.flush()


def test_most_decoders_show_a_text_as_it_comes(written: Any) -> None:
    """Those of GPT-2, Llama 2, BERT and T5."""
    for name in ("gpt2", "llama2", "bert", "t5"):
        tok = written(name)
        ids = tok.encode("hello hello hello", add_special=False)
        stream = tok.stream_decoder()

        assert "hello" in "".join(stream.push(i) for i in ids[: len(ids) * 2 // 3]), name


def test_places_in_bytes_are_those_in_characters(written: Any) -> None:
    tok = written("bert")
    text = "déjà ½ 日本"

    ids, chars = tok.encode_offsets(text, add_special=False)
    again, spans = tok.encode_offsets(text, add_special=False, unit="byte")

    assert ids == again
    data = text.encode()
    assert [text[a:b] for a, b in chars.tolist()] == [data[a:b].decode() for a, b in spans.tolist()]


def test_what_the_post_processor_adds_stands_nowhere(written: Any) -> None:
    _, spans = written("bert").encode_offsets("hello")

    assert [0, 0] == spans[0].tolist() == spans[-1].tolist()


def test_special_tokens_are_text_unless_asked_for(written: Any) -> None:
    tok = written("gpt2")
    special = tok.vocab.piece_to_id[b"</s>"]

    assert special not in tok.encode("a</s>b")
    assert special in tok.encode("a</s>b", parse_special=True)
    assert "a</s>b" == tok.decode(tok.encode("a</s>b", parse_special=True), skip_special=False)
    assert "ab" == tok.decode(tok.encode("a</s>b", parse_special=True))


def test_roles_are_told_by_the_model_and_the_template(written: Any) -> None:
    llama, bert = written("llama2"), written("bert")

    assert {"unk": 0, "bos": 1} == dict(llama.vocab.special_ids)
    assert {"unk": 1, "bos": 2, "eos": 3} == dict(bert.vocab.special_ids)
    assert "huggingface" == llama.dialect


def test_padding_tells_a_role_and_changes_nothing(written: Any) -> None:
    padding = {"strategy": {"Fixed": 64}, "pad_id": 7, "pad_token": "x", "direction": "Right"}
    truncation = {"max_length": 1, "stride": 0, "strategy": "LongestFirst", "direction": "Right"}
    plain = written("gpt2").encode("the quick brown fox")

    tok = written("gpt2", padding=padding, truncation=truncation)

    assert 7 == tok.vocab.pad_id
    assert plain == tok.encode("the quick brown fox")


def test_a_text_must_be_unicode(written: Any) -> None:
    with pytest.raises(EncodeError, match=r"^text: byte 1 is no valid UTF-8, expected Unicode"):
        written("gpt2").encode(b"a\xffb")


def test_a_word_without_pieces_is_an_error_where_nothing_is_unknown(written: Any) -> None:
    model = {**crafted()["words"]["model"], "unk_token": "not there"}
    with pytest.raises(EncodeError, match=r"a word of the text has no piece"):
        written("words", model=model).encode("hello unheard")


def test_a_character_without_a_piece_is_an_error_where_unk_id_is_null(written: Any) -> None:
    model = {**crafted()["unigram, whole"]["model"], "unk_id": None}
    with pytest.raises(EncodeError, match=r"a character of the text has no piece"):
        written("unigram, whole", model=model).encode("\U0001f600")


def test_every_option_changes_the_fingerprint(written: Any) -> None:
    seen = {written(name).fingerprint for name in NAMES}
    changed = written("bert", post_processor=None).fingerprint

    assert len(NAMES) == len(seen)
    assert changed not in seen
    assert written("bert").fingerprint in seen


def test_copies_and_pickles_give_the_same_ids(written: Any) -> None:
    for name in ("llama3", "t5", "bert"):
        tok = written(name)
        text = "The quick déjà-vu, 2024!"
        for again in (copy.copy(tok), pickle.loads(pickle.dumps(tok))):
            assert tok.encode(text) == again.encode(text)
            assert tok.fingerprint == again.fingerprint


def test_a_stream_of_parts_gives_the_ids_of_the_whole(written: Any) -> None:
    tok = written("llama3")
    encoder = tok.stream_encoder()
    parts = [encoder.push(part) for part in ("The qu", "ick fox", "'s <ma", "sk> ", "e\u0301")]

    ids = [i for part in parts for i in part] + encoder.flush()

    assert tok.encode("The quick fox's <mask> e\u0301") == ids


def test_a_beginning_that_fits_has_no_more_ids(written: Any) -> None:
    tok = written("xlm-r")
    text = "the quick  brown fox jumps"

    for room in range(12):
        cut = tok.truncate(text, room)
        assert text.startswith(cut)
        assert tok.count(cut) <= max(room, tok.count(""))


def test_an_explanation_shows_every_token(written: Any) -> None:
    tok = written("bert")

    explanation = tok.explain("Hello, world")

    assert tok.encode("Hello, world", add_special=False) == explanation.ids


def test_other_dialects_do_not_read_a_tokenizer_json(written: Any) -> None:
    vocab = written("gpt2").vocab
    for dialect in ("llama.cpp", "sentencepiece"):
        with pytest.raises(VocabError, match=r"expected 'huggingface' for a tokenizer.json"):
            Tokenizer(vocab, dialect)


def test_nothing_else_is_read_as_a_tokenizer_json() -> None:
    path = Path(__file__).parents[1] / "golden" / "vocabs"
    model = next(path.glob("*.model"))
    with pytest.raises(VocabError, match=r"expected a tokenizer.json for it$"):
        Tokenizer.from_sentencepiece(model, dialect="huggingface")


def test_there_are_no_stretches(written: Any) -> None:
    assert [] == list(written("gpt2")._dialect.tokens(Stretch([b"a"], (), [0, 1])))


def test_fused_pieces_go_on_as_one(written: Any) -> None:
    """Recorded: Fuse, then WordPiece with cleanup, of the ids of `do not .`"""
    fuse = {"type": "Fuse"}
    clean = {"type": "WordPiece", "prefix": "##", "cleanup": True}
    tok = written("llama2", decoder={"type": "Sequence", "decoders": [fuse, clean]})

    assert "▁dog▁." == tok.decode(tok.encode("dog .", add_special=False))


def test_bytes_that_are_no_text_are_replaced_one_by_one(written: Any) -> None:
    """Recorded: <0xE6> <0x97>, and an `a` behind them."""
    tok = written("llama2")
    ids = [tok.vocab.piece_to_id[piece] for piece in (b"<0xE6>", b"<0x97>", b"a")]

    assert "\ufffd\ufffda" == tok.decode(ids)


def test_ctc_leaves_the_delimiter_where_nothing_is_cleaned_up(written: Any) -> None:
    """Recorded."""
    ctc = {"type": "CTC", "pad_token": "a", "word_delimiter_token": "o", "cleanup": False}
    tok = written("words, delimiter", decoder=ctc)
    ids = [tok.vocab.piece_to_id[piece] for piece in (b"fox", b"fox", b"a", b"fox", b"lazy")]

    assert "foxfoxlzy" == tok.decode(ids)


def test_bytes_that_go_on_are_text(written: Any) -> None:
    """Recorded: ByteLevel, then Fuse and a Strip of the end."""
    steps = [
        crafted()["gpt2"]["decoder"],
        {"type": "Fuse"},
        {"type": "Strip", "content": "é", "start": 0, "stop": 1},
    ]
    tok = written("gpt2", decoder={"type": "Sequence", "decoders": steps})

    assert "caf" == tok.decode(tok.encode("café"))


def test_no_other_file_can_say_it(written: Any, tmp_path: Path) -> None:
    tok = written("gpt2")

    for write in (tok.to_gguf, tok.to_sentencepiece):
        with pytest.raises(SpmError):
            write(tmp_path / "converted")
        assert not (tmp_path / "converted").exists()


# ---- no text is slow


@pytest.mark.filterwarnings("ignore::spm.DoubleBOSWarning")
@pytest.mark.parametrize("name", ["gpt2", "llama2", "t5", "bert", "prefix", "xlm-r", "qwen"])
@pytest.mark.parametrize("unit", ["a", " ", "日", "e\u0301", "<s>"])
def test_long_words_end(name: str, unit: str, written: Any) -> None:
    text = unit * 3000

    assert len(written(name).encode(text, parse_special=True)) <= 2 * len(text.encode()) + 2


def test_a_pattern_without_end_is_stopped(written: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    split = {
        "type": "Split", "pattern": {"Regex": "(a|aa)+$"}, "behavior": "Isolated", "invert": False
    }  # fmt: skip
    tok = written("gpt2", pre_tokenizer=split)

    for seconds in (0.05, -1):
        monkeypatch.setattr("spm.text.hf.patterns.SECONDS", seconds)
        with pytest.raises(EncodeError, match=r"a pattern of the vocabulary takes more than"):
            tok.encode("a" * 100 + "!")
