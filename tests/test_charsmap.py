"""Charsmaps: a trained one, small ones built by hand, and broken ones, against sentencepiece."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest

from spm.errors import VocabError
from spm.text.charsmap import MAX_MATCHES, Charsmap
from spm.vocab import vocab_from_sentencepiece
from tests.making import (
    HEAD,
    model,
    normalizer_spec,
    pieces,
    processor,
    sentencepiece_loads,
    trained,
)

ENTRIES = [*HEAD, *pieces("▁ a b")]
NOTHING_ELSE = {"prefix": False, "remove": False, "escape": False}


def loads(blob: bytes) -> bool:
    try:
        Charsmap(blob, "here")
    except VocabError as error:
        message = str(error)
    else:
        return True
    assert message.startswith("here: precompiled_charsmap: ")
    assert "\n" not in message
    return False


def sentencepiece_takes(blob: bytes) -> bool:
    return sentencepiece_loads(model(ENTRIES, normalizer=normalizer_spec(charsmap=blob)))


def pack(units: list[int], replacements: bytes) -> bytes:
    return struct.pack(f"<I{len(units)}I", 4 * len(units), *units) + replacements


def charsmap_of(rules: dict[bytes, bytes]) -> bytes:
    """A charsmap with a block of 256 units for each node: as wasteful as can be, and as simple.

    The children of node number n stand at 256 * n + byte, its value at 256 * n. Number 2 is " ",
    the first of the sorted prefixes, number 3 is "a".
    """
    replacements, begins = b"", {}
    for text in rules.values():
        begins[text] = len(replacements)
        replacements += text + b"\0"
    prefixes = sorted({key[:size] for key in rules for size in range(1, len(key) + 1)})
    number = {b"": 1, **{prefix: n for n, prefix in enumerate(prefixes, 2)}}
    units = [at & 0xFF ^ 1 for at in range(256 * (len(number) + 1))]  # the child of no byte
    units[0] = 256 << 10
    for prefix in prefixes:
        at = 256 * number[prefix[:-1]] + prefix[-1]
        offset = at ^ (256 * number[prefix])
        assert offset < 1 << 21
        units[at] = offset << 10 | prefix[-1] | (256 if prefix in rules else 0)
        if prefix in rules:
            units[256 * number[prefix]] = 1 << 31 | begins[rules[prefix]]
    return pack(units, replacements)


RULES = {
    b"a": b"1",
    b"ab": b"two",
    b"abcd": b"",
    "é".encode(): b"e",
    b"\xff": b"ff",
    b" ": "▁".encode(),
}


def longest_by_hand(text: bytes, pos: int) -> tuple[bytes, int] | None:
    fitting = [key for key in RULES if text.startswith(key, pos)]
    key = max(fitting, key=len, default=None)
    return None if key is None else (RULES[key], len(key))


@pytest.mark.parametrize(
    "text", [b"", b"a", b"abc", b"abcd", b"xabcda", "é".encode(), b"\xc3", b"a b\xff", b"\0a"]
)
def test_the_longest_known_prefix_is_replaced(text: bytes) -> None:
    charsmap = Charsmap(charsmap_of(RULES), "here")

    for pos in range(len(text)):
        assert charsmap.longest_prefix(text, pos) == longest_by_hand(text, pos)


def test_the_maker_of_this_test_makes_what_sentencepiece_takes() -> None:
    blob = charsmap_of(RULES)
    real = processor(model(ENTRIES, normalizer=normalizer_spec(charsmap=blob, **NOTHING_ELSE)))

    assert real.Normalize(b"abx \xc3\xa9abcd") == b"twox\xe2\x96\x81e"


@pytest.mark.parametrize("name", ["nmt_nfkc", "nmt_nfkc_cf", "nfkc"])
def test_a_trained_charsmap_replaces_what_sentencepiece_replaces(name: str, tmp_path: Path) -> None:
    (tmp_path / "m.model").write_bytes(trained(name))
    rules = vocab_from_sentencepiece(tmp_path / "m.model").normalization
    assert rules is not None
    assert sentencepiece_takes(rules.charsmap)
    charsmap = Charsmap(rules.charsmap, "here")
    spec = normalizer_spec(charsmap=rules.charsmap, **NOTHING_ELSE)
    real = processor(model(ENTRIES, normalizer=spec))

    replaced = 0
    points = [*range(1, 0x3000), *range(0xAC00, 0xD7A4, 11), *range(0xF900, 0x10000)]
    for point in points:
        text = chr(point).encode()
        found = charsmap.longest_prefix(text, 0)
        expected = real.Normalize(text)
        replaced += found is not None
        assert (text if found is None else found[0]) == expected, hex(point)
    assert replaced > 1000


def test_no_match_after_the_32nd_is_seen() -> None:
    blob = charsmap_of({b"a" * size: b"%d" % size for size in range(1, 41)})
    real = processor(model(ENTRIES, normalizer=normalizer_spec(charsmap=blob, **NOTHING_ELSE)))
    charsmap = Charsmap(blob, "here")

    assert MAX_MATCHES == 32
    for size in (1, 31, 32, 33, 40, 45):
        expected = real.Normalize(b"a" * size)
        assert expected.startswith(b"%d" % min(size, 32))
        assert charsmap.longest_prefix(b"a" * size, 0) == (b"%d" % min(size, 32), min(size, 32))


# ---- broken ones

GOOD = charsmap_of(RULES)
TRIE = len(GOOD) - len(b"1\0two\0\0e\0ff\0" + "▁".encode() + b"\0") - 4
LEAF, VALUE = 1 << 8, 1 << 31


def units_of(blob: bytes) -> list[int]:
    return list(struct.unpack_from(f"<{TRIE // 4}I", blob, 4))


def changed(at: int, unit: int) -> bytes:
    units = units_of(GOOD)
    units[at] = unit
    return pack(units, GOOD[4 + TRIE :])


BROKEN: dict[str, bytes] = {
    "1 byte": b"\0",
    "2 bytes": b"\0\4",
    "3 bytes": b"\0\4\0",
    "4 bytes": b"\0\4\0\0",
    "no trie": struct.pack("<I", 0) + b"\0",
    "a size beyond": struct.pack("<I", 4096) + GOOD[4:2000],
    "a size of the whole": struct.pack("<I", len(GOOD) - 4) + GOOD[4:],
    "the largest size": b"\xff\xff\xff\xff" + GOOD[4:],
    "a size of 1023": struct.pack("<I", 1023) + GOOD[4:],
    "a size of 1020": struct.pack("<I", 1020) + GOOD[4:],
    "a size of 1028": struct.pack("<I", 1028) + GOOD[4:],
    "no final NUL": GOOD + b"x",
    "no replacements": GOOD[: 4 + TRIE],
    "a root with a label": changed(0, 256 << 10 | 1),
    "a root that is a value": changed(0, VALUE | 256 << 10),
    "a root with a leaf": changed(0, 256 << 10 | LEAF),
    "a root that is its own child": changed(0, 0),
    "a root that jumps outside": changed(0, (TRIE // 4) << 10),
    "a far jump": changed(256 + ord("a"), (1 << 20) << 10 | ord("a")),
    "a jump by units of 256": changed(256 + ord("a"), 0x1FFFFF << 10 | 1 << 9 | ord("a")),
    "a jump from a node that is never reached": changed(300, 0x1FFFFF << 10),
    "a leaf that is a node": changed(600, LEAF | 5),
    "a value outside": changed(2 * 256, VALUE | 10_000),
    "a value just outside": changed(2 * 256, VALUE | (len(GOOD) - TRIE - 4)),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_sentencepiece_refuses_is_refused(name: str) -> None:
    assert not sentencepiece_takes(BROKEN[name])
    assert not loads(BROKEN[name])


def test_a_value_may_point_at_the_last_byte() -> None:
    blob = changed(3 * 256, VALUE | (len(GOOD) - TRIE - 5))

    assert sentencepiece_takes(blob)
    assert loads(blob)
    assert Charsmap(blob, "here").longest_prefix(b"ax", 0) == (b"", 1)


def test_offsets_may_count_in_units_of_256() -> None:
    units = units_of(GOOD)
    units[0] = 1 << 10 | 1 << 9  # 1 unit of 256, as before
    blob = pack(units, GOOD[4 + TRIE :])

    assert sentencepiece_takes(blob)
    assert Charsmap(blob, "here").longest_prefix(b"abx", 0) == (b"two", 2)


def looping() -> bytes:
    """A trie in which a leads back to where a leads: a key without end, and never a value."""
    units = [at & 0xFF ^ 1 for at in range(512)]
    units[0] = 256 << 10
    units[256 + ord("a")] = ord("a") << 10 | ord("a")  # to 256, where it stands itself
    return pack(units, b"\0")


def test_a_trie_that_loops_is_refused_although_sentencepiece_takes_it() -> None:
    # with it every character of a text costs the whole rest of the text
    assert sentencepiece_takes(looping())
    assert not loads(looping())


def test_a_key_has_at_most_256_bytes() -> None:
    # real keys have fewer than 20; each byte more is a step that every position of a text may take
    assert loads(charsmap_of({b"a" * 256: b"x"}))
    assert not loads(charsmap_of({b"a" * 257: b"x"}))


def test_truncated_at_every_byte_it_is_refused() -> None:
    for size in range(1, 4 + TRIE, 97):
        assert not loads(GOOD[:size])
        assert not sentencepiece_takes(GOOD[:size])


def test_damaged_tries_are_refused_or_safe() -> None:
    rng = random.Random(3)
    text = b"abcd\xc3\xa9 \xff" * 3
    for _ in range(300):
        blob = bytearray(GOOD)
        for _ in range(rng.randint(1, 3)):
            at = 4 + 4 * rng.choice([0, *range(256, 512), rng.randrange(TRIE // 4)])
            blob[at + rng.randrange(4)] ^= 1 << rng.randrange(8)
        if loads(bytes(blob)):
            assert sentencepiece_takes(bytes(blob))
            charsmap = Charsmap(bytes(blob), "here")
            for pos in range(len(text)):
                found = charsmap.longest_prefix(text, pos)
                assert found is None or 1 <= found[1] <= len(text) - pos
