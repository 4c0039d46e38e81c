"""The Tokenizer that people import, on small vocabularies whose ids can be counted by hand."""

from __future__ import annotations

import copy
import pickle
import random
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spm import GGUF, Tokenizer
from spm.errors import DecodeError, DoubleBOSWarning, EncodeError, VocabError
from tests.making import (
    BYTES,
    FIRST,
    HEAD,
    HELLO,
    SENTENCEPIECE_KEYS,
    UNKNOWN,
    Piece,
    field,
    model,
    normalizer_spec,
    piece,
    pieces,
    processor,
    trained,
    trainer_spec,
    write_model,
    write_vocab,
)

# ids from FIRST: ▁ 0, h 1, e 2, l 3, o 4, he 5, ll 6, el 7, hello 8, hell 9; bytes are 3 + byte
HELLO_IDS = [FIRST, FIRST + 8]


@pytest.fixture
def tok(tmp_path: Path) -> Tokenizer:
    """llama.cpp's dialect: a space prefix and a BOS."""
    return Tokenizer.from_gguf(write_vocab(tmp_path / "hello.gguf", HELLO))


@pytest.fixture
def strict(tmp_path: Path) -> Tokenizer:
    """sentencepiece's dialect on the same pieces."""
    return Tokenizer.from_sentencepiece(write_model(tmp_path / "hello.model", HELLO))


def made(tmp_path: Path, entries: list[Piece], **keys: Any) -> Tokenizer:
    return Tokenizer.from_gguf(write_vocab(tmp_path / "made.gguf", entries, **keys))


# ---- where it comes from


def test_from_an_open_gguf_and_from_a_path(tmp_path: Path) -> None:
    path = write_vocab(tmp_path / "v.gguf", HELLO)

    with GGUF.open(path) as gguf:
        opened = Tokenizer.from_gguf(gguf)
    by_path, by_text = Tokenizer.from_gguf(path), Tokenizer.from_gguf(str(path))

    assert opened.encode("hello") == by_path.encode("hello") == by_text.encode("hello")
    assert opened.fingerprint == by_path.fingerprint == by_text.fingerprint
    assert opened.fingerprint == opened.vocab.fingerprint


def test_what_it_says_of_itself(tok: Tokenizer, strict: Tokenizer) -> None:
    assert (tok.dialect, strict.dialect) == ("llama.cpp", "sentencepiece")
    assert repr(tok).startswith("Tokenizer(Vocab(")
    assert "dialect='llama.cpp'" in repr(tok)
    assert tok.fingerprint[:12] in repr(tok)


def test_an_unknown_dialect_is_refused(tmp_path: Path) -> None:
    expected = "dialect is 'hf', expected 'llama.cpp' or 'sentencepiece'"
    with pytest.raises(VocabError, match=expected):
        Tokenizer.from_gguf(write_vocab(tmp_path / "v.gguf", HELLO), dialect="hf")
    with pytest.raises(VocabError, match=expected):
        Tokenizer.from_sentencepiece(write_model(tmp_path / "v.model", HELLO), dialect="hf")


def test_a_gguf_without_the_normaliser_s_keys_has_no_sentencepiece_dialect(tmp_path: Path) -> None:
    for keys, missing in (
        ({}, "add_space_prefix"),
        ({"add_space_prefix": True}, "remove_extra_whitespaces"),
        ({"remove_extra_whitespaces": True}, "add_space_prefix"),
    ):
        path = write_vocab(tmp_path / "v.gguf", HELLO, **keys)
        with pytest.raises(VocabError, match=f"tokenizer.ggml.{missing} is missing"):
            Tokenizer.from_gguf(path, dialect="sentencepiece")


def test_a_gguf_with_them_has_it(tmp_path: Path) -> None:
    path = write_vocab(tmp_path / "v.gguf", HELLO, **SENTENCEPIECE_KEYS)
    real = processor(model(HELLO))

    tok = Tokenizer.from_gguf(path, dialect="sentencepiece")

    for text in ("hello", "  hello", "<s>hello", "é▁"):
        assert tok.encode(text, add_special=False) == real.Encode(text)


