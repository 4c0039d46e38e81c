"""What the core does before anything merges, against the specification."""

from __future__ import annotations

import itertools
import random
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spm import SpmError, Tokenizer, TokenType
from spm.errors import EncodeError, VocabError
from spm.native import core
from spm.text.charsmap import Charsmap
from spm.text.fragments import Fragment, Special, special_pieces
from spm.text.fragments import partition as specified_partition
from spm.text.normalize import Normalizer, PrefixMatcher
from spm.vocab import SPACE, Normalization, vocab_from_sentencepiece
from tests.making import trained
from tests.test_charsmap import GOOD, charsmap_of

pytestmark = pytest.mark.skipif(core is None, reason="the compiled core is not built")

VOCABS = Path(__file__).parents[1] / "golden" / "vocabs"


# ---- special pieces

Found = list[tuple[int, int, int]]


def in_order(pieces: list[tuple[bytes, bool, bool]]) -> tuple[Special, ...]:
    specials = [Special(p, i, lstrip, rstrip) for i, (p, lstrip, rstrip) in enumerate(pieces)]
    return tuple(sorted(specials, key=lambda s: -len(s.piece)))


def plain(*pieces: bytes) -> tuple[Special, ...]:
    return in_order([(piece, False, False) for piece in pieces])


def compiled(specials: tuple[Special, ...]) -> Any:
    return core.Specials([tuple(s) for s in specials])  # type: ignore[union-attr]


def as_tuples(fragments: list[Fragment]) -> Found:
    return [(f.begin, f.end, -1 if f.id is None else f.id) for f in fragments]


def check_partition(specials: tuple[Special, ...], text: bytes) -> None:
    assert as_tuples(specified_partition(text, specials)) == compiled(specials).partition(text)


def special_sets(letters: bytes) -> st.SearchStrategy[tuple[Special, ...]]:
    piece = st.lists(st.sampled_from(letters), min_size=1, max_size=6).map(bytes)
    flags = st.sampled_from([(False, False)] * 3 + [(True, False), (False, True), (True, True)])
    entry = st.tuples(piece, flags).map(lambda e: (e[0], *e[1]))
    return st.lists(entry, max_size=10, unique_by=lambda e: e[0]).map(in_order)


def texts_of(letters: bytes, most: int = 60) -> st.SearchStrategy[bytes]:
    return st.lists(st.sampled_from(letters), max_size=most).map(bytes)


@given(special_sets(b"ab"), texts_of(b"ab"))
def test_overlaps(specials: tuple[Special, ...], text: bytes) -> None:
    check_partition(specials, text)


@given(special_sets(b"ab \n"), texts_of(b"ab \n"))
def test_white_space_that_is_swallowed_and_is_special_itself(
    specials: tuple[Special, ...], text: bytes
) -> None:
    check_partition(specials, text)


@given(special_sets(b"<a>\0\xff"), texts_of(b"<a>\0\xff \t\v\f\r"))
def test_any_bytes(specials: tuple[Special, ...], text: bytes) -> None:
    check_partition(specials, text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"\nab", [(1, 3, 1)]),  # the longer one has swallowed the other
        (b"a\n\nab", [(0, 1, -1), (3, 5, 1)]),
        (b"ab\nab", [(0, 2, 1), (3, 5, 1)]),
        (b"\n b", [(0, 1, 2), (1, 3, -1)]),
    ],
)
def test_white_space_that_is_special_goes_to_what_is_longer(text: bytes, expected: Found) -> None:
    specials = (Special(b"ab", 1, True, False), Special(b"\n", 2, False, False))

    assert expected == compiled(specials).partition(text)


def unsettling(text: bytes, specials: tuple[Special, ...]) -> list[tuple[int, float]]:
    """What occurs in a text or may, depending on what follows, with the white space around it."""
    spans: list[tuple[int, float]] = [(len(text), float("inf"))]
    for piece in (special.piece for special in specials):
        for at in range(len(text)):
            if text.startswith(piece, at):
                spans.append((at, at + len(piece)))
            elif piece.startswith(text[at:]):
                spans.append((at, float("inf")))
    if any(special.lstrip for special in specials):
        spans = [(len(text[:begin].rstrip(b" \t\n\v\f\r")), end) for begin, end in spans]
    if any(special.rstrip for special in specials):
        spans = [(begin, swallowed(text, end)) for begin, end in spans]
    return spans


