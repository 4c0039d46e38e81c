"""What has broken other readers of vocabularies, texts and ids, one finding a test.

The numbers are public reports, mostly of llama.cpp. Wherever one of them crashed, read foreign
memory or hung, here is one line of error, or the answer in linear time: the sizes are such that
quadratic work would not end within the patience of a test run.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spm import Tokenizer
from spm.errors import DecodeError, EncodeError, GGUFError, SpmError, VocabError
from spm.gguf import Typed, ValueType, write_gguf
from tests.making import (
    BYTES,
    FIRST,
    HEAD,
    SENTENCEPIECE_KEYS,
    Piece,
    metadata,
    model,
    normalizer_spec,
    piece,
    pieces,
    write_model,
    write_vocab,
)

PLAIN = [*HEAD, *BYTES, *pieces("▁ a Z ZZ:-1 aa:-2 aaaa:-3")]


def refusal(path: Path, **options: Any) -> str:
    """The one line that refuses this file."""
    make = Tokenizer.from_gguf if path.suffix == ".gguf" else Tokenizer.from_sentencepiece
    with pytest.raises(SpmError) as error:
        make(path, **options)
    message = str(error.value)
    assert "\n" not in message
    assert message.startswith(str(path))
    assert len(message) < len(str(path)) + 300
    return message


@contextmanager
def at_most(size: int) -> Iterator[None]:
    """No more bytes than this at any moment."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < size
    finally:
        tracemalloc.stop()


def gguf(tmp_path: Path, entries: list[Piece] = PLAIN, **keys: Any) -> Path:
    return write_vocab(tmp_path / "v.gguf", entries, **keys)


# ---- vocabulary, load time


@pytest.mark.parametrize("key", ["scores", "token_type"])
@pytest.mark.parametrize("size", [0, 1, len(PLAIN) - 1])
def test_arrays_shorter_than_the_tokens(tmp_path: Path, key: str, size: int) -> None:
    """llama.cpp#20735: memory beyond the array was read as scores."""
    kind: Any = np.float32 if key == "scores" else np.int32

    message = refusal(gguf(tmp_path, **{key: np.ones(size, kind)}))

    assert f"tokenizer.ggml.{key} has {size} elements, expected {len(PLAIN)}" in message


@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.uint16, np.float64, np.int64, np.bool_])
@pytest.mark.parametrize("key", ["scores", "token_type"])
def test_arrays_of_another_element_type(tmp_path: Path, key: str, kind: Any) -> None:
    """llama.cpp#26690 and #24888: UINT8 was read as float32."""
    message = refusal(gguf(tmp_path, **{key: np.ones(len(PLAIN), kind)}))

    assert f"tokenizer.ggml.{key} is an array of " in message


def test_special_ids_outside_the_vocabulary(tmp_path: Path) -> None:
    """llama.cpp#25475."""
    for key in ("bos_token_id", "eos_token_id", "padding_token_id", "eot_token_id"):
        for value in (len(PLAIN), 2**31 - 1, 2**31, 2**32 - 2):
            message = refusal(gguf(tmp_path, **{key: np.uint32(value)}))
            assert f"tokenizer.ggml.{key} is {value}, expected 0 to {len(PLAIN) - 1}" in message


def test_a_default_id_outside_a_tiny_vocabulary(tmp_path: Path) -> None:
    """llama.cpp#25508."""
    message = refusal(gguf(tmp_path, HEAD[:2]))

    assert "tokenizer.ggml.eos_token_id is missing and its default 2 is outside" in message


@pytest.mark.parametrize("text", ["<0x-1>", "<0xZZ>", "<0x>", "<0x", "", "<0x+5>", "<0x1>", "A"])
@pytest.mark.parametrize("suffix", ["gguf", "model"])
def test_byte_pieces_that_are_no_bytes(tmp_path: Path, text: str, suffix: str) -> None:
    """llama.cpp#25969 and #27226: a byte of -1 was written before its buffer."""
    entries = [*PLAIN, piece(text, 0, 6)]
    write: Any = write_vocab if suffix == "gguf" else write_model

    message = refusal(write(tmp_path / f"v.{suffix}", entries))

    assert "has type BYTE and piece" in message or "is empty" in message


def test_missing_byte_pieces(tmp_path: Path) -> None:
    entries = [*HEAD, *BYTES[:0x41], *BYTES[0x42:]]
    refusal(write_model(tmp_path / "v.model", entries))
    path = gguf(tmp_path, entries, **SENTENCEPIECE_KEYS)
    assert "<0x41>, which is missing" in refusal(path, dialect="sentencepiece")

    with pytest.raises(EncodeError, match="byte 0x41 of the text has no piece"):
        Tokenizer.from_gguf(path).encode("A")


