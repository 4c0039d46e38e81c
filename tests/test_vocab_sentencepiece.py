"""sentencepiece models: what the real library loads is loaded, what it refuses is refused.

Every file is written byte by byte (tests/making.py) and given to both.
"""

from __future__ import annotations

import os
import random
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spm import Tokenizer
from spm.errors import SpmError, VocabError
from spm.vocab import Family, Normalization, TokenType, Vocab, vocab_from_sentencepiece
from spm.vocab.vocab import SPACE
from tests.making import (
    BYTES,
    CHAR,
    HEAD,
    PLAIN,
    UNIGRAM,
    WORD,
    Piece,
    field,
    model,
    normalizer_spec,
    piece,
    piece_message,
    pieces,
    processor,
    sentencepiece_loads,
    trained,
    trainer_spec,
    varint,
    write_model,
)

ENTRIES = [*HEAD, *pieces("▁ a b ab:-1")]
NO_BYTES = trainer_spec(byte_fallback=False)


def load(tmp_path: Path, data: bytes) -> Vocab:
    path = tmp_path / "m.model"
    path.write_bytes(data)
    return vocab_from_sentencepiece(path)


def spm_loads(tmp_path: Path, data: bytes) -> bool:
    """Whether a Tokenizer can be made; anything but one line of VocabError fails the test."""
    path = tmp_path / "m.model"
    path.write_bytes(data)
    try:
        Tokenizer.from_sentencepiece(path)
    except VocabError as error:
        message = str(error)
    else:
        return True
    assert "\n" not in message
    assert message.startswith(str(path))
    return False


def bare(entries: list[Piece]) -> bytes:
    return b"".join(field(1, piece_message(entry)) for entry in entries)


ACCEPTED: dict[str, bytes] = {
    "a plain one": model(ENTRIES),
    "only UNKNOWN": model(HEAD[:1]),
    "no special pieces": model([HEAD[0], *pieces("a b")]),
    "bytes": model([*HEAD, *BYTES]),
    "bytes and no UNKNOWN": model([*HEAD[1:], *BYTES]),
    "bytes out of order": model([*BYTES[::-1], *HEAD]),
    "an unused NUL": model([*ENTRIES, piece("\0", 0, 5)]),
    "a NUL beside bytes": model([*HEAD, *BYTES, piece("\0")]),
    "a piece of 7999 bytes": model([*ENTRIES, piece("x" * 7999)]),
    "invalid UTF-8": model([*ENTRIES, piece(b"\xff\xfe"), piece(b"\xe2\x96")]),
    "infinite scores": model([*ENTRIES, piece("x", float("inf")), piece("y", float("-inf"))]),
    "NaN scores": model([*ENTRIES, piece("x", float("nan")), piece("y", -float("nan"))]),
    "UNUSED and USER_DEFINED": model([*ENTRIES, piece("x", 0, 5), piece("y", 0, 4)]),
    "a byte's spelling as NORMAL": model([*ENTRIES, piece("<0x41>")]),
    "unknown fields": model(ENTRIES, extra=field(77, "hi") + field(78, 5) + field(79, 0.5)),
    "an unknown field of eight bytes": model(ENTRIES, extra=varint(80 << 3 | 1) + bytes(8)),
    "fields in another order": field(3, PLAIN) + field(2, NO_BYTES) + bare(ENTRIES),
    "a spec in two parts": bare([*HEAD, *BYTES]) + field(2, field(3, 2)) + field(2, field(35, 1)),
    "a model type that is said twice": model(
        ENTRIES, trainer=field(3, 1) + trainer_spec(byte_fallback=False)
    ),
    "self tests that would fail": model(
        ENTRIES, extra=field(4, field(1, field(1, "a") + field(2, "zzz")))
    ),
}

