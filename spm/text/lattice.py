"""All rows of pieces at once: the n best of them, and rows by chance.

A lattice holds every piece wherever it may stand; every way through it is a row. The score of a row
is the sum of its pieces' scores, the logarithm of its probability up to a factor.

    pieces     a -1   b -2   ab -2            |-- a --|-- b --|        rows  ab -2, a|b -3
                                              |------ ab -----|

The n best (`nbest`): rows are put together from the end. What stands before a part of a row can add
at most as much as the best row that ends there, which a first walk over the text tells. So parts
wait in an agenda by the sum of both, and the best is continued by every piece that may precede it:
a row that is whole when it is its turn is the best of those still to come (A*).

By chance (`sample`): the walk adds up the probabilities of all rows that end at a place. On the way
back from the end, each piece is drawn in proportion to what it contributed: every row comes up as
often as its probability, raised to the power of alpha, tells.

This is `Lattice` of sentencepiece's src/unigram_model.cc. `nbest` adds in single precision and in
its order. Where scores tie, its order is that of the heap in GNU's C++ library, with which it is
built for Linux, and Python's heap has the same: both let the last entry sink to a leaf and rise
again. It gives up after 30 seconds as well, which is not done here. `sample` adds in double
precision where sentencepiece adds in single, which is closer to the probabilities of long rows.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Container, Sequence
from heapq import heappop, heappush
from itertools import accumulate
from math import exp, isfinite, log
from random import Random
from typing import Final

from spm.text.unigram import Lexicon, single, user_defined_score

# unigram_model.cc, Lattice::NBest
MAX_AGENDA: Final = 10_000  # the agenda is cut back to the best when it has grown to so much
MIN_AGENDA: Final = 512  # and then keeps so much at most, or 10 for each row wanted
MAX_NEW: Final = 100_000  # or when so many parts have been made since
MAX_PARTS: Final = 500_000  # after so many parts, or
MAX_CUTS: Final = 10  # so many times, the best row alone is the answer


class Node:
    """A piece at a place, in characters of the text."""

    __slots__ = ("before", "begin", "best", "end", "id", "score")

    def __init__(self, begin: int, end: int, i: int, score: float) -> None:
        self.begin = begin
        self.end = end
        self.id = i
        self.score = score
        self.best = 0.0  # the sum of the best row that ends with it
        self.before: Node | None = None  # its piece before this one


class Part:
    """A row from some node to the end."""

    __slots__ = ("node", "rest", "score", "whole")

    def __init__(self, node: Node, rest: Part | None, score: float, whole: float) -> None:
        self.node = node
        self.rest = rest
        self.score = score  # of its pieces
        self.whole = whole  # of the best row that it ends

    def __lt__(self, other: Part) -> bool:
        return self.whole > other.whole  # heapq gives out the smallest

    def nodes(self) -> list[Node]:
        """Those between the ends of the text."""
        found, part = [], self.rest
        while part and part.rest:
            found.append(part.node)
            part = part.rest
        return found


class Lattice:
    """Every piece of a text, a character without piece as UNKNOWN."""

    def __init__(
        self, symbols: list[bytes], lexicon: Lexicon, user_defined: Container[int]
    ) -> None:
        self.size = len(symbols)
        self.start, self.end = Node(0, 0, -1, 0), Node(self.size, self.size, -1, 0)
        self.beginning: list[list[Node]] = [[] for _ in range(self.size + 1)]
        self.ending: list[list[Node]] = [[] for _ in range(self.size + 1)]
        self.ending[0].append(self.start)
        self.beginning[self.size].append(self.end)
        text = b"".join(symbols)
        borders = [0, *accumulate(map(len, symbols))]
        for begin in range(self.size):
            for at, i in lexicon.trie.matches(text, borders[begin]):
                end = bisect_left(borders, at)  # a piece that ends inside of a character has it all
                # By characters here (`Model::PopulateNodes`), by bytes in `Model::EncodeOptimized`:
                # so it is in unigram_model.cc, and `UnigramSentencePiece.standing` has the latter.
                free = i in user_defined
                score = user_defined_score(end - begin) if free else lexicon.scores[i]
                self._insert(Node(begin, end, i, score))
            if all(node.end > begin + 1 for node in self.beginning[begin]):
                self._insert(Node(begin, begin + 1, lexicon.unknown_id, lexicon.unknown_score))

    def _insert(self, node: Node) -> None:
        self.beginning[node.begin].append(node)
        self.ending[node.end].append(node)

    def best(self) -> tuple[list[Node], float]:
        """The best row and its score; every node learns the best row that ends with it."""
        for beginning, ending in zip(self.beginning, self.ending):
            for node in beginning:
                node.before = None
                for before in ending:
                    score = single(before.best + node.score)
                    if node.before is None or score > node.best:
                        node.before, node.best = before, score
        row = []
        last = self.end.before
        while last is not None and last is not self.start:
            row.append(last)
            last = last.before
        return row[::-1], self.end.best

    def nbest(self, n: int) -> list[tuple[list[Node], float]]:
        """The `n` best rows, or as many as there are, the best first; the best if it gives up."""
        best = self.best()
        agenda = [Part(self.end, None, 0, self.end.best)]
        rows: list[tuple[list[Node], float]] = []
        parts, new, cuts, max_new = 1, 1, 0, MAX_NEW
        while agenda and len(rows) < n:
            part = heappop(agenda)
            if part.node is self.start:
                rows.append((part.nodes(), part.whole))
                continue
            ending = self.ending[part.node.begin]
            for node in ending:
                score = single(node.score + part.score)
                heappush(agenda, Part(node, part, score, single(node.best + part.score)))
            parts += len(ending)
            new += len(ending)
            if parts >= MAX_PARTS:
                return [best]
            least = min(MIN_AGENDA, n * 10)
            if len(agenda) >= MAX_AGENDA or (len(agenda) > least and new >= max_new):
                if cuts == MAX_CUTS:
                    return [best]
                agenda, new = _cut_back(agenda, least)
                cuts, max_new = cuts + 1, new + MAX_NEW
        return rows

    def sample(self, alpha: float, rng: Random) -> list[Node]:
        """A row by chance; `alpha` 0 lets all rows be alike, a large one prefers the best."""
        sums = [0.0] * (self.size + 1)  # of the rows that end at a place: the logarithm
        for end in range(1, self.size + 1):
            sums[end] = _log_sum([sums[n.begin] + alpha * n.score for n in self.ending[end]])
        row: list[Node] = []
        at = self.size
        while at > 0:
            ending = self.ending[at]
            shares = [sums[node.begin] + alpha * node.score - sums[at] for node in ending]
            row.append(ending[draw(shares, rng)])
            at = row[-1].begin
        return row[::-1]


def _cut_back(agenda: list[Part], least: int) -> tuple[list[Part], int]:
    """The best parts of an agenda, and how many parts they are made of."""
    kept = [heappop(agenda) for _ in range(min(len(agenda), least))]
    made = set()
    for part in kept:
        rest: Part | None = part
        while rest is not None and id(rest) not in made:
            made.add(id(rest))
            rest = rest.rest
    return kept, len(made)  # sorted, so it is a heap


def _log_sum(logs: Sequence[float]) -> float:
    most = max(logs)
    return most + log(sum(exp(x - most) for x in logs)) if isfinite(most) else most


def draw(logs: Sequence[float], rng: Random) -> int:
    """An index, by chance, in proportion to exp(logs); the first if no chance is left for any."""
    chances = [exp(min(x, 700)) if isfinite(x) else 0.0 for x in logs]
    return rng.choices(range(len(logs)), chances)[0] if any(chances) else 0
