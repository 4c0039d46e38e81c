"""The normaliser, against sentencepiece's own on the same rules: text and where it came from."""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import Any

import pytest

from spm import DecodeError, EncodeError, Tokenizer
from spm.text.normalize import MAX_MATCHES, Normalizer, PrefixMatcher
from spm.vocab import Normalization, vocab_from_sentencepiece
from tests.making import (
    HEAD,
    model,
    normalizer_spec,
    piece,
    pieces,
    processor,
    trained,
    trainer_spec,
    write_model,
)
from tests.test_charsmap import charsmap_of

USER_DEFINED = ["<x>", "<x><y>", "  ", "▁▁▁", "b c", "é"]
CHARSMAP = charsmap_of(
    {b"a": b"A", b"\t": b" ", b"ab": b" x ", "﻿".encode(): b"", b"q": b"  ", b"<x": b"!", b"\r": b""}
)
TEXTS = [
    "", " ", "  ", "a", " a", "a ", "  a  b  ", "▁", "▁▁", "a▁", " ▁ ", "\t", "\ta\t\tb\t", "ab",
    "abab", "q", "qa", "aq", "q a q", "<x>", "<x><y>", "<x><x>", " <x> ", "<x", "b c", "bb c", "é",
    "   ", "a   b", "▁▁▁a", "\r", "\r\r", "\ra", "\ufeff", "\ufeffa", "日本　語", "ﬁ①", "\n",
    "a\nb", "\0", "a\0b", "\u00a0x", "x\u3000y", "😀",
]  # fmt: skip
BYTES = [
    b"\xff",
    b"a\xff",
    b"\xe2\x96",
    b"\xe2\x96\x81\xe2\x96",
    b"\xed\xa0\x80",
    b"\xc3( a",
    b"\x80 ",
]


def flags() -> list[dict[str, bool]]:
    names = ["prefix", "remove", "escape", "suffix"]
    return [dict(zip(names, bits)) for bits in itertools.product([False, True], repeat=4)]


def both(
    flags: dict[str, bool], charsmap: bytes, user_defined: list[str]
) -> tuple[Any, Normalizer]:
    rules = {key: flags[key] for key in ("prefix", "remove", "escape")}
    entries = [*HEAD, *pieces("z"), *(piece(text, 0, 4) for text in user_defined)]
    data = model(
        entries,
        trainer=trainer_spec(byte_fallback=False, suffix=flags["suffix"]),
        normalizer=normalizer_spec(charsmap=charsmap, **rules),
    )
    ours = Normalization(charsmap, *rules.values(), flags["suffix"])
    matcher = PrefixMatcher(text.encode() for text in user_defined)
    return processor(data), Normalizer(ours, matcher, "here")


@pytest.mark.parametrize("flags", flags(), ids=lambda f: "-".join(k for k in f if f[k]) or "none")
@pytest.mark.parametrize("charsmap", [b"", CHARSMAP], ids=["identity", "charsmap"])
@pytest.mark.parametrize("user_defined", [[], USER_DEFINED], ids=["", "user-defined"])
def test_text_and_origins_are_sentencepiece_s(
    flags: dict[str, bool], charsmap: bytes, user_defined: list[str]
) -> None:
    real, ours = both(flags, charsmap, user_defined)
    rng = random.Random(5)
    parts = [" ", "  ", "a", "ab", "q", "▁", "<x>", "\t", "é", "b c", "\r", "z", "\ufeff"]
    made = ["".join(rng.choices(parts, k=rng.randint(1, 9))) for _ in range(100)]

    for text in [*(t.encode() for t in [*TEXTS, *made]), *BYTES]:
        expected, origin = real.Normalize(text, with_offsets=True)
        found, found_origin = ours.normalize(text)
        assert found == expected, text
        if text:
            assert found_origin == (list(origin) or found_origin), text


@pytest.mark.parametrize("name", ["nmt_nfkc", "nmt_nfkc_cf"])
def test_a_trained_normaliser(name: str, tmp_path: Path) -> None:
    real = processor(trained(name))
    (tmp_path / "m.model").write_bytes(trained(name))
    rules = vocab_from_sentencepiece(tmp_path / "m.model").normalization
    assert rules is not None
    ours = Normalizer(rules, PrefixMatcher([]), "here")
    rng = random.Random(9)
    blocks = [
        (0x20, 0x7F), (0xA0, 0x250), (0x2000, 0x2200), (0x2460, 0x2500), (0x3000, 0x3400),
        (0xFB00, 0xFF00), (0xFF00, 0xFFF0), (0x1D400, 0x1D800), (0x300, 0x370), (9, 14),
    ]  # fmt: skip
    for _ in range(500):
        text = "".join(chr(rng.randrange(*rng.choice(blocks))) for _ in range(rng.randint(1, 12)))
        data = text.encode()
        if rng.random() < 0.2:
            at = rng.randrange(len(data))
            data = data[:at] + rng.randbytes(1) + data[at + 1 :]
        assert ours.normalize(data)[0] == real.Normalize(data), data


