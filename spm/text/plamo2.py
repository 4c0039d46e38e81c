"""PLaMo-2 as llama.cpp does it: the cheapest row of pieces, found from the end of a text.

A piece costs what its score says, the less the higher the score is. From the end of the text to its
beginning, each character gets the cheapest way to the end: a piece that begins there, and from
behind it on the cheapest way that is known already. Of equally cheap pieces the longest is taken. A
character that is no piece can always be taken as its bytes, at a high cost.

    scores  a -2  b -2  c -2  ab -3  bc -5      from the end of abc:
    c       c 2
    bc      bc 5, b 2 + 2                       -> b c, 4
    abc     ab 3 + 2, a 2 + 4                   -> ab c, 5

Scores are rounded to four digits and compared as integers, so the order of additions is nothing.
Pieces are looked for by code point, in a text that was read as such: overlong forms become short,
bad bytes U+FFFD. (`llm_tokenizer_plamo2`, src/llama-vocab.cpp of llama.cpp; its table of suffixes
is the automaton of `spm.text.automaton` written out.)
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np

from spm.errors import VocabError, quoted
from spm.text.automaton import NO_STATE, Automaton
from spm.text.token import Stretch, Token, locate
from spm.text.utf8 import from_code_point, wide_code_points
from spm.vocab import TokenType, Vocab
from spm.vocab.vocab import BYTE_OF_PIECE, byte_piece

_BYTE_ORDER_MARK: Final = 0xFEFF
_NEVER: Final = -20_000_000  # a piece with this score or a lower one is not used
_INT32: Final = np.iinfo(np.int32)


class Way(NamedTuple):
    """What a character and those behind it may be taken as: a piece, or the bytes of one."""

    size: int  # in code points
    score: int
    id: int | None


_BYTES: Final = Way(1, -10_000_000, None)


class Plamo2:
    """The PLaMo-2 family: an `Encoding`.

    Raises VocabError where llama.cpp refuses the vocabulary, or has no defined answer.
    """

    cleans_spaces = False

    def __init__(self, vocab: Vocab) -> None:
        self.vocab = vocab
        self.byte_ids = _byte_ids(vocab)
        self.table = _Table(vocab)

    def stretches(
        self, text: bytes, begin: int, end: int, after_special: bool
    ) -> Iterator[Stretch]:
        """All of it, without a byte order mark that begins it."""
        found = list(wide_code_points(text, begin, end))
        if after_special and found[:1] and found[0][0] == _BYTE_ORDER_MARK:
            del found[0]
        symbols = [from_code_point(number) for number, _, _ in found]
        begins = [first for symbol, (_, first, _) in zip(symbols, found) for _ in symbol]
        if symbols:
            yield Stretch(symbols, (), [*begins, end])

    def tokens(self, stretch: Stretch) -> Iterator[Token]:
        """The cheapest row of pieces and bytes."""
        return locate(self._spelled(stretch.symbols), stretch.origin)

    def _spelled(self, symbols: list[bytes]) -> Iterator[tuple[bytes, list[int]]]:
        text = b"".join(symbols)
        ways = self._cheapest([point for point, _, _ in wide_code_points(text, 0, len(text))])
        at = 0
        while at < len(ways):
            size, _, i = ways[at]
            symbol = b"".join(symbols[at : at + size])
            yield symbol, [i] if i is not None else [self.byte_ids[byte] for byte in symbol]
            at += size

    def _cheapest(self, text: list[int]) -> list[Way]:
        """By character: what to take it as. Of equal costs the first, which is the longest."""
        best = [_BYTES] * len(text)
        costs = [0] * (len(text) + 1)
        for at, state in zip(range(len(text) - 1, -1, -1), self.table.automaton.states(text)):
            best[at] = min(self.table.ways(state), key=lambda w: costs[at + w.size] - w.score)
            costs[at] = costs[at + best[at].size] - best[at].score
        return best

    def settled(self, text: bytes, begin: int, end: int) -> int:
        """The last place between two characters that no piece holds side by side."""
        if self.table.stops_early:
            return begin  # then what is found depends on more than that
        found = list(wide_code_points(text, begin, end))
        for (left, _, _), (right, first, last) in reversed([*pairwise(found)]):
            whole = last - first > 1 or text[first] < 0x80  # it could still become a character
            if whole and (left, right) not in self.table.pairs:
                return first
        return begin

    def piece_text(self, i: int) -> bytes:
        """The byte of a BYTE piece, the others as they are: ▁ is no space."""
        piece = self.vocab.pieces[i]
        if self.vocab.types[i] == TokenType.BYTE:
            return bytes([BYTE_OF_PIECE[piece]])
        return piece


class _Table:
    """Which pieces begin where, and at what cost."""

    def __init__(self, vocab: Vocab) -> None:
        scores = _scores(vocab)
        spelled = {i: _code_points(vocab, i) for i in _but_bytes(vocab)}
        self.automaton = Automaton(spelled.values())
        self.by_state = {0: _BYTES}
        for i, points in spelled.items():
            # a piece that is not spelled as its code points would be is found nowhere
            if scores[i] > _NEVER and b"".join(map(from_code_point, points)) == vocab.pieces[i]:
                state = self.automaton.state_of(points)
                self.by_state[state] = Way(len(points), scores[i], i)
        self._stop()
        self.nearest = self.automaton.nearest(self.by_state)
        self.pairs = {pair for points in spelled.values() for pair in pairwise(points)}

    def _stop(self) -> None:
        """A piece that costs what bytes cost passes for the end of its row in llama.cpp's table."""
        ends = [state for state, way in self.by_state.items() if way.score == _BYTES.score]
        for state in ends:
            self.automaton.shorter[state] = NO_STATE
        self.stops_early = len(ends) > 1

    def ways(self, state: int) -> Iterator[Way]:
        """What begins at a state, the longest first."""
        while state != NO_STATE:
            state = self.nearest[state]
            yield self.by_state[state]
            state = self.automaton.shorter[state]


