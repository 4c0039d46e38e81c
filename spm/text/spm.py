"""Score merging: the whole of SPM encoding, once a text is normalised and cut into symbols.

Theory. A text begins as a row of symbols, its characters. Two neighbours may merge if their
concatenation is a piece of the vocabulary; such a candidate is a bigram. Again and again the best
bigram of the whole row merges: the one with the largest score, and of equal scores the leftmost.
When no bigram is left, the symbols are the pieces. Any two neighbours may merge, whatever they were
made from: there is no list of merges.

    pieces     h  e  l  o   he -1   ll -2   el -3   hello -4   hell -5

    h e l l o  bigrams  he -1, el -3, ll -2    he is best, and el goes away with its e
    he l l o   bigrams  ll -2
    he ll o    bigrams  hell -5                hello's better score is of no use yet
    hell o     bigrams  hello -4
    hello

An agenda (a heap) holds the bigrams. A merge makes at most two new ones and outdates at most two
old ones, which stay in the agenda until their turn. An outdated one is known by its size: symbols
only ever grow, and the one that is swallowed becomes empty, so both sides are there and as long as
they were exactly if neither has changed. n symbols take at most n - 1 merges, so there are at most
3n bigrams, at log n each: no text is slow.

This is `llm_tokenizer_spm_session` in llama.cpp's src/llama-vocab.cpp and
`bpe::Model::SampleEncode` in sentencepiece's src/bpe_model.cc. The two differ in which pieces may
be merged to and in how scores compare, which is to say in `ranks`; besides, sentencepiece freezes
user-defined symbols, and remembers halves so that it can take UNUSED pieces apart again.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from heapq import heapify, heappop, heappush

Bigram = tuple[float, int, int, int]  # rank (the smallest merges first), left, right, size


def merge(
    symbols: list[bytes],
    ranks: Mapping[bytes, float],
    frozen: Container[int] = (),
    splits: dict[bytes, tuple[bytes, bytes]] | None = None,
) -> list[bytes]:
    """Merge neighbours until no bigram is left; return the symbols that remain, in order.

    `ranks` holds every piece that may be a merge result; the smallest merges first. Symbols whose
    index is in `frozen` never merge. `splits`, if given, learns the two halves of every bigram that
    was considered.
    """

    def rank_of(left: bytes, right: bytes) -> float | None:
        rank = ranks.get(left + right)
        if rank is not None and splits is not None:
            splits[left + right] = left, right
        return rank

    return merge_by(rank_of, symbols, frozen)


def merge_by(
    rank_of: Callable[[bytes, bytes], float | None],
    symbols: list[bytes],
    frozen: Container[int] = (),
) -> list[bytes]:
    """As `merge`, with a rank for two neighbours, or None if they do not merge."""
    row = list(symbols)  # b"" where a symbol was swallowed by the one to its left
    n = len(row)
    before = list(range(-1, n - 1))  # the neighbours; -1 and n are the ends
    after = list(range(1, n + 1))

    def consider(left: int, right: int) -> Bigram | None:
        if left in frozen or right in frozen:
            return None
        rank = rank_of(row[left], row[right])
        return None if rank is None else (rank, left, right, len(row[left]) + len(row[right]))

    agenda = [b for i in range(n - 1) if (b := consider(i, i + 1))]
    heapify(agenda)
    while agenda:
        _, left, right, size = heappop(agenda)
        if not row[left] or not row[right] or len(row[left]) + len(row[right]) != size:
            continue  # outdated
        row[left] += row[right]
        row[right] = b""
        after[left] = after[right]
        if after[left] < n:
            before[after[left]] = left
            if bigram := consider(left, after[left]):
                heappush(agenda, bigram)
        if before[left] >= 0 and (bigram := consider(before[left], left)):
            heappush(agenda, bigram)
    return [symbol for symbol in row if symbol]
