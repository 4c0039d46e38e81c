"""Pre-tokenizers: a text is cut into parts that the model sees apart from each other.

Each is made once, of its data, and cuts one `Aligned` into several. Sources: tokenizers/src/
pre_tokenizers, one file for each.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Final

from spm.text.byte_level import LETTERS
from spm.text.hf import tables
from spm.text.hf.aligned import Aligned, Match
from spm.text.hf.patterns import Search, compiled, searching, word_pattern
from spm.text.hf.unicode import characters_of
from spm.text.unicode import WHITE_SPACE
from spm.vocab import pipeline as hf

Cut = Callable[[Aligned], list[Aligned]]

_GPT2: Final = hf.Pattern(
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+", is_regex=True
)
_ASCII_PUNCTUATION: Final = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")


def pre_tokenizer(step: hf.PreTokenizer, where: str) -> Cut:
    """What cuts as the step says. Raises VocabError for a pattern that is not read."""
    return _MAKERS[type(step)](step, where)


@cache
def _shown(char: str) -> str:
    return b"".join(LETTERS[byte] for byte in char.encode()).decode()


def show_bytes(text: Aligned) -> None:
    """Every byte as a visible character, at the place of its character."""
    text.map(_shown)


def _byte_level(step: hf.ByteLevel, where: str) -> Cut:
    search = compiled(_GPT2, where)

    def cut(text: Aligned) -> list[Aligned]:
        if step.add_prefix_space and not text.text.startswith(" "):
            text.prepend(" ")
        parts = text.split(search(text.text), "Isolated") if step.use_regex else [text]
        for part in parts:
            show_bytes(part)
        return parts

    return cut


def _metaspace(step: hf.Metaspace, where: str) -> Cut:
    spaces = compiled(hf.Pattern(" ", is_regex=False), where)
    marks = compiled(hf.Pattern(step.replacement, is_regex=False), where)

    def cut(text: Aligned) -> list[Aligned]:
        text.replace(spaces(text.text), step.replacement)
        first = step.prepend_scheme == "first" and text.shift == 0
        begins = text.text.startswith(step.replacement)
        if (first or step.prepend_scheme == "always") and not begins:
            text.prepend(step.replacement)
        return text.split(marks(text.text), "MergedWithNext") if step.split else [text]

    return cut


def _split(step: hf.Split, where: str) -> Cut:
    search = compiled(step.pattern, where)

    def cut(text: Aligned) -> list[Aligned]:
        matches = search(text.text)
        if step.invert:
            matches = [(begin, end, not is_match) for begin, end, is_match in matches]
        return text.split(matches, step.behavior)

    return cut


def _whitespace(step: hf.Whitespace, where: str) -> Cut:
    search = searching(word_pattern())

    def cut(text: Aligned) -> list[Aligned]:
        words = ((begin, end, not is_match) for begin, end, is_match in search(text.text))
        return text.split(words, "Removed")

    return cut


def _fixed_length(step: hf.FixedLength, where: str) -> Cut:
    def cut(text: Aligned) -> list[Aligned]:
        size = len(text.text)
        begins = range(0, size, step.length)
        return [text.part(begin, min(begin + step.length, size)) for begin in begins]

    return cut


def _at_each(characters: frozenset[str]) -> Search:
    """Finds every one of some characters by itself."""

    def search(text: str) -> list[Match]:
        matches: list[Match] = []
        end = 0
        for at, char in enumerate(text):
            if char in characters:
                if end < at:
                    matches.append((end, at, False))
                end = at + 1
                matches.append((at, end, True))
        return [*matches, (end, len(text), False)] if end < len(text) else matches

    return search


def _cut_at(characters: frozenset[str], behavior: hf.Behavior) -> Cut:
    search = _at_each(characters)
    return lambda text: text.split(search(text.text), behavior)


def _punctuation(behavior: hf.Behavior) -> Cut:
    return _cut_at(_ASCII_PUNCTUATION | characters_of(tables.PUNCTUATION), behavior)


def _bert(step: hf.BertPreTokenizer, where: str) -> Cut:
    spaces = _cut_at(frozenset(WHITE_SPACE), "Removed")
    marks = _punctuation("Isolated")
    return lambda text: [part for word in spaces(text) for part in marks(word)]


def _digits(step: hf.Digits, where: str) -> Cut:
    behavior: hf.Behavior = "Isolated" if step.individual else "Contiguous"
    return _cut_at(characters_of(tables.NUMERIC), behavior)


_MAKERS: Final[dict[type, Callable[[Any, str], Cut]]] = {
    hf.ByteLevel: _byte_level,
    hf.Metaspace: _metaspace,
    hf.Split: _split,
    hf.Whitespace: _whitespace,
    hf.WhitespaceSplit: lambda step, where: _cut_at(frozenset(WHITE_SPACE), "Removed"),
    hf.BertPreTokenizer: _bert,
    hf.Punctuation: lambda step, where: _punctuation(step.behavior),
    hf.Digits: _digits,
    hf.CharDelimiterSplit: lambda step, where: _cut_at(frozenset(step.delimiter), "Removed"),
    hf.FixedLength: _fixed_length,
}