@pytest.mark.parametrize("suffix", ["gguf", "model"])
def test_duplicate_byte_pieces(tmp_path: Path, suffix: str) -> None:
    write: Any = write_vocab if suffix == "gguf" else write_model

    message = refusal(write(tmp_path / f"v.{suffix}", [*PLAIN, BYTES[7]]))

    assert "piece '<0x07>' stands 2 times" in message


@pytest.mark.parametrize(
    "blob",
    [b"\1", b"\1\0", b"\1\0\0", b"\0\4\0\0" + bytes(1000), b"\xff\xff\xff\xff" + bytes(2000),
     b"\0\4\0\0" + b"\xff" * 1024 + b"\0", b"\0\4\0\0" + bytes(1024) + b"\0"],
    ids=["1", "2", "3", "beyond", "far beyond", "jumps outside", "root loops"],
)  # fmt: skip
def test_broken_charsmaps(tmp_path: Path, blob: bytes) -> None:
    """llama.cpp#25258."""
    spec = normalizer_spec(charsmap=blob)
    refused = refusal(write_model(tmp_path / "v.model", PLAIN, normalizer=spec))
    assert "precompiled_charsmap" in refused
    refused = refusal(write_model(tmp_path / "v.model", PLAIN, denormalizer=spec))
    assert "precompiled_charsmap" in refused
    charsmap = np.frombuffer(blob, np.uint8)
    path = gguf(tmp_path, precompiled_charsmap=charsmap, **SENTENCEPIECE_KEYS)
    assert "precompiled_charsmap" in refusal(path, dialect="sentencepiece")

    assert Tokenizer.from_gguf(path).encode("a", add_special=False)  # llama.cpp has no use for it


@pytest.mark.parametrize("suffix", ["gguf", "model"])
def test_pieces_of_megabytes(tmp_path: Path, suffix: str) -> None:
    long = [*PLAIN, piece("a" * 3_000_000), piece("b" * 3_000_000)]
    with at_most(64 << 20):
        if suffix == "model":  # as in sentencepiece
            assert "at most 7999" in refusal(write_model(tmp_path / "v.model", long))
            return
        tok = Tokenizer.from_gguf(gguf(tmp_path, long))
        assert tok.encode("aaa", add_special=False) == [FIRST, FIRST + 4, FIRST + 1]
        assert tok.decode_bytes([FIRST, len(long) - 1]) == b"b" * 3_000_000
        doubled = [*long, long[-1]]
        assert "(3000000 bytes) stands 2 times" in refusal(gguf(tmp_path, doubled))


def test_empty_pieces(tmp_path: Path) -> None:
    tok = Tokenizer.from_gguf(gguf(tmp_path, [*PLAIN, piece("")]))
    assert tok.decode([len(PLAIN)]) == f"[EMPTY_{len(PLAIN)}]"

    assert "is empty" in refusal(write_model(tmp_path / "v.model", [*PLAIN, piece("")]))


def test_an_empty_special_piece_is_never_found(tmp_path: Path) -> None:
    tok = Tokenizer.from_gguf(gguf(tmp_path, [*PLAIN, piece("", 0, 4)]))

    assert tok.encode("aZ", add_special=False) == [FIRST, FIRST + 1, FIRST + 2]


@pytest.mark.parametrize("suffix", ["gguf", "model"])
def test_invalid_utf8_pieces(tmp_path: Path, suffix: str) -> None:
    entries = [*PLAIN, piece(b"\xff\xfe"), piece(b"\xc3"), piece(b"\xe2\x96"), piece(b"\xffZ")]
    write: Any = write_vocab if suffix == "gguf" else write_model
    make = Tokenizer.from_gguf if suffix == "gguf" else Tokenizer.from_sentencepiece

    tok = make(write(tmp_path / f"v.{suffix}", entries))

    for i in range(len(entries)):
        tok.decode([i])
        assert isinstance(tok.decode_bytes([i]), bytes)
    tok.encode(b"\xff\xfe\xc3Z\xe2\x96")