def _but_bytes(vocab: Vocab) -> Iterator[int]:
    return (i for i, kind in enumerate(vocab.types) if kind != TokenType.BYTE)


def _byte_ids(vocab: Vocab) -> list[int]:
    """By byte. llama.cpp takes id 0 for "none"."""
    ids = {BYTE_OF_PIECE[vocab.pieces[i]]: i for i in vocab.ids_of_type(TokenType.BYTE)}
    for byte in range(256):
        if not ids.get(byte):
            raise VocabError(
                f"{vocab.source}: {byte_piece(byte).decode()} has"
                f" {'id 0' if byte in ids else 'no id'}, expected a BYTE piece with another id"
            )
    return [ids[byte] for byte in range(256)]


def _scores(vocab: Vocab) -> list[int]:
    """By id: the score times 10,000, halves rounded away from zero; what is not finite is never."""
    scores = vocab.scores.astype(np.float64) * 1e4
    scores[~np.isfinite(scores)] = _NEVER
    whole = np.trunc(scores)
    whole += np.sign(scores) * (np.abs(scores - whole) >= 0.5)
    for i in np.flatnonzero((whole < _INT32.min) | (whole > _INT32.max))[:1]:
        raise VocabError(
            f"{vocab.source}: the score of id {i} is {vocab.scores[i]}, expected what times 10000"
            " fits into 32 bits"
        )
    scored: list[int] = whole.astype(np.int64).tolist()
    return scored


def _code_points(vocab: Vocab, i: int) -> tuple[int, ...]:
    piece = vocab.pieces[i]
    points = tuple(point for point, _, _ in wide_code_points(piece, 0, len(piece)))
    if max(points) > 0x10FFFF:
        raise VocabError(
            f"{vocab.source}: id {i} is {quoted(piece)}, expected code points up to 0x10FFFF"
        )
    return points
