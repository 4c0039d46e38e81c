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

MAX_MATCHES: Final = (
    32  # normalizer.h, kMaxTrieResultsSize: longer matches than the 32nd are not seen
)


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
        self.units: list[int] = units.tolist()

    def longest_prefix(self, text: bytes, pos: int) -> tuple[bytes, int] | None:
        """The replacement of the longest known prefix of text[pos:] and the prefix's size, or
        None.
        """
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


def _offset(unit: int) -> int:
    return (unit >> 10) << ((unit >> 6) & 8)


def _jumps_stay_inside(units: NDArray[np.uint32], n_replacements: int) -> bool:
    """darts.h, `validate`: the root is a node, every child block lies inside, every leaf is a value
    inside.
    """
    index = np.arange(len(units), dtype=np.int64)
    wide = units.astype(np.int64)
    children = index ^ ((wide >> 10) << ((wide >> 6) & 8))
    is_node = wide < 1 << 31
    has_leaf = (wide >> 8 & 1).astype(bool)
    if wide[0] & 0x800001FF or children[0] == 0 or (children[is_node] | 0xFF).max() >= len(units):
        return False
    leaves = children[is_node & has_leaf]
    values = wide[~is_node] & 0x7FFFFFFF
    return bool((wide[leaves] >> 31).all() and (values < n_replacements).all())
