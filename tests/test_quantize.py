"""Float32 to blocks: gguf-py's bytes where one answer is right, bounded error where many are."""

from __future__ import annotations

import gguf
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from spm.errors import GGUFError
from spm.gguf import TensorType, dequantize, quantize
from spm.gguf.quantize import ENCODERS
from spm.gguf.types import BLOCK_LAYOUTS

Float32 = npt.NDArray[np.float32]
SMALL = [TensorType.Q4_0, TensorType.Q4_1, TensorType.Q5_0, TensorType.Q5_1, TensorType.Q8_0]
LARGE = [TensorType.Q4_K, TensorType.Q5_K, TensorType.Q6_K]
HALVES = [TensorType.F16, TensorType.BF16]


def gguf_py(kind: TensorType, rows: Float32) -> npt.NDArray[np.uint8]:
    with np.errstate(all="ignore"):
        blocks = gguf.quants.quantize(rows, gguf.GGMLQuantizationType(kind))
    return blocks.view(np.uint8)


def back(kind: TensorType, rows: Float32) -> Float32:
    return dequantize(kind, quantize(kind, rows), rows.shape)


def rms(values: Float32) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))


def awkward_rows() -> Float32:
    """Rows that decide roundings: zeros, ties, one value, equal peaks, huge and tiny numbers."""
    rng = np.random.default_rng(5)
    steps = np.arange(-32, 32, dtype=np.float32)
    rows = [
        np.zeros(64),
        np.full(64, -0.0),
        np.full(64, 7.0),
        np.full(64, -7.0),
        np.tile([1, -1], 32),
        np.tile([-1, 1], 32),
        steps,
        steps / 2,
        steps * 127 / 64,
        steps + 0.5,
        np.abs(steps),
        -np.abs(steps),
        np.eye(1, 64, 5)[0],
        -np.eye(1, 64, 40)[0],
        rng.standard_normal(64) * 1e6,
        rng.standard_normal(64) * 1e30,
        rng.standard_normal(64) * 1e-4,
        rng.standard_normal(64) * 1e-7,
        rng.standard_normal(64) * 1e-20,
        np.round(rng.standard_normal(64) * 8) / 8,
        rng.standard_normal(64) + 1000,
    ]
    return np.array(rows, np.float32)


# ---- to the bit ----


@pytest.mark.parametrize("kind", SMALL + HALVES)
def test_random_rows_are_encoded_as_in_gguf_py(kind: TensorType) -> None:
    rows = np.random.default_rng(int(kind)).standard_normal((3000, 64)).astype(np.float32)

    assert np.array_equal(gguf_py(kind, rows), quantize(kind, rows))


@pytest.mark.parametrize("kind", SMALL + HALVES)
def test_awkward_rows_are_encoded_as_in_gguf_py(kind: TensorType) -> None:
    rows = awkward_rows()
    expected, actual = gguf_py(kind, rows), quantize(kind, rows)

    wrong = [i for i in range(len(rows)) if not np.array_equal(expected[i], actual[i])]
    assert not wrong


def float32_rows(limit: float) -> st.SearchStrategy[Float32]:
    """A row of 32 values, many of them equal, none so small that 1 / d overflows."""
    value = st.floats(-limit, limit, width=32, allow_subnormal=False)
    value = value.filter(lambda x: x == 0 or abs(x) > 1e-30)
    return arrays.arrays(np.float32, (1, 32), elements=value, fill=value)


@pytest.mark.parametrize("kind", SMALL)
@settings(deadline=None, max_examples=50)
@given(data=st.data())
def test_any_row_is_encoded_as_in_gguf_py(kind: TensorType, data: st.DataObject) -> None:
    row = data.draw(float32_rows(2.0**100))

    assert np.array_equal(gguf_py(kind, row), quantize(kind, row))


