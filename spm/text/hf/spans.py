"""What a model answers: ids, and the bytes of a part of the text that each stands for.

Places are in bytes because two of the models spell what they do not know byte by byte; a byte has
the place of its character.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

from spm.errors import EncodeError
from spm.vocab.vocab import byte_piece


class Span(NamedTuple):
    """An id and the bytes of the part that it stands for."""

    id: int
    begin: int
    end: int


class Model(Protocol):
    """What turns a part into ids."""

    def tokenize(self, part: str) -> list[Span]:
        """The ids of a part, which is not empty. Raises EncodeError if it has none."""


def in_a_row(tokens: Iterable[tuple[int, int]]) -> list[Span]:
    """Ids and sizes -> where they stand, one behind the other."""
    spans: list[Span] = []
    end = 0
    for i, size in tokens:
        spans.append(Span(i, end, end + size))
        end += size
    return spans


def byte_ids_of(ids: Mapping[str, int]) -> list[int | None]:
    """The ids of the pieces <0x00> to <0xFF>, None where there is none."""
    return [ids.get(byte_piece(byte).decode()) for byte in range(256)]


def unknown(source: str, unk_id: int | None, part: str) -> list[Span]:
    """A word that has no pieces."""
    if unk_id is None:
        raise EncodeError(
            f"{source}: a word of the text has no piece, and model.unk_token has none,"
            " expected one for unknown words"
        )
    return [Span(unk_id, 0, len(part.encode()))]
