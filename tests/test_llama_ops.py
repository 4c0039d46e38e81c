"""Each operation on numbers small enough to work out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from spm.llama.ops import choose
from spm.llama.ops import numpy as ops


def f32(values: object) -> ops.Array:
    return np.array(values, np.float32)


def assert_close(expected: object, found: ops.Array, atol: float = 1e-6) -> None:
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.array(expected), found, atol=atol, rtol=0)


def test_numpy_is_this_file() -> None:
    assert choose("numpy") is ops


# linear: a square matrix would hide a transposition, so none is square


@pytest.mark.parametrize(("n_out", "n_in"), [(2, 5), (5, 2)])
def test_linear_with_an_oblong_identity_copies_what_fits(n_out: int, n_in: int) -> None:
    x = f32(np.arange(1, 3 * n_in + 1).reshape(3, n_in))

    y = ops.linear(x, np.eye(n_out, n_in, dtype=np.float32))

    expected = np.zeros((3, n_out))
    expected[:, :2] = x[:, :2]
    assert_close(expected, y)


def test_linear_dots_each_row_of_the_weight() -> None:
    weight = f32([[1, 2, 3], [10, 20, 30]])  # (out, in)

    assert_close([[6, 60], [1, 10]], ops.linear(f32([[1, 1, 1], [1, 0, 0]]), weight))
    assert_close([[6.5, 59]], ops.linear(f32([[1, 1, 1]]), weight, f32([0.5, -1])))


# rms_norm


def test_rms_norm_divides_by_the_root_mean_square() -> None:
    x = f32([[3, 4], [0, 0]])  # the first row's mean square is 12.5

    assert_close([[0.8485281, 2 * 1.1313708], [0, 0]], ops.rms_norm(x, f32([1, 2]), 1e-12))


def test_rms_norm_adds_epsilon_inside_the_root() -> None:
    assert_close([[3 / 4, 4 / 4]], ops.rms_norm(f32([[3, 4]]), f32([1, 1]), 3.5))  # 12.5 + 3.5


# rope


def angles(start: int, n: int, head_dim: int = 4, **other: object) -> tuple[ops.Array, ops.Array]:
    options = {"theta": 10000.0, "scale": 1.0, "freqs": None, **other}
    return ops.angles(np.arange(start, start + n), head_dim, **options)  # type: ignore[arg-type]


def test_rope_turns_the_first_pair_by_the_position_and_the_second_a_hundredth_as_fast() -> None:
    x = f32([[[1, 0, 1, 0]], [[0, 1, 0, 1]]])  # two positions, one head

    turned = ops.rope(x, angles(2, 2))

    s, c = math.sin, math.cos
    assert_close([[c(2), s(2), c(0.02), s(0.02)]], turned[0])
    assert_close([[-s(3), c(3), -s(0.03), c(0.03)]], turned[1])


def test_rope_leaves_position_0_alone() -> None:
    x = f32(np.arange(8).reshape(1, 2, 4))

    assert_close(x, ops.rope(x, angles(0, 1)))


def test_rope_turns_all_heads_alike() -> None:
    x = f32(np.ones((3, 5, 4)))

    turned = ops.rope(x, angles(7, 3))

    assert (turned == turned[:, :1]).all()
    assert not (turned[0] == turned[1]).any()


def test_rope_scale_slows_every_pair_and_freqs_each_its_own() -> None:
    x = f32([[[1, 0, 1, 0]]])
    s, c = math.sin, math.cos

    scaled = ops.rope(x, angles(8, 1, scale=0.25))
    slowed = ops.rope(x, angles(8, 1, freqs=f32([2, 8])))

    assert_close([[[c(2), s(2), c(0.02), s(0.02)]]], scaled)
    assert_close([[[c(4), s(4), c(0.01), s(0.01)]]], slowed)


def test_rope_makes_products_depend_on_the_distance_alone() -> None:
    rng = np.random.default_rng(0)
    q, k = f32(rng.normal(size=(1, 1, 8))), f32(rng.normal(size=(1, 1, 8)))

    def product(at_q: int, at_k: int) -> float:
        turned_q = ops.rope(q, angles(at_q, 1, 8))
        return float(np.sum(turned_q * ops.rope(k, angles(at_k, 1, 8))))

    assert product(5, 2) == pytest.approx(product(105, 102), abs=1e-4)
    assert product(5, 2) != pytest.approx(product(5, 3), abs=1e-2)


def test_angles_far_into_a_context_are_ggmls_running_float32_product() -> None:
    # By hand in C's order of rounding: 100000 * r * r * r, r = float32(10000 ** (-2/8)) = 0.1.
    expected = [np.float32(100000)]
    for _ in range(3):
        expected.append(np.float32(expected[-1] * np.float32(0.1)))

    cos, _ = angles(100000, 1, 8)

    assert_close([[math.cos(float(angle)) for angle in expected]], cos)


# attention


def test_equal_scores_share_attention_among_what_lies_behind() -> None:
    q, k = f32(np.zeros((3, 1, 2))), f32(np.zeros((1, 3, 2)))

    weights = ops.attention_weights(q, k)

    assert_close([[[1, 0, 0], [1 / 2, 1 / 2, 0], [1 / 3, 1 / 3, 1 / 3]]], weights)


def test_new_positions_stand_at_the_end_of_the_cache() -> None:
    q, k = f32(np.zeros((2, 1, 2))), f32(np.zeros((1, 4, 2)))

    weights = ops.attention_weights(q, k)

    assert_close([[[1 / 3, 1 / 3, 1 / 3, 0], [1 / 4, 1 / 4, 1 / 4, 1 / 4]]], weights)


def test_scores_are_products_over_the_root_of_the_head_size() -> None:
    q, k = f32([[[2, 0, 0, 0]]]), f32([[[0, 0, 0, 0], [math.log(3), 0, 0, 0]]])

    # 2 * log 3 / sqrt 4 = log 3: three times as much as the other
    assert_close([[[0.25, 0.75]]], ops.attention_weights(q, k))


def test_neighbouring_heads_share_a_kv_head() -> None:
    v = f32([[[1, 10]], [[2, 20]]])  # 2 kv heads, 1 position
    k = f32([[[1, 0]] * 2, [[0, 0]] * 2])  # only the first kv head can tell its positions apart
    k[0, 1] = [5, 0]
    q = f32([[[1, 0]] * 4])  # 4 heads

    mixed = ops.attend(f32(np.ones((4, 1, 1))), v)
    weights = ops.attention_weights(q, k)

    assert_close([[1, 10, 1, 10, 2, 20, 2, 20]], mixed)
    assert (weights[:2, 0, 1] > 0.9).all()
    assert_close([[0.5, 0.5]] * 2, weights[2:, 0])


def test_values_are_mixed_by_the_weights() -> None:
    weights = f32([[[1, 0], [0.25, 0.75]]])  # 1 head, 2 new positions

    assert_close([[4, 0], [1, 6]], ops.attend(weights, f32([[[4, 0], [0, 8]]])))


# softmax and swiglu


def test_softmax_survives_what_exp_would_not() -> None:
    with np.errstate(all="raise"):
        assert_close(
            [[0.25, 0.75, 0]], ops.softmax(f32([[1000, 1000 + math.log(3), -np.inf]])), 1e-4
        )


def test_swiglu_bends_the_gate_and_not_the_other() -> None:
    gate, up = f32([[1, -1, 0, 2]]), f32([[2, 2, 7, -1]])

    # x / (1 + exp(-x)) at 1, -1, 0, 2 is 0.7310586, -0.2689414, 0, 1.7615942
    assert_close([[1.4621172, -0.5378828, 0, -1.7615942]], ops.swiglu(gate, up))


def test_swiglu_survives_what_exp_would_not() -> None:
    with np.errstate(over="raise", invalid="raise"):
        assert_close([[1000, 0]], ops.swiglu(f32([[1000, -1000]]), f32([[1, 1]])))
