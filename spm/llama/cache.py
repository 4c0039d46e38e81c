"""The keys and values of the positions already seen, so that a step costs one token and not all."""

from __future__ import annotations

from spm.errors import ModelError
from spm.llama.config import LlamaConfig
from spm.llama.ops import KVStore, Segment

FIRST_CAPACITY = 64  # positions; doubled whenever they run out, up to the context


class KVCache:
    """What one text has built up: `length` positions, kept in a store of the model's back end.

    Memory grows by doubling and never past `config.max_seq_len`.
    """

    def __init__(self, config: LlamaConfig, store: KVStore) -> None:
        self.config = config
        self.length = 0
        self._store, self._capacity = store, 0

    def reserve(self, T: int) -> None:
        """Room for T more positions, or ModelError where the context has none."""
        needed, context = self.length + T, self.config.max_seq_len
        if needed > context:
            raise ModelError(
                f"context: found {self.length} positions in use and {T} new ids, "
                f"expected at most {context} in all (llama.context_length)"
            )
        if needed > self._capacity:
            self._capacity = min(max(needed, 2 * self._capacity, FIRST_CAPACITY), context)
            self._store.grow(self._capacity, self.length)

    def segment(self, T: int) -> Segment:
        """The next T positions."""
        return Segment(self._store, self.length, T)

    def advance(self, T: int) -> None:
        """T positions are complete in every layer. Until then a failed pass leaves no trace."""
        self.length += T
