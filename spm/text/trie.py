"""All pieces that a text goes on with at some place, the shortest first.

A radix tree: every edge is labelled with the bytes that have no branch between them, so there are
fewer than two edges for each piece, however long it is.

    pieces  to  toast  toss             to ─┬─ as t   "toast"
                                   (root) ──┤
                                            └─ s s    "toss"

`children` maps node << 8 | first byte of an edge to the node it leads to; `labels` and `ids` are
by node. A look-up costs as much as of the text is matched, and building as much as the pieces are
long: no vocabulary is slow.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator

NO_PIECE = -1


class Trie:
    """Pieces, none of them empty, and their ids."""

    def __init__(self, pieces: Iterable[tuple[bytes, int]]) -> None:
        self.children: dict[int, int] = {}
        self.labels = [b""]  # of the edge that leads to a node
        self.ids = [NO_PIECE]  # the piece that ends at a node
        for piece, i in pieces:
            self._insert(piece, i)

    def matches(self, text: bytes, at: int) -> Iterator[tuple[int, int]]:
        """Where each piece ends that stands at `at`, and its id."""
        node, size = 0, len(text)
        while at < size and (child := self.children.get(node << 8 | text[at])):
            if not text.startswith(self.labels[child], at):
                return
            node = child
            at += len(self.labels[node])
            if self.ids[node] != NO_PIECE:
                yield at, self.ids[node]

    def reach(self, text: bytes, at: int) -> int:
        """How many bytes of the text at `at` begin some piece, which need not end there."""
        node, begin = 0, at
        while at < len(text) and (node := self.children.get(node << 8 | text[at], 0)):
            shared = _shared(self.labels[node], text, at)
            at += shared
            if shared < len(self.labels[node]):
                break
        return at - begin

    def _insert(self, piece: bytes, i: int) -> None:
        node = at = 0
        while at < len(piece):
            key = node << 8 | piece[at]
            if key not in self.children:
                self.children[key] = self._node(piece[at:])
            node = self.children[key]
            shared = _shared(self.labels[node], piece, at)
            if shared < len(self.labels[node]):
                node = self._split(key, shared)
            at += shared
        self.ids[node] = i

    def _node(self, label: bytes) -> int:
        self.labels.append(label)
        self.ids.append(NO_PIECE)
        return len(self.labels) - 1

    def _split(self, key: int, size: int) -> int:
        """A node in the middle of an edge, `size` bytes behind its beginning."""
        below = self.children[key]
        label = self.labels[below]
        middle = self._node(label[:size])
        self.children[key] = middle
        self.children[middle << 8 | label[size]] = below
        self.labels[below] = label[size:]
        return middle


def _shared(label: bytes, text: bytes, at: int) -> int:
    """How many bytes of a label the text at `at` begins with."""
    if text.startswith(label, at):
        return len(label)
    sizes = range(1, len(label) + 1)
    return bisect_left(sizes, True, key=lambda n: not text.startswith(label[:n], at))
