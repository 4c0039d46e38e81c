"""tokenizer.json files that were written: what Hugging Face tokenizers answers with them.

Its answers are recorded (golden/huggingface/written.json) together with the sha256 of the file that
they are about, so they count for the file that is written here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from spm import Tokenizer, VocabError
from spm.text.hf.aligned import Aligned
from spm.text.hf.pretokenizers import pre_tokenizer
from spm.vocab import hf_json
from spm.vocab import pipeline as hf
from spm.vocab.oniguruma import oniguruma
from spm.vocab.pretokenizers import PRE_TOKENIZERS
from tests.making import (
    BYTES,
    CHAR,
    CONTROL,
    HEAD,
    UNKNOWN,
    piece,
    pieces,
    trainer_spec,
    write_model,
    write_vocab,
)
from tools.golden_to_hf import opened, vocabularies
from tools.hf_crafted import files

GOLDEN = Path(__file__).parents[1] / "golden"
RECORDED: dict[str, Any] = json.loads(
    (GOLDEN / "huggingface/written.json").read_text(encoding="utf-8")
)
FILES: dict[str, Any] = RECORDED["files"]
CRAFTED: dict[str, Any] = json.loads(
    (GOLDEN / "huggingface/answers.json").read_text(encoding="utf-8")
)
WORDS: dict[str, Any] = json.loads((GOLDEN / "words.json").read_text())

pytestmark = pytest.mark.filterwarnings("ignore::spm.DoubleBOSWarning")


@pytest.fixture(scope="module")
def originals() -> Iterator[dict[str, tuple[Path, str]]]:
    """File and dialect of each recorded name."""
    with TemporaryDirectory() as folder:
        yield {name: (path, dialect) for name, path, dialect in vocabularies(Path(folder))}


# ---- against tokenizers


def test_the_answers_are_of_the_version_that_the_documentation_names() -> None:
    assert "tokenizers 0.23.3" == RECORDED["oracle"]


@pytest.mark.parametrize("name", [name for name, told in FILES.items() if isinstance(told, dict)])
def test_the_library_gives_the_ids_of_the_original(
    name: str, originals: dict[str, tuple[Path, str]], tmp_path: Path
) -> None:
    tok = opened(*originals[name])
    tok.to_hf(tmp_path / "tokenizer.json")

    written = hashlib.sha256((tmp_path / "tokenizer.json").read_bytes()).hexdigest()
    assert FILES[name]["sha256"] == written, "stale: run python -m tools.golden_to_hf"
    for text, parse_special, ids in FILES[name]["answers"]:
        assert ids == tok.encode(text, parse_special=parse_special)


@pytest.mark.parametrize("name", [name for name, told in FILES.items() if isinstance(told, str)])
def test_what_cannot_be_said_leaves_no_file(
    name: str, originals: dict[str, tuple[Path, str]], tmp_path: Path
) -> None:
    with pytest.raises(VocabError) as caught:
        opened(*originals[name]).to_hf(tmp_path / "tokenizer.json")

    assert FILES[name] == str(caught.value).partition(": ")[2]
    assert "\n" not in str(caught.value)
    assert [] == list(tmp_path.iterdir())


# ---- tokenizer.json to tokenizer.json


@pytest.mark.parametrize("name", sorted(CRAFTED["answers"]))
def test_what_was_a_tokenizer_json_is_the_same_vocabulary(name: str, tmp_path: Path) -> None:
    file = files(CRAFTED["models"], CRAFTED["charsmap"])[name]
    (tmp_path / "a.json").write_text(json.dumps(file))
    first = Tokenizer.from_hf(tmp_path / "a.json")
    first.to_hf(tmp_path / "b.json")

    assert first.fingerprint == Tokenizer.from_hf(tmp_path / "b.json").fingerprint


def written_again(tmp_path: Path, **stages: Any) -> tuple[Tokenizer, dict[str, Any]]:
    """A small file, read and written; its content."""
    model = {"type": "WordLevel", "vocab": {"a": 0, "[UNK]": 1}, "unk_token": "none"}
    (tmp_path / "a.json").write_text(json.dumps({"model": model, **stages}))
    tok = Tokenizer.from_hf(tmp_path / "a.json")
    tok.to_hf(tmp_path / "b.json")
    assert tok.fingerprint == Tokenizer.from_hf(tmp_path / "b.json").fingerprint
    content: dict[str, Any] = json.loads((tmp_path / "b.json").read_text(encoding="utf-8"))
    return tok, content


def test_an_unknown_token_that_is_no_piece_stays_none(tmp_path: Path) -> None:
    tok, content = written_again(tmp_path)

    assert None is tok.vocab.unk_id
    assert content["model"]["unk_token"] not in content["model"]["vocab"]


def test_the_id_for_padding_is_kept(tmp_path: Path) -> None:
    padding = {"strategy": {"Fixed": 9}, "pad_id": 1, "pad_token": "[UNK]", "direction": "Left"}
    _, content = written_again(tmp_path, padding=padding)

    assert (1, "[UNK]") == (content["padding"]["pad_id"], content["padding"]["pad_token"])
    assert "BatchLongest" == content["padding"]["strategy"]


def test_no_decoder_and_an_empty_one_are_not_the_same(tmp_path: Path) -> None:
    empty = {"type": "Sequence", "decoders": []}

    assert None is written_again(tmp_path)[1]["decoder"]
    assert empty == written_again(tmp_path, decoder=empty)[1]["decoder"]


def test_scores_are_written_so_that_the_library_reads_them_alike(tmp_path: Path) -> None:
    """It rounds twice: of these two decimals it reads another number than the nearest."""
    scores = "-9.8765432109876543210", "-2.0122928619384766"
    vocab = ", ".join(f'["{n}", {score}]' for n, score in enumerate(scores))
    text = f'{{"model": {{"type": "Unigram", "unk_id": 0, "vocab": [{vocab}]}}}}'
    (tmp_path / "a.json").write_text(text)
    first = Tokenizer.from_hf(tmp_path / "a.json")
    first.to_hf(tmp_path / "b.json")

    assert first.fingerprint == Tokenizer.from_hf(tmp_path / "b.json").fingerprint


def test_a_score_that_no_decimal_says_to_the_library_is_refused(tmp_path: Path) -> None:
    vocab = '[["<unk>", 0], ["a", -1]]'
    text = f'{{"model": {{"type": "Unigram", "unk_id": 0, "vocab": {vocab}}}}}'
    (tmp_path / "a.json").write_text(text)
    read = Tokenizer.from_hf(tmp_path / "a.json").vocab
    assert read.pipeline is not None
    model = hf.Unigram((0.0, -2.0122928619384766), 0, byte_fallback=False)
    changed = read.reread(pipeline=replace(read.pipeline, model=model))

    with pytest.raises(VocabError, match=r"id 1 has score -2\.0122928619384766, which JSON cannot"):
        hf_json(changed, "huggingface", (), ())


# ---- what a vocabulary has that a tokenizer.json has not


def test_special_pieces_that_swallow_white_space_are_refused(tmp_path: Path) -> None:
    entries = [*HEAD, *BYTES, *pieces("▁ a"), piece("[MASK]", 0, CONTROL)]
    tok = Tokenizer.from_gguf(write_vocab(tmp_path / "v.gguf", entries, name="Modern-BERT"))

    with pytest.raises(VocabError, match=r"swallow ASCII white space alone, for which .* no word$"):
        tok.to_hf(tmp_path / "v.json")


def test_a_piece_that_is_very_long_is_refused(tmp_path: Path) -> None:
    entries = [*HEAD, *BYTES, *pieces("▁ a"), piece("a" * 8000)]
    tok = Tokenizer.from_gguf(write_vocab(tmp_path / "v.gguf", entries))

    with pytest.raises(VocabError, match="of more than 7999 bytes"):
        tok.to_hf(tmp_path / "v.json")


def test_pieces_that_would_be_spelled_the_same_are_refused(tmp_path: Path) -> None:
    special = [piece(text, 0, CONTROL) for text in ("[UNK]", "[CLS]", "[SEP]")]
    roles = {"unknown_token_id": 0, "bos_token_id": 1, "seperator_token_id": 2}
    path = write_vocab(
        tmp_path / "v.gguf", [*special, piece("▁[CLS]")], model="bert", scores=None, **roles
    )
    with pytest.raises(VocabError, match=r"ids 1 and 3 would both be '\[CLS\]'"):
        Tokenizer.from_gguf(path).to_hf(tmp_path / "v.json")


def test_scores_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    keys = {"model": "t5", "unknown_token_id": 0, "eos_token_id": 2, "scores": None}
    path = write_vocab(tmp_path / "v.gguf", [*HEAD, piece("a")], **keys)
    vocab = Tokenizer.from_gguf(path).vocab
    vocab = vocab.reread(scores=vocab.scores - float("inf"))

    with pytest.raises(VocabError, match=r"scores that are not finite"):
        hf_json(vocab, "llama.cpp", (), ())


def test_nothing_is_cut_where_no_special_piece_has_two_characters(tmp_path: Path) -> None:
    keys = {
        "model": "t5",
        "unknown_token_id": 0,
        "eos_token_id": 2,
        "remove_extra_whitespaces": True,
    }
    entries = [piece("\u2047", 0, UNKNOWN), *pieces("▁:-1 e:-2 a:-3 ab:-4")]
    tok = Tokenizer.from_gguf(write_vocab(tmp_path / "v.gguf", entries, **keys))
    content = hf_json(tok.vocab, "llama.cpp", (), ())

    assert None is content["pre_tokenizer"]


def test_words_and_characters_are_refused_by_name(tmp_path: Path) -> None:
    trainer = trainer_spec(model_type=CHAR, byte_fallback=False)
    path = write_model(tmp_path / "v.model", [*HEAD, piece("a")], trainer=trainer)
    with pytest.raises(VocabError, match="the vocabulary is CHAR, for which"):
        Tokenizer.from_sentencepiece(path).to_hf(tmp_path / "v.json")


def test_a_tokenizer_json_becomes_neither_gguf_nor_model(tmp_path: Path) -> None:
    tok, _ = written_again(tmp_path)

    with pytest.raises(VocabError, match=r"for whose steps GGUF has no keys$"):
        tok.to_gguf(tmp_path / "v.gguf")
    with pytest.raises(VocabError, match=r"whose steps no \.model holds$"):
        tok.to_sentencepiece(tmp_path / "v.model")


# ---- patterns

SAID = {
    name: [oniguruma(pattern) for pattern in pre.patterns] for name, pre in PRE_TOKENIZERS.items()
}
ROWS = {name: row for row in WORDS["words"] for name in row.split()}
UNSAID = {"afmoe", "cohere2moe", "kimi-k2", "superbpe", "tiny_aya"}


def test_all_patterns_are_said_but_those_of_a_few_names() -> None:
    assert UNSAID == {name for name, patterns in SAID.items() if None in patterns}


@pytest.mark.parametrize("name", sorted(SAID.keys() - UNSAID))
def test_patterns_cut_the_words_of_llama_cpp(name: str) -> None:
    cuts = [
        pre_tokenizer(hf.Split(hf.Pattern(pattern, is_regex=True), "Isolated", False), name)
        for pattern in SAID[name]
        if pattern is not None
    ]
    for text, expected in zip(WORDS["texts"], WORDS["words"][ROWS[name]], strict=True):
        parts = [Aligned.of(text)]
        for cut in cuts:
            parts = [word for part in parts for word in cut(part)]
        assert expected == [len(part.text) for part in parts]


def test_a_pattern_in_both_syntaxes() -> None:
    for ours, theirs in {
        r"'(?i:[st]|ll)": "'(?:[stST]|[lL][lL])",
        r"\p{Upper}*": r"(?:(?![a-z])\p{L})*",
        r"[\p{Lower}\p{M}]+": r"(?:(?![A-Z])[\p{L}\p{M}])+",
        r"[^x]\Z|[\u0800-가]": r"[^x]\z|(?:(?!\s)[ࠀ-가])",
    }.items():
        assert theirs == oniguruma(ours)
