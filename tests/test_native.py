"""The compiled core equals the specification, is chosen as asked, and is missed out loud."""

from __future__ import annotations

import pickle
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spm import EncodeError, Tokenizer
from spm.native import core
from spm.text.dialect import encode as dialect_encode
from spm.text.fast import fast_encoder
from tests.golden_vocabs import FILES, VOCABS, golden, golden_or_none
from tests.making import (
    BYTES,
    HEAD,
    normalizer_spec,
    piece,
    pieces,
    trainer_spec,
    write_model,
    write_vocab,
)
from tools.differential import texts

needs_core = pytest.mark.skipif(core is None, reason="the compiled core is not built")


def specified(tok: Tokenizer, text: bytes, parse_special: bool) -> list[int] | str:
    """What the pure Python path says: ids, or the error."""
    try:
        return [token.id for token in dialect_encode(tok._dialect, text, parse_special)]
    except EncodeError as error:
        return str(error)


def encoded(tok: Tokenizer, text: bytes, parse_special: bool) -> list[int] | str:
    try:
        return tok.encode(text, add_special=False, parse_special=parse_special)
    except EncodeError as error:
        return str(error)


@needs_core
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_core_equals_the_specification(path: Path) -> None:
    tok = golden_or_none(path.name)
    if tok is None or fast_encoder(tok._dialect) is None:
        pytest.skip("this vocabulary goes the way of the specification")
    rng = random.Random(path.name)
    for text in texts(rng, list(tok.vocab.pieces), 300, [b"", b" ", "▁".encode(), b"\0", b"\xff"]):
        for parse_special in {False, tok.dialect == "llama.cpp"}:
            assert specified(tok, text, parse_special) == encoded(tok, text, parse_special)


@needs_core
@given(st.lists(st.sampled_from(["a", "b", " ", "▁", "é", "日", "🦙", "ab", "\n"]), max_size=300))
def test_long_units_equal_the_specification(parts: list[str]) -> None:
    tok = golden("identity.gguf")
    assert tok is not None
    text = "".join(parts).encode()

    assert specified(tok, text, False) == encoded(tok, text, False)


@needs_core
@pytest.mark.parametrize("unit", ["a", " ", "▁", "ab", "🦙", "é ", "=", "\n"])
def test_what_is_never_cut_is_merged_as_a_whole(unit: str) -> None:
    for path in (VOCABS / "identity.gguf", VOCABS / "runs.gguf", VOCABS / "identity.model"):
        tok = golden_or_none(path.name)
        assert tok is not None
        for n in (1, 14, 15, 16, 31, 32, 33, 63, 64, 65, 2000):
            text = (unit * n).encode()
            assert specified(tok, text, False) == encoded(tok, text, False)


@needs_core
def test_ties_are_leftmost_in_short_and_in_long_units(tmp_path: Path) -> None:
    entries = [*HEAD, piece("▁", -1), piece("a", -1), piece("b", -1)]
    entries += [piece(p, -2) for p in ("aa", "ab", "ba", "bb", "aab", "bba")]
    tok = Tokenizer.from_gguf(write_vocab(tmp_path / "v.gguf", entries))
    rng = random.Random(3)
    for size in [5, 20, 31, 32, 33, 100, 500]:
        text = bytes(rng.choices(b"ab", k=size))
        assert specified(tok, text, False) == encoded(tok, text, False)


@needs_core
def test_a_space_that_is_no_piece_is_spelled_as_the_mark_it_stands_for(tmp_path: Path) -> None:
    tok = Tokenizer.from_gguf(write_vocab(tmp_path / "v.gguf", [*HEAD, *BYTES, piece("a", -1)]))
    ids = [tok.vocab.piece_to_id[b"<0x%02X>" % byte] for byte in "▁".encode()]

    assert [*ids, tok.vocab.piece_to_id[b"a"], *ids] == tok.encode("a ", add_special=False)
    assert specified(tok, b"a  \xff", False) == encoded(tok, b"a  \xff", False)


