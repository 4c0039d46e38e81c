"""SPM as llama.cpp does it: ▁ for spaces, score merging, bytes for what is no piece.

Every piece may be a merge result, whatever its type, and -0.0 and 0.0 are the same score
(`llm_tokenizer_spm_session`, src/llama-vocab.cpp).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import cached_property

import numpy as np

from spm.errors import EncodeError
from spm.text.cuts import Joins
from spm.text.family import piece_text
from spm.text.spm import merge
from spm.text.token import Stretch, Token, locate
from spm.text.utf8 import characters, is_clipped
from spm.vocab import SPACE, Vocab
from spm.vocab.vocab import byte_piece


class SpmLlamaCpp:
    """The SPM family in the llama.cpp dialect: an `Encoding`, and a `ScoreMerging`."""

    cleans_spaces = False
    unused: Collection[bytes] = ()
    taken_apart: Collection[bytes] = ()

    def __init__(self, vocab: Vocab) -> None:
        self.vocab = vocab
        self.may_result = np.ones(len(vocab), bool)
        self.ranks_by_id = -vocab.scores

    @cached_property
    def ranks(self) -> Mapping[bytes, float]:
        """The rank of every piece; merging in Python asks for it, the core does not."""
        return dict(zip(self.vocab.pieces, self.ranks_by_id.tolist()))

    def rank(self, left: bytes, right: bytes) -> float | None:
        """That of what results."""
        return self.ranks.get(left + right)

    def stretches(
        self, text: bytes, begin: int, end: int, after_special: bool
    ) -> Iterator[Stretch]:
        """All of it, as one."""
        yield escape(text, begin, end, after_special and self.vocab.add_space_prefix)

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

    def settled(self, text: bytes, begin: int, end: int) -> int:
        """The last place where the cut lemma holds."""
        symbols, _, origin = escape(text, begin, end, prefix=False)
        if is_clipped(symbols[-1]):  # by a special piece that would begin inside of it
            symbols.pop()
        cut = next(self.joins.cuts(symbols), 0)
        return origin[len(b"".join(symbols[:cut]))]

    @cached_property
    def joins(self) -> Joins:
        """Which characters can merge with which."""
        return Joins(self.ranks)

    def piece_text(self, i: int) -> bytes:
        """▁ as a space, bytes raw."""
        return piece_text(self.vocab, i)


def escape(text: bytes, begin: int, end: int, prefix: bool) -> Stretch:
    """`text[begin:end]` with ▁ for its spaces, and for one more in front if `prefix` is set."""
    origin = [begin] * len(SPACE) if prefix else []
    for at in range(begin, end):
        origin += [at] * (len(SPACE) if text[at] == 0x20 else 1)
    raw = b" " + text[begin:end] if prefix else text[begin:end]
    return Stretch(characters(raw.replace(b" ", SPACE)), (), [*origin, end])
