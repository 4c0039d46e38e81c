"""Normalizers: what happens to a text before it is cut.

Each is made once, of its data, and rewrites an `Aligned`. Sources: tokenizers/src/normalizers, one
file for each, and for `Precompiled` the crate spm_precompiled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from spm.text.charsmap import Charsmap
from spm.text.hf import tables
from spm.text.hf.aligned import Aligned
from spm.text.hf.patterns import compiled
from spm.text.hf.pretokenizers import show_bytes
from spm.text.hf.unicode import (
    NORMAL_FORMS,
    Change,
    characters_of,
    decompose,
    graphemes,
    lowercase,
)
from spm.text.unicode import WHITE_SPACE, is_chinese
from spm.vocab import pipeline as hf

Rewrite = Callable[[Aligned], None]

MAX_GRAPHEME_BYTES: Final = 5  # precompiled.rs: longer ones are looked up character by character


def normalizer(step: hf.Normalizer, where: str) -> Rewrite:
    """What rewrites as the step says. Raises VocabError for a pattern or charsmap that is none."""
    return _MAKERS[type(step)](step, where)


def _normalize(step: hf.Normalize, where: str) -> Rewrite:
    form = NORMAL_FORMS[step.form]

    def rewrite(text: Aligned) -> None:
        if not text.text.isascii():
            text.rewrite(form(text.text))

    return rewrite


def _strip_accents(step: hf.StripAccents, where: str) -> Rewrite:
    marks = characters_of(tables.MARKS)
    return lambda text: text.keep(lambda char: char not in marks)


def _replace(step: hf.Replace, where: str) -> Rewrite:
    search = compiled(step.pattern, where)
    return lambda text: text.replace(search(text.text), step.content)


# ---- Nmt

_NMT_GONE: Final = frozenset(map(chr, [*range(1, 9), 0xB, *range(0xE, 0x20), 0x7F, 0x8F, 0x9F]))
_NMT_SPACES: Final = frozenset(
    "\t\n\f\r\u1680\u200b\u200c\u200d\u200e\u200f\u2028\u2029\u2581\ufeff\ufffd"
)


def _nmt(text: Aligned) -> None:
    text.keep(lambda char: char not in _NMT_GONE)
    text.map(lambda char: " " if char in _NMT_SPACES else char)


# ---- BertNormalizer


def _with_spaces(text: str) -> Iterator[Change]:
    """A space takes the place of a Chinese character, which is new behind it, and one more."""
    for char in text:
        if is_chinese(ord(char)):
            yield from ((" ", 0), (char, 1), (" ", 1))
        else:
            yield char, 0


def _bert(step: hf.BertNormalizer, where: str) -> Rewrite:
    controls = characters_of(tables.CONTROLS)
    nonspacing = characters_of(tables.NONSPACING)

    def rewrite(text: Aligned) -> None:
        if step.clean_text:
            text.keep(lambda char: char not in controls)
            text.map(lambda char: " " if char in WHITE_SPACE else char)
        if step.handle_chinese_chars:
            text.rewrite(_with_spaces(text.text))
        if step.strip_accents:
            text.rewrite(decompose(text.text, "NFD"))
            text.keep(lambda char: char not in nonspacing)
        if step.lowercase:
            text.map(lowercase)

    return rewrite


# ---- Precompiled


def _precompiled(step: hf.Precompiled, where: str) -> Rewrite:
    """A grapheme of up to five bytes becomes what its shortest known prefix does.

    So one mark too many is lost with its letter, where sentencepiece would keep it.
    """
    charsmap = Charsmap(step.charsmap, where)

    def pieces(text: str) -> Iterator[tuple[str, str | None]]:
        for grapheme in graphemes(text):
            if len(grapheme.encode()) <= MAX_GRAPHEME_BYTES:
                made = charsmap.shortest_prefix(grapheme)
                if made is not None:
                    yield grapheme, made
                    continue
            yield from ((char, charsmap.shortest_prefix(char)) for char in grapheme)

    def rewrite(text: Aligned) -> None:
        changes: list[Change] = []
        for old, new in pieces(text.text):
            _put(changes, old, old if new is None else new)
        text.rewrite(changes)

    return rewrite


def _put(changes: list[Change], old: str, new: str) -> None:
    """`new` for `old`: the last ones are new if there are more, or the last one takes the rest.

    That may be the last of what came before, if nothing is put.
    """
    more = len(new) - len(old)
    changes += ((char, 0) for char in new)
    if more > 0:
        for at in range(max(len(changes) - more, 0), len(changes)):
            changes[at] = changes[at][0], 1
    elif more < 0 and changes:
        changes[-1] = changes[-1][0], changes[-1][1] + more


_MAKERS: Final[dict[type, Callable[[Any, str], Rewrite]]] = {
    hf.Normalize: _normalize,
    hf.Lowercase: lambda step, where: lambda text: text.map(lowercase),
    hf.Strip: lambda step, where: lambda text: text.strip(step.left, step.right),
    hf.StripAccents: _strip_accents,
    hf.Nmt: lambda step, where: _nmt,
    hf.Replace: _replace,
    hf.Prepend: lambda step, where: lambda text: text.prepend(step.prefix),
    hf.ByteLevelText: lambda step, where: show_bytes,
    hf.BertNormalizer: _bert,
    hf.Precompiled: _precompiled,
}