REFUSED: dict[str, bytes] = {
    "an empty file": b"",
    "no pieces": model([]),
    "no UNKNOWN": model(ENTRIES[1:]),
    "two UNKNOWN": model([*ENTRIES, piece("u", 0, 2)]),
    "an empty piece": model([*ENTRIES, piece("")]),
    "a NUL": model([*ENTRIES, piece("\0")]),
    "a NUL inside": model([*ENTRIES, piece("a\0b")]),
    "an unused NUL inside": model([*ENTRIES, piece("a\0b", 0, 5)]),
    "a NUL inside beside bytes": model([*HEAD, *BYTES, piece("a\0b", 0, 5)]),
    "a piece of 8000 bytes": model([*ENTRIES, piece("x" * 8000)]),
    "twice the same": model([*ENTRIES, piece("ab")]),
    "twice the same in other types": model([*ENTRIES, piece("ab", 0, 3)]),
    "bytes without byte_fallback": model([*HEAD, *BYTES], trainer=NO_BYTES),
    "byte_fallback without bytes": model(ENTRIES, trainer=trainer_spec()),
    "255 bytes": model([*HEAD, *BYTES[:-1]]),
    "a byte as NORMAL": model([*HEAD, *BYTES[:-1], piece("<0xFF>")]),
    "a byte <0xZZ>": model([*HEAD, *BYTES, piece("<0xZZ>", 0, 6)]),
    "a byte <0x-1>": model([*HEAD, *BYTES, piece("<0x-1>", 0, 6)]),
    "a byte <0x0a>": model([*HEAD, *BYTES, piece("<0x0a>", 0, 6)]),
    "a NUL as byte": model([*HEAD, *BYTES[1:], piece("\0", 0, 6)]),
    "a charsmap of a byte": model(ENTRIES, normalizer=normalizer_spec(charsmap=b"x")),
    "a denormaliser's too": model(ENTRIES, denormalizer=normalizer_spec(charsmap=b"xyz")),
    "a broken trainer": model(ENTRIES, trainer=NO_BYTES + b"\xff"),
    "a broken normaliser": model(ENTRIES, normalizer=PLAIN + b"\x12\x7f"),
    "a broken piece": model(ENTRIES, extra=field(1, b"\x0a\x05abc")),
    "a wire type 6": model(ENTRIES, extra=varint(99 << 3 | 6)),
    "a group that does not end": model(ENTRIES, extra=varint(99 << 3 | 3)),
    "a group that does not begin": model(ENTRIES, extra=varint(99 << 3 | 4)),
    "a field 0": model(ENTRIES, extra=b"\0\0"),
    "a size beyond": model(ENTRIES, extra=varint(77 << 3 | 2) + varint(1 << 62)),
    "a text": b"not a model\n" * 9,
}

# sentencepiece reads these as if the odd part were not there. spm has nothing to go by and says so.
STRICTER: dict[str, bytes] = {
    "a type of 0": model([*ENTRIES, piece("x", 0, 0)]),
    "a type of 7": model([*ENTRIES, piece("x", 0, 7)]),
    "a type of -1": model([*ENTRIES, piece("x", 0, -1)]),
    "a score as varint": bare(ENTRIES) + field(1, field(1, "x") + field(2, 3)) + field(2, NO_BYTES),
    "a type as bytes": model(ENTRIES, extra=field(1, field(1, "x") + field(3, "1"))),
    "a piece as varint": model(ENTRIES, extra=field(1, 7)),
    "a group": model(ENTRIES, extra=varint(99 << 3 | 3) + varint(99 << 3 | 4)),
}


# Loaded or not, by the type of the model.
TYPES: dict[str, bytes] = {
    "a NORMAL piece spelled like a CONTROL one": model([*ENTRIES, piece("<s>", -3)]),
    "a NORMAL piece spelled like UNKNOWN": model([piece("<unk>"), *ENTRIES]),
    "a NORMAL piece spelled like a byte": model([*HEAD, *BYTES, piece("<0x41>"), piece("▁")]),
    "a USER_DEFINED piece spelled like a CONTROL one": model([*ENTRIES, piece("</s>", 0, 4)]),
    "two CONTROL pieces spelled alike": model([*ENTRIES, piece("</s>", 0, 3)]),
    "twice the same, one of them UNUSED": model([*ENTRIES, piece("ab", 0, 5)]),
    "only UNUSED pieces": model([*HEAD, piece("a", 0, 5)]),
    "only a USER_DEFINED piece": model([*HEAD, piece("a", 0, 4)]),
    "only an unused NUL": model([*HEAD, piece("\0", 0, 5)]),
    "an infinite score of a CONTROL piece": model([*ENTRIES, piece("<x>", float("inf"), 3)]),
    "a NaN score of an UNUSED piece": model([*ENTRIES, piece("<x>", float("nan"), 5)]),
    "the largest scores": model([*ENTRIES, piece("x", 3.4e38), piece("y", -3.4e38)]),
}