def test_the_fingerprint_is_the_vocabulary_s_alone_and_ids_need_the_dialect_too(
    tmp_path: Path,
) -> None:
    keys = {"add_space_prefix": True, "remove_extra_whitespaces": True}
    path = write_vocab(tmp_path / "v.gguf", HELLO, **keys)
    toks = [Tokenizer.from_gguf(path, dialect=d) for d in ("llama.cpp", "sentencepiece")]
    assert toks[0].encode("  hello") != toks[1].encode("  hello")

    assert toks[0].fingerprint == toks[1].fingerprint


def test_a_sentencepiece_model_as_if_converted(tmp_path: Path) -> None:
    path = write_model(tmp_path / "v.model", HELLO)
    converted = Tokenizer.from_sentencepiece(path, dialect="llama.cpp")
    gguf = Tokenizer.from_gguf(write_vocab(tmp_path / "v.gguf", HELLO))

    for text in ("hello", " hello", "", "hello</s>hello", "é"):
        assert converted.encode(text) == gguf.encode(text)
        assert converted.encode(text, parse_special=True) == gguf.encode(text, parse_special=True)


def test_a_model_without_all_bytes_is_refused_by_the_sentencepiece_dialect(tmp_path: Path) -> None:
    path = write_vocab(tmp_path / "v.gguf", [*HEAD, *BYTES[:-1]], **SENTENCEPIECE_KEYS)
    with pytest.raises(VocabError, match="needs BYTE piece <0xFF>, which is missing"):
        Tokenizer.from_gguf(path, dialect="sentencepiece")

    entries = [*HEAD, *BYTES[:-1], piece("<0xFF>")]
    path = write_vocab(tmp_path / "v.gguf", entries, **SENTENCEPIECE_KEYS)
    with pytest.raises(VocabError, match="<0xFF>, which is missing"):
        Tokenizer.from_gguf(path, dialect="sentencepiece")


# ---- text -> ids


def test_encode(tok: Tokenizer) -> None:
    assert tok.encode("hello") == [1, *HELLO_IDS]
    assert tok.encode("hello", add_special=False) == HELLO_IDS
    assert tok.encode(b"hello", add_special=False) == HELLO_IDS
    assert tok.encode("") == [1]
    assert tok.encode("", add_special=False) == []
    assert tok.encode("é", add_special=False) == [FIRST, 3 + 0xC3, 3 + 0xA9]
    assert tok.encode(b"\xff", add_special=False) == [FIRST, 3 + 0xFF]


def test_bos_and_eos_as_the_file_says(tmp_path: Path) -> None:
    for bos in (False, True):
        for eos in (False, True):
            tok = made(tmp_path, HELLO, add_bos_token=bos, add_eos_token=eos)
            assert tok.encode("hello") == [1] * bos + HELLO_IDS + [2] * eos
            assert tok.encode("", parse_special=True) == [1] * bos + [2] * eos


def test_no_space_prefix_if_the_file_says_so(tmp_path: Path) -> None:
    tok = made(tmp_path, HELLO, add_space_prefix=False)

    assert tok.encode("hello", add_special=False) == HELLO_IDS[1:]
    assert tok.encode(" hello", add_special=False) == HELLO_IDS


def test_the_prefix_stands_even_before_a_space_and_again_after_a_special_piece(
    tok: Tokenizer,
) -> None:
    space, hello = HELLO_IDS

    def ids(text: str) -> list[int]:
        return tok.encode(text, add_special=False, parse_special=True)

    assert ids(" hello") == [space, space, hello]
    assert ids("hello</s>hello") == [space, hello, 2, space, hello]
    assert ids("</s></s>") == [2, 2]


