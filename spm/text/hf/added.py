"""Added tokens: pieces that are found in a text as a whole, before anything else happens to it.

Two searches: tokens that are not `normalized` in the text as it came, then, in what lies between
those and is normalised by now, the others, whose own text was normalised as well. Each goes from
left to right and takes the longest token at every place. A match that its own rules turn down
(`single_word`; a special one, where special ones are not to be read) is turned down after it was
found: its characters are gone for this search, and no other token begins among them.

Source: tokenizers/src/tokenizer/added_vocabulary.rs (`find_matches`, `extract_and_normalize`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from spm.errors import VocabError, quoted
from spm.text.hf.aligned import Aligned
from spm.text.hf.patterns import is_word
from spm.text.unicode import WHITE_SPACE
from spm.vocab.pipeline import AddedToken


class Found(NamedTuple):
    """A token and the part of the text that it takes, or a part without one."""

    token: AddedToken | None
    part: Aligned


class AddedTokens:
    """Some added tokens, each with the text to look for. Raises VocabError for two of the same."""

    def __init__(self, texts: Iterable[tuple[str, AddedToken]], source: str) -> None:
        self.by_text: dict[str, AddedToken] = {}
        for text, token in texts:
            if not text or text in self.by_text:
                other = quoted(text.encode())
                raise VocabError(
                    f"{source}: added token {token.id} is {other} once normalised,"
                    " expected a text that no other added token has"
                )
            self.by_text[text] = token
        self.sizes: dict[str, list[int]] = {}  # by first character, the longest first
        for text in sorted(self.by_text, key=len, reverse=True):
            sizes = self.sizes.setdefault(text[0], [])
            if not sizes or sizes[-1] != len(text):
                sizes.append(len(text))

    def cut(self, text: Aligned, parse_special: bool) -> Iterator[Found]:
        """The tokens of a text and the parts between them, none of them empty."""
        end = 0
        for begin, stop, token in self._spans(text.text, parse_special):
            if end < begin:
                yield Found(None, text.part(end, begin))
            yield Found(token, text.part(begin, stop))
            end = stop
        if end < len(text.text):
            yield Found(None, text.part(end, len(text.text)))

    def _spans(self, text: str, parse_special: bool) -> Iterator[tuple[int, int, AddedToken]]:
        """Where tokens stand, with the white space that they take."""
        end = 0
        for begin, stop, token in self._matches(text):
            if (token.special and not parse_special) or not _stands_alone(text, begin, stop, token):
                continue
            if token.lstrip:
                begin = max(_skip_back(text, begin), end)
            if token.rstrip:
                stop = _skip(text, stop)
            yield begin, stop, token
            end = stop

    def _matches(self, text: str) -> Iterator[tuple[int, int, AddedToken]]:
        pos = 0
        while pos < len(text):
            for size in self.sizes.get(text[pos], ()):
                token = self.by_text.get(text[pos : pos + size])
                if token and pos + size <= len(text):
                    yield pos, pos + size, token
                    pos += size
                    break
            else:
                pos += 1


def _stands_alone(text: str, begin: int, end: int, token: AddedToken) -> bool:
    if not token.single_word:
        return True
    before = begin > 0 and is_word(text[begin - 1])
    behind = end < len(text) and is_word(text[end])
    return not before and not behind


def _skip_back(text: str, at: int) -> int:
    while at > 0 and text[at - 1] in WHITE_SPACE:
        at -= 1
    return at


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in WHITE_SPACE:
        at += 1
    return at
