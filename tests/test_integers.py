"""Integers times scales: the product is the weight, to the bit, as gguf-py or ggml say."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from spm.errors import GGUFError
from spm.gguf import TensorType, as_integers, has_integers
from spm.gguf.blocks import VALUES_AT_A_TIME
from spm.gguf.types import BLOCK_LAYOUTS
from tests.quant_blocks import (
    F16_SCALES,
    RECORDED,
    Float32,
    assert_same_bits,
    extreme_blocks,
    gguf_py,
    random_blocks,
    recorded,
)

PLAIN = {
    TensorType.F64, TensorType.F32, TensorType.F16, TensorType.BF16,
    TensorType.I8, TensorType.I16, TensorType.I32, TensorType.I64,
}  # fmt: skip
WITH_A_MINIMUM = {
    TensorType.Q4_1, TensorType.Q5_1, TensorType.Q2_K, TensorType.Q4_K, TensorType.Q5_K,
}  # fmt: skip
KINDS = sorted(set(TensorType) - PLAIN - WITH_A_MINIMUM)


def product(integers: tuple[npt.NDArray[np.int8], Float32]) -> Float32:
    q, scale = integers
    assert (np.int8, np.float32) == (q.dtype, scale.dtype)
    with np.errstate(all="ignore"):
        return q.astype(np.float32) * np.repeat(scale, 16, axis=-1)


def test_every_quantised_type_without_a_minimum_has_integers() -> None:
    assert KINDS == [kind for kind in TensorType if has_integers(kind)]


@pytest.mark.parametrize("kind", sorted(set(KINDS) - set(RECORDED)))
def test_products_of_random_blocks_are_weights(kind: TensorType) -> None:
    blocks = random_blocks(kind, 2000)

    actual = product(as_integers(kind, blocks, (2000, BLOCK_LAYOUTS[kind].values)))

    assert_same_bits(gguf_py(kind, blocks), actual)


@pytest.mark.parametrize("kind", sorted(set(KINDS) & set(F16_SCALES)))
def test_products_of_extreme_scales_are_weights(kind: TensorType) -> None:
    blocks = extreme_blocks(kind)

    actual = product(as_integers(kind, blocks, (len(blocks), BLOCK_LAYOUTS[kind].values)))

    assert np.isinf(actual).any()
    assert_same_bits(gguf_py(kind, blocks), actual)


@pytest.mark.parametrize("kind", RECORDED)
def test_products_of_recorded_blocks_are_weights(kind: TensorType) -> None:
    blocks, expected = recorded(kind)

    assert_same_bits(expected, product(as_integers(kind, blocks, expected.shape)))


def test_every_byte_of_ternary_digits_is_a_weight() -> None:
    blocks = random_blocks(TensorType.TQ1_0, 256)
    blocks[:, :52] = np.arange(256, dtype=np.uint8)[:, None]

    actual = product(as_integers(TensorType.TQ1_0, blocks, (256, 256)))

    assert_same_bits(gguf_py(TensorType.TQ1_0, blocks), actual)


def test_a_row_of_iq2_xxs_by_hand() -> None:
    d, rows, signs = np.array(0.25, "<f2"), bytes([1, 0, 0, 0]), np.array(3 << 28 | 2, "<u4")
    block = d.tobytes() + rows + signs.tobytes() + bytes(56)

    q, scale = as_integers(TensorType.IQ2_XXS, np.frombuffer(block, np.uint8), (256,))

    assert [43, -8, 8, 8, 8, 8, 8, -8] == q[:8].tolist()
    assert [0.25 * 7 / 8] * 2 + [0.25 / 8] * 14 == scale.tolist()


def test_integers_of_iq1_are_eighths() -> None:
    q, _ = as_integers(TensorType.IQ1_S, random_blocks(TensorType.IQ1_S, 100), (100, 256))

    assert {-9, -7, -1, 1, 7, 9} == set(q.reshape(-1).tolist())


def test_tensors_larger_than_one_part_are_taken_whole() -> None:
    n = VALUES_AT_A_TIME // 32 + 7
    blocks = random_blocks(TensorType.MXFP4, n)

    q, scale = as_integers(TensorType.MXFP4, blocks.reshape(-1), (1, n, 32))

    assert ((1, n, 32), (1, n, 2)) == (q.shape, scale.shape)
    assert_same_bits(gguf_py(TensorType.MXFP4, blocks).reshape(1, n, 32), product((q, scale)))


@pytest.mark.parametrize("shape", [(0, 256), (3, 0)])
def test_no_blocks_are_no_integers(shape: tuple[int, int]) -> None:
    q, scale = as_integers(TensorType.IQ3_S, np.zeros(0, np.uint8), shape)

    assert (shape, (shape[0], shape[1] // 16)) == (q.shape, scale.shape)


@pytest.mark.parametrize("kind", sorted(PLAIN | WITH_A_MINIMUM))
def test_other_types_are_named(kind: TensorType) -> None:
    with pytest.raises(GGUFError, match=rf"^tensor type {kind.name} is not integers times scales$"):
        as_integers(kind, np.zeros(BLOCK_LAYOUTS[kind].nbytes, np.uint8), (256,))


def test_data_that_does_not_fit_the_shape_is_an_error() -> None:
    with pytest.raises(GGUFError, match=r"^66 bytes of TQ2_0 for shape \[2, 256\], expected 132 "):
        as_integers(TensorType.TQ2_0, np.zeros(66, np.uint8), (2, 256))