def swallowed(text: bytes, end: float) -> float:
    if end == float("inf"):
        return end
    rest = text[int(end) :].lstrip(b" \t\n\v\f\r")
    return len(text) - len(rest) if rest else float("inf")


def joined(first: Found, second: Found, at: int) -> Found:
    """The fragments of two parts of a text; plain text that meets at the border is one fragment."""
    moved = [(begin + at, end + at, i) for begin, end, i in second]
    if first and moved and first[-1][1:] == (at, -1) and moved[0][::2] == (at, -1):
        return [*first[:-1], (first[-1][0], moved[0][1], -1), *moved[1:]]
    return first + moved


@given(special_sets(b"ab \n"), texts_of(b"ab \n", 20), st.lists(texts_of(b"ab \n", 8), max_size=8))
def test_what_is_settled_stays_so_whatever_follows(
    specials: tuple[Special, ...], text: bytes, more: list[bytes]
) -> None:
    found = compiled(specials)
    at = found.settled(text)

    for rest in [b"", *more, *(special.piece for special in specials)]:
        parts = found.partition(text[:at]), found.partition(text[at:] + rest)
        assert as_tuples(specified_partition(text + rest, specials)) == joined(*parts, at)


def check_settled(specials: tuple[Special, ...], text: bytes) -> None:
    spans = unsettling(text, specials)
    borders = [p for p in range(len(text) + 1) if not any(b < p < e for b, e in spans)]

    assert max(borders) == compiled(specials).settled(text)


@given(special_sets(b"ab \n"), texts_of(b"ab \n", 20))
def test_as_much_is_settled_as_no_possible_occurrence_reaches(
    specials: tuple[Special, ...], text: bytes
) -> None:
    check_settled(specials, text)


def test_two_or_three_specials_in_short_texts() -> None:
    rng = random.Random(12)
    short = [
        b"".join(p) for n in (1, 2, 3) for p in itertools.product([b"a", b"b", b" "], repeat=n)
    ]
    for _ in range(1500):
        pieces = rng.sample(short, rng.choice([2, 3]))
        strips = [(rng.random() < 0.3, rng.random() < 0.3) for _ in pieces]
        specials = in_order([(p, *flags) for p, flags in zip(pieces, strips)])
        for _ in range(3):
            text = bytes(rng.choices(b"ab  ", k=rng.randint(1, 9)))
            check_partition(specials, text)
            check_settled(specials, text)


def test_settled_by_hand() -> None:
    assert 5 == compiled(plain(b"<s>")).settled(b"ab<s>")
    assert 5 == compiled(plain(b"<s>")).settled(b"ab<s><s")
    assert 2 == compiled(plain(b"<s>", b"<s>x")).settled(b"ab<s>")
    assert 5 == compiled(plain(b"<s>", b"s>")).settled(b"ab<s>")
    assert 8 == compiled(plain(b"aab", b"c")).settled(b"aaaaaaaaaa")
    assert 2 == compiled(in_order([(b"<s>", False, True)])).settled(b"ab<s> \n")
    assert 5 == compiled(in_order([(b"<s>", False, True)])).settled(b"<s> c")
    assert 4 == compiled(in_order([(b"<s>", True, False)])).settled(b"<s>c \n")
    assert 0 == compiled(()).settled(b"")


def test_nested_pieces_in_a_text_where_all_of_them_end_everywhere() -> None:
    pieces = [b"a" * size for size in [*range(1, 40), 55, 89, 144]]
    for text in (b"a" * 1000, b"a" * 100 + b"b" + b"a" * 57 + b"b" + b"a" * 3):
        check_partition(plain(*pieces), text)
        check_partition(plain(*pieces[3:], b"ba", b"aba" * 5), text)


@pytest.mark.parametrize("seed", range(20))
def test_where_the_longest_does_not_fit_a_shorter_end_of_it_may(seed: int) -> None:
    rng = random.Random(seed)
    pieces = {bytes(rng.choices(b"ab", k=rng.randint(1, 40))) for _ in range(30)}
    ends = {piece[at:] for piece in pieces for at in range(len(piece)) if rng.random() < 0.5}
    specials = plain(*sorted(pieces | ends))
    parts = sorted(pieces | ends)
    for _ in range(20):
        check_partition(specials, b"".join(rng.choices(parts, k=20)))


