"""Unigram: the most probable row of pieces, once a text is normalised.

Theory. The score of a piece is the logarithm of its probability, and pieces do not know of each
other: a row of pieces has the sum of their scores, and the row with the largest sum is the encoding
(Viterbi's algorithm). The best row that ends at some place goes on from the best row that ends
where its last piece begins. So one walk over the text finds, for every place, the last piece of the
best row that ends there; the way back from the end of the text reads that row off.

    pieces     a -1   b -2   c -2   ab -2   bc -2.5   abc -9

    from 0     a -1 ends at 1, ab -2 at 2, abc -9 at 3
    from 1     b ends at 2, -1 - 2 = -3, not better than -2
               bc ends at 3, -1 - 2.5 = -3.5, better than -9
    from 2     c ends at 3, -2 - 2 = -4, not better than -3.5
    back       bc ends at 3 and begins at 1, a ends at 1 and begins at 0: abc is a|bc

Pieces are looked for where characters begin. A character that is no piece by itself may stand for
UNKNOWN as well, at 10 less than the worst NORMAL piece; a user-defined piece scores so well that it
is taken. Of equal sums the first one stays: that of the longest last piece, since it began first.

Sums of floats depend on their order and precision, and close rows differ in it, so here is all that
the two oracles do differently (sentencepiece src/unigram_model.cc, `Model::EncodeOptimized`;
llama.cpp src/llama-vocab.cpp, `llm_tokenizer_ugm_session::tokenize`):

                              sentencepiece                     llama.cpp
    sums                      single precision, from the left   double precision, from the left
    a sum beyond +-100,000    becomes 0, and so much is taken   is a sum like any other
                              from all that lie further right
    a place not yet reached   is taken by whatever comes        is taken by more than -DBL_MAX
    user-defined              0.1 for each byte but the first   0
    UNUSED pieces             never stand                       stand like NORMAL ones
    an UNKNOWN character      as bytes if there is byte         one id for a run of them
                              fallback, or one id for a run
    scores not finite         refused                           never better than another

The work for each place is that of the longest piece which the text goes on to spell there, as in
both oracles, and at most 24 bytes (a sum, a place and an id) are kept for each byte of the text.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterator, Sequence
from ctypes import c_float
from functools import cached_property
from itertools import groupby
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spm.errors import VocabError
from spm.text.family import piece_text
from spm.text.normalize_llama_cpp import LlamaCppNormalizer
from spm.text.token import Stretch, Token
from spm.text.trie import Trie
from spm.text.utf8 import characters
from spm.vocab import TokenType, Vocab

UNKNOWN_PENALTY: Final = 10
MAX_FLOAT: Final = np.finfo(np.float32).max
NO_ID: Final = -1  # of what has none yet


class Lexicon(NamedTuple):
    """The pieces that may stand in a text, and what they score."""

    trie: Trie
    scores: Sequence[float]  # by id
    unknown_id: int
    unknown_score: float


class Standing(NamedTuple):
    """The ids of the pieces that may stand in a text, and the scores by id, float32 (V,)."""

    ids: list[int]
    scores: NDArray[np.float32]
    unknown_score: float


class Sums(NamedTuple):
    """How an oracle adds scores up."""

    precision: Literal["f", "d"]  # single or double, as `array` spells it
    limit: float  # a sum beyond becomes 0, and those to its right as much less
    unreached: tuple[float, int]  # the sum and the begin where no piece has ended yet


SENTENCEPIECE: Final = Sums("f", limit=100_000, unreached=(0, -1))
LLAMA_CPP: Final = Sums("d", limit=float("inf"), unreached=(-sys.float_info.max, 0))


class Last(NamedTuple):
    """The last piece of a row, in bytes of the text."""

    begin: int
    end: int
    id: int


def best_row(symbols: list[bytes], lexicon: Lexicon, sums: Sums) -> list[Last]:
    """The pieces of the best row, in order. `symbols` are the characters of a text."""
    text = b"".join(symbols)
    rows = _Rows(len(text), lexicon.unknown_id, sums)
    at = 0
    for symbol in symbols:
        after = at + len(symbol)
        if abs(rows.best[at]) > sums.limit:
            rows.start_over(at)
        known = False
        for end, i in lexicon.trie.matches(text, at):
            rows.offer(at, end, i, lexicon.scores[i])
            known = known or end == after
        if not known:
            rows.offer(at, after, lexicon.unknown_id, lexicon.unknown_score)
        at = after
    return rows.back(at)


class _Rows:
    """For every place of a text, the best row that ends there: its sum and its last piece."""

    def __init__(self, size: int, unknown_id: int, sums: Sums) -> None:
        best, begin = sums.unreached
        self.best = array(sums.precision, [best]) * (size + 1)
        self.begins = array("q", [begin]) * (size + 1)
        self.ids = array("q", [unknown_id]) * (size + 1)
        self.best[0] = 0
        self.rounded = array(sums.precision, [0])  # what is put here is
        self.reached = 0  # the end of the piece that reaches furthest

    def offer(self, begin: int, end: int, i: int, score: float) -> None:
        """Let the best row that ends at `begin` go on with a piece."""
        best, rounded = self.best, self.rounded
        rounded[0] = best[begin] + score
        if self.begins[end] < 0 or rounded[0] > best[end]:
            best[end], self.begins[end], self.ids[end] = rounded[0], begin, i
        if end > self.reached:
            self.reached = end

    def start_over(self, at: int) -> None:
        """Take the sum at `at` from that one, which becomes 0, and from all to its right.

        Only sums in single precision have a limit.
        """
        sums = np.frombuffer(self.best, np.float32)[at : self.reached + 1]
        with np.errstate(over="ignore", invalid="ignore"):
            sums -= sums[0]
        sums[0] = 0

    def back(self, end: int) -> list[Last]:
        """The row that ends at `end`."""
        row: list[Last] = []
        while end > 0:
            row.append(Last(self.begins[end], end, self.ids[end]))
            end = row[-1].begin
        return row[::-1]


def single(value: float) -> float:
    """A number in single precision; beyond it, infinite."""
    return c_float(value).value


# ---- llama.cpp


class UnigramLlamaCpp:
    """The Unigram family in the llama.cpp dialect: an `Encoding`.

    llama.cpp gathers the pieces by their types as the file tells them, before it corrects some by
    their spelling: what was NORMAL and became CONTROL still stands in a text.
    """

    cleans_spaces = False

    def __init__(self, vocab: Vocab) -> None:
        assert vocab.normalization is not None
        self.vocab = vocab
        self.told = np.frombuffer(bytes(vocab.types_in_file or vocab.types), np.uint8)
        whole = Trie(self._pieces_told(TokenType.USER_DEFINED))
        self.normalizer = LlamaCppNormalizer(vocab.normalization, whole, vocab.source)

    def _pieces_told(self, *types: TokenType) -> Iterator[tuple[bytes, int]]:
        ids: list[int] = np.flatnonzero(np.isin(self.told, types)).tolist()
        return ((self.vocab.pieces[i], i) for i in ids)

    @cached_property
    def lexicon(self) -> Lexicon:
        """NORMAL, USER_DEFINED and UNUSED pieces; the core does not ask for it."""
        vocab = self.vocab
        now = vocab.type_numbers
        kept = (self.told == TokenType.USER_DEFINED) & (now != TokenType.NORMAL)
        free = kept | (now == TokenType.USER_DEFINED)
        worst = _worst(vocab.scores[self.told == TokenType.NORMAL])
        kinds = (TokenType.NORMAL, TokenType.USER_DEFINED, TokenType.UNUSED)
        return Lexicon(
            Trie(self._pieces_told(*kinds)),
            np.where(free, np.float32(0), vocab.scores).tolist(),
            vocab.special_ids["unk"],
            single(worst - UNKNOWN_PENALTY),
        )

    def stretches(
        self, text: bytes, begin: int, end: int, after_special: bool
    ) -> Iterator[Stretch]:
        """All of it, as one: wherever it stands, it is normalised as if it were the whole text."""
        normalized, origin = self.normalizer.normalize(text[begin:end])
        yield Stretch(characters(normalized), (), [begin + at for at in origin])

    def tokens(self, stretch: Stretch) -> Iterator[Token]:
        """The tokens of one stretch; a run of unknown characters is one."""
        unknown = self.lexicon.unknown_id
        row = best_row(stretch.symbols, self.lexicon, LLAMA_CPP)
        for is_unknown, run in groupby(row, key=lambda last: last.id == unknown):
            pieces = list(run)
            if is_unknown:
                pieces = [Last(pieces[0].begin, pieces[-1].end, unknown)]
            for begin, end, i in pieces:
                yield Token(i, stretch.origin[begin], stretch.origin[end])

    def settled(self, text: bytes, begin: int, end: int) -> int:
        """Nothing is: sums go on to the end, and where they begin decides how they are rounded."""
        return begin

    def piece_text(self, i: int) -> bytes:
        """As for SPM."""
        return piece_text(self.vocab, i)


def _worst(scores: NDArray[np.float32]) -> float:
    """The smallest score; NaN is none (std::min(smallest, score) keeps the first of the two)."""
    return min(scores[~np.isnan(scores)].tolist(), default=float(MAX_FLOAT))


# ---- sentencepiece


class UnigramSentencePiece:
    """The Unigram family in the sentencepiece dialect: a `Segmentation`.

    Raises VocabError if no piece can stand in a text, or if a score is not finite.
    """

    def __init__(self, vocab: Vocab) -> None:
        kinds = (TokenType.NORMAL, TokenType.USER_DEFINED, TokenType.UNUSED)
        if all(vocab.pieces[i] == b"\0" for i in vocab.ids_of_type(*kinds)):
            raise VocabError(
                f"{vocab.source}: no piece is NORMAL, USER_DEFINED or UNUSED, expected at least one"
            )
        finite = np.isfinite(vocab.scores)
        if not finite.all():
            i = int(finite.argmin())
            raise VocabError(
                f"{vocab.source}: the score of id {i} is {vocab.scores[i]}, expected a finite one"
            )
        self.vocab = vocab
        self.user_defined = frozenset(vocab.ids_of_type(TokenType.USER_DEFINED))

    @property
    def standing(self) -> Standing:
        """NORMAL and USER_DEFINED pieces."""
        vocab = self.vocab
        scores = vocab.scores.copy()
        for i in self.user_defined:
            scores[i] = user_defined_score(len(vocab.pieces[i]))
        worst = _worst(vocab.scores[vocab.type_numbers == TokenType.NORMAL])
        ids = vocab.ids_of_type(TokenType.NORMAL, TokenType.USER_DEFINED)
        return Standing(ids, scores, single(worst - UNKNOWN_PENALTY))

    @cached_property
    def lexicon(self) -> Lexicon:
        """What may stand, to be walked; the core does not ask for it."""
        ids, scores, unknown_score = self.standing
        trie = Trie((self.vocab.pieces[i], i) for i in ids)
        return Lexicon(trie, scores.tolist(), NO_ID, unknown_score)

    def symbols(self, text: bytes) -> tuple[list[bytes], set[int]]:
        """The characters of a normalised text."""
        return characters(text), set()

    def segments(self, stretch: Stretch) -> Iterator[tuple[bytes, int | None]]:
        """The pieces of a text and their ids, or None for an unknown character."""
        text = b"".join(stretch.symbols)
        for begin, end, i in best_row(stretch.symbols, self.lexicon, SENTENCEPIECE):
            yield text[begin:end], None if i == NO_ID else i

    def cuts(self, symbols: list[bytes]) -> Iterator[int]:
        """None: sums go on to the end, and where they begin decides how they are rounded."""
        return iter(())


def user_defined_score(length: int) -> float:
    """unigram_model.cc, `GetUserDefinedScore`: of pieces as long together, the fewest win.

    `Model::EncodeOptimized` counts bytes, `Model::PopulateNodes` (lattice.py) characters.
    """
    return single(0.1 * (length - 1))
