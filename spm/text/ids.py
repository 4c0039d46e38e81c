"""Ids as people hand them over: any integers, in anything that can be iterated."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import SupportsIndex

from spm.errors import DecodeError, brief
from spm.vocab import Vocab


def checked_id(vocab: Vocab, i: SupportsIndex) -> int:
    """An id of the vocabulary as an int. Raises DecodeError for anything else."""
    try:
        n = operator.index(i)
    except TypeError:
        raise DecodeError(f"id is {type(i).__name__}, expected an integer") from None
    if not 0 <= n < len(vocab.pieces):
        raise DecodeError(f"id {brief(n)}, expected 0 to {len(vocab) - 1}")
    return n


def checked_ids(vocab: Vocab, ids: Iterable[SupportsIndex]) -> list[int]:
    """All of them. Raises TypeError for a text, which iterates as well."""
    if isinstance(ids, (str, bytes)):
        raise TypeError(f"ids is {type(ids).__name__}, expected integers")
    return [checked_id(vocab, i) for i in ids]