@needs_core
def test_indentation_where_a_space_alone_has_no_piece(tmp_path: Path) -> None:
    entries = [*HEAD, *pieces("a ▁▁:-1 ▁a:-2 ▁b:-3")]
    tok = Tokenizer.from_gguf(write_vocab(tmp_path / "v.gguf", entries, add_space_prefix=False))
    a, two, space_a, space_b = range(len(HEAD), len(entries))

    assert [two, a] == tok.encode("  a", add_special=False)
    assert [two, two, two, a] == tok.encode("      a", add_special=False)
    assert [two, space_b] == tok.encode("   b", add_special=False)
    assert [two, space_a] == tok.encode("   a", add_special=False)


@needs_core
@pytest.mark.parametrize(
    "whole",
    [
        ["a" * n for n in range(1, 91)] + ["b"],  # sentencepiece sees no match after the 64th
        [b"x\xff", b"\xe2\x96"],  # malformed pieces, which malformed text can contain
        ["a" * n + "b" for n in range(1, 1000)],  # a thousand sizes to try at every character
    ],
)
def test_user_defined_pieces_that_the_core_does_not_take(
    tmp_path: Path, whole: list[str | bytes]
) -> None:
    rules = normalizer_spec(remove=False)
    entries = [*HEAD, *BYTES, piece("▁", -1), *(piece(p, 0, 4) for p in whole), piece("c", -2)]
    specs = {"trainer": trainer_spec(byte_fallback=True), "normalizer": rules}
    tok = Tokenizer.from_sentencepiece(write_model(tmp_path / "v.model", entries, **specs))

    for text in (b"", b"a" * 200 + b"b", b"x\xffc", b"\xe2\x96\xffx", b"c" + b"a" * 70, b"\xff"):
        assert specified(tok, text, False) == encoded(tok, text, False)


@needs_core
def test_many_threads_may_encode_at_once() -> None:
    tok = golden("identity.gguf")
    assert tok is not None
    rng = random.Random(1)
    lines = list(texts(rng, list(tok.vocab.pieces), 400, []))
    expected = [specified(tok, line, False) for line in lines]

    with ThreadPoolExecutor(8) as pool:
        assert expected == list(pool.map(lambda line: encoded(tok, line, False), lines))


@needs_core
def test_a_tokenizer_from_a_pickle_has_its_core_again() -> None:
    tok = pickle.loads(pickle.dumps(golden("identity.gguf")))

    assert tok._fast is not None
    assert specified(tok, b"Hello world", False) == encoded(tok, b"Hello world", False)


@needs_core
def test_the_array_is_the_caller_s_own() -> None:
    tok = golden("identity.gguf")
    assert tok is not None
    ids = tok.encode_array("Hello world", add_special=False)
    again = tok.encode_array("Hello world", add_special=False)
    ids[:] = -1

    assert np.int32 == again.dtype
    assert (again >= 0).all()


ENCODE = f"import spm; print(spm.Tokenizer.from_gguf({str(VOCABS / 'ties.gguf')!r}).encode('a'))"
HIDDEN = "import sys; sys.modules['spm.native._core'] = None; "


def python(program: str, native: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", program]
    return subprocess.run(
        command, env={"SPM_NATIVE": native}, capture_output=True, text=True, timeout=60
    )


def test_without_the_core_it_works_and_says_so_once() -> None:
    result = python(HIDDEN + ENCODE + "; " + ENCODE, "")

    assert (0, 1) == (result.returncode, result.stderr.count("without its compiled core"))
    assert 2 == result.stdout.count("[")


def test_the_pure_path_that_was_asked_for_is_not_announced() -> None:
    assert (0, "") == (python(ENCODE, "0").returncode, python(ENCODE, "0").stderr)


def test_the_core_that_was_insisted_on_must_be_there() -> None:
    result = python(HIDDEN + ENCODE, "1")

    assert 1 == result.returncode
    assert "SPM_NATIVE is 1, but there is no compiled core" in result.stderr
