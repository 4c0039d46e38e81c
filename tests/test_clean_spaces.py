"""Spaces that llama.cpp removes from a decoded text, all at once and as a stream."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from spm.text.clean_spaces import CleanedDecoder

RECORDED = json.loads((Path(__file__).parents[1] / "golden" / "bpe.json").read_text())
CLEANED = RECORDED["example"]["cleaned"]


class Parts:
    """A decoder whose ids are the numbers of some parts of a text."""

    def __init__(self, parts: Iterable[bytes], last: bytes = b"") -> None:
        self.parts = list(parts)
        self.last = last

    def push(self, i: int) -> bytes:
        return self.parts[i]

    def flush(self) -> bytes:
        return self.last


def streamed(*parts: bytes, last: bytes = b"") -> list[bytes]:
    decoder = CleanedDecoder(Parts(parts, last))
    return [*(decoder.push(i) for i in range(len(parts))), decoder.flush()]


@pytest.mark.parametrize(("text", "expected"), CLEANED)
def test_the_text_is_llama_cpps_wherever_it_is_cut(text: str, expected: str) -> None:
    data = text.encode()
    letters = [data[i : i + 1] for i in range(len(data))]

    assert expected.encode() == b"".join(streamed(data))
    assert expected.encode() == b"".join(streamed(*letters))
    assert expected.encode() == b"".join(streamed(b"", *letters[:-1], last=letters[-1]))


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([b"a", b" ", b"b"], [b"a", b"", b" b", b""]),
        ([b"a ", b".", b"b"], [b"a", b".", b"b", b""]),
        ([b" '", b" ", b"x"], [b"", b"", b"'x", b""]),
        ([b" 'r", b"x", b" 'v", b"e"], [b"", b" 'rx", b"", b"'ve", b""]),
        ([b"it 's", b" '"], [b"it's", b"", b" '"]),
        ([b"'", b"s", b"."], [b"'", b"s", b".", b""]),
    ],
)
def test_only_what_can_still_change_is_held(parts: list[bytes], expected: list[bytes]) -> None:
    assert expected == streamed(*parts)
