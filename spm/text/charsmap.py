"""sentencepiece's `precompiled_charsmap`: which characters become which others, as a trie.

    <u32: bytes of the trie> <the trie: u32 units> <replacements, each ended by NUL>

The trie is a double array, all of it in one row of units. A node's children begin at `base`; the
child for byte c is unit `base ^ c`, and it is really there if its label is c. A unit packs

    bits 31, 7..0   label; with bit 31 set the unit is no node but a value
    bit  8          has_leaf: a key ends here, and its value is unit `base ^ 0`
    bit  9          the offset counts in units of 256
    bits 30..10     offset: base is the node's own index ^ offset
    bits 30..0      (of a value) where the replacement begins

Sources: sentencepiece src/normalizer.cc (`DecodePrecompiledCharsMap`, `NormalizePrefix`) and
third_party/darts_clone/darts.h (`DoubleArrayUnit`, `validate`, `commonPrefixSearch`).
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from spm.errors import VocabError

MAX_KEY_BYTES: Final = 256  # real keys are below 20
MAX_MATCHES: Final = 32  # normalizer.h, kMaxTrieResultsSize: no match after the 32nd is seen


class Charsmap:
    """A checked charsmap that replaces the longest prefix it knows.

    Raises VocabError if sentencepiece would refuse the blob; every jump inside it is then known to
    stay inside.
    """

    def __init__(self, blob: bytes, source: str) -> None:
        size = int.from_bytes(blob[:4], "little")
        if len(blob) <= 4 or size >= len(blob) - 4:
            raise VocabError(
                f"{source}: precompiled_charsmap: a trie of {size} bytes announced,"
                f" {max(len(blob) - 4, 0)} bytes follow, expected more than the trie"
            )
        if size < 1024 or size % 1024:
            raise VocabError(
                f"{source}: precompiled_charsmap: a trie of {size} bytes,"
                " expected a multiple of 1024"
            )
        units = np.frombuffer(blob, "<u4", size // 4, 4)
        self.replacements = blob[4 + size :]
        if self.replacements[-1:] != b"\0":
            raise VocabError(
                f"{source}: precompiled_charsmap: the last byte is not 0, expected NUL"
            )
        if not _jumps_stay_inside(units, len(self.replacements)):
            raise VocabError(
                f"{source}: precompiled_charsmap: a jump leaves the trie, expected none"
            )
        if not _paths_end(units):
            raise VocabError(
                f"{source}: precompiled_charsmap: the trie loops, or its paths are too many or too"
                f" long, expected keys of at most {MAX_KEY_BYTES} bytes"
            )
        self.units: list[int] = units.tolist()

    def longest_prefix(self, text: bytes, pos: int) -> tuple[bytes, int] | None:
        """Of the longest known prefix of text[pos:]: its replacement and its size, or None."""
        units = self.units
        node = _offset(units[0])
        found: tuple[int, int] | None = None  # where the replacement begins, size of the prefix
        matches = 0
        for at in range(pos, len(text)):
            node ^= text[at]
            unit = units[node]
            if unit & 0x800000FF != text[at]:
                break
            node ^= _offset(unit)
            if unit >> 8 & 1:
                found = units[node] & 0x7FFFFFFF, at + 1 - pos
                matches += 1
                if matches == MAX_MATCHES:
                    break
        if found is None:
            return None
        begin, size = found
        return self.replacements[begin : self.replacements.index(0, begin)], size

    def shortest_prefix(self, text: str) -> str | None:
        """Of the shortest known prefix of a text: its replacement, or None.

        That is what Hugging Face's spm_precompiled looks for (`transform`), up to a NUL.
        """
        units = self.units
        node = _offset(units[0])
        for byte in text.encode():
            node ^= byte
            unit = units[node]
            if byte == 0 or unit & 0x800000FF != byte:
                return None
            node ^= _offset(unit)
            if unit >> 8 & 1:
                begin = units[node] & 0x7FFFFFFF
                return self.replacements[begin : self.replacements.index(0, begin)].decode()
        return None


def _offset(unit: int) -> int:
    return (unit >> 10) << ((unit >> 6) & 8)


def _jumps_stay_inside(units: NDArray[np.uint32], n_replacements: int) -> bool:
    """darts.h, `validate`: the root is a node, and all children and values lie inside."""
    wide = units.astype(np.int64)
    children = _children(wide)
    is_node = wide < 1 << 31
    has_leaf = (wide >> 8 & 1).astype(bool)
    if wide[0] & 0x800001FF or children[0] == 0 or (children[is_node] | 0xFF).max() >= len(units):
        return False
    leaves = children[is_node & has_leaf]
    values = wide[~is_node] & 0x7FFFFFFF
    return bool((wide[leaves] >> 31).all() and (values < n_replacements).all())


def _children(wide: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where the children of each unit begin, if it is a node."""
    return np.arange(len(wide)) ^ ((wide >> 10) << ((wide >> 6) & 8))  # as `_offset`


def _paths_end(units: NDArray[np.uint32]) -> bool:
    """Whether every path from the root ends soon, which sentencepiece does not ask.

    Level by level: the children of a node at `base` are the nodes whose index ^ label is `base`.
    Nodes may share children, so a path is followed again, but never more often than a real trie
    does.
    """
    wide = units.astype(np.int64)
    children = _children(wide)
    nodes = np.flatnonzero(wide < 1 << 31)
    bases = nodes ^ (wide[nodes] & 0xFF)
    order = np.argsort(bases, kind="stable")
    nodes, bases = nodes[order], bases[order]
    level = np.array([0])
    budget = 16 * len(units)
    for _ in range(MAX_KEY_BYTES + 1):
        wanted = np.unique(children[level])
        first, last = np.searchsorted(bases, wanted), np.searchsorted(bases, wanted, "right")
        counts = last - first
        budget -= int(counts.sum())
        if not counts.any() or budget < 0:
            return budget >= 0
        ends = np.cumsum(counts)
        level = nodes[np.repeat(last - ends, counts) + np.arange(ends[-1])]
    return False
