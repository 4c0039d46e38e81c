"""WordPiece as llama.cpp does it: the words of a text, and of each word the longest pieces.

A text becomes words by its characters, one after the other: white space ends a word; a mark of
punctuation, an ASCII symbol and a Chinese character end one and are words of their own; control
characters, and accents if they are to be stripped, go away; the others are put into lower case if
the vocabulary says so, and go on with the word.

A word gets ▁ in front. The longest piece that begins it is its first token, the longest that begins
the rest the next one, and so on. Where no piece begins, all that was found is given up, and the
word is unknown as a whole:

    pieces  ▁play ing ed ▁!      Playing, playful!  ->  ▁play ing [UNK] [UNK] ▁!

(`llm_tokenizer_wpm_session` in llama.cpp's src/llama-vocab.cpp. Its look-ahead is bounded by the
longest piece, and so changes nothing.)
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from functools import cache, cached_property
from itertools import pairwise
from typing import Final

from spm.errors import EncodeError, VocabError, quoted
from spm.text.automaton import LongestMatch
from spm.text.family import piece_text
from spm.text.token import Stretch, Token
from spm.text.unicode import base, category, code_points, is_chinese, is_space, lower
from spm.vocab import SPACE, TokenType, Vocab

_REPLACEMENT: Final = 0xFFFD


class Part(Enum):
    """What a character is to the words around it."""

    LETTER = "goes on with the word"
    ALONE = "is a word of its own"
    BETWEEN = "ends a word"
    NOTHING = "goes away"


_ENDS: Final = (Part.ALONE, Part.BETWEEN)


class WordPiece:
    """The WordPiece family: an `Encoding`.

    Raises VocabError where llama.cpp ends the process: for a piece of type BYTE, and at the first
    text if BOS or SEP is missing, which stand around every text, whatever the flags say.
    """

    cleans_spaces = True

    def __init__(self, vocab: Vocab) -> None:
        self.vocab = vocab
        for i in vocab.ids_of_type(TokenType.BYTE)[:1]:
            raise VocabError(
                f"{vocab.source}: id {i} has type BYTE, expected none in a WordPiece vocabulary"
            )
        if missing := {"bos", "sep"} - vocab.special_ids.keys():
            raise VocabError(f"{vocab.source}: there is no {min(missing)} id, expected bos and sep")

    def stretches(
        self, text: bytes, begin: int, end: int, after_special: bool
    ) -> Iterator[Stretch]:
        """The words, normalised, each with ▁ in front.

        A character that goes away belongs to the word that it stands in. Raises EncodeError beyond
        U+10FFFF.
        """
        symbols: list[bytes] = []
        origin: list[int] = []
        for part, char, first, last in self._characters(text[begin:end], begin):
            if part in _ENDS and symbols:
                yield _word(symbols, origin, first)
                symbols, origin = [], []
            if part == Part.ALONE:
                yield _word([char], [first] * len(char), last)
            elif part == Part.LETTER:
                symbols.append(char)
                origin += [first] * len(char)
        if symbols:
            yield _word(symbols, origin, end)

    def _characters(self, text: bytes, begin: int) -> Iterator[tuple[Part, bytes, int, int]]:
        lowercase, strip_accents = self.vocab.lowercase, self.vocab.strip_accents
        characters, begins = code_points(text, begin)
        for char, (first, last) in zip(characters, pairwise(begins)):
            yield *_read(ord(char), lowercase, strip_accents), first, last

    def tokens(self, stretch: Stretch) -> Iterator[Token]:
        """The longest pieces of a word, or UNK. Raises EncodeError if there is no such id."""
        word, origin = b"".join(stretch.symbols), stretch.origin
        longest = self._pieces.at_each_byte(word)
        tokens: list[Token] = []
        pos = 0
        while pos < len(word):
            i, size = longest[pos]
            if size == 0:
                return iter([Token(self._unk_id(word, origin[0]), origin[0], origin[-1])])
            tokens.append(Token(i, origin[pos], origin[pos + size]))
            pos += size
        return iter(tokens)

    @cached_property
    def _pieces(self) -> LongestMatch:
        return LongestMatch(self.vocab.piece_to_id)

    def _unk_id(self, word: bytes, at: int) -> int:
        if self.vocab.unk_id is None:
            raise EncodeError(
                f"{self.vocab.source}: byte {at} of the text begins {quoted(word)}, which has no"
                " pieces, expected an unk id for it"
            )
        return self.vocab.unk_id

    def settled(self, text: bytes, begin: int, end: int) -> int:
        """Behind the last character that ends a word."""
        characters = self._characters(text[begin:end], begin)
        return max((last for part, _, _, last in characters if part in _ENDS), default=begin)

    def piece_text(self, i: int) -> bytes:
        """As for SPM."""
        return piece_text(self.vocab, i)


def _word(symbols: list[bytes], origin: list[int], end: int) -> Stretch:
    return Stretch([SPACE, *symbols], (), [*[origin[0]] * len(SPACE), *origin, end])


@cache
def _read(point: int, lowercase: bool, strip_accents: bool) -> tuple[Part, bytes]:
    """What a code point is to its word, and what is left of it there."""
    if strip_accents:
        point = base(point)
    kind = category(point)
    if is_space(point):
        return Part.BETWEEN, b""
    if kind == "C" or point == _REPLACEMENT or (kind == "M" and strip_accents):
        return Part.NOTHING, b""
    char = chr(lower(point) if lowercase else point).encode()
    alone = kind == "P" or (kind == "S" and point < 0x7F) or is_chinese(point)
    return (Part.ALONE if alone else Part.LETTER), char
