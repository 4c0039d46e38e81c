"""Byte-level BPE: a text is parted into words, and in each word neighbours merge by rank.

Theory. The vocabulary has a list of merges, pairs of pieces, the most eager first: the rank of a
pair is its place in the list. A word begins as a row of symbols. Again and again the pair of
neighbours with the smallest rank merges, and of equal pairs the leftmost; when no pair of
neighbours is in the list, the symbols are the pieces. It is the agenda of spm/text/spm.py, but the
rank belongs to the two halves: with the merges below, `lo` and `w` make `low` in the end, and `l`
and `ow` would not, although the result is the same.

    merges     l o   e r   lo w   Ġ low   Ġlow er

    " lower"   is one word: Ġ l o w e r, the letters of its bytes (spm/text/byte_level.py)

    Ġ l o w e r    l o is the first of the list
    Ġ lo w e r     e r
    Ġ lo w er      lo w
    Ġ low er       Ġ low
    Ġlow er        Ġlow er
    Ġlower

Where words end is a matter of patterns (spm/text/pretokenize.py), and it is why no text is slow in
practice: merging never looks beyond a word. But a word may be the whole text, and then the agenda's
n log n holds.

Two vocabularies that are read as this family have pieces of characters, not of bytes, and ▁ for
spaces (Gemma 4, Sarvam): their words are lines, and what is no piece is spelled <0xNN>.

This is `llm_tokenizer_bpe_session` in llama.cpp's src/llama-vocab.cpp. A symbol that is no piece is
looked up byte by byte there, and bytes that are no pieces either are dropped without a word.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Final

from spm.errors import EncodeError, VocabError, quoted
from spm.text.byte_level import BYTE_OF, LETTERS
from spm.text.family import piece_text
from spm.text.pretokenize import last_boundary, words
from spm.text.spm import merge_by
from spm.text.token import Stretch, Token, locate
from spm.text.unicode import code_points
from spm.text.utf8 import BEYOND_UNICODE, CLIPPED, characters
from spm.vocab import SPACE, TokenType, Vocab
from spm.vocab.pretokenizers import PRE_TOKENIZERS
from spm.vocab.vocab import byte_piece

MAX_SHOWN_BYTES: Final = 1 << 24  # of one piece; the longest real ones show some 1,000


class Bpe:
    """The BPE family in the llama.cpp dialect: an `Encoding`, and a `Merging`.

    Raises VocabError for a piece that llama.cpp cannot decode.
    """

    def __init__(self, vocab: Vocab) -> None:
        self.vocab = vocab
        self.pre = PRE_TOKENIZERS[vocab.pre]
        self.cleans_spaces = self.pre.clean_spaces
        if not self.pre.escape_whitespaces:
            _check_pieces(vocab)

    @cached_property
    def ranks(self) -> Mapping[bytes, int]:
        """By the lines of the list: a symbol has no space, so the one of a line parts its halves.

        Of equal lines the first counts.
        """
        ranks = range(len(self.vocab.merges))
        return dict(zip(reversed(self.vocab.merges), reversed(ranks)))

    def rank(self, left: bytes, right: bytes) -> int | None:
        """The place of the two in the list of merges."""
        return self.ranks.get(b"%b %b" % (left, right))

    def stretches(
        self, text: bytes, begin: int, end: int, after_special: bool
    ) -> Iterator[Stretch]:
        """The words of `text[begin:end]`.

        Raises EncodeError for code points beyond U+10FFFF and for a space inside of a word, which
        comes of an overlong spelling, or of the pre-tokenizer `whitespace`: llama.cpp ends on both.
        """
        given = text[begin:end]
        string, origin = code_points(given, begin)
        as_given = _utf8(string) == given
        if self.pre.escape_whitespaces and b" " in given:
            string, as_given = _escaped(string, origin), False
        for first, last in pairwise(words(string, self.pre)):
            word = string[first:last]
            if as_given:
                yield self._stretch(_utf8(word), range(origin[first], origin[last] + 1))
            else:
                yield self._stretch(_utf8(word), _places(word, origin[first : last + 1]))

    def _stretch(self, word: bytes, places: Sequence[int]) -> Stretch:
        """The symbols of one word; `places` is where its bytes come from, and its end."""
        if self.pre.byte_level:
            symbols = [LETTERS[byte] for byte in word]
            begins = [at for at, symbol in zip(places, symbols) for _ in symbol]
            places = [*begins, places[-1]]
        else:
            symbols = characters(word)
        if b" " in symbols and len(symbols) > 1:
            raise EncodeError(
                f"text: byte {places[0]} begins the word {quoted(word)}, expected no space in it"
            )
        whole = b"".join(symbols)
        return Stretch([whole] if self._stays_whole(whole) else symbols, (), places)

    def _stays_whole(self, word: bytes) -> bool:
        exempt = self.pre.ignore_merges or (self.pre.whole_newlines and not word.strip(b"\n"))
        return exempt and word in self.vocab.piece_to_id

    def tokens(self, stretch: Stretch) -> Iterator[Token]:
        """The tokens of one word."""
        symbols = merge_by(self.rank, stretch.symbols)
        return locate(((symbol, self.ids_of(symbol)) for symbol in symbols), stretch.origin)

    def ids_of(self, symbol: bytes) -> list[int]:
        """The id of a symbol that no longer merges, or those of its bytes that have one."""
        known = self.vocab.piece_to_id
        if symbol in known:
            return [known[symbol]]
        spell = _raw_byte if self.pre.byte_level else byte_piece
        return [known[spell(byte)] for byte in symbol if spell(byte) in known]

    def settled(self, text: bytes, begin: int, end: int) -> int:
        """The last place where a word ends and the next begins, whatever stands further away."""
        clipped = CLIPPED.search(text, max(end - 3, begin), end)
        string, origin = code_points(text[begin : clipped.start() if clipped else end], begin)
        return origin[last_boundary(string, self.pre)]

    def piece_text(self, i: int) -> bytes:
        """As for SPM, but that letters stand for bytes where ▁ does not stand for a space."""
        if self.vocab.types[i] == TokenType.NORMAL and not self.pre.escape_whitespaces:
            return _spelled(self.vocab.pieces[i])
        return piece_text(self.vocab, i)


def _raw_byte(byte: int) -> bytes:
    return bytes([byte])


def _utf8(string: str) -> bytes:
    return string.encode("utf-8", "surrogatepass")


def _escaped(string: str, origin: Sequence[int]) -> str:
    """▁ for every space but for those that are spelled with more than one byte."""
    if len(string) == origin[-1] - origin[0]:
        return string.replace(" ", SPACE.decode())
    sizes = (end - begin for begin, end in pairwise(origin))
    return "".join(
        SPACE.decode() if character == " " and size == 1 else character
        for character, size in zip(string, sizes)
    )


def _places(word: str, origin: Sequence[int]) -> list[int]:
    """Where each byte of a word comes from, and its end; `origin` tells it of its characters.

    A character that is not spelled as in the text comes from the beginning of what stood there, all
    of it: ▁ for a space, U+FFFD for a byte, an overlong spelling.
    """
    begins: list[int] = []
    for character, (begin, end) in zip(word, pairwise(origin)):
        size = len(_utf8(character))
        begins += range(begin, end) if size == end - begin else [begin] * size
    return [*begins, origin[-1]]


def _spelled(piece: bytes) -> bytes:
    """The bytes that a piece spells; what is no letter of the alphabet is shown in llama.cpp's way.

    Which is `llama_decode_text`: [UNK_BYTE_0x, the character's bytes in hex, the whole piece, ].
    """
    text = bytearray()
    for character in code_points(piece)[0]:
        if character in BYTE_OF:
            text.append(BYTE_OF[character])
        else:
            found = _utf8(character).hex().encode()
            text += b"[UNK_BYTE_0x%b%b]" % (found, piece)
    return bytes(text)


def _check_pieces(vocab: Vocab) -> None:
    """llama.cpp ends on what is no text, and what a piece shows must have bounds."""
    long = [i for i, piece in enumerate(vocab.pieces) if len(piece) ** 2 > MAX_SHOWN_BYTES]
    if not long and not BEYOND_UNICODE.search(b"\n".join(vocab.pieces)):
        return
    for i in vocab.ids_of_type(TokenType.NORMAL):
        piece = vocab.pieces[i]
        if BEYOND_UNICODE.search(piece):
            found, expected = "a code point beyond U+10FFFF", "none"
        elif len(piece) * _strangers(piece) > MAX_SHOWN_BYTES:
            found = f"{_strangers(piece)} characters that are not of GPT-2's alphabet"
            expected = f"to show at most {MAX_SHOWN_BYTES} bytes of it"
        else:
            continue
        raise VocabError(
            f"{vocab.source}: piece {quoted(piece)} (id {i}) has {found}, expected {expected}"
        )


def _strangers(piece: bytes) -> int:
    return sum(character not in BYTE_OF for character in code_points(piece)[0])
