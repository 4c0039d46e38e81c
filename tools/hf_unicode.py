"""Ask Hugging Face `tokenizers` what it knows of Unicode, and record it in spm/text/hf/tables.py.

    python -m tools.hf_unicode > spm/text/hf/tables.py

Every one of the libraries that `tokenizers` is made of has tables of its own, of Unicode 8 to 17,
and Python has those of yet another version. So each property that an id depends on is asked of the
library, for every character.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterable
from importlib.metadata import version
from typing import Any

from tokenizers import Regex, normalizers, pre_tokenizers

CHARACTERS = [c for c in range(sys.maxunicode + 1) if not 0xD800 <= c < 0xE000]
BLOCK = 4096


def removed(normalizer: Any) -> set[int]:
    """The characters that a normalizer takes out of a text."""
    gone: set[int] = set()
    for start in range(0, len(CHARACTERS), BLOCK):
        block = CHARACTERS[start : start + BLOCK]
        left = set(normalizer.normalize_str("".join(map(chr, block))))
        gone.update(c for c in block if chr(c) not in left)
    return gone


def changed(normalizer: Any) -> dict[int, str]:
    """What a normalizer makes of each character, where that is another text."""
    made = ((c, normalizer.normalize_str(chr(c))) for c in CHARACTERS)
    return {c: text for c, text in made if text != chr(c)}


def isolated(pre_tokenizer: Any) -> set[int]:
    """The characters that a pre-tokenizer parts from the letters around them."""
    return {c for c in CHARACTERS if len(pre_tokenizer.pre_tokenize_str(f"a{chr(c)}a")) > 1}


def ranges(characters: Iterable[int]) -> list[tuple[int, int]]:
    """Sorted characters as first and last of each unbroken row."""
    rows: list[tuple[int, int]] = []
    for c in sorted(characters):
        rows[-1:] = [(rows[-1][0], c)] if rows and rows[-1][1] == c - 1 else [*rows[-1:], (c, c)]
    return rows


def runs(lower: dict[int, str]) -> list[tuple[int, int, int, int]]:
    """First, last, step and distance of rows of letters that are as far from their small ones."""
    rows: list[tuple[int, int, int, int]] = []
    for c, text in sorted(lower.items()):
        distance = ord(text) - c
        first, last, step, before = rows[-1] if rows else (0, 0, 0, 0)
        if rows and before == distance and c - last in (1, 2) and step in (0, c - last):
            rows[-1] = first, c, c - last, distance
        else:
            rows.append((c, c, 0, distance))
    return rows


def show(name: str, comment: str, words: Iterable[str]) -> None:
    """One table as an assignment."""
    print(f'\n# {comment}\n{name}: Final = """')
    print(textwrap.fill(" ".join(words), 98, break_long_words=False, break_on_hyphens=False))
    print('"""')


def show_set(name: str, comment: str, characters: Iterable[int]) -> None:
    """One set of characters as ranges in hexadecimal."""
    rows = ranges(characters)
    show(name, comment, (f"{a:X}" if a == b else f"{a:X}-{b:X}" for a, b in rows))


def main() -> None:
    """Ask, and print the module."""
    print(
        f'"""What Hugging Face tokenizers {version("tokenizers")} knows of Unicode.\n\n'
        "Recorded by `python -m tools.hf_unicode`, not written. Sets are ranges in hexadecimal.\n"
        '"""\n\nfrom __future__ import annotations\n\nfrom typing import Final'
    )
    bert: Callable[..., Any] = normalizers.BertNormalizer
    off = {"clean_text": False, "handle_chinese_chars": False, "lowercase": False}
    cleaned = changed(bert(**{**off, "clean_text": True, "strip_accents": False}))
    accents = changed(bert(**off, strip_accents=True))
    lower = changed(normalizers.Lowercase())
    unassigned = removed(normalizers.Replace(Regex(r"\p{Cn}"), ""))
    show_set("UNASSIGNED", "What Oniguruma's Unicode 16 has no character for.", unassigned)
    show_set("DECOMPOSES", "What NFD or NFKD changes.", changed(normalizers.NFKD()))
    show_set("MARKS", "What StripAccents removes.", removed(normalizers.StripAccents()))
    gone = (c for c, text in accents.items() if not text)
    show_set("NONSPACING", "What BertNormalizer's strip_accents removes.", gone)
    gone = (c for c, text in cleaned.items() if not text)
    show_set("CONTROLS", "What BertNormalizer's clean_text removes.", gone)
    punctuation = isolated(pre_tokenizers.Punctuation())
    show_set("PUNCTUATION", "What Punctuation and BertPreTokenizer isolate.", punctuation)
    digits = pre_tokenizers.Digits(individual_digits=True)
    show_set("NUMERIC", "What Digits isolates.", isolated(digits))
    rows = runs({c: text for c, text in lower.items() if len(text) == 1})
    show(
        "LOWER",
        "What Lowercase changes: first, last and step in hexadecimal, distance in decimal.",
        (f"{first:X}-{last:X}/{step}:{distance:+d}" for first, last, step, distance in rows),
    )


if __name__ == "__main__":
    main()
