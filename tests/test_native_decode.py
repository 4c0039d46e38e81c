"""Decoding in the compiled core equals the specification: every id, every list, every stream."""

from __future__ import annotations

import array
import gc
import pickle
import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, SupportsIndex

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from spm import DecodeError, Tokenizer
from spm.native import core
from spm.text.stream import CharactersOf
from spm.vocab import TokenType
from tests.golden_vocabs import FILES, golden_or_none
from tests.making import (
    BYTES,
    CONTROL,
    FIRST,
    HEAD,
    HELLO,
    UNKNOWN,
    UNUSED,
    USER_DEFINED,
    field,
    normalizer_spec,
    piece,
    processor,
    trainer_spec,
    write_model,
    write_vocab,
)
from tests.test_charsmap import charsmap_of

DIALECTS = ("llama.cpp", "sentencepiece")

pytestmark = pytest.mark.skipif(core is None, reason="the compiled core is not built")


def specified(tok: Tokenizer, ids: Iterable[SupportsIndex], skip_special: bool) -> bytes:
    """What the pure Python path says."""
    decoder = tok._dialect.decoder(skip_special)
    return b"".join(decoder.push(int(i)) for i in ids) + decoder.flush()


def assert_equal(tok: Tokenizer, ids: list[int]) -> None:
    """Lists, arrays and streams of these ids, with and without special pieces."""
    for skip_special in (True, False):
        expected = specified(tok, ids, skip_special)
        assert expected == tok.decode_bytes(ids, skip_special=skip_special)
        for given_ids in (ids, np.array(ids, np.int32), np.array(ids, np.int64)):
            text = tok.decode(given_ids, skip_special=skip_special)
            assert expected.decode("utf-8", "replace") == text
        stream = tok.stream_decoder(skip_special=skip_special)
        characters = CharactersOf(tok._dialect, skip_special)
        for i in ids:
            assert characters.push(i) == stream.push(i)
        assert characters.flush() == stream.flush()


def ids_of(tok: Tokenizer) -> st.SearchStrategy[list[int]]:
    """Ids of all kinds: as many bytes and special pieces as there are of all the others."""
    of_type = [
        [i for i, found in enumerate(tok.vocab.types) if found == kind] for kind in TokenType
    ]
    kinds = [st.sampled_from(ids) for ids in of_type if ids]
    spaced = [i for i, p in enumerate(tok.vocab.pieces) if p.strip("▁ ".encode()) == b""]
    return st.lists(st.one_of(*kinds, st.sampled_from(spaced or [0])), max_size=30)


def tokenizers(path: Path) -> list[Tokenizer]:
    """In each dialect that reads the vocabulary and is decoded by the core."""
    found = (golden_or_none(path.name, dialect=dialect) for dialect in DIALECTS)
    return [tok for tok in found if tok is not None and tok._fast_decoder is not None]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