def test_vocabularies_of_no_and_of_one_piece(tmp_path: Path) -> None:
    path = tmp_path / "v.gguf"
    write_gguf(path, metadata([], tokens=Typed(ValueType.ARRAY, [], ValueType.STRING)), {})
    refusal(path)
    refusal(gguf(tmp_path, [piece("a")]))
    refusal(write_model(tmp_path / "v.model", []))
    refusal(write_model(tmp_path / "v.model", [piece("a")]))

    alone = Tokenizer.from_sentencepiece(write_model(tmp_path / "v.model", HEAD[:1]))
    assert alone.encode("anything") == [0]
    assert alone.decode([0]) == " ⁇ "


def test_a_piece_length_that_changes_sign(tmp_path: Path) -> None:
    """CVE-2025-49847: a length beyond 2^31 became negative."""
    path = gguf(tmp_path)
    content = path.read_bytes()
    at = content.index(b"tokenizer.ggml.tokens") + len(b"tokenizer.ggml.tokens") + 4 + 4 + 8
    for length in (2**31, 2**32 - 1, 2**63, 2**64 - 1):
        path.write_bytes(content[:at] + length.to_bytes(8, "little") + content[at + 8 :])
        with at_most(4 << 20), pytest.raises(GGUFError) as error:
            Tokenizer.from_gguf(path)
        assert "\n" not in str(error.value)


def test_a_huge_count_of_pieces_allocates_nothing(tmp_path: Path) -> None:
    path = gguf(tmp_path)
    content = path.read_bytes()
    at = content.index(b"tokenizer.ggml.tokens") + len(b"tokenizer.ggml.tokens") + 4 + 4
    for count in (2**31, 2**63 - 1, 2**64 - 1):
        path.write_bytes(content[:at] + count.to_bytes(8, "little") + content[at + 8 :])
        with at_most(4 << 20), pytest.raises(GGUFError):
            Tokenizer.from_gguf(path)


def test_many_duplicates_are_told_in_linear_time(tmp_path: Path) -> None:
    entries = [
        *PLAIN,
        *(piece(f"x{i}") for i in range(20_000)),
        *(piece(f"x{i}") for i in range(20_000)),
    ]

    assert "stands 2 times" in refusal(gguf(tmp_path, entries))


# ---- text, encode time


