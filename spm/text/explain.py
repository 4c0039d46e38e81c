"""How a text became its ids: every symbol, every merge, its score, and who lost a tie.

The merges are found the slow way, by looking at all neighbours again before each one. That is the
definition of merging without any of the bookkeeping of `spm.text.spm`, and the tests hold the
two against each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from spm.errors import EncodeError
from spm.text.dialect import Dialect
from spm.text.token import Stretch, Token

MAX_BYTES: Final = 2000  # an explanation is read by a person, and its cost is quadratic


@dataclass(frozen=True)
class Merge:
    """Two neighbours became one. `tied` others had the same rank and stood further right.

    In the SPM family it has the `score` of its piece, in BPE the `rank` of its place in the list.
    """

    left: bytes
    right: bytes
    score: float | None
    rank: int | None
    tied: int
    symbols: tuple[bytes, ...]  # the row afterwards


@dataclass(frozen=True)
class Part:
    """One part of the text: a special piece that was cut out whole, or symbols that merged."""

    symbols: tuple[bytes, ...]
    merges: tuple[Merge, ...]
    tokens: tuple[Token, ...]


@dataclass(frozen=True)
class Explanation:
    """The parts in the order of the text."""

    text: bytes
    dialect: str
    parts: tuple[Part, ...]

    @property
    def ids(self) -> list[int]:
        """The ids of the text, without BOS and EOS."""
        return [token.id for part in self.parts for token in part.tokens]


def explain(dialect: Dialect, text: bytes, parse_special: bool) -> Explanation:
    """Explain the encoding of `text`. Raises EncodeError beyond `MAX_BYTES` bytes."""
    if len(text) > MAX_BYTES:
        raise EncodeError(f"text: {len(text)} bytes, expected at most {MAX_BYTES} to explain")
    parts = tuple(_part(dialect, text, part) for part in dialect.parts(text, parse_special))
    return Explanation(text, dialect.name, parts)


def _part(dialect: Dialect, text: bytes, part: Token | Stretch) -> Part:
    if isinstance(part, Token):
        return Part((text[part.begin : part.end],), (), (part,))
    if len(part.symbols) > MAX_BYTES:
        raise EncodeError(
            f"text: {len(part.symbols)} symbols, expected at most {MAX_BYTES} to explain"
        )
    return Part(tuple(part.symbols), tuple(_merges(dialect, part)), tuple(dialect.tokens(part)))


def _merges(dialect: Dialect, stretch: Stretch) -> Iterator[Merge]:
    merging = dialect.merging
    if merging is None:
        return
    scored, vocab = dialect.score_merging is not None, dialect.vocab

    def score_of(piece: bytes) -> float:
        return float(vocab.scores[vocab.piece_to_id[piece]])

    row = [(symbol, i in stretch.frozen) for i, symbol in enumerate(stretch.symbols)]
    while bigrams := [
        (rank, i)
        for i, ((left, left_frozen), (right, right_frozen)) in enumerate(pairwise(row))
        if (rank := merging.rank(left, right)) is not None and not left_frozen and not right_frozen
    ]:
        best, i = min(bigrams)
        left, right = row[i][0], row[i + 1][0]
        row[i : i + 2] = [(left + right, False)]
        yield Merge(
            left=left,
            right=right,
            score=score_of(left + right) if scored else None,
            rank=None if scored else int(best),
            tied=sum(rank == best for rank, _ in bigrams) - 1,
            symbols=tuple(symbol for symbol, _ in row),
        )
