"""Text -> ids -> text as llama.cpp does it for SPM vocabularies.

Encoding (`llama_vocab::impl::tokenize`, src/llama-vocab.cpp): cut out special pieces; put a space
before every fragment of text that begins the input or follows a special piece, even if it begins
with a space already; write ▁ for U+0020 and for nothing else; merge; spell what is no piece by its
bytes. There is no other normalisation, whatever the file says.

Decoding (`llama_vocab::impl::detokenize`): ▁ becomes a space again in NORMAL pieces, bytes are raw,
the others are literal or silent. The first id loses one leading space if the vocabulary adds one,
unless a BOS stood before it and was removed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from typing import Final

import numpy as np

from spm.errors import EncodeError
from spm.text.cuts import Joins
from spm.text.fragments import Fragment, partition, settled, special_pieces
from spm.text.spm import merge
from spm.text.token import Stretch, Token, locate
from spm.text.utf8 import characters, is_clipped
from spm.vocab import SPACE, TokenType, Vocab
from spm.vocab.vocab import BYTE_OF_PIECE, byte_piece

_SILENT: Final = (TokenType.CONTROL, TokenType.UNKNOWN)


class LlamaCpp:
    """llama.cpp's reading of one vocabulary. Immutable; any number of threads may use it."""

    name = "llama.cpp"
    unused: Collection[bytes] = ()
    taken_apart: Collection[bytes] = ()

    def __init__(self, vocab: Vocab) -> None:
        self.vocab = vocab
        # Every piece may be a merge result, whatever its type; -0.0 and 0.0 are the same score.
        self.may_result = np.ones(len(vocab), bool)
        self.ranks_by_id = -vocab.scores
        self.specials = {p: special_pieces(vocab, parse_special=p) for p in (False, True)}

    @cached_property
    def ranks(self) -> Mapping[bytes, float]:
        """The rank of every piece; merging in Python asks for it, the core does not."""
        return dict(zip(self.vocab.pieces, self.ranks_by_id.tolist()))

    def parts(
        self, text: bytes, parse_special: bool, begins: bool = True
    ) -> Iterator[Token | Stretch]:
        """The special pieces of `text`, and between them the texts that merge."""
        after_special = begins
        for fragment in partition(text, self.specials[parse_special]):
            if fragment.id is not None:
                yield Token(fragment.id, fragment.begin, fragment.end)
            else:
                prefix = after_special and self.vocab.add_space_prefix
                yield escape(text, fragment, prefix)
            after_special = fragment.id is not None

    def tokens(self, stretch: Stretch) -> Iterator[Token]:
        """The tokens of one text that merges. Raises EncodeError if a byte cannot be spelled."""
        symbols = merge(stretch.symbols, self.ranks)
        return locate(((symbol, self.ids_of(symbol)) for symbol in symbols), stretch.origin)

    def ids_of(self, symbol: bytes) -> list[int]:
        """The id of a symbol that no longer merges, or those of its bytes if it is no piece."""
        i = self.vocab.piece_to_id.get(symbol)
        return [i] if i is not None else [self._byte_id(byte) for byte in symbol]

    def _byte_id(self, byte: int) -> int:
        # llama_vocab::byte_to_token: by spelling, whatever the type; else the byte as a piece
        for piece in (byte_piece(byte), bytes([byte])):
            if piece in self.vocab.piece_to_id:
                return self.vocab.piece_to_id[piece]
        raise EncodeError(
            f"{self.vocab.source}: byte 0x{byte:02X} of the text has no piece,"
            f" expected {byte_piece(byte).decode()}"
        )

    def settled(self, text: bytes, parse_special: bool) -> tuple[int, bool]:
        """How much of a text encodes apart from what follows, and whether that begins anew."""
        specials = self.specials[parse_special]
        end = settled(text, specials)
        fragments = partition(text[:end], specials)
        if not fragments:
            return 0, True
        last = fragments[-1]
        if last.id is not None:
            return end, True  # with the white space that it swallowed
        symbols, _, origin = escape(text, last, prefix=False)
        if is_clipped(symbols[-1]):  # by a special piece that would begin inside of it
            symbols.pop()
        cut = next(self.joins.cuts(symbols), 0)
        return origin[len(b"".join(symbols[:cut]))], cut == 0

    @cached_property
    def joins(self) -> Joins:
        """Which characters can merge with which."""
        return Joins(self.ranks)

    def decoder(self, skip_special: bool) -> LlamaCppDecoder:
        """A decoder at the beginning of a text."""
        return LlamaCppDecoder(self, skip_special)


def escape(text: bytes, fragment: Fragment, prefix: bool) -> Stretch:
    """One part of a text with ▁ for its spaces, and for one more in front if `prefix` is set."""
    begin, end, _ = fragment
    origin = [begin] * len(SPACE) if prefix else []
    for at in range(begin, end):
        origin += [at] * (len(SPACE) if text[at] == 0x20 else 1)
    raw = b" " + text[begin:end] if prefix else text[begin:end]
    return Stretch(characters(raw.replace(b" ", SPACE)), (), [*origin, end])


def _piece_text(vocab: Vocab, i: int) -> bytes:
    """`llama_vocab::impl::token_to_piece` with special pieces shown."""
    piece, kind = vocab.pieces[i], vocab.types[i]
    if kind == TokenType.BYTE:
        return bytes([BYTE_OF_PIECE[piece]])
    if kind == TokenType.UNUSED:
        return b""
    return piece.replace(SPACE, b" ") if kind == TokenType.NORMAL else piece


class LlamaCppDecoder:
    """Ids in, bytes out, as they come; `flush` ends the text.

    With `skip_special` this is `llama_detokenize` with remove_special and without unparse_special;
    without it, the other way round.
    """

    def __init__(self, dialect: LlamaCpp, skip_special: bool) -> None:
        self.dialect = dialect
        self.skip_special = skip_special
        self.at_start = True
        self.strip_space = dialect.vocab.add_space_prefix
        self.held = b""  # the text of an EOS: it is shown only if something follows

    def push(self, i: int) -> bytes:
        """The bytes that id `i` adds."""
        vocab = self.dialect.vocab
        at_start, self.at_start = self.at_start, False
        if at_start and self.skip_special and vocab.add_bos and i == vocab.bos_id:
            self.strip_space = False
            return b""
        text = self._text(i)
        if self.strip_space:
            text = text.removeprefix(b" ")
            self.strip_space = False
        shown, self.held = self.held, b""
        if self.skip_special and vocab.add_eos and i == vocab.eos_id:
            self.held = text
            return shown
        return shown + text

    def _text(self, i: int) -> bytes:
        if self.skip_special and self.dialect.vocab.types[i] in _SILENT:
            return b""
        return _piece_text(self.dialect.vocab, i)

    def flush(self) -> bytes:
        """What was held back and can be shown: nothing, an EOS at the end is removed."""
        return b""