def test_by_hand() -> None:
    rules = Normalization(remove_extra_whitespaces=True)
    ours = Normalizer(rules, PrefixMatcher([]), "here")

    # "  a  b " -> ▁a▁b; ▁ has three bytes
    assert ours.normalize(b"  a  b ") == ("▁a▁b".encode(), [2, 2, 2, 2, 3, 3, 3, 5, 6])


# ---- the matcher of user-defined pieces


def longest(text: bytes, pos: int, candidates: set[bytes]) -> int:
    return max((len(c) for c in candidates if text.startswith(c, pos)), default=0)


def test_the_longest_piece_at_a_position() -> None:
    candidates = {b"a", b"ab", b"abcde", b"b", b"ba", b"\xe2\x96\x81", b"ac"}
    matcher = PrefixMatcher(candidates)
    for size in range(1, 6):
        for text in map(bytes, itertools.product(b"abc", repeat=size)):
            for pos in range(size):
                assert matcher.size(text, pos) == longest(text, pos, candidates), (text, pos)


def test_a_piece_is_never_longer_than_the_rest_of_the_text() -> None:
    assert PrefixMatcher([b"c", b"cdefgh"]).size(b"abc", 2) == 1
    assert PrefixMatcher([b"cdefgh"]).size(b"abc", 2) == 0


def test_no_match_after_the_64th_is_seen() -> None:
    entries = [*HEAD, *pieces("b"), *(piece("a" * size, 0, 4) for size in range(1, 81))]
    real = processor(model(entries))
    matcher = PrefixMatcher(e.text for e in entries if e.type == 4)

    assert MAX_MATCHES == 64
    for size in (1, 63, 64, 65, 80, 90):
        first = real.Encode("a" * size)[1]  # after ▁
        assert len(real.IdToPiece(first)) == min(size, 64)
        assert matcher.size(b"a" * size, 0) == min(size, 64)


def test_random_pieces_against_all_of_them() -> None:
    rng = random.Random(11)
    for _ in range(200):
        candidates = {
            bytes(rng.choices(b"ab", k=rng.randint(1, 8))) for _ in range(rng.randint(1, 12))
        }
        matcher = PrefixMatcher(candidates)
        text = bytes(rng.choices(b"abc", k=30))
        for pos in range(len(text)):
            assert matcher.size(text, pos) == longest(text, pos, candidates)


def test_symbols_are_pieces_and_the_characters_between() -> None:
    text = "a<x>é日<x".encode()

    symbols, frozen = PrefixMatcher([b"<x>", "日".encode()]).symbols(text)

    assert symbols == [b"a", b"<x>", "é".encode(), "日".encode(), b"<", b"x"]
    assert frozen == {1, 3}
    assert PrefixMatcher([]).symbols(b"a\xe2") == ([b"a", b"\xe2"], set())


BOMB = charsmap_of({b"a": b"b" * 5000})


def test_a_charsmap_that_multiplies_the_text_is_refused(tmp_path: Path) -> None:
    rules = Normalization(charsmap=BOMB)

    with pytest.raises(EncodeError, match="byte 1: the charsmap makes 5003 bytes of 1, expected"):
        Normalizer(rules, PrefixMatcher(()), "here").normalize(b"a" * 1000)


def test_a_denormaliser_that_multiplies_the_text_is_refused(tmp_path: Path) -> None:
    bomb = normalizer_spec(charsmap=BOMB, prefix=False)
    path = write_model(tmp_path / "v.model", [*HEAD, *pieces("▁ a b")], denormalizer=bomb)
    tok = Tokenizer.from_sentencepiece(path)

    with pytest.raises(DecodeError, match=r"^denormaliser: text: byte 1: the charsmap makes"):
        tok.decode(tok.encode("aaa"))


def test_what_the_normaliser_makes_of_a_text_must_be_short_enough_to_explain(
    tmp_path: Path,
) -> None:
    rules = normalizer_spec(charsmap=charsmap_of({b"a": b"b" * 90}), prefix=False)
    path = write_model(tmp_path / "v.model", [*HEAD, *pieces("▁ a b")], normalizer=rules)

    with pytest.raises(EncodeError, match="text: 2700 symbols, expected at most 2000 to explain"):
        Tokenizer.from_sentencepiece(path).explain("a" * 30)
