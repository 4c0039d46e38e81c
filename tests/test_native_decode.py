"""Decoding in the compiled core equals the specification: every id, every list, every stream."""

from __future__ import annotations

import array
import pickle
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, SupportsIndex

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spm import SpmError, Tokenizer
from spm.native import core
from spm.text.fast import fast_decoder
from spm.text.stream import CharactersOf
from spm.vocab import TokenType
from tests.making import (
    BYTES,
    CONTROL,
    FIRST,
    HEAD,
    HELLO,
    NORMAL,
    UNKNOWN,
    UNUSED,
    USER_DEFINED,
    Piece,
    field,
    model,
    normalizer_spec,
    piece,
    processor,
    trainer_spec,
    write_model,
    write_vocab,
)
from tests.test_charsmap import charsmap_of

VOCABS = Path(__file__).parents[1] / "golden" / "vocabs"
FILES = sorted(path for path in VOCABS.iterdir() if path.suffix in (".model", ".gguf"))
DIALECTS = ("llama.cpp", "sentencepiece")

pytestmark = pytest.mark.skipif(core is None, reason="the compiled core is not built")


@cache
def tokenizer(path: Path, dialect: str) -> Tokenizer | None:
    make: Any = Tokenizer.from_gguf if path.suffix == ".gguf" else Tokenizer.from_sentencepiece
    try:
        return make(path, dialect=dialect)
    except SpmError:
        return None


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


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
@given(data=st.data())
def test_the_core_equals_the_specification(path: Path, dialect: str, data: st.DataObject) -> None:
    tok = tokenizer(path, dialect)
    if tok is None or tok._fast_decoder is None:
        pytest.skip("not a vocabulary of this dialect, or not of the core")

    assert_equal(tok, data.draw(ids_of(tok)))


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_id_alone_and_behind_another(path: Path, dialect: str) -> None:
    tok = tokenizer(path, dialect)
    if tok is None or tok._fast_decoder is None:
        pytest.skip("not a vocabulary of this dialect, or not of the core")
    for skip_special in (True, False):
        for i in range(len(tok.vocab)):
            for ids in ([i], [i, i], [tok.vocab.piece_to_id.get("▁".encode(), 0), i]):
                expected = specified(tok, ids, skip_special)
                assert expected == tok.decode_bytes(ids, skip_special=skip_special)


# ---- vocabularies in which everything occurs that a rule is about

SHOWN = ["", "a", " ", "▁", "▁▁", "▁a", " a", "▁ ", "a▁b", "x" * 14, "x" * 15, "▁" + "y" * 16, "é"]
RULES = [NORMAL, CONTROL, USER_DEFINED, UNUSED]
ENTRIES = [
    *HEAD,
    *BYTES,
    # a piece may stand once only, so the kinds are told apart at the end
    *(piece(f"{text}{kind * '.'}", 0, kind) for text in SHOWN for kind in RULES),
    *(piece(text) for text in SHOWN[1:]),
    *(piece(data) for data in (b"\xe2\x96", b"\x81", b"\xff", b"\xe2\x96\x81\xe2\x96", b"\xf0\x9f")),
    piece("▁" * 3, 0, USER_DEFINED),
    piece(" " * 3, 0, UNUSED),
    piece("▁" * 4, 0, CONTROL),
    piece(" " * 4, 0, CONTROL),
]  # fmt: skip

EVERYTHING = st.lists(
    st.one_of(
        st.integers(FIRST, len(ENTRIES) - 1),
        st.integers(0, 2),
        st.sampled_from([3 + byte for byte in "a 😀é▁\xff".encode()] + [3 + 0xF0, 3 + 0xFF]),
    ),
    max_size=12,
)


@cache
def made(dialect: str, **rules: Any) -> Tokenizer:
    """A tokenizer of ENTRIES; the file is read once, and is not needed any more."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        if dialect == "llama.cpp":
            return Tokenizer.from_gguf(write_vocab(Path(folder, "v.gguf"), ENTRIES, **rules))
        spec = normalizer_spec(prefix=rules["prefix"], remove=rules["remove"])
        entries = [e for e in ENTRIES if e.text]
        surface = rules.get("unk_surface", b"")
        trainer = trainer_spec(extra=field(44, surface) if surface else b"")
        path = write_model(Path(folder, "v.model"), entries, normalizer=spec, trainer=trainer)
        return Tokenizer.from_sentencepiece(path)