def check_alike(tmp_path: Path, data: bytes) -> None:
    """Texts and ids come out as sentencepiece has them."""
    real = processor(data)
    (tmp_path / "m.model").write_bytes(data)
    tok = Tokenizer.from_sentencepiece(tmp_path / "m.model")
    for text in ("", "ab abx", "xy<0x41>A", "a\0b\0", "  b▁a  ", b"\xff\xfe\xe2\x96", "<s>é"):
        assert tok.encode(text) == real.Encode(text), text
    for i in range(len(tok.vocab)):
        for ids in ([i], [i, i], [len(tok.vocab) - 1, i]):
            assert tok.decode_bytes(ids) == real.Decode(ids, out_type=bytes), ids


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_sentencepiece_loads_is_loaded(tmp_path: Path, name: str) -> None:
    assert sentencepiece_loads(ACCEPTED[name])
    assert spm_loads(tmp_path, ACCEPTED[name])


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_is_loaded_is_read_alike(tmp_path: Path, name: str) -> None:
    check_alike(tmp_path, ACCEPTED[name])


@pytest.mark.parametrize("name", REFUSED)
def test_what_sentencepiece_refuses_is_refused(tmp_path: Path, name: str) -> None:
    assert not sentencepiece_loads(REFUSED[name])
    assert not spm_loads(tmp_path, REFUSED[name])


@pytest.mark.parametrize("name", STRICTER)
def test_what_sentencepiece_reads_past_is_refused_on_purpose(tmp_path: Path, name: str) -> None:
    assert sentencepiece_loads(STRICTER[name])
    assert not spm_loads(tmp_path, STRICTER[name])


def test_several_unused_nul_pieces_are_loaded(tmp_path: Path) -> None:
    data = model([*HEAD, *BYTES, piece("\0", 0, 5), piece("\0", 0, 1)])
    assert sentencepiece_loads(data)

    assert spm_loads(tmp_path, data)
    tok, real = Tokenizer.from_sentencepiece(tmp_path / "m.model"), processor(data)
    assert tok.encode("a\0\0") == real.Encode("a\0\0")
    last = len(tok.vocab) - 1
    assert tok.decode_bytes([last, last - 1]) == real.Decode([last, last - 1], out_type=bytes)


@pytest.mark.parametrize("number", [0, 77])
def test_a_model_type_that_nobody_knows_is_refused_on_purpose(tmp_path: Path, number: int) -> None:
    data = model(ENTRIES, trainer=trainer_spec(model_type=number, byte_fallback=False))

    assert sentencepiece_loads(data)  # as Unigram
    with pytest.raises(VocabError, match=f"model_type is {number}, expected 1 to 4"):
        load(tmp_path, data)


def test_a_model_that_does_not_say_what_it_is_is_unigram(tmp_path: Path) -> None:
    assert load(tmp_path, bare(ENTRIES)).family == Family.UNIGRAM


@pytest.mark.parametrize("kind", [UNIGRAM, WORD, CHAR])
@pytest.mark.parametrize("name", [*ACCEPTED, *REFUSED, *TYPES])
def test_other_types_of_model_are_loaded_if_sentencepiece_loads_them(
    tmp_path: Path, name: str, kind: int
) -> None:
    data = {**ACCEPTED, **REFUSED, **TYPES}[name] + field(2, field(3, kind))
    loads = sentencepiece_loads(data)

    assert spm_loads(tmp_path, data) == loads
    if loads:
        check_alike(tmp_path, data)


