"""Post-processors: where tokens are said to stand once the white space in them does not count.

A piece counts its own white space, at its beginning and at its end, in characters, and so much is
taken off the ends of its place. Sources: tokenizers/src/pre_tokenizers/byte_level.rs
(`process_offsets`) and src/processors/roberta.rs.
"""

from __future__ import annotations

from typing import Final

from spm.text.byte_level import LETTERS
from spm.text.unicode import WHITE_SPACE
from spm.vocab.pipeline import TrimOffsets

_SPACES: Final = WHITE_SPACE + LETTERS[0x20].decode()  # Ġ, which is a space


def trimmed(
    places: list[tuple[int, int]], pieces: list[str], trim: TrimOffsets
) -> list[tuple[int, int]]:
    """The places of all tokens without their white space; `pieces` are their texts."""
    out: list[tuple[int, int]] = []
    for at, ((begin, end), piece) in enumerate(zip(places, pieces)):
        leading = len(piece) - len(piece.lstrip(_SPACES))
        trailing = len(piece) - len(piece.rstrip(_SPACES))
        if leading == 1 and trim.add_prefix_space and (at == 0 or begin == 0):
            leading = 0  # the space that was put there
        begin = min(begin + leading, end) if leading else begin
        if trailing and end >= trailing:
            end = max(end - trailing, begin)
        out.append((begin, end))
    return out