def test_a_hundred_thousand_specials() -> None:
    rng = random.Random(1)
    pieces = list({b"<%x>" % rng.getrandbits(rng.randint(4, 60)) for _ in range(100_000)})
    found = compiled(plain(*pieces))
    ids = [rng.randrange(len(pieces)) for _ in range(20_000)]
    text = b"x ".join(pieces[i] for i in ids)

    fragments = found.partition(text)

    assert ids == [i for _, _, i in fragments if i >= 0]
    assert len(text) == fragments[-1][1] == found.settled(text)


def test_a_megabyte_of_candidates_is_decided_in_time_that_does_not_explode() -> None:
    found = compiled(plain(*(b"a" * size for size in range(1, 1000))))

    fragments = found.partition(b"a" * 1_000_000)

    # 1,001 times the longest, and then the one byte that is left
    assert [998] * 1001 + [0] == [i for _, _, i in fragments]


def test_specials_come_longest_first() -> None:
    with pytest.raises(ValueError, match="longest first"):
        core.Specials([(b"a", 0, False, False), (b"ab", 1, False, False)])  # type: ignore[union-attr]
    with pytest.raises(ValueError, match="empty"):
        core.Specials([(b"", 0, False, False)])  # type: ignore[union-attr]


def test_the_specials_of_made_vocabularies() -> None:
    rng = random.Random(4)
    for path in sorted(VOCABS.glob("*.gguf")):
        try:
            vocab = Tokenizer.from_gguf(path).vocab
        except SpmError:
            continue
        parts = [*vocab.pieces[:4], b" ", b"a", b"\n", *special_texts(vocab)]
        for parse_special in (False, True):
            for _ in range(20):
                text = b"".join(rng.choices(parts, k=12))
                check_partition(special_pieces(vocab, parse_special), text)


def special_texts(vocab: Any) -> list[bytes]:
    return [special.piece for special in special_pieces(vocab, parse_special=True)]


# ---- the normaliser

FLAGS = list(itertools.product([False, True], repeat=4))
RULES = {
    b"a": b"A", b"\t": b" ", b"ab": b" x ", "\ufeff".encode(): b"", b"q": b"  ", b"\r": b"",
    "eé".encode(): "▁".encode(), "日本".encode(): "日 ".encode(), "本".encode(): b"\xe2\x96",
    b"<x": b"!", b"\xff": b"\0", b"\0n": b"N", "🦙".encode(): "▁▁".encode(), b"zzzz": b"Z",
    "\u3000".encode(): b" ", b" \xcc": b"?", b"\xc3\xbf\xbf": b"y",
}  # fmt: skip
PIECES = [b"<x>", b"<x><y>", b"  ", "▁▁▁".encode(), b"b c", "é".encode(), b"\xe2\x96", b"\x81"]
PARTS = [
    *(bytes([byte]) for byte in b" abcqxyzne<>\t\r\0\xff\xcc\xe2\x96\x81\xf0"),
    b"<x>", b"<y>", b"   ", b"plain words, ", b"zzz",
    *(text.encode() for text in ["é", "▁", "▁▁", "日", "本", "語", "🦙", "\ufeff", "\u3000", "ÿ"]),
]  # fmt: skip

normalizations = st.tuples(
    st.sampled_from(FLAGS),
    st.sampled_from([b"", charsmap_of(RULES)]),
    st.lists(st.sampled_from(PIECES), unique=True).map(tuple),
)


@cache
def both(
    flags: tuple[bool, ...], charsmap: bytes, user_defined: tuple[bytes, ...]
) -> tuple[Normalizer, list[Any]]:
    """The specification, and the core with ▁ and, if it stands for a space, with U+0020."""
    prefix, remove, escape, suffix = flags
    rules = Normalization(charsmap, *flags)
    spaces = [SPACE, b" "] if escape else [b" "]
    made = [
        core.Normalizer(prefix, remove, suffix, escape, space, list(user_defined), charsmap)  # type: ignore[union-attr]
        for space in spaces
    ]
    return Normalizer(rules, PrefixMatcher(user_defined), "here"), made


def specified(normalizer: Normalizer, text: bytes) -> tuple[bytes, list[int]] | str:
    try:
        return normalizer.normalize(text)
    except EncodeError as error:
        return str(error)


