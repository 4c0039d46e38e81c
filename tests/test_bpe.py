"""BPE in the llama.cpp dialect: ids and texts that llama.cpp gave."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from spm import EncodeError, Tokenizer
from spm.errors import VocabError
from spm.text.bpe import Bpe
from spm.vocab.pretokenizers import PRE_TOKENIZERS
from tools.golden_bpe import ALPHABET, VOCABS, write

RECORDED = json.loads((Path(__file__).parents[1] / "golden" / "bpe.json").read_text())
NAMES = [name for name in RECORDED if name != "oracle"]

pytestmark = pytest.mark.filterwarnings("ignore::spm.errors.DoubleBOSWarning")


def tokenizer_of(**keys: Any) -> Tokenizer:
    with TemporaryDirectory() as folder:
        return Tokenizer.from_gguf(write(Path(folder) / "v.gguf", keys))


@cache
def tokenizer(name: str) -> Tokenizer:
    return tokenizer_of(**RECORDED[name]["vocab"])


def refusal(**keys: Any) -> str:
    with pytest.raises(VocabError) as error:
        tokenizer_of(**{"pieces": ALPHABET, "merges": ["a b"], **keys})
    assert "\n" not in str(error.value)
    return str(error.value).partition(": ")[2]


def answer(tok: Tokenizer, text: bytes, special: bool, parse: bool) -> list[int] | None:
    try:
        return tok.encode(text, add_special=special, parse_special=parse)
    except EncodeError:
        return None


@pytest.mark.parametrize("name", NAMES)
def test_ids_are_those_of_llama_cpp(name: str) -> None:
    for text, special, parse, ids in RECORDED[name]["encode"]:
        assert ids == answer(tokenizer(name), bytes.fromhex(text), special, parse), text


@pytest.mark.parametrize("name", NAMES)
def test_texts_are_those_of_llama_cpp(name: str) -> None:
    for ids, skip_special, _, text in RECORDED[name]["decode"]:
        assert bytes.fromhex(text) == tokenizer(name).decode_bytes(ids, skip_special=skip_special)


def test_the_example_of_the_theory() -> None:
    tok = tokenizer("example")
    pieces = [tok.vocab.pieces[i].decode() for i in tok.encode(" lower low", add_special=False)]

    assert ["Ġlower", "Ġlow"] == pieces
    assert 3 == tok._dialect.encoding.rank("Ġ".encode(), b"low")
    assert None is tok._dialect.encoding.rank(b"low", b"er")


@pytest.mark.parametrize("name", NAMES)
def test_a_stream_gives_the_same_ids(name: str) -> None:
    tok = tokenizer(name)
    for text, special, parse, ids in RECORDED[name]["encode"]:
        try:
            characters = bytes.fromhex(text).decode()
        except UnicodeDecodeError:
            continue
        encoder = tok.stream_encoder(add_special=special, parse_special=parse)
        found = [i for character in characters for i in encoder.push(character)]
        assert ids == [*found, *encoder.flush()]


def test_a_stream_holds_little_of_ordinary_text() -> None:
    tok = tokenizer("example")
    encoder, held = tok.stream_encoder(), 0
    for word in [
        "the",
        "quick",
        "brown",
        "fox",
        "jumps",
        "over",
        "the",
        "lazy",
        "dog",
        "and",
        "runs",
        "away",
    ]:
        held = held + 1 if not encoder.push(" " + word) else 0
        assert held <= 4


def test_a_character_that_has_just_begun_settles_nothing() -> None:
    """It may still become a line feed, spelled too long."""
    encoding = tokenizer("lines")._dialect.encoding

    assert 3 == encoding.settled(b"a\n\nb", 0, 4)
    for unfinished in (b"\xc0", b"\xe0\x80", b"\xf0\x80\x80"):
        text = b"xx" + b"a\n\n" + unfinished
        assert 3 == encoding.settled(text, 2, len(text))


@pytest.mark.parametrize("unit", ["a", " ", "\n", "é", "ab", "日"])
def test_offsets_are_bytes_of_the_text(unit: str) -> None:
    text = (unit * 3 + " low\u3000x").encode() + b"\xff" + b"\xc1\xa1z"
    for name in NAMES:
        _, spans = tokenizer(name).encode_offsets(text, unit="byte", add_special=False)
        ends = [0, *spans.ravel().tolist(), len(text)]
        assert sorted(ends) == ends


def test_every_byte_has_its_place() -> None:
    text = "é low".encode() + b"\xff\xc1\xa1\xed\xa0\x80"
    ids, spans = tokenizer("example").encode_offsets(text, unit="byte", add_special=False)
    pieces = [tokenizer("example").vocab.pieces[i].decode() for i in ids]

    assert ["Ã", "©", "Ġlow", "ï", "¿", "½", "a", "í", "ł", "Ģ"] == pieces
    assert [[0, 1], [1, 2], [2, 6], [6, 6], [6, 6], [6, 7], [7, 9]] == spans[:7].tolist()
    assert [[9, 10], [10, 11], [11, 12]] == spans[7:].tolist()

    # as many bytes as given, but not the same ones
    _, spans = tokenizer("example").encode_offsets(
        b"\xff\xc1\xa1\xc1\xa1x", unit="byte", add_special=False
    )
    assert [[0, 0], [0, 0], [0, 1], [1, 3], [3, 5], [5, 6]] == spans.tolist()


def test_a_word_of_a_hundred_thousand_characters() -> None:
    tok = tokenizer("ranks")

    assert 25_000 == tok.count("a" * 100_000, add_special=False)
    assert 131_072 == tok.count("Z" * 131_072, add_special=False)
    assert 50_000 == tok.count("_" * 50_000, add_special=False)


# ---- vocabularies


def test_names_and_defaults_of_llama_cpp() -> None:
    pieces, merges = ALPHABET, ["a b"]
    tok = tokenizer_of(pieces=pieces, merges=merges)
    glm = tokenizer_of(pieces=pieces, merges=merges, pre="glm4")
    kimi = tokenizer_of(pieces=pieces, merges=merges, pre="kimi-k2")
    tekken = tokenizer_of(pieces=pieces, merges=merges, pre="tekken")

    assert ("default", 11, 11) == (tok.vocab.pre, tok.vocab.bos_id, tok.vocab.eos_id)
    assert (False, False) == (tok.vocab.add_bos, tok.vocab.add_eos)
    assert (None, 11) == (glm.vocab.bos_id, glm.vocab.eos_id)
    assert "kimi-k2" == kimi.vocab.pre
    assert tekken.vocab.add_bos
    assert [11] == tekken.encode("")


def test_gemma4_has_a_bos_whatever_its_key_says() -> None:
    assert False is VOCABS["lines"]["add_bos_token"]
    assert [1] == tokenizer("lines").encode("")


def test_merges_are_c_strings_and_the_first_of_equal_lines_counts() -> None:
    tok = tokenizer_of(pieces=ALPHABET, merges=["a b\0c", "c d", "a b"])

    assert (b"a b", b"c d", b"a b") == tok.vocab.merges
    assert {b"a b": 0, b"c d": 1} == tok._dialect.encoding.ranks


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"pre": "gpt-3"}, "tokenizer.ggml.pre is 'gpt-3', expected a name"),
        ({"pre": 7}, "tokenizer.ggml.pre is UINT32, expected STRING"),
        ({"merges": "a b"}, "tokenizer.ggml.merges is STRING, expected ARRAY"),
        ({"merges": [1, 2]}, "tokenizer.ggml.merges is an array of UINT32, expected of STRING"),
        (
            {"pieces": [*ALPHABET, ("\U0010ffff", 1)], "bos_token_id": 999},
            "tokenizer.ggml.bos_token_id is 999, expected 0 to 256",
        ),
        (
            {"pieces": [*ALPHABET, (b"a\xf4\x90\x80\x80", 1)]},
            r"(id 256) has a code point beyond U+10FFFF, expected none",
        ),
        (
            {"pieces": [*ALPHABET, (" " * 5000, 1)]},
            "has 5000 characters that are not of GPT-2's alphabet, expected to show at most",
        ),
    ],
)
def test_a_vocabulary_is_refused_in_one_line(keys: dict[str, Any], expected: str) -> None:
    assert expected in refusal(**keys)


def test_merges_are_needed_but_for_kimi(tmp_path: Path) -> None:
    from spm.gguf import write_gguf

    def written(pre: str) -> Path:
        tokens = [piece.encode() for piece, _ in ALPHABET]
        keys = {"model": "gpt2", "pre": pre, "tokens": tokens}
        metadata: dict[str, Any] = {f"tokenizer.ggml.{k}": v for k, v in keys.items()}
        write_gguf(tmp_path / "v.gguf", {"general.architecture": "llama", **metadata}, {})
        return tmp_path / "v.gguf"

    with pytest.raises(VocabError, match=r"tokenizer\.ggml\.merges is missing, expected ARRAY"):
        Tokenizer.from_gguf(written("gpt-2"))
    assert 3 == Tokenizer.from_gguf(written("kimi-k2")).count("abc")


def test_a_run_of_spaces_ends_llama_cpp_where_spaces_are_not_escaped() -> None:
    tok = tokenizer_of(pieces=ALPHABET, merges=["a b"], pre="whitespace")

    assert 2 == tok.count("a b")
    with pytest.raises(
        EncodeError, match=r"^text: byte 1 begins the word .*, expected no space in it"
    ):
        tok.encode("a  b")


def test_every_name_makes_a_tokenizer() -> None:
    for name in PRE_TOKENIZERS:
        tok = tokenizer_of(pieces=ALPHABET, merges=["a b"], pre=name)
        assert isinstance(tok._dialect.encoding, Bpe)
        assert tok.decode(tok.encode("abc", add_special=False)) in ("abc", "c")


# ---- real vocabularies


@pytest.mark.parametrize(
    "name",
    ["deepseek-llm", "falcon", "gemma-4", "gpt-2", "llama-bpe", "mpt", "qwen2", "starcoder"],
)
def test_llama_cpps_own_test_vectors(name: str, shared: Path) -> None:
    path = shared / "gguf" / f"ggml-vocab-{name}.gguf"
    texts = path.with_name(f"{path.name}.inp").read_text("utf-8").split("\n__ggml_vocab_test__\n")
    rows = path.with_name(f"{path.name}.out").read_text("utf-8").splitlines()
    tok = Tokenizer.from_gguf(path)

    for text, row in zip(texts, rows):
        assert [int(i) for i in row.split()] == tok.encode(text, add_special=False)