@given(data=st.data())
def test_the_core_equals_the_specification(path: Path, data: st.DataObject) -> None:
    for tok in tokenizers(path):
        assert_equal(tok, data.draw(ids_of(tok)))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_id_at_the_beginning_and_behind_another(path: Path) -> None:
    for tok in tokenizers(path):
        for i in range(0, len(tok.vocab), 1 + len(tok.vocab) // 500):
            for ids in ([i], [i, i]):
                assert specified(tok, ids, True) == tok.decode_bytes(ids)
                shown = tok.decode_bytes(ids, skip_special=False)
                assert specified(tok, ids, False) == shown


def test_the_core_decodes_both_dialects_of_nearly_every_vocabulary() -> None:
    names = [path.name for path in FILES]
    n_read = sum(golden_or_none(n, dialect=d) is not None for n in names for d in DIALECTS)
    n_fast = sum(len(tokenizers(path)) for path in FILES)

    assert len(FILES) <= n_fast >= n_read - 5  # the others are RWKV, PLaMo-2, or denormalise


@pytest.mark.parametrize("malformed", [b"\xff", b"\xe2", b"\xe2\x96", b"\xf0\x9f"])
def test_a_mark_behind_malformed_bytes_is_a_space_as_well(tmp_path: Path, malformed: bytes) -> None:
    entries = [*HEAD, *BYTES, piece(malformed + "▁a▁".encode())]
    tok = Tokenizer.from_gguf(write_vocab(tmp_path / "v.gguf", entries))

    assert malformed + b" a " == tok.decode_bytes([FIRST])
    assert_equal(tok, [FIRST, FIRST])


# ---- vocabularies in which everything occurs that a rule is about

SHOWN = ["a", " ", "▁", "▁▁", "▁a", " a", "▁ ", "a▁b", "x" * 14, "x" * 15, "▁" + "y" * 16, "é"]
ENTRIES = [
    piece("▁<unk>", 0, UNKNOWN),
    *HEAD[1:],
    *BYTES,
    *(piece(text) for text in SHOWN),
    # a piece stands only once, so the other kinds have an end of their own
    *(piece(text + ",;:"[kind - 3], 0, kind) for text in SHOWN for kind in (3, 4, 5)),
    *(piece("▁" * n, 0, kind) for n, kind in ((3, CONTROL), (4, USER_DEFINED), (5, UNUSED))),
    *(piece(" " * n, 0, kind) for n, kind in ((3, CONTROL), (4, USER_DEFINED), (5, UNUSED))),
    *map(piece, (b"\xe2\x96", b"\x81", b"\xff", b"\xe2\x96\x81\xe2\x96", b"\xf0\x9f")),
]  # fmt: skip
OURS = st.integers(FIRST, len(ENTRIES) - 1)
BYTE_IDS = st.sampled_from(
    [3 + byte for byte in "a 😀é▁\uffff".encode() + b"\xf0\xff\xed\xa0\xf4\x90"]
)
IDS = st.lists(st.one_of(OURS, st.integers(0, 2), BYTE_IDS), max_size=12)
SPACED, LITERAL = FIRST + SHOWN.index("▁a"), FIRST + SHOWN.index(" a")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Tokenizer]:
    folder = tmp_path_factory.mktemp("made")

    @cache
    def make(dialect: str, **rules: Any) -> Tokenizer:
        if dialect == "llama.cpp":
            return Tokenizer.from_gguf(write_vocab(folder / "v.gguf", ENTRIES, **rules))
        surface = rules.pop("unknown", None)
        trainer = trainer_spec(extra=b"" if surface is None else field(44, surface))
        specs = {"normalizer": normalizer_spec(**rules), "trainer": trainer}
        return Tokenizer.from_sentencepiece(write_model(folder / "v.model", ENTRIES, **specs))

    return make


@given(
    ids=IDS,
    bos=st.one_of(st.just(1), st.just(SPACED)),
    eos=st.one_of(st.just(2), st.just(SPACED), st.just(LITERAL)),
    prefix=st.booleans(),
    add=st.booleans(),
)
def test_llama_cpp_s_rules(
    made: Callable[..., Tokenizer], ids: list[int], bos: int, eos: int, prefix: bool, add: bool
) -> None:
    tok = made(
        "llama.cpp", add_space_prefix=prefix, add_bos_token=add, add_eos_token=add,
        bos_token_id=np.uint32(bos), eos_token_id=np.uint32(eos),
    )  # fmt: skip

    for around in ([], [bos], [eos]):
        assert_equal(tok, [*around, *ids])
        assert_equal(tok, [*ids, *around])
        assert_equal(tok, [*around, *around, *ids])


@given(ids=IDS, prefix=st.booleans(), remove=st.booleans(), unknown=st.sampled_from([None, b"?"]))
def test_sentencepiece_s_rules(
    made: Callable[..., Tokenizer],
    ids: list[int], prefix: bool, remove: bool, unknown: bytes | None,
) -> None:  # fmt: skip
    tok = made("sentencepiece", prefix=prefix, remove=remove, unknown=unknown)

    assert tok._fast_decoder is not None
    assert_equal(tok, ids)


@pytest.mark.parametrize("dialect", DIALECTS)
@given(parts=st.lists(st.one_of(st.binary(max_size=6), st.text(max_size=3).map(str.encode))))
def test_bytes_that_are_characters_or_none(
    made: Callable[..., Tokenizer], dialect: str, parts: list[bytes]
) -> None:
    tok = made(dialect) if dialect == "llama.cpp" else made(dialect, prefix=True, remove=False)

    assert_equal(tok, [3 + byte for byte in b"".join(parts)])