def test_halves_round_to_nearest_even_at_every_boundary() -> None:
    codes = np.arange(0x7C00, dtype=np.uint16).view(np.float16).astype(np.float32)
    between = (codes[:-1] + codes[1:]) / 2
    rows = np.stack([codes[:-1], between, np.nextafter(between, np.float32(np.inf))])

    encoded = quantize(TensorType.F16, rows).view("<u2")

    lower = np.arange(0x7BFF)
    assert np.array_equal(lower, encoded[0])
    assert np.array_equal(lower + lower % 2, encoded[1])
    assert np.array_equal(lower + 1, encoded[2])


def test_brain_halves_round_as_in_gguf_py_at_every_boundary() -> None:
    high = np.arange(65536, dtype=np.uint32) << 16
    rows = np.stack([high | low for low in (0, 0x7FFF, 0x8000, 0x8001)]).view(np.float32)

    assert np.array_equal(gguf_py(TensorType.BF16, rows), quantize(TensorType.BF16, rows))


def test_float32_is_written_as_it_is() -> None:
    rows = np.array([[1.5, -0.0, 1e-45, np.inf]], np.float32)

    assert rows.tobytes() == quantize(TensorType.F32, rows).tobytes()


# ---- near enough ----


# The error each type leaves on a Gaussian row, relative to the row (root mean squares).
@pytest.mark.parametrize(
    ("kind", "most"),
    [
        (TensorType.Q4_K, 0.0717), (TensorType.Q5_K, 0.0360), (TensorType.Q6_K, 0.0174),
        (TensorType.Q4_0, 0.093), (TensorType.Q4_1, 0.080), (TensorType.Q5_0, 0.046),
        (TensorType.Q5_1, 0.039), (TensorType.Q8_0, 0.0055), (TensorType.F16, 0.00022),
        (TensorType.BF16, 0.0017),
    ],
)  # fmt: skip
def test_the_error_on_gaussian_rows_is_small(kind: TensorType, most: float) -> None:
    rows = np.random.default_rng(0).standard_normal((200, 1024)).astype(np.float32)

    assert most * 0.9 < rms(back(kind, rows) - rows) / rms(rows) < most


@pytest.mark.parametrize("kind", LARGE)
@pytest.mark.parametrize("scale", [1e-2, 1.0, 3e3])
@pytest.mark.parametrize("shape", ["laplace", "positive", "negative", "uniform", "outlier"])
def test_no_shape_of_row_is_far_off(kind: TensorType, scale: float, shape: str) -> None:
    rng = np.random.default_rng(1)
    rows = {
        "laplace": rng.laplace(size=(20, 512)),
        "positive": np.abs(rng.standard_normal((20, 512))),
        "negative": -np.abs(rng.standard_normal((20, 512))),
        "uniform": rng.random((20, 512)) - 0.5,
        "outlier": np.where(rng.random((20, 512)) < 0.002, 50, rng.standard_normal((20, 512))),
    }[shape].astype(np.float32) * np.float32(scale)
    steps = {TensorType.Q4_K: 15, TensorType.Q5_K: 31, TensorType.Q6_K: 32}[kind]

    error = np.abs(back(kind, rows) - rows).reshape(-1, 256).max(axis=1)

    # half a step of the widest range, and as much again for the rounding of the scales
    assert (error <= np.ptp(rows.reshape(-1, 256), axis=1) / steps).all()


# One step of 1 / 8 or 1 / 16 (the end opposite to the peak is cut), half of one of 1 / 15, 1 / 31
# or 1 / 127. Where the sum of n squares is made small, one value may be off by sqrt(n) / 2 steps.
MOST = {
    TensorType.Q4_0: 0.126, TensorType.Q4_1: 0.034, TensorType.Q5_0: 0.063, TensorType.Q5_1: 0.017,
    TensorType.Q8_0: 0.0045, TensorType.Q4_K: 0.21, TensorType.Q5_K: 0.11, TensorType.Q6_K: 0.075,
}  # fmt: skip