@pytest.fixture(scope="module")
def tok(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return Tokenizer.from_gguf(write_vocab(tmp_path_factory.mktemp("v") / "v.gguf", PLAIN))


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    path = write_model(tmp_path_factory.mktemp("v") / "v.model", PLAIN)
    return Tokenizer.from_sentencepiece(path)


def test_z_131072_times(tok: Tokenizer, strict: Tokenizer) -> None:
    """llama.cpp#26965."""
    n = 131_072
    assert tok.encode("Z" * n, add_special=False) == [FIRST, *[FIRST + 3] * (n // 2)]
    assert strict.encode("Z" * n) == [FIRST, *[FIRST + 3] * (n // 2)]


@pytest.mark.parametrize(
    "text",
    ["a" * 40_000, " " * 40_000, "é" * 20_000, "\0" * 40_000, "▁" * 20_000, "aZ " * 15_000,
     "<s>" * 12_000, "<" * 40_000, "</s" * 12_000, "👩\u200d" * 8_000],
    ids=lambda t: t[:3].encode("unicode_escape").decode(),
)  # fmt: skip
def test_one_thing_very_often(tok: Tokenizer, text: str) -> None:
    """llama.cpp#27783, #8029: patterns that took quadratic time and more."""
    ids = tok.encode(text, add_special=False)

    assert tok.decode(ids) == text.replace("▁", " ")


def test_bytes_that_are_no_text_very_often(tok: Tokenizer, strict: Tokenizer) -> None:
    for unit in (b"\xff", b"\x80", b"\xe2\x96", b"\xf0\x9f", b"\xf0\x9f\x98a"):
        data = unit * 8_000
        assert tok.decode_bytes(tok.encode(data, add_special=False)) == data
        assert len(strict.encode(data)) > 8_000


def test_a_chain_of_merges_as_long_as_the_text(tmp_path: Path) -> None:
    """Every merge makes the next one possible, and swallows one character."""
    chain = [piece("a" * size, size) for size in range(2, 1500)]
    tok = Tokenizer.from_gguf(gguf(tmp_path, [*HEAD, *BYTES, *pieces("▁ a"), *chain]))

    ids = tok.encode("a" * 6000, add_special=False)

    assert [len(tok.vocab.pieces[i]) for i in ids[1:]] == [1499, 1499, 1499, 1499, 4]


def test_special_pieces_by_the_thousand(tmp_path: Path) -> None:
    """llama.cpp#12724: one pass over the text for every special piece."""
    special = [piece(f"<extra_{i}>", 0, 4) for i in range(3000)]
    tok = Tokenizer.from_gguf(gguf(tmp_path, [*PLAIN, *special]))
    turns = "<extra_0>a<extra_1>\n" * 2000

    ids = tok.encode(turns, add_special=False)

    first = len(PLAIN)
    assert ids[:6] == [first, FIRST, FIRST + 1, first + 1, FIRST, 3 + 10]
    assert len(ids) == 6 * 2000


def test_every_special_piece_once(tmp_path: Path) -> None:
    special = [piece(f"<extra_{i}>", 0, 4) for i in range(1000)]
    tok = Tokenizer.from_gguf(gguf(tmp_path, [*PLAIN, *special]))

    ids = tok.encode("".join(entry.text.decode() for entry in special), add_special=False)

    assert ids == list(range(len(PLAIN), len(PLAIN) + 1000))


def test_user_defined_pieces_that_almost_fit_everywhere(tmp_path: Path) -> None:
    almost = [piece("a" * size + "b", 0, 4) for size in range(1, 300)]
    path = write_model(tmp_path / "v.model", [*PLAIN, *almost])

    ids = Tokenizer.from_sentencepiece(path).encode("a" * 20_000)

    assert len(ids) == 1 + 5000


def test_nothing_is_kept_of_a_text(tok: Tokenizer) -> None:
    """Word caches that grow without bound: HF tokenizers #1539, gigatoken #36."""
    tok.encode("warm")
    with at_most(4 << 20):
        for i in range(60):
            tok.encode(f"{i} never seen {i * i} " * 20)
        kept = tracemalloc.get_traced_memory()[0]
    assert kept < 64 << 10


@pytest.mark.parametrize("text", ["<s>", "</s>", "<unk>", "a</s>Z", "<0x0A>", "<s>" * 50, " <s> "])
def test_typed_text_never_becomes_a_control_piece(
    tok: Tokenizer, strict: Tokenizer, text: str
) -> None:
    """HF tokenizers #1347, llama.cpp#24382, #26273, #26309."""
    for each in (tok, strict):
        ids = each.encode(text, add_special=False)
        assert not set(ids) & {0, 1, 2, 3 + 10}
        assert each.decode(ids) == text


# ---- ids, decode time


@pytest.mark.parametrize("wrong", [-1, -(2**63), len(PLAIN), 2**31, 2**64, np.int64(-5)])
def test_ids_out_of_range(tok: Tokenizer, strict: Tokenizer, wrong: Any) -> None:
    for each in (tok, strict):
        with pytest.raises(DecodeError, match=f"id {int(wrong)}, expected 0 to {len(PLAIN) - 1}"):
            each.decode([5, wrong])


@pytest.mark.parametrize("wrong", [1.0, np.float32(1), "1", b"1", None, [1], 1j])
def test_ids_of_other_types(tok: Tokenizer, wrong: Any) -> None:
    with pytest.raises(DecodeError, match=f"id is {type(wrong).__name__}, expected an integer"):
        tok.decode([wrong])


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.uint32, np.int64, np.uint64])
def test_ids_of_every_integer_dtype(tok: Tokenizer, dtype: Any) -> None:
    assert tok.decode(np.array([3 + 0x41, 3 + 0x42], dtype)) == "AB"


@pytest.mark.parametrize("shape", [(2, 2), (1, 1, 1)])
def test_ids_in_tables(tok: Tokenizer, shape: tuple[int, ...]) -> None:
    with pytest.raises(DecodeError, match="id is ndarray, expected an integer"):
        tok.decode(np.zeros(shape, np.int32))


def test_a_stream_cut_inside_a_character_for_ever(tok: Tokenizer, strict: Tokenizer) -> None:
    for each in (tok, strict):
        decoder = each.stream_decoder()
        with at_most(1 << 20):
            shown = 0
            for _ in range(10_000):
                shown += len(decoder.push(3 + 0xF0))
        assert shown >= 9_990


def test_a_vocab_error_is_an_spm_error_and_a_value_error() -> None:
    assert issubclass(VocabError, SpmError)
    assert issubclass(SpmError, ValueError)


def test_a_model_of_nothing_but_noise(tmp_path: Path) -> None:
    path = tmp_path / "v.model"
    for content in (b"\0" * 100, b"\xff" * 100, b"GGUF" + bytes(100), model(PLAIN)[50:]):
        path.write_bytes(content)
        refusal(path)