@pytest.mark.parametrize("dialect", DIALECTS)
@given(ids=IDS)
@example(ids=[SPACED, SPACED, 3 + 0xC3, 3 + 0xC3])
def test_a_stream_may_end_anywhere_and_begin_again(
    made: Callable[..., Tokenizer], dialect: str, ids: list[int]
) -> None:
    tok = made(dialect) if dialect == "llama.cpp" else made(dialect, prefix=True, remove=False)
    stream = tok.stream_decoder()

    for cut in range(len(ids) + 1):
        for part in (ids[:cut], ids[cut:]):
            shown = "".join([stream.push(i) for i in part]) + stream.flush()
            assert tok.decode(part) == shown
            assert specified(tok, part, True).decode("utf-8", "replace") == shown


def test_vocabularies_that_the_core_does_not_decode(tmp_path: Path) -> None:
    silent = trainer_spec(extra=field(44, b""))
    rules = normalizer_spec(charsmap=charsmap_of({b"he": b"HE"}), prefix=False, escape=False)
    paths = [
        write_model(tmp_path / "silent.model", HELLO, trainer=silent),
        write_model(tmp_path / "denormalized.model", HELLO, denormalizer=rules),
    ]
    for path in paths:
        tok = Tokenizer.from_sentencepiece(path)
        ids = [0, FIRST, FIRST + 8, 3 + 0xC3, FIRST + 8, 2]

        assert tok._fast_decoder is None
        assert processor(path.read_bytes()).Decode(ids) == tok.decode(ids)
        assert tok.decode(ids) == "".join(map(tok.stream_decoder().push, ids)) or path == paths[1]


# ---- what ids may come in


def big(n: int) -> list[int]:
    """More ids than are read, shown or decoded at once."""
    return [3 + i * 7919 % (len(HELLO) - 3) for i in range(n)]


@pytest.fixture(params=DIALECTS)
def tok(request: pytest.FixtureRequest, tmp_path: Path) -> Tokenizer:
    if request.param == "llama.cpp":
        return Tokenizer.from_gguf(write_vocab(tmp_path / "v.gguf", HELLO, add_bos_token=False))
    return Tokenizer.from_sentencepiece(write_model(tmp_path / "v.model", HELLO))


class Index:
    def __init__(self, i: int) -> None:
        self.i = i

    def __index__(self) -> int:
        return self.i


class Int(int):
    pass


IDS_OF_HELLO = [FIRST, FIRST + 8, 3 + 0xC3, 3 + 0xA9]


@pytest.mark.parametrize(
    "make",
    [
        list, tuple, iter, lambda ids: (i for i in ids), dict.fromkeys,
        lambda ids: [Index(i) for i in ids],
        lambda ids: [Int(i) for i in ids],
        lambda ids: [*ids[:-1], np.int64(ids[-1])],
        lambda ids: array.array("i", ids),
        lambda ids: np.array(ids)[::-1].copy()[::-1],
        lambda ids: np.array(ids, object),
        lambda ids: np.ma.masked_array(ids),
        *(
            lambda ids, dtype=dtype: np.array(ids, dtype)
            for dtype in ("<i4", ">i4", "<i8", ">i8", "i2", "u2", "u4", "u8")
        ),
        lambda ids: np.frombuffer(np.array(ids, np.int32).tobytes(), np.int32),  # read-only
        lambda ids: np.array([ids, ids], np.int32).T[:, 1],
    ],
)  # fmt: skip
def test_ids_in_anything(tok: Tokenizer, make: Callable[[list[int]], Any]) -> None:
    assert "helloé" == tok.decode(make(IDS_OF_HELLO))
    assert "helloé".encode() == tok.decode_bytes(make(IDS_OF_HELLO))


@pytest.mark.parametrize("none", [[], (), iter(()), np.empty(0, np.int32), np.empty(0)])
def test_no_ids(tok: Tokenizer, none: Any) -> None:
    assert "" == tok.decode(none)
    assert b"" == tok.decode_bytes(none)


def test_bools_are_integers(tok: Tokenizer) -> None:
    assert "<s>" == tok.decode([True], skip_special=False)
    assert "<s>" == tok.stream_decoder(skip_special=False).push(True)


