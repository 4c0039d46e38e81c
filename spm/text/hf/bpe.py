"""BPE as tokenizers does it: characters become ids, and pairs of ids merge by rank.

Theory. `vocab` gives each character its id; what it lacks is spelled by its bytes, or is unknown.
Then the pair of neighbours with the lowest rank in the list of merges becomes one id, the leftmost
of equal ones first, until no pair is in the list. It is the agenda of spm/text/spm.py over ids: an
unknown piece merges as what it is, whatever stands in the text.

    vocab   <unk> 0  l 1  o 2  w 3  lo 4  low 5      merges  l o    lo w

    l o w ?     1 2 3 0
    lo w ?      4 3 0
    low ?       5 0

Unknown characters wait: with `fuse_unk` those side by side are one piece. Characters that are
spelled by their bytes do not end the wait, so an unknown one may come to stand behind them; that is
the library's way, and so is leaving characters out if nothing is known for unknown ones.

Source: tokenizers/src/models/bpe (model.rs, `merge_word`; word.rs, `merge_all`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from heapq import heapify, heappop, heappush
from itertools import pairwise

from spm.text.hf.spans import Span, byte_ids_of, in_a_row
from spm.vocab import pipeline as hf

Symbol = tuple[int, int]  # an id, and the size of what it stands for
Merges = Mapping[tuple[int, int], tuple[int, int]]  # a pair of ids -> its rank, what results


class Bpe:
    """A BPE model; `ids` holds its own pieces, not the added ones."""

    def __init__(self, source: str, ids: Mapping[str, int], step: hf.BPE) -> None:
        self.ids = ids
        self.step = step
        ranked = enumerate(step.merges)  # of equal pairs the last one counts
        self.merges = {(left, right): (rank, new) for rank, (left, right, new) in ranked}
        self.byte_ids = byte_ids_of(ids)

    def tokenize(self, part: str) -> list[Span]:
        """The ids of a part."""
        if self.step.ignore_merges and part in self.ids:
            return [Span(self.ids[part], 0, len(part.encode()))]
        return in_a_row(merge_pairs(list(self._symbols(part)), self.merges))

    def _symbols(self, part: str) -> Iterator[Symbol]:
        step, unk_id = self.step, self.step.unk_id
        waiting = 0  # the size of an unknown piece
        for at, char in enumerate(part):
            shown = step.continuing_subword_prefix + char if at else char
            shown += step.end_of_word_suffix if at == len(part) - 1 else ""
            size = len(char.encode())
            if shown in self.ids:
                if waiting and unk_id is not None:
                    yield unk_id, waiting
                waiting = 0
                yield self.ids[shown], size
            elif spelled := self._spelled(char):
                yield from spelled
            elif unk_id is not None:
                if waiting and not step.fuse_unk:
                    yield unk_id, waiting
                    waiting = 0
                waiting += size
        if waiting and unk_id is not None:
            yield unk_id, waiting

    def _spelled(self, char: str) -> list[Symbol]:
        """The ids of a character's bytes; nothing unless all of them have one."""
        if not self.step.byte_fallback:
            return []
        found = [self.byte_ids[byte] for byte in char.encode()]
        return [] if None in found else [(i, 1) for i in found if i is not None]


def merge_pairs(symbols: list[Symbol], merges: Merges) -> Iterator[Symbol]:
    """Merge pairs of ids until none is left.

    A pair that was queued is still good if what stands there now would become the same id.
    """
    row = [i for i, _ in symbols]
    sizes = [size for _, size in symbols]  # 0 where a symbol was swallowed
    n = len(row)
    before = list(range(-1, n - 1))  # the neighbours; -1 and n are the ends
    after = list(range(1, n + 1))
    agenda = [
        (*found[:1], at, *found[1:])
        for at, pair in enumerate(pairwise(row))
        if (found := merges.get(pair))
    ]
    heapify(agenda)
    while agenda:
        _, left, new = heappop(agenda)
        right = after[left]
        if not sizes[left] or right == n or merges.get((row[left], row[right]), (0, -1))[1] != new:
            continue  # outdated
        row[left] = new
        sizes[left], sizes[right] = sizes[left] + sizes[right], 0
        after[left] = after[right]
        if after[left] < n:
            before[after[left]] = left
        for first, second in ((before[left], left), (left, after[left])):
            if first >= 0 and second < n and (found := merges.get((row[first], row[second]))):
                heappush(agenda, (found[0], first, found[1]))
    return ((i, size) for i, size in zip(row, sizes) if size)