def test_special_text_is_text_unless_asked_for(tok: Tokenizer) -> None:
    ids = tok.encode("</s>", add_special=False)

    assert ids == [FIRST, *(3 + byte for byte in b"</s>")]
    assert tok.encode("</s>", add_special=False, parse_special=True) == [2]
    assert tok.encode("<unk>", add_special=False, parse_special=True) == [0]


def test_a_second_bos_is_warned_of(tok: Tokenizer, tmp_path: Path) -> None:
    with pytest.warns(DoubleBOSWarning, match="there are two now") as caught:
        assert tok.encode("<s>hello", parse_special=True) == [1, 1, *HELLO_IDS]
    assert caught[0].filename == __file__  # the caller's line, not ours

    without = made(tmp_path, HELLO, add_bos_token=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert without.encode("<s>hello", parse_special=True)[0] == 1
        assert tok.encode("<s>", add_special=False, parse_special=True) == [1]
        tok.encode("<s>hello")


def test_sentencepiece_reads_no_special_piece_out_of_a_text(strict: Tokenizer) -> None:
    with pytest.raises(
        EncodeError, match="parse_special is True, expected False: sentencepiece reads no CONTROL"
    ):
        strict.encode("<s>", parse_special=True)


def test_a_byte_without_a_piece_is_an_error_that_names_it(tmp_path: Path) -> None:
    tok = made(tmp_path, [*HEAD, *pieces("▁ a"), BYTES[0x41]])

    assert tok.encode("A", add_special=False) == [3, 5]
    with pytest.raises(EncodeError, match="byte 0x42 of the text has no piece, expected <0x42>"):
        tok.encode("B")


def test_a_byte_may_be_spelled_by_a_piece_of_that_byte(tmp_path: Path) -> None:
    # llama_vocab::byte_to_token: first by the spelling <0x..>, whatever its type, then by itself
    entries = [*HEAD, *pieces("▁"), piece(b"\xc3"), piece("<0xA9>", 0, 1), piece(b"\xa9")]
    tok = made(tmp_path, entries)

    assert tok.encode("é", add_special=False) == [3, 4, 5]


@pytest.mark.parametrize("wrong", [None, 5, ["a"], bytearray(b"a")])
def test_what_is_no_text_is_a_type_error(tok: Tokenizer, wrong: Any) -> None:
    with pytest.raises(TypeError, match=f"text is {type(wrong).__name__}, expected str or bytes"):
        tok.encode(wrong)


def test_a_lone_surrogate_is_named(tok: Tokenizer) -> None:
    with pytest.raises(EncodeError, match=r"lone surrogate U\+DC80 at character 2"):
        tok.encode("ab\udc80")


def test_encode_array(tok: Tokenizer) -> None:
    ids = tok.encode_array("hello")

    assert ids.dtype == np.int32
    assert ids.tolist() == [1, *HELLO_IDS]
    assert tok.encode_array("", add_special=False).shape == (0,)
    assert tok.encode_array("</s>", add_special=False, parse_special=True).tolist() == [2]


# ---- batches


def test_a_batch(tok: Tokenizer) -> None:
    batch = tok.encode_batch(["hello", b"", "h"])

    assert batch.ids.dtype == np.int32
    assert batch.offsets.dtype == np.int64
    assert batch.offsets.tolist() == [0, 3, 4, 7]
    assert batch.to_lists() == [[1, *HELLO_IDS], [1], [1, FIRST, FIRST + 1]]
    assert len(batch) == 3
    assert batch[0].tolist() == [1, *HELLO_IDS]
    assert batch[-1].tolist() == [1, FIRST, FIRST + 1]
    assert batch[np.int64(1)].tolist() == [1]
    assert [row.tolist() for row in batch] == batch.to_lists()
    assert batch[0].base is not None  # a view


def test_a_batch_passes_its_options_on(tok: Tokenizer) -> None:
    batch = tok.encode_batch(iter(["</s>"]), threads=3, add_special=False, parse_special=True)

    assert batch.to_lists() == [[2]]


def test_no_texts_are_an_empty_batch(tok: Tokenizer) -> None:
    batch = tok.encode_batch([])

    assert (len(batch), batch.ids.shape, batch.offsets.tolist()) == (0, (0,), [0])
    assert batch.to_lists() == []
    assert batch.pad(9).shape == (0, 0)


@pytest.mark.parametrize("index", [3, -4, 10**9])
def test_a_text_that_is_not_in_the_batch(tok: Tokenizer, index: int) -> None:
    with pytest.raises(IndexError, match=f"text {index}, expected one of 3"):
        tok.encode_batch(["", "", ""])[index]


@pytest.mark.parametrize("threads", [0, -1])
def test_threads_are_positive(tok: Tokenizer, threads: int) -> None:
    with pytest.raises(EncodeError, match=f"threads is {threads}, expected 1 or more"):
        tok.encode_batch(["a"], threads=threads)


def test_padding(tok: Tokenizer, tmp_path: Path) -> None:
    batch = tok.encode_batch(["h", "", "hello h"], add_special=False)
    h, both = [FIRST, FIRST + 1], [*HELLO_IDS, FIRST, FIRST + 1]

    rows = batch.pad(7)
    assert rows.dtype == np.int32
    assert rows.tolist() == [[*h, 7, 7], [7, 7, 7, 7], both]
    assert batch.pad(0).tolist() == [[*h, 0, 0], [0, 0, 0, 0], both]
    with pytest.raises(EncodeError, match="no PAD id, expected pad_id"):
        batch.pad()

    padded = made(tmp_path, HELLO, padding_token_id=np.uint32(2))
    assert padded.encode_batch(["h", ""], add_special=False).pad().tolist() == [h, [2, 2]]


# ---- offsets


def test_offsets_by_hand(tok: Tokenizer) -> None:
    ids, spans = tok.encode_offsets("é hello")

    assert ids == [1, FIRST, 3 + 0xC3, 3 + 0xA9, FIRST, FIRST + 8]
    assert spans.dtype == np.int64
    assert spans.tolist() == [[0, 0], [0, 0], [0, 0], [0, 1], [1, 2], [2, 7]]
    ids, spans = tok.encode_offsets("é hello", unit="byte", add_special=False)
    assert spans.tolist() == [[0, 0], [0, 0], [0, 2], [2, 3], [3, 8]]


def test_offsets_with_eos_and_special_pieces(tmp_path: Path) -> None:
    tok = made(tmp_path, HELLO, add_eos_token=True)

    ids, spans = tok.encode_offsets("hello</s>h", parse_special=True)

    assert ids == [1, *HELLO_IDS, 2, FIRST, FIRST + 1, 2]
    assert spans.tolist() == [[0, 0], [0, 0], [0, 5], [5, 9], [9, 9], [9, 10], [10, 10]]


def test_offsets_of_nothing(tok: Tokenizer) -> None:
    ids, spans = tok.encode_offsets("", add_special=False)

    assert (ids, spans.shape) == ([], (0, 2))


def test_offsets_have_two_units(tok: Tokenizer) -> None:
    with pytest.raises(EncodeError, match="unit is 'token', expected 'char' or 'byte'"):
        tok.encode_offsets("a", unit="token")  # type: ignore[arg-type]


def test_bytes_that_are_no_text_have_no_characters(tok: Tokenizer) -> None:
    with pytest.raises(EncodeError, match="byte 1 is no valid UTF-8, expected unit='byte'"):
        tok.encode_offsets(b"a\xff")
    assert tok.encode_offsets(b"h\xff", unit="byte", add_special=False)[1].tolist() == [
        [0, 0], [0, 1], [1, 2],
    ]  # fmt: skip


OFFSET_TEXTS = [
    "", " ", "hello", "  hello  world ", "naïve café", "日本語 の", "ﬁne ｆｕｌｌ ①½", "a\u3000b",
    "😀😀", "x\ty\nz", "▁▁", "e\u0301", "Привет, мир!", "\ufeffa", "the the  the",
    " ▁▁", "ax yx", "\ufffd\ufffdx y",
]  # fmt: skip


@pytest.mark.parametrize("rule", ["identity", "nmt_nfkc", "nfkc_cf"])
@pytest.mark.parametrize(
    "options",
    [{}, {"byte_fallback": False}, {"treat_whitespace_as_suffix": True},
     {"add_dummy_prefix": False}, {"remove_extra_whitespaces": False},
     {"user_defined_symbols": "the,日本,  "},
     {"user_defined_symbols": "▁▁,x y", "remove_extra_whitespaces": False}],
    ids=str,
)  # fmt: skip
def test_offsets_are_sentencepiece_s(tmp_path: Path, rule: str, options: dict[str, Any]) -> None:
    data = trained(rule, **options)
    (tmp_path / "m.model").write_bytes(data)
    tok, real = Tokenizer.from_sentencepiece(tmp_path / "m.model"), processor(data)

    for text in OFFSET_TEXTS:
        expected = real.Encode(text, return_type="offset_mapping")
        ids, spans = tok.encode_offsets(text)
        assert ids == expected["ids"]
        assert spans.tolist() == [list(span) for span in expected["offsets"]], text
        expected = real.Encode(text.encode(), return_type="offset_mapping")
        _, spans = tok.encode_offsets(text, unit="byte")
        assert spans.tolist() == [list(span) for span in expected["offsets"]], text


def test_offsets_of_a_user_defined_piece_at_the_end_stay_inside(tmp_path: Path) -> None:
    # cde begins as the text ends, and c alone is a piece too
    entries = [*HEAD, *BYTES, *pieces("a b"), piece("c", 0, 4), piece("cde", 0, 4)]
    path = write_model(tmp_path / "m.model", entries)

    _, spans = Tokenizer.from_sentencepiece(path).encode_offsets("abc")

    expected = processor(path.read_bytes()).Encode("abc", return_type="offset_mapping")
    assert spans.tolist() == [list(span) for span in expected["offsets"]]


def test_offsets_of_a_user_defined_piece_with_a_space_in_it(tmp_path: Path) -> None:
    # No normalised text has a space, so it is found before and not after
    entries = [*HEAD, *BYTES, *pieces("a b ▁"), piece("a b", 0, 4)]
    path = write_model(tmp_path / "m.model", entries)

    ids, spans = Tokenizer.from_sentencepiece(path).encode_offsets("aa bb", add_special=False)

    expected = processor(path.read_bytes()).Encode("aa bb", return_type="offset_mapping")
    assert ids == expected["ids"]
    assert spans.tolist() == [list(span) for span in expected["offsets"]]


# ---- count and truncate


def test_count(tok: Tokenizer) -> None:
    assert tok.count("hello") == 3
    assert tok.count("hello", add_special=False) == 2
    assert tok.count("</s>", add_special=False, parse_special=True) == 1
    assert tok.count("") == 1


@pytest.mark.parametrize(
    ("room", "expected"), [(-5, ""), (0, ""), (1, ""), (2, ""), (3, "hello"), (4, "hello")]
)
def test_truncate_counts_bos(tok: Tokenizer, room: int, expected: str) -> None:
    assert tok.truncate("hello", room) == expected


@pytest.mark.parametrize(
    ("room", "expected"), [(1, ""), (2, "h"), (3, "h"), (4, "hé"), (5, "héhe"), (6, "héhehe")]
)
def test_truncate_never_cuts_a_character(tok: Tokenizer, room: int, expected: str) -> None:
    # ▁ h <0xC3> <0xA9> he he
    assert tok.truncate("héhehe", room, add_special=False) == expected


def test_truncate_gives_bytes_for_bytes(tok: Tokenizer) -> None:
    # ▁ h <0xFF> <0x68>: a lead byte takes the next with it
    assert tok.truncate(b"h\xffh", 3, add_special=False) == b"h"
    assert tok.truncate(b"h\xffh", 4, add_special=False) == b"h\xffh"
    assert tok.truncate(b"", 3) == b""


def test_truncate_of_stray_continuation_bytes_keeps_what_fits(tok: Tokenizer) -> None:
    # ▁ and one byte piece for each
    assert tok.truncate(b"\x80" * 10, 5, add_special=False) == b"\x80" * 4


def test_truncate_never_cuts_a_character_that_a_piece_cuts(tmp_path: Path) -> None:
    tok = made(tmp_path, [*HEAD, *BYTES, *pieces("▁ h"), piece(b"\xc3", 0, 4)])

    # ▁ h \xc3, and after it another prefix and <0xA9>
    assert tok.count("hé", add_special=False) == 5
    assert [tok.truncate("hé", room, add_special=False) for room in range(2, 6)] == [
        "h", "h", "h", "hé",
    ]  # fmt: skip
    assert tok.truncate("hé".encode(), 3, add_special=False) == b"h\xc3"


def test_truncate_looks_for_special_pieces_if_asked(tok: Tokenizer) -> None:
    text = "</s>hello"

    assert tok.truncate(text, 1, add_special=False, parse_special=True) == "</s>"
    assert tok.truncate(text, 3, add_special=False, parse_special=True) == text
    assert tok.truncate(text, 3, add_special=False) == "</"


def test_truncate_of_a_text_that_gains_a_token_at_its_new_end(tmp_path: Path) -> None:
    # with white space as suffix every text ends with a ▁ of its own
    trainer = trainer_spec(suffix=True)
    path = write_model(
        tmp_path / "m.model", [*HEAD, *BYTES, *pieces("▁ a b c a▁ ab▁:-9")], trainer=trainer
    )
    tok = Tokenizer.from_sentencepiece(path)

    for room in range(5):
        cut = tok.truncate("abc", room)
        assert "abc".startswith(cut)
        assert tok.count(cut) <= room


# ---- ids -> text


def test_decode(tok: Tokenizer) -> None:
    assert tok.decode(tok.encode("hello")) == " hello"  # llama.cpp keeps the space after a BOS
    assert tok.decode(HELLO_IDS) == "hello"
    assert tok.decode([]) == ""
    assert tok.decode([3 + 0xC3, 3 + 0xA9]) == "é"
    assert tok.decode([3 + 0xC3]) == "\ufffd"
    assert tok.decode_bytes([3 + 0xC3]) == b"\xc3"
    assert tok.decode([1, 2, *HELLO_IDS, 0]) == " hello"
    assert tok.decode([1, 2, *HELLO_IDS, 0], skip_special=False) == "<s></s> hello<unk>"
    assert tok.decode(iter(HELLO_IDS)) == "hello"
    assert tok.decode(np.array(HELLO_IDS, np.uint16)) == "hello"


def test_only_the_first_id_loses_a_space_and_only_one(tok: Tokenizer) -> None:
    space, hello = HELLO_IDS

    assert tok.decode([space, space, hello]) == " hello"
    assert tok.decode([hello, space, hello]) == "hello hello"
    assert tok.decode([2, space, hello]) == " hello"


def test_of_a_piece_of_spaces_one_space_is_lost(tmp_path: Path) -> None:
    tok = made(tmp_path, [*HELLO, *pieces("▁▁▁ ▁▁hell")])

    assert tok.decode([len(HELLO), FIRST + 8]) == "  hello"
    assert tok.decode([len(HELLO) + 1]) == " hell"


def test_decode_without_prefix(tmp_path: Path) -> None:
    tok = made(tmp_path, HELLO, add_space_prefix=False)

    assert tok.decode(HELLO_IDS) == " hello"


def test_an_eos_at_the_end_is_removed_whatever_its_type(tmp_path: Path) -> None:
    entries = [*HELLO, piece("stop")]
    stop = len(entries) - 1
    tok = made(tmp_path, entries, add_eos_token=True, eos_token_id=np.uint32(stop))

    assert tok.decode([*HELLO_IDS, stop]) == "hello"
    assert tok.decode([stop, *HELLO_IDS]) == "stop hello"
    assert tok.decode([stop, stop]) == "stop"
    assert tok.decode([*HELLO_IDS, stop], skip_special=False) == "hellostop"


def test_types_decode_as_llama_cpp_decodes_them(tmp_path: Path) -> None:
    extra = [piece("▁u", 0, 4), piece("▁n", 0, 5), piece("▁c", 0, 3), piece("▁k", 0, UNKNOWN)]
    tok = made(tmp_path, [*HELLO, *extra])
    user, unused, control, unknown = range(len(HELLO), len(HELLO) + 4)

    assert tok.decode([FIRST + 1, user]) == "h▁u"
    assert tok.decode([FIRST + 1, unused, FIRST + 1]) == "hh"
    assert tok.decode([FIRST + 1, control, unknown]) == "h"
    assert tok.decode([FIRST + 1, control, unknown], skip_special=False) == "h▁c▁k"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (-1, "id -1, expected 0 to 268"),
        (len(HELLO), "id 269, expected 0 to 268"),
        (2**63, "id 9223372036854775808, expected 0 to 268"),
        (1.0, "id is float, expected an integer"),
        ("1", "id is str, expected an integer"),
        (None, "id is NoneType, expected an integer"),
    ],
)
def test_what_is_no_id_is_a_decode_error(tok: Tokenizer, wrong: Any, message: str) -> None:
    for decode in (tok.decode, tok.decode_bytes):
        with pytest.raises(DecodeError, match=message):
            decode([FIRST, wrong])
    with pytest.raises(DecodeError, match=message):
        tok.stream_decoder().push(wrong)