@pytest.mark.parametrize("kind", SMALL + LARGE)
@settings(deadline=None, max_examples=50)
@given(data=st.data())
def test_the_error_of_any_row_is_bounded(kind: TensorType, data: st.DataObject) -> None:
    n = BLOCK_LAYOUTS[kind].values
    value = st.floats(-1000, 1000, width=32)
    row = data.draw(arrays.arrays(np.float32, (1, n), elements=value, fill=value))
    span = max(float(row.max()), 0.0) - min(float(row.min()), 0.0)
    error = float(np.abs(back(kind, row) - row).max())

    assert error <= MOST[kind] * span + 1e-4


@pytest.mark.parametrize("kind", sorted(set(ENCODERS)))
def test_zeros_stay_zeros(kind: TensorType) -> None:
    assert not back(kind, np.zeros((2, 512), np.float32)).any()


@pytest.mark.parametrize("kind", SMALL + LARGE)
def test_rows_too_small_for_a_float16_scale_become_zeros(kind: TensorType) -> None:
    for tiny in (1e-12, 1e-38, 1e-44):
        rows = np.linspace(-tiny, tiny, 256, dtype=np.float32).reshape(1, 256)
        assert np.abs(back(kind, rows)).max() <= tiny * 1.01


@pytest.mark.parametrize("kind", [TensorType.Q4_1, TensorType.Q5_1])
def test_a_range_beyond_float32_is_still_encoded_the_same_way_each_time(kind: TensorType) -> None:
    rows = np.tile(np.array([-3e38, 3e38], np.float32), (1, 16))

    assert np.isnan(back(kind, rows)).all()
    assert np.array_equal(quantize(kind, rows), quantize(kind, rows))


@pytest.mark.parametrize("kind", sorted(ENCODERS))
def test_blocks_are_independent(kind: TensorType) -> None:
    rows = np.random.default_rng(2).standard_normal((3, 512)).astype(np.float32)

    together = quantize(kind, rows)

    assert np.array_equal(together[1:2], quantize(kind, rows[1:2]))
    assert np.array_equal(together[:, : together.shape[1] // 2], quantize(kind, rows[:, :256]))


# ---- what cannot be encoded ----


@pytest.mark.parametrize(
    "rows",
    [
        np.zeros(32, np.float32),
        np.zeros((1, 1, 32), np.float32),
        np.zeros((1, 33), np.float32),
        np.zeros((1, 32), np.float64),
        np.zeros((1, 32), ">f4"),
    ],
)
def test_other_shapes_and_dtypes_are_errors(rows: Float32) -> None:
    with pytest.raises(GGUFError, match=r"expected float32 \(rows, n\) with n a multiple of 32"):
        quantize(TensorType.Q8_0, rows)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", SMALL + LARGE)
def test_values_that_are_not_finite_are_errors(kind: TensorType, value: float) -> None:
    rows = np.zeros((2, 256), np.float32)
    rows[1, 100] = value

    with pytest.raises(GGUFError, match=f"not finite, expected numbers that {kind.name} can hold"):
        quantize(kind, rows)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", [TensorType.F32, TensorType.F16, TensorType.BF16])
def test_floats_keep_values_that_are_not_finite(kind: TensorType, value: float) -> None:
    assert np.array_equal([[value]], back(kind, np.full((1, 1), value, np.float32)), equal_nan=True)


def test_a_type_that_is_not_written_is_named() -> None:
    with pytest.raises(GGUFError, match=r"^tensor type Q2_K cannot be written"):
        quantize(TensorType.Q2_K, np.zeros((1, 256), np.float32))


@pytest.mark.parametrize("kind", sorted(ENCODERS))
def test_no_rows_give_no_blocks(kind: TensorType) -> None:
    layout = BLOCK_LAYOUTS[kind]

    blocks = quantize(kind, np.zeros((0, 256), np.float32))

    assert blocks.shape == (0, 256 // layout.values * layout.nbytes)
