"""Blocks to float32, to the bit: as gguf-py does, or as ggml's recorded answers say."""

from __future__ import annotations

import gguf
import numpy as np
import pytest

from spm.errors import GGUFError
from spm.gguf import TensorType, dequantize
from spm.gguf.blocks import VALUES_AT_A_TIME
from spm.gguf.quants import DECODERS
from spm.gguf.types import BLOCK_LAYOUTS
from tests.quant_blocks import (
    F16_SCALES,
    RECORDED,
    assert_same_bits,
    extreme_blocks,
    gguf_py,
    put_scales,
    random_blocks,
    recorded,
)

NOT_IN_GGUF_PY = {
    *RECORDED, TensorType.F64, TensorType.I8, TensorType.I16, TensorType.I32, TensorType.I64,
}  # fmt: skip


# ---- against gguf-py ----


@pytest.mark.parametrize("kind", sorted(set(DECODERS) - NOT_IN_GGUF_PY))
def test_random_blocks_decode_as_in_gguf_py(kind: TensorType) -> None:
    blocks = random_blocks(kind, 2000)

    actual = dequantize(kind, blocks, (2000, BLOCK_LAYOUTS[kind].values))

    assert_same_bits(gguf_py(kind, blocks), actual)


@pytest.mark.parametrize("kind", F16_SCALES)
def test_extreme_scales_decode_as_in_gguf_py(kind: TensorType) -> None:
    blocks = extreme_blocks(kind)

    actual = dequantize(kind, blocks, (len(blocks), BLOCK_LAYOUTS[kind].values))

    assert np.isnan(actual).any()
    assert np.isinf(actual).any()
    assert_same_bits(gguf_py(kind, blocks), actual)


@pytest.mark.parametrize("kind", [TensorType.F16, TensorType.BF16])
def test_every_16_bit_code_decodes_as_in_gguf_py(kind: TensorType) -> None:
    codes = np.arange(65536, dtype="<u2").view(np.uint8)

    actual = dequantize(kind, codes, (65536,))

    assert_same_bits(gguf_py(kind, codes.reshape(65536, 2)).reshape(-1), actual)


def test_every_scale_of_q8_0_decodes_as_in_gguf_py() -> None:
    blocks = random_blocks(TensorType.Q8_0, 65536)
    put_scales(blocks, 0, np.arange(65536, dtype="<u2"))

    actual = dequantize(TensorType.Q8_0, blocks, (65536, 32))

    assert_same_bits(gguf_py(TensorType.Q8_0, blocks), actual)


@pytest.mark.parametrize(
    ("kind", "scales"), [(TensorType.MXFP4, slice(0, 1)), (TensorType.NVFP4, slice(0, 4))]
)
def test_every_scale_of_eight_bits_decodes_as_in_gguf_py(kind: TensorType, scales: slice) -> None:
    blocks = random_blocks(kind, 256)
    blocks[:, scales] = np.arange(256, dtype=np.uint8)[:, None]

    actual = dequantize(kind, blocks, (256, BLOCK_LAYOUTS[kind].values))

    assert_same_bits(gguf_py(kind, blocks), actual)


def test_subnormal_halves_are_not_flushed() -> None:
    codes = np.arange(1, 0x400, dtype="<u2")

    values = dequantize(TensorType.F16, codes.view(np.uint8), (1023,))

    assert [k * 2.0**-24 for k in range(1, 0x400)] == values.tolist()


def test_tensors_larger_than_one_part_decode_whole() -> None:
    n = VALUES_AT_A_TIME // 32 + 7
    blocks = random_blocks(TensorType.Q5_1, n)

    actual = dequantize(TensorType.Q5_1, blocks.reshape(-1), (1, n, 32))

    assert_same_bits(gguf_py(TensorType.Q5_1, blocks).reshape(1, n, 32), actual)


# ---- against ggml's own C, recorded, for what gguf-py does not decode ----


@pytest.mark.parametrize("kind", RECORDED)
def test_recorded_blocks_decode_as_in_ggml(kind: TensorType) -> None:
    blocks, expected = recorded(kind)

    actual = dequantize(kind, blocks, expected.shape)

    assert np.count_nonzero(expected) > 90
    assert_same_bits(expected, actual)


def test_a_block_of_q8_1_by_hand() -> None:
    d, s = np.array([0.5, 99.0], "<f2")  # s is not part of a value
    block = d.tobytes() + s.tobytes() + np.arange(-16, 16, dtype=np.int8).tobytes()

    values = dequantize(TensorType.Q8_1, np.frombuffer(block, np.uint8), (32,))

    assert [q / 2 for q in range(-16, 16)] == values.tolist()


# ---- plain numbers, by hand ----


@pytest.mark.parametrize(
    ("kind", "dtype", "numbers", "expected"),
    [
        (TensorType.I8, "i1", [-128, 0, 127], [-128, 0, 127]),
        (TensorType.I16, "<i2", [-32768, 32767], [-32768, 32767]),
        (TensorType.I32, "<i4", [2**24 + 1, -(2**31)], [2**24, -(2**31)]),
        (TensorType.I64, "<i8", [2**62, -1], [2**62, -1]),
        (TensorType.F32, "<f4", [1e-45, -0.0], [1e-45, -0.0]),
        (TensorType.F64, "<f8", [0.1, 1e300, -1e-300], [0.1, np.inf, -0.0]),
    ],
)
def test_plain_numbers_become_float32(
    kind: TensorType, dtype: str, numbers: list[float], expected: list[float]
) -> None:
    data = np.array(numbers, dtype).view(np.uint8)

    actual = dequantize(kind, data, (len(numbers),))

    assert_same_bits(np.array(expected, np.float32), actual)


# ---- the table of types ----


def test_block_sizes_are_those_of_gguf_py() -> None:
    theirs = {
        TensorType(kind): layout
        for kind, layout in gguf.GGML_QUANT_SIZES.items()
        if kind.name != "Q8_1"  # 40 there; ggml-common.h has two halves and 32 bytes
    }

    assert theirs == {kind: BLOCK_LAYOUTS[kind] for kind in theirs}
    assert {kind: kind.name for kind in theirs} == {
        TensorType(kind): kind.name for kind in gguf.GGML_QUANT_SIZES if kind.name != "Q8_1"
    }
    assert set(TensorType) - set(theirs) == {TensorType.Q8_1, TensorType.Q2_0}
    assert BLOCK_LAYOUTS[TensorType.Q8_1] == (32, 36)
    assert BLOCK_LAYOUTS[TensorType.Q2_0] == (64, 18)


def test_every_record_is_as_long_as_its_block() -> None:
    assert {k: BLOCK_LAYOUTS[k].nbytes for k in DECODERS} == {
        kind: record.itemsize for kind, (record, _) in DECODERS.items()
    }


def test_every_type_is_decoded() -> None:
    assert set(TensorType) == set(DECODERS)


@pytest.mark.parametrize("shape", [(), (33,), (2, 16), (64,), (-1, -32)])
def test_data_that_does_not_fit_the_shape_is_an_error(shape: tuple[int, ...]) -> None:
    with pytest.raises(GGUFError, match=r"^34 bytes of Q8_0 for shape \["):
        dequantize(TensorType.Q8_0, np.zeros(34, np.uint8), shape)


@pytest.mark.parametrize("kind", sorted(DECODERS))
def test_no_blocks_give_no_values(kind: TensorType) -> None:
    values = dequantize(kind, np.zeros(0, np.uint8), (0, 256))

    assert values.shape == (0, 256)