def test_sentencepiece_shows_control_pieces_only_when_asked(strict: Tokenizer) -> None:
    ids = [1, *HELLO_IDS, 2]

    assert strict.decode(ids) == "hello"
    assert strict.decode(ids, skip_special=False) == "<s> hello</s>"


@pytest.mark.parametrize(
    ("surface", "ids"),
    [
        (" ⁇ ", [0, 3]),
        ("", [3, 0, 3]),
        ("", [0, 3]),  # ▁u has spent the space that the first piece loses
    ],
)
def test_an_unknown_piece_that_begins_with_a_space(
    tmp_path: Path, surface: str, ids: list[int]
) -> None:
    entries = [piece("▁u", 0, 2), *HEAD[1:], *pieces("▁a")]
    data = model(entries, trainer=trainer_spec(byte_fallback=False, extra=field(44, surface)))
    (tmp_path / "m.model").write_bytes(data)

    found = Tokenizer.from_sentencepiece(tmp_path / "m.model").decode_bytes(ids)

    assert found == processor(data).Decode(ids, out_type=bytes)


@pytest.mark.parametrize("prefix", [False, True])
@pytest.mark.parametrize("remove", [False, True])
@pytest.mark.parametrize("denormalize", [False, True])
def test_decoding_is_sentencepiece_s(
    tmp_path: Path, prefix: bool, remove: bool, denormalize: bool
) -> None:
    extra = [*pieces("▁ ▁▁ ▁a a b▁"), piece("▁u", 0, 4), piece("▁n", 0, 5), piece("▁c", 0, 3)]
    charsmap = from_trained(tmp_path)
    data = model(
        [*HEAD, *BYTES, *extra],
        normalizer=normalizer_spec(prefix=prefix, remove=remove),
        denormalizer=normalizer_spec(charsmap=charsmap, prefix=False) if denormalize else b"",
    )
    (tmp_path / "m.model").write_bytes(data)
    tok, real = Tokenizer.from_sentencepiece(tmp_path / "m.model"), processor(data)
    rng = random.Random(4)
    choices = [*range(3), *range(FIRST, FIRST + len(extra)), 3 + 0xE2, 3 + 0x96, 3 + 0x81, 3 + 32]

    for _ in range(300):
        ids = rng.choices(choices, k=rng.randint(0, 7))
        assert tok.decode_bytes(ids) == real.Decode(ids, out_type=bytes), ids


