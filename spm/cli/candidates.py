"""What the model thought of each id that was chosen, and of those that might have been."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from spm.errors import quoted
from spm.llama import Choice
from spm.llama.sampling import likeliest
from spm.vocab import Vocab

RUNNERS_UP = 3


@dataclass(frozen=True)
class Candidate:
    """An id, and the model's own word on it, before sampling has bent anything."""

    id: int
    piece: bytes
    probability: float
    logit: float

    def told(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self) | {"piece": self.piece.decode("utf-8", "backslashreplace")}


@dataclass(frozen=True)
class Considered:
    """The id that was chosen, and the likeliest of the others."""

    chosen: Candidate
    runners_up: Sequence[Candidate]

    def told(self) -> dict[str, Any]:
        """As JSON has it."""
        others = [candidate.told() for candidate in self.runners_up]
        return self.chosen.told() | {"runners_up": others}


def consider(choice: Choice, vocab: Vocab) -> Considered:
    """Look at a choice: softmax over the logits (V,) of the whole vocabulary."""
    logits = choice.logits.astype(np.float64)
    top = float(logits.max())
    total = float(np.exp(logits - top).sum())

    def candidate(i: int) -> Candidate:
        logit = float(logits[i])
        return Candidate(i, vocab.pieces[i], float(np.exp(logit - top)) / total, logit)

    others = [int(i) for i in likeliest(logits, RUNNERS_UP + 1) if i != choice.id]
    return Considered(candidate(choice.id), [candidate(i) for i in others[:RUNNERS_UP]])


def table(rows: Sequence[Considered]) -> Iterator[str]:
    """The rows in aligned columns, the head first."""
    yield f"{'id':>6} {'piece':<11}{'prob.':>6}{'logit':>8}  runners-up"
    for row in rows:
        c = row.chosen
        others = "".join(f"  {_piece(o):<10}{o.probability:>6.1%}" for o in row.runners_up)
        yield f"{c.id:>6} {_piece(c):<11}{c.probability:>6.1%}{c.logit:>8.3f}{others}"


def _piece(c: Candidate) -> str:
    return quoted(c.piece, 16)