def test_the_fields_of_a_piece(tmp_path: Path) -> None:
    extra = [piece("u", 1.5, 4), piece("n", -0.0, 5), piece("▁x", -1e9)]
    vocab = load(tmp_path, model([*HEAD, *extra]))

    assert vocab.pieces == (b"<unk>", b"<s>", b"</s>", b"u", b"n", SPACE + b"x")
    assert vocab.scores.tolist() == [0, 0, 0, 1.5, 0, -1e9]
    assert np.signbit(vocab.scores).tolist() == [False] * 4 + [True] * 2
    assert vocab.types == (
        TokenType.UNKNOWN, TokenType.CONTROL, TokenType.CONTROL, TokenType.USER_DEFINED,
        TokenType.UNUSED, TokenType.NORMAL,
    )  # fmt: skip


def test_a_piece_without_score_and_type_is_normal_and_scores_zero(tmp_path: Path) -> None:
    vocab = load(tmp_path, model(ENTRIES, extra=field(1, field(1, "bare"))))

    assert vocab.pieces[-1] == b"bare"
    assert (vocab.scores[-1], vocab.types[-1]) == (0.0, TokenType.NORMAL)


def test_the_defaults_of_the_specs(tmp_path: Path) -> None:
    vocab = load(tmp_path, bare(ENTRIES) + field(2, field(3, 2)))

    assert vocab.normalization == Normalization(b"", True, True, True, False)
    assert vocab.denormalization is None
    assert not vocab.byte_fallback
    assert vocab.unk_surface == " ⁇ ".encode()
    assert (vocab.add_bos, vocab.add_eos, vocab.add_space_prefix) == (False, False, True)
    assert vocab.special_ids == {"bos": 1, "eos": 2, "unk": 0}
    assert vocab.eog_ids == {2}
    assert vocab.lacks == ""


def test_the_fields_of_the_specs(tmp_path: Path) -> None:
    charsmap = vocab_of(trained("nmt_nfkc"), tmp_path).normalization.charsmap  # type: ignore[union-attr]
    spec = normalizer_spec(charsmap=charsmap, prefix=False, remove=False, escape=False)
    trainer = trainer_spec(suffix=True, extra=field(44, "??"))
    vocab = load(
        tmp_path,
        model([*HEAD, *BYTES], trainer=trainer, normalizer=spec, denormalizer=field(2, charsmap)),
    )

    assert vocab.normalization == Normalization(charsmap, False, False, False, True)
    assert vocab.denormalization == Normalization(charsmap, True, True, True, False)
    assert vocab.byte_fallback
    assert vocab.unk_surface == b"??"
    assert not vocab.add_space_prefix


def vocab_of(data: bytes, tmp_path: Path) -> Vocab:
    return load(tmp_path, data)


NAMED = [piece("<pad>", 0, 3), piece("<cls>", 0, 3), piece("q", 0, 3), piece("n")]


@pytest.mark.parametrize(
    "extra",
    [
        b"",
        field(46, "<cls>"),
        field(47, "q"),
        field(48, "q"),
        field(46, "n"),  # NORMAL: no role
        field(46, "nobody"),
        field(46, "<unk>"),
        field(46, "<cls>") + field(47, "<cls>") + field(48, "<cls>"),
        field(46, "") + field(47, "") + field(48, ""),  # as if it were not there
    ],
)
def test_the_special_ids_are_sentencepiece_s(tmp_path: Path, extra: bytes) -> None:
    data = model(
        [*NAMED[:2], *HEAD, *NAMED[2:]], trainer=trainer_spec(byte_fallback=False, extra=extra)
    )
    real = processor(data)

    vocab = load(tmp_path, data)

    expected = (real.bos_id(), real.eos_id(), real.pad_id(), real.unk_id())
    found = (vocab.bos_id, vocab.eos_id, vocab.pad_id, vocab.unk_id)
    assert tuple(-1 if i is None else i for i in found) == expected


@pytest.mark.parametrize("name", ["identity", "nmt_nfkc", "nfkc_cf"])
def test_a_trained_model_is_read_as_the_library_reads_it(tmp_path: Path, name: str) -> None:
    real = processor(trained(name))

    vocab = load(tmp_path, trained(name))

    assert len(vocab) == real.GetPieceSize()
    for i in range(len(vocab)):
        assert vocab.pieces[i].decode() == real.IdToPiece(i)
        assert vocab.scores[i] == np.float32(real.GetScore(i))
        assert (vocab.types[i] == TokenType.CONTROL) == real.IsControl(i)
        assert (vocab.types[i] == TokenType.BYTE) == real.IsByte(i)
        assert (vocab.types[i] == TokenType.UNKNOWN) == real.IsUnknown(i)
        assert (vocab.types[i] == TokenType.UNUSED) == real.IsUnused(i)


