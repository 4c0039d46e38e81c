"""logits -> the next id: a chain of small filters over candidates, in llama.cpp's default order.

    penalties, top-k, typical-p, top-p, min-p, temperature, draw

(common/common.h, `common_params_sampling::samplers`; each filter as in src/llama-sampler.cpp). Note
that the filters judge probabilities before the temperature bends them. DRY, top-n-sigma and XTC,
which are off by default there, do not exist here. Only two things differ by design: among equal
logits the lower id comes first (there, wherever a sort puts it), and the draw uses NumPy's PCG64
(there, a Mersenne Twister), so equal seeds give equal texts here but not across the two.

The first two see the whole vocabulary, the others the few candidates that top-k leaves: how fast an
id is chosen is decided in `likeliest`. Logits are float64 wherever something is added to them or
multiplied; float64 holds the model's float32 exactly, so top-k may choose among either.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from spm.errors import ModelError, brief


@dataclass(frozen=True)
class Sampling:
    """How to choose the next id. The defaults are llama.cpp's, except that the seed is not random.

    Off: top_k=0, top_p=1, min_p=0, typical_p=1, repeat_penalty=1, the other penalties 0. A
    temperature of 0 is greedy: always the likeliest id (after penalties), the lowest among equals.
    Penalties look at the last `penalty_last_n` ids, prompt included. Raises ModelError for a value
    out of range.
    """

    temperature: float = 0.8
    top_k: int = 40
    top_p: float = 0.95
    min_p: float = 0.05
    typical_p: float = 1.0
    repeat_penalty: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    penalty_last_n: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        _require("temperature", self.temperature, float, 0, 1e6)
        _require("top_k", self.top_k, int, 0, 2**31 - 1)
        _require("top_p", self.top_p, float, 0, 1)
        _require("min_p", self.min_p, float, 0, 1)
        _require("typical_p", self.typical_p, float, 0, 1)
        _require("repeat_penalty", self.repeat_penalty, float, 1e-6, 1e6)
        _require("frequency_penalty", self.frequency_penalty, float, -1e6, 1e6)
        _require("presence_penalty", self.presence_penalty, float, -1e6, 1e6)
        _require("penalty_last_n", self.penalty_last_n, int, 0, 2**31 - 1)
        _require("seed", self.seed, int, 0, 2**64 - 1)

    @property
    def penalizes(self) -> bool:
        """Whether the ids before have a say."""
        penalties = (self.repeat_penalty, self.frequency_penalty, self.presence_penalty)
        return self.penalty_last_n > 0 and penalties != (1, 0, 0)


def _require(name: str, value: object, kind: type, low: float, high: float) -> None:
    kinds = (int, float) if kind is float else (int,)
    sound = isinstance(value, kinds) and not isinstance(value, bool)
    if not (sound and low <= value <= high):  # type: ignore[operator]  # NaN is in no range
        noun = "a number" if kind is float else "an integer"
        raise ModelError(
            f"sampling: {name}: found {brief(value)}, expected {noun} from {low:g} to {high:g}"
        )


class Candidates(NamedTuple):
    """The ids still in play and their logits, side by side."""

    ids: npt.NDArray[np.intp]  # (n,)
    logits: npt.NDArray[np.float64]  # (n,)


def next_id(
    logits: npt.NDArray[Any], recent: Sequence[int], sampling: Sampling, rng: np.random.Generator
) -> int:
    """Choose an id from logits (V,), given the ids before it. Raises ModelError for NaN logits."""
    if not np.isfinite(logits.max()):  # the maximum of anything with a NaN is NaN
        raise ModelError("logits: found no finite maximum, expected numbers: broken weights?")
    s = sampling
    if s.penalizes:
        recent = recent[-s.penalty_last_n :]
        logits = penalize(logits, recent, s.repeat_penalty, s.frequency_penalty, s.presence_penalty)
    if s.temperature == 0:
        return int(np.argmax(logits))
    c = keep_top_k(logits, s.top_k)
    c = keep_typical(c, s.typical_p)
    c = keep_top_p(c, s.top_p)
    c = keep_min_p(c, s.min_p)
    return draw(apply_temperature(c, s.temperature), rng)


def penalize(
    logits: npt.NDArray[Any],
    recent: Sequence[int],
    repeat: float,
    frequency: float,
    presence: float,
) -> npt.NDArray[np.float64]:
    """Make recently seen ids less likely: logits (V,) -> (V,).

    `repeat` divides a positive logit and multiplies a negative one: dividing that would raise it.
    """
    seen, count = np.unique(np.asarray(recent, np.intp), return_counts=True)
    logits = logits.astype(np.float64)
    old = logits[seen]
    logits[seen] = np.where(old > 0, old / repeat, old * repeat) - (count * frequency + presence)
    return logits


def keep_top_k(logits: npt.NDArray[Any], k: int) -> Candidates:
    """The k likeliest of logits (V,); of equals, the lower ids. 0 keeps all."""
    ids = likeliest(logits, k) if k else np.arange(len(logits))
    return Candidates(ids, logits[ids].astype(np.float64))


def likeliest(logits: npt.NDArray[Any], k: int) -> npt.NDArray[np.intp]:
    """The ids of the k >= 1 largest logits (V,), the largest first; of equals, the lower id first.

    Sorting a vocabulary takes milliseconds, so most of it is ruled out before. Cut it into 16 k
    groups: at least k logits are as large as the k-th largest maximum of a group, and few more.
    """
    n_groups = 16 * k
    rows = len(logits) // n_groups
    if rows < 2:
        return np.argsort(-logits, kind="stable")[:k]
    maxima = logits[: rows * n_groups].reshape(rows, n_groups).max(axis=0)  # a group is a column
    near = np.flatnonzero(logits >= np.partition(maxima, -k)[-k])
    return near[np.argsort(-logits[near], kind="stable")[:k]]


def keep_top_p(c: Candidates, p: float) -> Candidates:
    """The fewest likeliest whose probabilities sum to p or more."""
    if p >= 1:
        return c
    c = _ordered(c)
    reached = np.flatnonzero(np.cumsum(probabilities(c)) >= p)
    return _take(c, slice(reached[0] + 1 if reached.size else None))


def keep_min_p(c: Candidates, p: float) -> Candidates:
    """Those at least p times as likely as the likeliest."""
    if p <= 0:
        return c
    return _take(c, c.logits >= c.logits.max() + math.log(p))


def keep_typical(c: Candidates, p: float) -> Candidates:
    """The fewest nearest to the expected surprise whose probabilities sum to more than p.

    Locally typical sampling (Meister et al. 2022): drops the improbable and the all too probable.
    """
    if p >= 1:
        return c
    prob = probabilities(c)
    surprise = -np.log(prob, out=np.full_like(prob, -np.inf), where=prob > 0)
    entropy = np.sum(prob * np.where(prob > 0, surprise, 0))
    order = np.argsort(np.abs(surprise - entropy), kind="stable")
    passed = np.flatnonzero(np.cumsum(prob[order]) > p)
    return _take(c, order[: passed[0] + 1 if passed.size else None])


def apply_temperature(c: Candidates, temperature: float) -> Candidates:
    """Logits over the temperature: below 1 sharper, above 1 flatter. The likeliest becomes 0."""
    with np.errstate(over="ignore"):  # -inf is right for what a tiny temperature rules out
        return Candidates(c.ids, (c.logits - c.logits.max()) / temperature)


def draw(c: Candidates, rng: np.random.Generator) -> int:
    """One id, each with its probability."""
    ladder = np.cumsum(probabilities(c))
    rung = np.searchsorted(ladder, rng.random() * ladder[-1], side="right")
    return int(c.ids[min(int(rung), len(c.ids) - 1)])


def probabilities(c: Candidates) -> npt.NDArray[np.float64]:
    """Softmax over what is left: (n,), sum 1."""
    e = np.exp(c.logits - c.logits.max())
    p: npt.NDArray[np.float64] = e / e.sum()
    return p


def _ordered(c: Candidates) -> Candidates:
    return _take(c, np.argsort(-c.logits, kind="stable"))


def _take(c: Candidates, which: slice | npt.NDArray[Any]) -> Candidates:
    return Candidates(c.ids[which], c.logits[which])