def from_trained(tmp_path: Path) -> bytes:
    (tmp_path / "t.model").write_bytes(trained("nmt_nfkc"))
    rules = Tokenizer.from_sentencepiece(tmp_path / "t.model").vocab.normalization
    assert rules is not None
    return rules.charsmap


def test_unknown_text_without_bytes_is_one_unknown_for_a_run(tmp_path: Path) -> None:
    data = model([*HEAD, *pieces("▁ a")])
    (tmp_path / "m.model").write_bytes(data)
    tok = Tokenizer.from_sentencepiece(tmp_path / "m.model")

    assert tok.encode("axyaz") == [3, 4, 0, 4, 0] == processor(data).Encode("axyaz")
    assert tok.decode([4, 0]) == "a ⁇ "


def test_unused_pieces_are_taken_apart_again(tmp_path: Path) -> None:
    entries = [
        *HEAD,
        *BYTES,
        *pieces("▁ a b c"),
        piece("ab", 0, 5),
        piece("abc", 1),
        piece("bc", -1),
    ]
    data = model(entries)
    (tmp_path / "m.model").write_bytes(data)
    tok, real = Tokenizer.from_sentencepiece(tmp_path / "m.model"), processor(data)

    for text in ("ab", "abc", "abab", "abcab", "cab"):
        assert tok.encode(text) == real.Encode(text)
    assert [i - FIRST for i in tok.encode("ab")] == [0, 1, 2]
    alone = model([*HEAD, *BYTES, *pieces("▁ b"), piece("a", 0, 5)])
    (tmp_path / "m.model").write_bytes(alone)
    assert Tokenizer.from_sentencepiece(tmp_path / "m.model").encode("a") == [
        FIRST, 3 + ord("a"),
    ] == processor(alone).Encode("a")  # fmt: skip


