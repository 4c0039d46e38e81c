"""Normalizers, and the places of characters after them: recorded through tokenizers 0.23.3."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from spm import EncodeError, Tokenizer
from spm.text.hf.aligned import Aligned
from spm.text.hf.unicode import graphemes

# Every character that the normalizers leave is a word, so the places are those of characters.
CHARACTERS = {
    "type": "Split", "pattern": {"Regex": "."}, "behavior": "Isolated", "invert": False
}  # fmt: skip
MODEL = {"type": "WordLevel", "vocab": {"?": 0}, "unk_token": "?"}


def tokenizer(tmp_path: Path, steps: str) -> Tokenizer:
    path = tmp_path / "tokenizer.json"
    normalizer = {"type": "Sequence", "normalizers": json.loads(steps)}
    stages = {"normalizer": normalizer, "pre_tokenizer": CHARACTERS, "model": MODEL}
    path.write_text(json.dumps(stages))
    return Tokenizer.from_hf(path)


@pytest.mark.parametrize(
    ("steps", "text", "expected", "places"),
    [
        (
            '[{"type": "NFC"}]',
            "\u0301a\u0301\u0323b\u0302",
            "\u0301\u1ea1\u0301b\u0302",
            [0, 1, 1, 2, 3, 4, 4, 5, 5, 6],
        ),
        ('[{"type": "NFC"}]', "\u0301", "\u0301", [0, 1]),
        (
            '[{"type": "NFD"}]',
            "\u1e69\uac01",
            "s\u0323\u0307\u1100\u1161\u11a8",
            [0, 1, 0, 1, 0, 1, 1, 2, 1, 2, 1, 2],
        ),
        (
            '[{"type": "NFKC"}]',
            "\ufb01\xbd\u1100\u1161\u11a8",
            "fi1\u20442\uac01",
            [0, 1, 0, 1, 1, 2, 1, 2, 1, 2, 2, 3],
        ),
        (
            '[{"type": "NFD"}, {"type": "StripAccents"}]',
            "\xc9lan",
            "Elan",
            [0, 1, 1, 2, 2, 3, 3, 4],
        ),
        (
            '[{"type": "Strip", "strip_left": true, "strip_right": true}, {"type": "Prepend", "prepend": "_"}]',  # noqa: E501
            "  \u3000",
            "",
            [],
        ),
        (
            '[{"type": "Strip", "strip_left": true, "strip_right": false}, {"type": "Prepend", "prepend": "_"}]',  # noqa: E501
            " a ",
            "_a ",
            [1, 2, 1, 2, 2, 3],
        ),
        (
            '[{"type": "Replace", "pattern": {"Regex": "^"}, "content": "_"}]',
            "ab",
            "_ab",
            [0, 0, 0, 1, 1, 2],
        ),
        (
            '[{"type": "Replace", "pattern": {"Regex": "b|$"}, "content": "xy"}]',
            "abc",
            "axycxy",
            [0, 1, 1, 2, 1, 2, 2, 3, 2, 3, 2, 3],
        ),
        (
            '[{"type": "Replace", "pattern": {"Regex": ""}, "content": "-"}]',
            "ab",
            "-a-b-",
            [0, 0, 0, 1, 0, 1, 1, 2, 1, 2],
        ),
        ('[{"type": "Lowercase"}]', "\u0130\u03a3", "i\u0307\u03c3", [0, 1, 0, 1, 1, 2]),
        ('[{"type": "Nmt"}]', "a\u200bb\x01c\u2581", "a bc ", [0, 1, 1, 2, 2, 3, 4, 5, 5, 6]),
        (
            '[{"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true}]',  # noqa: E501
            "\xc9\xad\u65e5\u672c\tx\x00",
            "e \u65e5  \u672c  x",
            [0, 1, 2, 3, 2, 3, 2, 3, 3, 4, 3, 4, 3, 4, 4, 5, 5, 6],
        ),
        ('[{"type": "ByteLevel"}]', "\xe9 ", "\xc3\xa9\u0120", [0, 1, 0, 1, 1, 2]),
        ('[{"type": "Prepend", "prepend": ""}]', "ab", "ab", [0, 0, 1, 2]),
    ],
)
def test_texts_and_places_are_those_of_the_library(
    steps: str, text: str, expected: str, places: list[int], tmp_path: Path
) -> None:
    tok = tokenizer(tmp_path, steps)

    _, spans = tok.encode_offsets(text)

    assert places == spans.reshape(-1).tolist()
    assert expected == normalized(tok, text)


def normalized(tok: Tokenizer, text: str) -> str:
    aligned = Aligned.of(text)
    tok._dialect._normalize(aligned)  # type: ignore[attr-defined]
    return aligned.text


def test_where_the_library_ends_the_program_there_is_an_error(tmp_path: Path) -> None:
    """What is put before all characters has no original, and is counted as if it had one."""
    steps = (
        '[{"type": "Replace", "pattern": {"Regex": "^"}, "content": "_"}, {"type": "Lowercase"}]'
    )
    with pytest.raises(EncodeError, match=r"^text: a normalizer adds to characters that have no"):
        tokenizer(tmp_path, steps).encode("AB")


@pytest.mark.parametrize("mark", ["\u0b54", "\u05c8", "\u1ade", "\u1af0"])
def test_a_character_newer_than_unicode_17_joins_nothing(mark: str) -> None:
    """Whatever the installed `regex` knows; answers of tokenizers 0.23.3."""
    assert ["e\u0301", mark] == list(graphemes(f"e\u0301{mark}"))
    assert ["e\u0301\u1acf"] == list(graphemes("e\u0301\u1acf"))  # a mark since 17


def test_graphemes_are_those_of_unicode(shared: Path) -> None:
    """GraphemeBreakTest of Unicode 14, but that U+2701 is no pictograph any more (since 16)."""
    path = shared / "conformance" / "unicode" / "GraphemeBreakTest.txt"
    rows = [line.partition("#")[0].strip("÷ \t\n") for line in path.read_text("utf-8").splitlines()]
    told = [row for row in rows if row and not re.search(r"\bD8", row)]
    different = []
    for row in told:
        points = [part.replace("×", " ").split() for part in row.split("÷")]
        expected = ["".join(chr(int(point, 16)) for point in part) for part in points]
        if expected != list(graphemes("".join(expected))):
            different.append(row)

    assert len(told) > 500
    assert ["2701 × 200D × 2701"] == different
