"""The texts: real ones in two halves, and strings made to be slow."""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

Document = str | bytes


@dataclass(frozen=True)
class Text:
    """A real text as lines with their newlines, cut in two where the line in its middle begins."""

    name: str
    halves: tuple[list[str], list[str]]

    @property
    def whole(self) -> str:
        """Both halves as one document."""
        return "".join(line for half in self.halves for line in half)


def read(path: Path, limit_mb: float) -> Text:
    """The first megabytes of a file of UTF-8."""
    with path.open("rb") as file:
        text = file.read(int(limit_mb * 1e6)).decode("utf-8", "ignore")
    lines = text.splitlines(keepends=True)
    left, middle = size(lines) // 2, 0
    while left > 0 and middle < len(lines) - 1:
        left -= byte_count(lines[middle])
        middle += 1
    return Text(path.stem, (lines[:middle], lines[middle:]))


def size(lines: list[str]) -> int:
    """Bytes of UTF-8."""
    return sum(map(byte_count, lines))


def byte_count(document: Document) -> int:
    """Bytes of UTF-8."""
    return len(document.encode() if isinstance(document, str) else document)


def fresh(lines: list[str]) -> list[str]:
    """The same lines as new objects: a str keeps its UTF-8 once a program has asked for it."""
    return [line.encode().decode() for line in lines]


def repeated(texts: list[Text], mb: float) -> list[str]:
    """The lines of all texts, over and over until there are so many megabytes."""
    lines: list[str] = []
    left = mb * 1e6
    for line in cycle([line for text in texts for half in text.halves for line in half]):
        if left <= 0:
            break
        lines.append(line)
        left -= byte_count(line)
    return lines


def beginning(document: Document, n: int) -> Document:
    """The first n bytes, without half a character."""
    if isinstance(document, bytes):
        return document[:n]
    return document.encode()[:n].decode("utf-8", "ignore")


REPEATED = {
    "'a'": "a",
    "spaces": " ",
    "'▁'": "▁",
    "one emoji": "😀",
    "'ab'": "ab",
    "'Z'": "Z",
    "'='": "=",
    "'_'": "_",
    "newlines": "\n",
    "CR LF": "\r\n",
    "tabs": "\t",
    "NUL": "\0",
    "combining accents": "\u0301",
    "'a' and accent": "a\u0301",
    "a family of emoji": "👨\u200d👩\u200d👧",
    "space, '▁'": " ▁",
    "space, 'a'": " a",
    "'the'": "the",
    "one ideograph": "的",
    "no character": "\U0010fffd",
}


def worst(n: int) -> dict[str, Document]:
    """Strings of about n bytes that are unkind to some step of a tokenizer."""
    rng = random.Random(20261120)
    ascii_ = [chr(code) for code in range(0x20, 0x7F)]
    ideographs = [chr(code) for code in range(0x4E00, 0xA000)]
    made: dict[str, Document] = {
        name: beginning(part * (n // byte_count(part) + 1), n) for name, part in REPEATED.items()
    }
    made["random bytes"] = rng.randbytes(n)
    made["random letters"] = "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=n))
    made["random a and b"] = "".join(rng.choices("ab", k=n))
    made["random ASCII"] = "".join(rng.choices(ascii_, k=n))
    made["random ideographs"] = "".join(rng.choices(ideographs, k=n // 3))
    made["random characters"] = "".join(_any_character(rng) for _ in range(n // 4))
    made["runs of spaces"] = beginning(_runs(rng, n), n)
    made["growing words"] = beginning(_growing(n), n)
    return made


def _any_character(rng: random.Random) -> str:
    code = rng.randrange(0x110000 - 0x800)
    return chr(code if code < 0xD800 else code + 0x800)  # no surrogates


def _runs(rng: random.Random, n: int) -> str:
    return "".join(" " * rng.randint(1, 60) + "a" for _ in range(n // 2))


def _growing(n: int) -> str:
    """ab, abab, ababab, ...: every word is new, and longer than all before."""
    count = int(n**0.5) + 1
    return " ".join("ab" * k for k in range(1, count))
