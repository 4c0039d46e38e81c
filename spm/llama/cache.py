"""The keys and values of the positions already seen, so that a step costs one token and not all."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from spm.errors import ModelError
from spm.llama.config import LlamaConfig
from spm.llama.ops import KVStore, Segment

FIRST_CAPACITY = 64  # positions; doubled whenever they run out, up to the context


class KVCache:
    """What one text has built up: `length` positions, kept in a store of the model's back end.

    Memory grows by doubling and never past `config.max_seq_len`. A cache belongs to the model that
    made it, and to one thread at a time.
    """

    def __init__(self, config: LlamaConfig, store: KVStore, model: object) -> None:
        self.config, self.model = config, model
        self._store, self._length, self._capacity = store, 0, 0
        self._in_use = threading.Lock()

    @property
    def length(self) -> int:
        """How many positions are in use."""
        return self._length

    @contextmanager
    def use(self) -> Iterator[None]:
        """For as long as a text grows. ModelError if it grows already: no two may write to it."""
        if not self._in_use.acquire(blocking=False):
            raise ModelError("cache: found it in use, expected one text and one thread at a time")
        try:
            yield
        finally:
            self._in_use.release()

    def reserve(self, T: int) -> None:
        """Room for T more positions, or ModelError where the context has none."""
        needed, context = self._length + T, self.config.max_seq_len
        if needed > context:
            raise ModelError(
                f"context: found {self._length} positions in use and {T} new ids, "
                f"expected at most {context} in all (llama.context_length)"
            )
        if needed > self._capacity:
            capacity = min(max(needed, 2 * self._capacity, FIRST_CAPACITY), context)
            self._store.grow(capacity, self._length)
            self._capacity = capacity

    def segment(self, T: int) -> Segment:
        """The next T positions."""
        return Segment(self._store, self._length, T)

    def advance(self, T: int) -> None:
        """T positions are complete in every layer. Until then a failed pass leaves no trace."""
        self._length += T