def normalized(normalizer: Any, text: bytes, escape: bool) -> tuple[bytes, list[int]] | str:
    """What the core says, with ▁ for the spaces that it wrote."""
    try:
        found, origin = normalizer.normalize(text)
        assert found == normalizer.normalize_text(text)
    except OverflowError as error:
        pos, size = error.args
        return (
            f"text: byte {pos}: the charsmap makes {size} bytes of {pos},"
            " expected at most 100 times as many"
        )
    if not escape or b" " not in found:
        return found, origin
    sizes = [len(SPACE) if byte == 0x20 else 1 for byte in found]
    spread = [pos for pos, size in zip(origin, sizes) for _ in range(size)]
    return found.replace(b" ", SPACE), [*spread, origin[-1]]


def check_normalizer(
    flags: tuple[bool, ...], charsmap: bytes, user_defined: tuple[bytes, ...], text: bytes
) -> None:
    spec, made = both(flags, charsmap, user_defined)
    expected = specified(spec, text)
    for normalizer in made:
        assert expected == normalized(normalizer, text, escape=flags[2])


@given(normalizations, st.lists(st.sampled_from(PARTS), max_size=12).map(b"".join))
def test_made_texts(made: tuple[Any, ...], text: bytes) -> None:
    check_normalizer(*made, text)


def test_many_made_texts() -> None:
    rng = random.Random(13)
    charsmaps = [b"", charsmap_of(RULES)]
    whole = [(), tuple(PIECES), *((piece,) for piece in PIECES)]
    for _ in range(3000):
        text = b"".join(rng.choices(PARTS, k=rng.randint(1, 12)))
        check_normalizer(rng.choice(FLAGS), rng.choice(charsmaps), rng.choice(whole), text)


@given(normalizations, st.binary(max_size=30))
def test_random_bytes(made: tuple[Any, ...], text: bytes) -> None:
    check_normalizer(*made, text)


@pytest.mark.parametrize("flags", FLAGS)
def test_spaces_at_both_ends_and_runs_of_them(flags: tuple[bool, ...]) -> None:
    letters = [b" ", b"c", SPACE, b"\t"]
    for charsmap in (b"", charsmap_of(RULES)):
        for size in range(6):
            for parts in itertools.product(letters, repeat=size):
                check_normalizer(flags, charsmap, (), b"".join(parts))


@pytest.mark.parametrize("flags", FLAGS)
def test_a_change_at_every_place_of_a_stretch(flags: tuple[bool, ...]) -> None:
    # ASCII is read eight bytes at a time
    for change in (b"ab", b"  ", "eé".encode(), b"\xff", "日本".encode(), b"zzzz", b"zzz", b"<x>"):
        for at in range(20):
            text = b"xx yy" * 4
            check_normalizer(flags, charsmap_of(RULES), (b"<x>",), text[:at] + change + text[at:])
            check_normalizer(flags, charsmap_of(RULES), (b"<x>",), text[:at] + change)


def test_no_match_after_the_32nd_of_the_charsmap_is_seen() -> None:
    keys = charsmap_of({b"a" * size: b"%d" % size for size in range(1, 41)})
    wide = charsmap_of({"é".encode() * size: b"%d" % size for size in range(1, 41)})
    for size in (1, 31, 32, 33, 40, 41, 100):
        check_normalizer(FLAGS[0], keys, (), b"a" * size)
        check_normalizer(FLAGS[0], wide, (), "é".encode() * size + b"x")


def test_no_match_after_the_64th_of_the_user_defined_pieces_is_seen() -> None:
    # matches that are not seen leave the rest to the charsmap, which tells them apart
    rest = charsmap_of({b"a": b"1", b"aaab": b"2", b"b": b"3"})
    nested = tuple(b"a" * size for size in range(3, 100))
    for size in (1, 2, 63, 66, 67, 68, 69, 99, 200):
        check_normalizer(FLAGS[0], rest, nested, b"a" * size)
        check_normalizer(FLAGS[0], rest, (*nested, b"a" * 90 + b"b"), b"a" * size + b"b")


def test_a_long_piece_that_never_quite_occurs_costs_no_walk_of_it_at_every_byte() -> None:
    long = b"a" * 7998 + b"b"
    _, (made, _) = both((False, False, True, False), b"", (long,))

    assert b"a" * 300_000 == made.normalize_text(b"a" * 300_000)