# ---- files that are none


def test_what_is_no_file_is_told(tmp_path: Path) -> None:
    for path, what in ((tmp_path / "none", "no such file"), (tmp_path, "not a regular file")):
        with pytest.raises(VocabError, match=what):
            vocab_from_sentencepiece(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no FIFO")
def test_a_fifo_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(VocabError, match="not a regular file"):
        vocab_from_sentencepiece(tmp_path / "pipe")


def test_a_file_that_cannot_be_read_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_model(tmp_path / "m.model", ENTRIES)

    def refuse(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(VocabError, match="Permission denied, expected a sentencepiece"):
        vocab_from_sentencepiece(path)


def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "huge.model"
    with path.open("wb") as file:
        file.truncate((256 << 20) + 1)

    tracemalloc.start()
    with pytest.raises(VocabError, match="268435457 bytes, expected at most 268435456"):
        vocab_from_sentencepiece(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 1 << 20


# ---- damage

SMALL = model(
    [*ENTRIES, *pieces("é ab▁:-2"), piece("u", 0, 4)],
    trainer=trainer_spec(byte_fallback=False, extra=field(44, "?")),
    extra=field(9, "later"),
)


def agrees(tmp_path: Path, data: bytes) -> None:
    """Refused with one line, or loaded; what sentencepiece refuses is refused."""
    if spm_loads(tmp_path, data):
        assert sentencepiece_loads(data), data


def test_truncated_at_every_byte(tmp_path: Path) -> None:
    for size in range(len(SMALL)):
        agrees(tmp_path, SMALL[:size])


def flips(rng: random.Random) -> bytes:
    data = bytearray(SMALL)
    for _ in range(rng.randint(1, 3)):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def noise(rng: random.Random) -> bytes:
    return rng.randbytes(rng.randint(1, 40))


def splices(rng: random.Random) -> bytes:
    at, size = rng.randrange(len(SMALL)), rng.randint(1, 9)
    return SMALL[:at] + rng.randbytes(rng.randint(0, 9)) + SMALL[at + size :]


@pytest.mark.parametrize("damage", [flips, noise, splices])
def test_damaged_files_are_refused_with_one_line_or_are_good(
    tmp_path: Path, damage: Callable[[random.Random], bytes]
) -> None:
    rng = random.Random(7)
    for _ in range(400):
        spm_loads(tmp_path, damage(rng))


def test_sizes_from_the_file_are_never_allocated(tmp_path: Path) -> None:
    claims: list[Any] = [varint(n) for n in (1 << 31, (1 << 32) - 1, (1 << 63) - 1, (1 << 64) - 1)]
    for claim in claims:
        path = tmp_path / "m.model"
        path.write_bytes(bare(ENTRIES) + varint(1 << 3 | 2) + claim + b"abc")
        tracemalloc.start()
        with pytest.raises(SpmError, match=r"announced, 3 left|a varint without end"):
            vocab_from_sentencepiece(path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 1 << 20


@pytest.mark.parametrize(
    ("filler", "message"),
    [
        pytest.param(b"\x0a\x00" * 10_000, "piece 6 is empty|piece 7 is empty", id="empty pieces"),
        pytest.param(b"\x48\x01" * 10_000, "", id="a small number, often"),
        pytest.param(
            b"".join(varint(number << 3) + b"\1" for number in range(200, 8_000)), "",
            id="fields nobody knows",
        ),
    ],
)  # fmt: skip
def test_memory_is_a_small_multiple_of_the_file(
    tmp_path: Path, filler: bytes, message: str
) -> None:
    path = tmp_path / "m.model"
    path.write_bytes(model(ENTRIES, extra=filler))

    tracemalloc.start()
    if message:
        with pytest.raises(VocabError, match=message):
            vocab_from_sentencepiece(path)
    else:
        vocab_from_sentencepiece(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < (1 << 20) + 100 * path.stat().st_size
