"""Ids and texts in parts: nothing early that could be wrong, nothing late that is certain."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from spm import Tokenizer
from spm.errors import DecodeError
from tests.making import (
    ABCDE,
    BYTES,
    CONTROL,
    FIRST,
    HEAD,
    HELLO,
    USER_DEFINED,
    model,
    normalizer_spec,
    piece,
    pieces,
    processor,
    specified,
    write_model,
    write_vocab,
)
from tests.test_charsmap import charsmap_of

SPACE_ID, HELLO_ID = FIRST, FIRST + 8
DIALECTS = ["sentencepiece", "llama.cpp"]
GOLDEN = Path(__file__).parents[1] / "golden" / "vocabs"


def byte(value: int) -> int:
    return 3 + value


@pytest.fixture(params=["llama.cpp", "sentencepiece"])
def tok(request: pytest.FixtureRequest, tmp_path: Path) -> Tokenizer:
    if request.param == "llama.cpp":
        return Tokenizer.from_gguf(write_vocab(tmp_path / "v.gguf", HELLO, add_bos_token=False))
    return Tokenizer.from_sentencepiece(write_model(tmp_path / "v.model", HELLO))


def streamed(tok: Tokenizer, ids: list[int]) -> list[str]:
    decoder = tok.stream_decoder()
    return [*(decoder.push(i) for i in ids), decoder.flush()]


def test_text_comes_as_early_as_it_is_certain(tok: Tokenizer) -> None:
    parts = streamed(tok, [SPACE_ID, HELLO_ID, SPACE_ID, HELLO_ID])

    assert parts == ["", "hello", " ", "hello", ""]


def test_never_half_a_character(tok: Tokenizer) -> None:
    parts = streamed(tok, [HELLO_ID, *map(byte, "😀é".encode()), HELLO_ID])

    assert parts == ["hello", "", "", "", "😀", "", "é", "hello", ""]


def test_what_can_become_no_character_is_shown_when_that_is_certain(tok: Tokenizer) -> None:
    assert "".join(streamed(tok, [HELLO_ID, byte(0xFF), HELLO_ID])) == "hello\ufffdhello"
    assert streamed(tok, [HELLO_ID, byte(0xC3)])[-2:] == ["", "\ufffd"]


def test_a_stream_that_never_ends_a_character_is_not_held_for_ever(tok: Tokenizer) -> None:
    # 0xF0 0x90 is a beginning, the next 0xF0 makes it none
    parts = streamed(tok, [byte(0xF0), byte(0x90)] * 500)

    assert max(map(len, parts)) <= 3
    assert "".join(parts) == tok.decode([byte(0xF0), byte(0x90)] * 500)


def test_after_flush_a_new_text_begins(tok: Tokenizer) -> None:
    decoder = tok.stream_decoder()

    for _ in range(3):
        assert decoder.push(SPACE_ID) == ""
        assert decoder.push(byte(0xC3)) == ""
        assert decoder.flush() == "\ufffd"


def test_an_id_that_is_none_changes_nothing(tok: Tokenizer) -> None:
    decoder = tok.stream_decoder()
    decoder.push(byte(0xC3))

    with pytest.raises(DecodeError, match="id 999, expected 0 to 268"):
        decoder.push(999)
    assert decoder.push(byte(0xA9)) == "é"


def test_control_pieces_are_left_out_or_shown(tok: Tokenizer) -> None:
    assert "".join(streamed(tok, [1, HELLO_ID, 2])) == "hello"
    decoder = tok.stream_decoder(skip_special=False)
    assert "".join([decoder.push(i) for i in (1, HELLO_ID, 2)]) + decoder.flush() == "<s>hello</s>"


def test_bos_keeps_the_space_that_follows_it(tmp_path: Path) -> None:
    tok = Tokenizer.from_gguf(write_vocab(tmp_path / "v.gguf", HELLO))

    assert streamed(tok, [1, SPACE_ID, HELLO_ID]) == ["", " ", "hello", ""]


def test_an_eos_is_held_until_it_is_not_the_last(tmp_path: Path) -> None:
    entries = [*HELLO, *pieces("stop")]
    path = write_vocab(tmp_path / "v.gguf", entries, add_eos_token=True, add_bos_token=False)
    tok = Tokenizer.from_gguf(path)

    decoder = tok.stream_decoder(skip_special=False)
    assert decoder.push(2) == "</s>"

    shown = Tokenizer.from_gguf(
        write_vocab(
            tmp_path / "w.gguf", entries, add_eos_token=True, add_bos_token=False,
            eos_token_id=np.uint32(len(entries) - 1),
        )
    )  # fmt: skip
    stop = len(entries) - 1
    assert streamed(shown, [HELLO_ID, stop, stop, HELLO_ID, stop]) == [
        "hello", "", "stop", "stophello", "", "",
    ]  # fmt: skip


def test_with_a_denormaliser_all_of_the_text_waits_for_the_end(tmp_path: Path) -> None:
    rules = normalizer_spec(
        charsmap=charsmap_of({b"he": b"HE"}), prefix=False, remove=False, escape=False
    )
    data = model(HELLO, denormalizer=rules)
    (tmp_path / "m.model").write_bytes(data)
    tok = Tokenizer.from_sentencepiece(tmp_path / "m.model")

    parts = streamed(tok, [SPACE_ID, HELLO_ID, HELLO_ID])

    assert parts == ["", "", "", "HElloHEllo"]
    assert processor(data).Decode([SPACE_ID, HELLO_ID, HELLO_ID]) == "HElloHEllo"


# ---- text in parts


def test_every_split_of_a_text_gives_the_same_ids(tmp_path: Path) -> None:
    tok = Tokenizer.from_gguf(write_vocab(tmp_path / "v.gguf", ABCDE))
    text = "abcde"  # whose first token its last character decides
    for cuts in itertools.product([False, True], repeat=4):
        parts, encoder = [""], tok.stream_encoder()
        for char, cut in zip(text, [*cuts, False]):
            parts[-1] += char
            parts += [""] * cut
        ids = [i for part in parts for i in encoder.push(part)] + encoder.flush()
        assert ids == tok.encode(text)


def test_the_stream_encoder_has_the_options_of_encode_and_begins_again(tok: Tokenizer) -> None:
    encoder = tok.stream_encoder(add_special=False)

    for _ in range(2):
        assert encoder.push("hel") == []
        assert encoder.push("lo") == []
        assert encoder.flush() == [SPACE_ID, HELLO_ID]
    assert encoder.flush() == []


def test_a_special_piece_may_be_cut_anywhere(tmp_path: Path) -> None:
    tok = Tokenizer.from_gguf(write_vocab(tmp_path / "v.gguf", [*HEAD, *BYTES]))
    encoder = tok.stream_encoder(parse_special=True, add_special=False)

    assert encoder.push("</") + encoder.push("s>") + encoder.flush() == [2]


@pytest.fixture(params=["core", "specification"])
def either(request: pytest.FixtureRequest) -> Callable[[Tokenizer], Tokenizer]:
    """Both ways of a tokenizer."""
    return specified if request.param == "specification" else lambda tok: tok


def joined(tok: Tokenizer, parts: list[str], **options: bool) -> list[int]:
    encoder = tok.stream_encoder(**options)
    return [i for part in parts for i in encoder.push(part)] + encoder.flush()


def test_white_space_that_a_special_piece_swallowed_is_gone(
    tmp_path: Path, either: Callable[[Tokenizer], Tokenizer]
) -> None:
    # Phi-3: <u> takes the spaces behind it, and X may begin the next special piece
    whole = [piece(text, 0, USER_DEFINED) for text in ("<u>", "XYZ")]
    entries = [*HEAD, *BYTES, *pieces("▁ a X"), *whole, piece("<|endoftext|>", 0, CONTROL)]
    tok = either(Tokenizer.from_gguf(write_vocab(tmp_path / "v.gguf", entries, name="phi-3")))

    assert joined(tok, ["<u>  X", "a"], add_special=False) == [
        FIRST + 3, FIRST, FIRST + 2, FIRST + 1,
    ]  # fmt: skip


def test_white_space_waits_for_a_special_piece_that_may_swallow_it(
    tmp_path: Path, either: Callable[[Tokenizer], Tokenizer]
) -> None:
    entries = [*HEAD, *BYTES, *pieces("▁ a"), piece("[MASK]", 0, USER_DEFINED)]
    vocab = Tokenizer.from_gguf(write_vocab(tmp_path / "v.gguf", entries)).vocab
    tok = either(Tokenizer(replace(vocab, name_rule="[MASK]"), "llama.cpp"))

    for parts in (["a  ", "[MA", "SK]a"], ["a ", " ", "[MASK]a"], ["a  [MASK]", "a"]):
        assert joined(tok, parts, add_special=False) == [
            FIRST, FIRST + 1, FIRST + 2, FIRST, FIRST + 1,
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("stray", "parts"),
    [(b"\xa9\xa9", ["aé", "x"]), (b"\xc3", ["éa", "x"]), (b"\xa9a", ["aé", "a"])],
)
def test_a_special_piece_that_begins_inside_of_a_character(
    tmp_path: Path, either: Callable[[Tokenizer], Tokenizer], stray: bytes, parts: list[str]
) -> None:
    entries = [*HEAD, *BYTES, *pieces("▁ a aé:-1"), piece(stray, 0, USER_DEFINED)]
    entries += [piece(b"\xa9a", -1)] * (stray != b"\xa9a")
    tok = either(Tokenizer.from_gguf(write_vocab(tmp_path / "v.gguf", entries)))

    assert joined(tok, parts) == tok.encode("".join(parts))


def test_unknown_is_one_id_for_a_run_and_two_if_typed_twice(
    tmp_path: Path, either: Callable[[Tokenizer], Tokenizer]
) -> None:
    path = write_model(tmp_path / "v.model", [*HEAD, *pieces("▁ a b")])
    strict, lax = (either(Tokenizer.from_sentencepiece(path, dialect=d)) for d in DIALECTS)

    assert joined(strict, ["aé", "é", "éa"]) == strict.encode("aééé" + "a") == [3, 4, 0, 4]
    assert joined(lax, ["<unk>", "<unk>"], parse_special=True) == [1, 0, 0]


ENGLISH = """It was the best of times, it was the worst of times, it was the age of wisdom, it was
the age of foolishness ... it was the season of Light, it was the season of Darkness; (1859)!"""


def test_little_is_held_of_ordinary_text(either: Callable[[Tokenizer], Tokenizer]) -> None:
    """No more than the longest run of characters that no cut parts."""
    tok = either(Tokenizer.from_gguf(GOLDEN / "identity.gguf"))
    symbols = [c.replace(" ", "▁").encode() for c in ENGLISH]
    cuts = [
        i
        for i in range(1, len(symbols))
        if any(tok._dialect.score_merging.joins.cuts(symbols[i - 1 : i + 1]))
    ]
    longest = max(b - a for a, b in itertools.pairwise([0, *cuts, len(symbols)]))
    encoder, held = tok.stream_encoder(), 0

    for char in ENGLISH:
        encoder.push(char)
        held = max(held, encoder._size)

    assert held <= longest < 24


def test_a_long_text_that_cannot_be_cut_is_looked_at_in_linear_time(
    tmp_path: Path, either: Callable[[Tokenizer], Tokenizer]
) -> None:
    tok = either(Tokenizer.from_gguf(write_vocab(tmp_path / "v.gguf", [*HELLO, *pieces("aa:-9")])))
    encoder = tok.stream_encoder()
    looked: list[int] = []
    settled = encoder._parts.settled

    def watched(text: bytes) -> tuple[int, bool]:
        looked.append(len(text))
        return settled(text)

    with mock.patch.object(type(encoder._parts), "settled", staticmethod(watched)):
        ids = [i for _ in range(3000) for i in encoder.push("aaaaaaa")]

    assert sum(looked) < 5 * 21_000
    assert ids + encoder.flush() == tok.encode("a" * 21_000)