@pytest.mark.parametrize("depth", [99, 100, 101, 102, 103, 150])
def test_unused_pieces_are_taken_apart_a_hundred_times_deep(tmp_path: Path, depth: int) -> None:
    chain = [piece("a" * size, size, 5) for size in range(2, depth + 2)]
    data = model([*HEAD, *BYTES, *pieces("▁ a"), *chain])
    (tmp_path / "m.model").write_bytes(data)
    tok = Tokenizer.from_sentencepiece(tmp_path / "m.model")

    for size in range(depth - 2, depth + 3):
        assert tok.encode("a" * size) == processor(data).Encode("a" * size)


# ---- a value, for any number of threads


@pytest.mark.parametrize(
    "clone", [copy.copy, copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))]
)
def test_a_copy_gives_the_same_ids(tok: Tokenizer, strict: Tokenizer, clone: Any) -> None:
    for original in (tok, strict):
        other = clone(original)
        assert other.fingerprint == original.fingerprint
        assert other.dialect == original.dialect
        assert other.encode(" hello é") == original.encode(" hello é")
        assert other.decode(HELLO_IDS) == "hello"


def test_threads_share_one(tmp_path: Path) -> None:
    (tmp_path / "m.model").write_bytes(trained("nmt_nfkc", user_defined_symbols="the"))
    tok = Tokenizer.from_sentencepiece(tmp_path / "m.model")
    texts = [f"the quick {i} brown ﬁ x{i * i}" for i in range(60)]
    expected = [tok.encode(text) for text in texts]

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(tok.encode, texts)) == expected
        assert list(pool.map(tok.decode, expected)) == [tok.decode(ids) for ids in expected]