@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize("size", [94, 97, 98, 99, 100, 101, 102, 103, 197, 199, 200, 205, 5000])
def test_growth_is_refused_at_the_same_byte(flags: tuple[bool, ...], size: int) -> None:
    # spaces count as three bytes where they become ▁, whatever the core writes for them
    for replacement in (b"b" * size, b" " * (size // 3) + b"b" * (size % 3)):
        grows = charsmap_of({b"a": replacement, "é".encode(): replacement})
        for text in (b"a", b"aaaa", b" a", b"x y a", b"x  yaa" * 40, "éé".encode() * 50):
            check_normalizer(flags, grows, (), text)


@cache
def trained_charsmap(name: str, folder: Path) -> bytes:
    (folder / "m.model").write_bytes(trained(name))
    rules = vocab_from_sentencepiece(folder / "m.model").normalization
    assert rules is not None
    return rules.charsmap


BLOCKS = [
    (0x20, 0x7F), (0x20, 0x21), (0x61, 0x7B), (0xA0, 0x250), (0x300, 0x370), (0x2000, 0x2200),
    (0x2460, 0x2500), (0x3000, 0x3100), (0x3100, 0x3400), (0x4E00, 0x4F00), (0xAC00, 0xAD00),
    (0x1100, 0x11FF), (0xFB00, 0xFFFF), (0x1D400, 0x1D800), (0x1F600, 0x1F640), (0, 14),
]  # fmt: skip


@pytest.mark.parametrize("name", ["nmt_nfkc", "nmt_nfkc_cf", "nfkc"])
def test_trained_charsmaps(name: str, tmp_path: Path) -> None:
    blob = trained_charsmap(name, tmp_path)
    rng = random.Random(name)
    for _ in range(1000):
        blocks = rng.choices(BLOCKS, k=2)
        text = "".join(chr(rng.randrange(*rng.choice(blocks))) for _ in range(rng.randint(1, 30)))
        data = text.encode()
        if rng.random() < 0.2:
            at = rng.randrange(len(data))
            data = data[:at] + rng.randbytes(1) + data[at + 1 :]
        check_normalizer(rng.choice(FLAGS), blob, rng.choice([(), (b"a b", b"12")]), data)


def test_every_character_of_a_trained_charsmap_alone_and_before_others(tmp_path: Path) -> None:
    blob = trained_charsmap("nmt_nfkc", tmp_path)
    spec, (core_one, _) = both((False, False, True, False), blob, ())
    every = [chr(code) for code in range(0x11000) if not 0xD800 <= code < 0xE000]
    for after in ("", "a", "\u0300", "\u3099"):
        text = "".join(char + after for char in every).encode()
        assert spec.normalize(text) == core_one.normalize(text)


def test_damaged_charsmaps_are_read_as_specified_or_at_least_within_bounds() -> None:
    rng = random.Random(3)
    text = b"abcd\xc3\xa9 \xff\0" * 3
    for _ in range(300):
        blob = bytearray(GOOD[: rng.choice([len(GOOD)] * 3 + [rng.randrange(len(GOOD))])])
        for _ in range(rng.randint(1, 3)):
            if blob:
                blob[rng.randrange(len(blob))] ^= 1 << rng.randrange(8)
        try:
            Charsmap(bytes(blob), "here")
        except VocabError:
            core.Normalizer(True, True, False, True, b" ", [], bytes(blob)).normalize(text)  # type: ignore[union-attr]
        else:
            check_normalizer(FLAGS[5], bytes(blob), (), text)


def real_vocabularies(shared: Path) -> list[Any]:
    found = []
    for path in sorted((shared / "sentencepiece").glob("*.model")):
        try:
            found.append(vocab_from_sentencepiece(path))
        except SpmError:
            continue
    return found


def test_real_vocabularies_on_real_text(shared: Path) -> None:
    rng = random.Random(8)
    texts = [path.read_bytes() for path in sorted((shared / "corpora").iterdir())]
    for vocab in real_vocabularies(shared):
        rules = vocab.normalization
        flags = (
            rules.add_dummy_prefix, rules.remove_extra_whitespaces,
            rules.escape_whitespaces, rules.treat_whitespace_as_suffix,
        )  # fmt: skip
        user_defined = tuple(
            p for p, kind in zip(vocab.pieces, vocab.types) if kind == TokenType.USER_DEFINED
        )
        some = [*rng.choices(vocab.pieces, k=10), *special_texts(vocab)[:1000]]
        for text in texts:
            at = rng.randrange(len(text))
            part = text[at : at + 2000]
            mixed = b"".join(part[i : i + 40] + rng.choice(some) for i in range(0, 2000, 40))
            check_normalizer(flags, rules.charsmap, user_defined, part)
            check_normalizer(flags, rules.charsmap, user_defined, mixed)
            check_partition(special_pieces(vocab, parse_special=True), mixed)