def test_skip_special_is_a_truth_value(tok: Tokenizer) -> None:
    assert "<s>hello" == tok.decode([1, FIRST + 8], skip_special=0)  # type: ignore[arg-type]
    assert "hello" == tok.decode([1, FIRST + 8], skip_special=1)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ([-1], "id -1, expected 0 to 268"),
        ([269], "id 269, expected 0 to 268"),
        ([2**31 + 3], "id 2147483651, expected 0 to 268"),
        ([2**32 + 3], "id 4294967299, expected 0 to 268"),
        ([-(2**32) + 3], "id -4294967293, expected 0 to 268"),
        ([2**64 + 3], "id 18446744073709551619, expected 0 to 268"),
        ([1 << 10**6], "id an integer of 1000001 bits, expected 0 to 268"),
        ([3, 4, 1.0], "id is float, expected an integer"),
        (["3"], "id is str, expected an integer"),
        ([None, -1], "id is NoneType, expected an integer"),
        ([Index(7000)], "id 7000, expected 0 to 268"),
        ((-1,), "id -1, expected 0 to 268"),
        (np.array([3, -1], np.int32), "id -1, expected 0 to 268"),
        (np.array([3, 269], np.int32), "id 269, expected 0 to 268"),
        (np.array([3, 2**32 + 3]), "id 4294967299, expected 0 to 268"),
        (np.array([3, -(2**32) + 3]), "id -4294967293, expected 0 to 268"),
        (np.array([3, 2**64 - 1], np.uint64), "id 18446744073709551615, expected 0 to 268"),
        (np.array([3, 2**63 + 3], np.uint64), "id 9223372036854775811, expected 0 to 268"),
        (np.array([3.0]), "id is float64, expected an integer"),
        (np.array([[3, 4], [5, 6]]), "id is ndarray, expected an integer"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_ids_that_are_none(tok: Tokenizer, bad: Any, message: str) -> None:
    for decode in (tok.decode, tok.decode_bytes):
        with pytest.raises(DecodeError, match=f"^{re.escape(message)}$"):
            decode(bad)


@pytest.mark.parametrize("bad", ["3", b"3", 3, None, np.array(3)])
def test_what_holds_no_ids(tok: Tokenizer, bad: Any) -> None:
    with pytest.raises((TypeError, DecodeError)) as fast:
        tok.decode(bad)
    tok._fast_decoder = None
    with pytest.raises((TypeError, DecodeError)) as slow:
        tok.decode(bad)

    assert (slow.type, str(slow.value)) == (fast.type, str(fast.value))


@pytest.mark.parametrize("n", [255, 256, 257, 512, 70_000])
def test_as_many_ids_as_there_are(tok: Tokenizer, n: int) -> None:
    ids = big(n)
    expected = specified(tok, ids, True)

    assert expected == tok.decode_bytes(ids)
    assert expected == tok.decode_bytes(np.array(ids, np.int32))
    assert expected.decode("utf-8", "replace") == tok.decode(np.array(ids, np.int64))
    with pytest.raises(DecodeError, match="id 269"):
        tok.decode([*ids, 269])


def test_an_id_with_a_text_of_any_size(tmp_path: Path) -> None:
    entries = [*HEAD, *BYTES, piece("▁" + "long" * 10_000), piece("b")]
    tok = Tokenizer.from_gguf(write_vocab(tmp_path / "v.gguf", entries, add_bos_token=False))

    assert "long" * 10_000 + "b" + " " + "long" * 10_000 == tok.decode([FIRST, FIRST + 1, FIRST])


# ---- threads, pickles


def test_many_threads_may_decode_at_once(tok: Tokenizer) -> None:
    lists = [big(n)[n % 7 :] for n in range(300)]
    expected = [specified(tok, ids, True) for ids in lists]

    with ThreadPoolExecutor(8) as pool:  # which make the tables first, all of them
        assert expected == list(pool.map(tok.decode_bytes, lists))


def test_a_tokenizer_from_a_pickle_decodes_in_the_core(tok: Tokenizer) -> None:
    tok.decode(IDS_OF_HELLO)
    again = pickle.loads(pickle.dumps(tok))

    assert again._fast_decoder is not None
    assert "helloé" == again.decode(IDS_OF_HELLO)


def test_a_stream_outlives_its_tokenizer(tok: Tokenizer) -> None:
    stream = Tokenizer(tok.vocab, tok.dialect).stream_decoder()
    gc.collect()

    assert ["", "hello", "", "é"] == [stream.push(i) for i in IDS_OF_HELLO]
