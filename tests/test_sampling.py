"""Each filter against llama.cpp's recorded survivors and by hand; the chain; what is refused."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spm.errors import SpmError
from spm.llama import Sampling
from spm.llama.sampling import (
    Candidates,
    apply_temperature,
    draw,
    keep_min_p,
    keep_top_k,
    keep_top_p,
    keep_typical,
    likeliest,
    next_id,
    penalize,
    probabilities,
)

LINES = (
    (Path(__file__).parent.parent / "golden/llama/samplers.jsonl").read_text("utf-8").splitlines()
)
HEADER, *RECORDS = map(json.loads, LINES)
GREEDY = Sampling(temperature=0)


def candidates(*logits: float) -> Candidates:
    return Candidates(np.arange(len(logits)), np.array(logits, np.float64))


def likely(*p: float) -> Candidates:
    return candidates(*map(math.log, p))


def logits(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


# Against llama.cpp


def run(record: dict[str, Any]) -> Candidates:
    """Our filter for what llama.cpp was given; its `min_keep` of 1 is how ours always are."""
    c, args = candidates(*HEADER["logits"]), record["args"]
    match record["sampler"]:
        case "top_k":
            return keep_top_k(c.logits, args[0])
        case "top_p":
            return keep_top_p(c, args[0])
        case "min_p":
            return keep_min_p(c, args[0])
        case "typical":
            return keep_typical(c, args[0])
        case "temp":
            return apply_temperature(c, args[0])
        case "penalties":
            return candidates(*penalize(c.logits, HEADER["recent"][-args[1] :], *args[2:]))
    raise AssertionError(record["sampler"])


@pytest.mark.parametrize("record", RECORDS, ids=lambda r: f"{r['sampler']}-{r['args']}")
def test_a_filter_leaves_what_llama_cpps_leaves(record: dict[str, Any]) -> None:
    left = run(record)

    by_id = np.argsort(left.ids)
    logits = left.logits[by_id]
    # Only differences between logits count, and `apply_temperature` makes the largest 0.
    assert record["ids"] == left.ids[by_id].tolist()
    np.testing.assert_allclose(
        np.array(record["logits"]) - max(record["logits"]), logits - logits.max(), atol=1e-5, rtol=0
    )


# By hand


def test_top_k_prefers_the_lower_of_equal_ids() -> None:
    assert keep_top_k(logits(1, 2, 2, 0, 2), 2).ids.tolist() == [1, 2]


@given(
    st.lists(st.integers(-3, 3) | st.just(-math.inf) | st.floats(width=32), max_size=700),
    st.integers(1, 12),
    st.sampled_from([np.float32, np.float64]),
)
def test_the_likeliest_are_the_first_of_all_in_order(
    values: list[float], k: int, kind: type
) -> None:
    values = [0.0, *(v for v in values if v < math.inf)]  # neither NaN nor +inf

    in_order = sorted(range(len(values)), key=lambda i: (-values[i], i))

    assert in_order[:k] == likeliest(np.array(values, kind), k).tolist()


@pytest.mark.parametrize("size", [31, 32, 33, 1600, 32_000])
def test_among_equals_only_the_order_of_ids_counts(size: int) -> None:
    equal = np.zeros(size, np.float32)
    peaks = equal.copy()
    peaks[[size - 1, 7, size // 2]] = 1

    assert [0, 1] == likeliest(equal, 2).tolist()
    assert [7, size // 2, size - 1, 0] == likeliest(peaks, 4).tolist()


@pytest.mark.parametrize(
    ("p", "expected"),
    [(0.0, [2]), (0.4, [2]), (0.45, [2, 0]), (0.75, [2, 0, 3]), (1.0, [0, 1, 2, 3])],
)
def test_top_p_keeps_the_fewest_that_reach_p(p: float, expected: list[int]) -> None:
    assert keep_top_p(likely(0.3, 0.1, 0.4, 0.2), p).ids.tolist() == expected


@pytest.mark.parametrize(
    ("p", "expected"), [(0.0, [0, 1, 2, 3]), (0.3, [0, 2, 3]), (0.74, [0, 2]), (0.8, [2])]
)
def test_min_p_measures_against_the_likeliest(p: float, expected: list[int]) -> None:
    assert keep_min_p(likely(0.3, 0.1, 0.4, 0.2), p).ids.tolist() == expected


def test_typical_may_drop_the_likeliest() -> None:
    # (0.6, 4 x 0.1): entropy 1.228; the surprises 0.511 and 2.303 lie 0.717 and 1.075 away.
    assert keep_typical(likely(0.6, 0.1, 0.1, 0.1, 0.1), 0.5).ids.tolist() == [0]
    # (0.4, 12 x 0.05): entropy 2.164; 0.916 and 2.996 lie 1.247 and 0.832 away.
    assert 0 not in keep_typical(likely(0.4, *[0.05] * 12), 0.5).ids


def test_typical_survives_an_impossible_id() -> None:
    assert keep_typical(candidates(0.0, -math.inf, 0.0), 0.9).ids.tolist() == [0, 2]


def test_penalties_make_what_was_seen_less_likely() -> None:
    model_logits = logits(4.0, -4.0, 0.0, 4.0)

    seen = penalize(model_logits, [0, 1, 1, 2], repeat=2.0, frequency=0.25, presence=1.0)

    assert seen.tolist() == [4 / 2 - 1.25, -4 * 2 - 1.5, 0 - 1.25, 4.0]
    assert model_logits.tolist() == [4.0, -4.0, 0.0, 4.0]


def test_temperature_bends_and_does_not_reorder() -> None:
    cold, hot = (
        apply_temperature(candidates(1, 3, 2), 0.5),
        apply_temperature(candidates(1, 3, 2), 4.0),
    )

    assert cold.logits.tolist() == [-4, 0, -2]
    assert hot.logits.tolist() == [-0.5, 0, -0.25]


def test_a_tiny_temperature_is_greedy_and_not_a_nan() -> None:
    c = apply_temperature(candidates(1, 3, 2), 5e-324)

    assert probabilities(c).tolist() == [0, 1, 0]


def test_draw_follows_the_probabilities() -> None:
    source, c = rng(), likely(0.1, 0.6, 0.3)

    counts = np.bincount([draw(c, source) for _ in range(20000)], minlength=3) / 20000

    np.testing.assert_allclose([0.1, 0.6, 0.3], counts, atol=0.02)


# The chain


def test_temperature_0_takes_the_likeliest_and_the_lowest_of_equals() -> None:
    assert next_id(logits(1, 3, 3, 2), [], GREEDY, rng()) == 1


@pytest.mark.parametrize(
    "penalty", [{"repeat_penalty": 2.0}, {"frequency_penalty": 1.0}, {"presence_penalty": 1.0}]
)
def test_each_penalty_is_heard_alone(penalty: dict[str, float]) -> None:
    assert next_id(logits(3, 2.5), [0], Sampling(temperature=0, **penalty), rng()) == 1


def test_greedy_listens_to_penalties() -> None:
    sampling = Sampling(temperature=0, repeat_penalty=2.0)

    assert next_id(logits(1, 3, 2, -9), [1], sampling, rng()) == 2


@pytest.mark.parametrize(("last_n", "expected"), [(0, 0), (1, 0), (2, 1), (64, 1)])
def test_penalties_look_at_the_last_n_ids(last_n: int, expected: int) -> None:
    sampling = Sampling(temperature=0, presence_penalty=5.0, penalty_last_n=last_n)

    assert next_id(logits(3, 2, 1), [0, 2], sampling, rng()) == expected


def test_filters_judge_before_the_temperature_bends() -> None:
    # At 1 the tail has 0.02 of the probability and top_p cuts it; at 100 it would have half.
    sampling = Sampling(temperature=100.0, top_k=0, top_p=0.9, min_p=0.0)
    source = rng()

    drawn = {next_id(logits(4, *[-5.0] * 100), [], sampling, source) for _ in range(200)}

    assert drawn == {0}


def test_every_filter_can_be_the_one_that_decides() -> None:
    spread = logits(3.0, 2.9, 2.0, 1.0, 0.0)
    off = {"top_k": 0, "top_p": 1.0, "min_p": 0.0, "typical_p": 1.0, "temperature": 50.0}

    def drawn(**on: Any) -> set[int]:
        source = rng()
        return {next_id(spread, [], Sampling(**{**off, **on}), source) for _ in range(300)}

    assert drawn() == {0, 1, 2, 3, 4}
    assert drawn(top_k=2) == {0, 1}
    assert drawn(top_p=0.5) == {0, 1}
    assert drawn(min_p=0.3) == {0, 1, 2}
    assert drawn(typical_p=0.1) < {0, 1, 2, 3, 4}
    assert drawn(temperature=0.01) == {0}


def chosen_in_the_open(
    scores: np.ndarray, recent: list[int], s: Sampling, source: np.random.Generator
) -> int:
    """The chain over all of the vocabulary, in float64, sorted as a whole."""
    values = scores.astype(np.float64).tolist()
    window = recent[max(0, len(recent) - s.penalty_last_n) :]
    for i in set(window):
        bent = values[i] / s.repeat_penalty if values[i] > 0 else values[i] * s.repeat_penalty
        values[i] = bent - (window.count(i) * s.frequency_penalty + s.presence_penalty)
    in_order = sorted(range(len(values)), key=lambda i: (-values[i], i))
    if s.temperature == 0:
        return in_order[0]
    ids = in_order[: s.top_k] if s.top_k else range(len(values))
    c = Candidates(np.array(ids), np.array([values[i] for i in ids]))
    for keep, p in ((keep_typical, s.typical_p), (keep_top_p, s.top_p), (keep_min_p, s.min_p)):
        c = keep(c, p)
    return draw(apply_temperature(c, s.temperature), source)


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 3000),
    st.lists(st.integers(0, 2999), max_size=100),
    st.builds(
        Sampling,
        temperature=st.sampled_from([0.0, 0.5, 0.8, 3.0]),
        top_k=st.sampled_from([0, 1, 3, 40, 5000]),
        top_p=st.sampled_from([0.0, 0.5, 0.95, 1.0]),
        typical_p=st.sampled_from([0.5, 1.0]),
        repeat_penalty=st.sampled_from([1.0, 1.3, 0.7]),
        frequency_penalty=st.sampled_from([0.0, 0.1]),
        presence_penalty=st.sampled_from([0.0, -0.7, 1.0]),
        penalty_last_n=st.sampled_from([0, 1, 64]),
    ),
)
def test_the_choice_is_that_of_the_chain_over_everything_in_order(
    seed: int, size: int, recent: list[int], sampling: Sampling
) -> None:
    # Coarse logits, so that there are ties at every place.
    scores = np.round(np.random.RandomState(seed).normal(0, 4, size), 1).astype(np.float32)
    recent = [i % size for i in recent]

    expected = chosen_in_the_open(scores, recent, sampling, rng(seed))

    assert expected == next_id(scores, recent, sampling, rng(seed))


def test_a_seed_decides_everything() -> None:
    table = np.random.RandomState(0).random_sample((50, 100)).astype(np.float32)

    def run_with(seed: int) -> list[int]:
        source = rng(seed)
        return [next_id(row, [], Sampling(seed=seed), source) for row in table]

    assert run_with(1) == run_with(1)
    assert run_with(1) != run_with(2)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_broken_logits_are_refused(bad: float) -> None:
    with pytest.raises(SpmError, match="logits: found no finite maximum"):
        next_id(logits(0.0, bad, 1.0), [], GREEDY, rng())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", -0.1),
        ("temperature", math.nan),
        ("temperature", math.inf),
        ("temperature", "1"),
        ("temperature", True),
        ("top_k", -1),
        ("top_k", 2.0),
        ("top_p", -0.01),
        ("top_p", 1.01),
        ("min_p", 2),
        ("typical_p", None),
        ("repeat_penalty", 0),
        ("repeat_penalty", -1.0),
        ("frequency_penalty", math.inf),
        ("presence_penalty", math.nan),
        ("penalty_last_n", -1),
        ("seed", -1),
        ("seed", 2**64),
        ("seed", 1.5),
    ],
)
def test_a_value_out_of_range_is_named(name: str, value: Any) -> None:
    with pytest.raises(SpmError, match=f"sampling: {name}: found {value!r}, expected a") as caught:
        Sampling(**{name: value})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "values", [{"temperature": 0}, {"top_p": 0}, {"seed": 2**64 - 1}, {"frequency_penalty": -2}]
)
def test_the_ends_of_the_ranges_are_allowed(values: dict[str, Any]) -> None:
    assert Sampling(**values) == Sampling(**values)
