"""The kernels of kernels.metal as they are shipped, run by a stand-in for `mx.fast.metal_kernel`.

What this cannot show is that Apple's compiler takes the text, and how fast it is: the last test
asks a Metal device, where there is one.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

mx = pytest.importorskip("mlx.core", reason="mlx is not installed: pip install 'spm[metal]'")

from spm.gguf import TensorType, dequantize  # noqa: E402
from spm.gguf.quants import DECODERS  # noqa: E402
from spm.llama import Llama, Sampling, generate_ids  # noqa: E402
from spm.llama.ops.metal import choice, forms  # noqa: E402
from spm.llama.ops.metal.forms import Kernels  # noqa: E402
from spm.llama.ops.mlx import MLX  # noqa: E402
from tests.block_llamas import TEN, random_blocks, write_block_llama  # noqa: E402
from tests.metal_stand_in import StandIn, compiler, function  # noqa: E402
from tools.small_llamas import IDS  # noqa: E402

TEXT = forms.KERNELS.read_text("utf-8")
KINDS = [*TEN, TensorType.F16, TensorType.BF16]
N, K = 37, 3328  # rows: no multiple of 4; columns: 13 * 256, so not every lane has as many parts

emulated = pytest.mark.skipif(
    sys.platform != "linux" or compiler() is None,
    reason="needs g++ and the fibres of glibc: the kernels cannot be compiled as C++ here",
)


@pytest.fixture(scope="session")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> StandIn:
    """With every kernel compiled, each type's and each number of rows."""
    texts = []
    for kind in KINDS:
        texts.append(function(forms.DEQUANTIZE.format(kind=kind.name), ["w"], ["y"], []))
        body = forms.MATVEC.format(kind=kind.name)
        for M in range(1, 9):
            texts.append(function(body, ["w", "x"], ["y"], [("M", M), ("ROWS", forms.ROWS)]))
    made = StandIn(tmp_path_factory.mktemp("kernels"))
    made.compile(TEXT, texts)
    return made


@pytest.fixture
def kernels(stand_in: StandIn) -> Kernels:
    return Kernels(stand_in)


def activations(rows: int, columns: int) -> np.ndarray:
    return np.random.default_rng(rows).standard_normal((rows, columns), np.float32)


def relative_error(data: np.ndarray, kind: TensorType, x: np.ndarray, y: np.ndarray) -> float:
    """The largest error, in root mean squares of the product in float64."""
    weights = dequantize(kind, data, (len(data), x.shape[1]))
    exact = x.astype(np.float64) @ weights.astype(np.float64).T
    assert exact.shape == y.shape
    return float(np.abs(y - exact).max() / np.sqrt(np.mean(exact**2)))


# Dequantising: to the bit


@emulated
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_blocks_are_dequantised_to_the_bit(kind: TensorType, kernels: Kernels) -> None:
    data = random_blocks(kind, 5, 1024)
    blocks = data.reshape(-1).view("<f2" if kind not in TEN else DECODERS[kind][0])
    odd = [0.0, -0.0, 2.0**-24, -(2.0**-15), 65504.0]  # zeros, two subnormal halves, the largest
    (blocks["d"] if kind in TEN else blocks)[: len(odd)] = odd

    found = np.array(kernels.dequantize(kind, mx.array(data)))

    expected = dequantize(kind, data, (5, 1024))
    assert np.array_equal(expected.view(np.uint32), found.view(np.uint32))


# Products


@emulated
@pytest.mark.parametrize("M", range(1, 9))
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_products_are_those_of_float32(kind: TensorType, M: int, kernels: Kernels) -> None:
    data, x = random_blocks(kind, N, K), activations(M, K)

    y = np.array(kernels.matvec(kind, mx.array(data), mx.array(x)))

    assert relative_error(data, kind, x, y) <= 1e-6


@emulated
@pytest.mark.parametrize("rows", [1, 3, 4, 5, 8, 9])
@pytest.mark.parametrize("columns", [32, 96, 544])
def test_any_number_of_rows_and_blocks(rows: int, columns: int, kernels: Kernels) -> None:
    data, x = random_blocks(TensorType.Q5_1, rows, columns), activations(2, columns)

    y = np.array(kernels.matvec(TensorType.Q5_1, mx.array(data), mx.array(x)))

    assert relative_error(data, TensorType.Q5_1, x, y) <= 1e-6


@emulated
def test_many_rows_are_multiplied_slab_by_slab(
    kernels: Kernels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forms, "SLAB", 5 * 512)  # five rows, and two in the last slab
    data, x = random_blocks(TensorType.Q4_K, N, 512), activations(9, 512)
    matrix = forms.as_they_are(kernels, TensorType.Q4_K, data, 512)

    assert relative_error(data, TensorType.Q4_K, x, np.array(matrix.times(mx.array(x)))) <= 2e-5


# Faults, planted: whatever is wrong in the text, the check at load says so


FAULTS = {
    "no reduction": ("Q4_0", "simd_sum(sums[r][m])", "sums[r][m]"),
    "a lane's stride": ("Q4_0", "part += 32", "part += 31"),
    "twice a lane's stride": ("Q4_K", "part += 32", "part += 64"),
    "a row's stride": ("Q8_0", "y[m * N + n + r]", "y[n + r]"),
    "the same row": ("Q4_1", "min(n + r, N - 1)", "n"),
    "the rows of x": ("Q5_0", "x + m * K + 16 * part", "x + 16 * part"),
    "x of another part": ("Q6_K", "x + m * K + 16 * part", "x + m * K + 8 * part"),
    "a nibble": ("Q4_0", ">> 4 * part & 0x0F0F0F0F", ">> 4 * (1 - part) & 0x0F0F0F0F"),
    "the zero": ("Q4_0", "{f16(block), 8,", "{f16(block), 7,"),
    "the minimum": ("Q4_1", "f16(block + 2), {}", "-0.0f, {}"),
    "a fifth bit": ("Q5_1", "16 * part + 4 * i)) << 4", "4 * i)) << 4"),
    "a sign": ("Q8_0", " ^ 0x80808080", ""),
    "a block's size": ("Q5_0", "bytes = 22", "bytes = 24"),
    "two bits": ("Q2_K", "part % 8 / 2 * 2 & 0x03030303", "part % 4 * 2 & 0x03030303"),
    "a minimum's nibble": ("Q2_K", "(scales >> 4)", "(scales & 0xF)"),
    "a third bit": ("Q3_K", "top_bit(block, part, i) << 2", "0"),
    "a scale's high bits": ("Q3_K", "part / 4 * 2 & 3", "part / 8 * 2 & 3"),
    "a nibble of a super-block": ("Q4_K", "part / 2 % 2 * 4", "part % 2 * 4"),
    "the last minima": ("Q4_K", "low >> 4 | m >> 6 << 4", "low >> 4"),
    "a fifth bit's byte": ("Q5_K", "bits + part % 2 * 16", "bits"),
    "a signed scale": ("Q6_K", "as_type<char>(block[192 + part])", "block[192 + part]"),
    "a half": ("F16", "float4(h[4], h[5]", "float4(h[5], h[4]"),
    "the other half": ("BF16", "two & 0xFFFF0000", "two"),
    "the high bits": ("Q6_K", "low | high << 4", "low"),
}


@emulated
@pytest.mark.parametrize(("name", "right", "wrong"), FAULTS.values(), ids=FAULTS)
def test_a_planted_fault_is_caught(name: str, right: str, wrong: str, stand_in: StandIn) -> None:
    kind, faulty = TensorType[name], Kernels(stand_in, TEXT.replace(right, wrong))
    data = choice.random_blocks(kind, choice.CHECKED_ROWS, 4096)

    assert faulty.text != TEXT
    assert not choice.is_right(choice.makers(kind, 4096, faulty)["blocks"], kind, data, 4096)


@emulated
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_what_is_right_is_not_accused(kind: TensorType, kernels: Kernels) -> None:
    data = choice.random_blocks(kind, choice.CHECKED_ROWS, 4096)
    forms_of_it = choice.makers(kind, 4096, kernels)

    assert ["blocks", "affine" if kind in TEN else "dense"] == list(forms_of_it)
    for make in forms_of_it.values():
        assert choice.is_right(make, kind, data, 4096)


def test_wrong_rows_are_caught_though_the_products_are_right() -> None:
    class WrongRows(forms.Affine):
        def rows(self, ids: Any) -> Any:
            return super().rows(ids) + 1e-4

    def make(*args: Any) -> WrongRows:
        return WrongRows(**vars(forms.affine(*args)))

    data = choice.random_blocks(TensorType.Q4_0, choice.CHECKED_ROWS, 256)

    assert choice.is_right(forms.affine, TensorType.Q4_0, data, 256)
    assert not choice.is_right(make, TensorType.Q4_0, data, 256)


@emulated
def test_the_stand_in_sees_what_is_written_outside(stand_in: StandIn) -> None:
    faulty = Kernels(stand_in, TEXT.replace("&& n + r < N", ""))
    data, x = random_blocks(TensorType.Q4_0, N, 64), activations(1, 64)

    with pytest.raises(AssertionError, match="written outside its output"):
        faulty.matvec(TensorType.Q4_0, mx.array(data), mx.array(x))


# The choice at load


@pytest.fixture
def fastest(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No time is measured: the file's own blocks are the fastest."""
    monkeypatch.setattr(choice, "seconds", lambda form, _: 1e-3 * isinstance(form, forms.Affine))
    return monkeypatch


def load(path: Path, ops: MLX, monkeypatch: pytest.MonkeyPatch) -> Llama:
    monkeypatch.setattr("spm.llama.model.choose", lambda *_: ops)
    return Llama.from_gguf(path, backend="mlx")


@emulated
def test_a_llama_of_all_types_on_the_kernels_is_numpys(
    stand_in: StandIn, tmp_path: Path, fastest: pytest.MonkeyPatch
) -> None:
    path = write_block_llama(tmp_path / "m.gguf", KINDS)
    reference = Llama.from_gguf(path, backend="numpy")
    model = load(path, MLX(stand_in), fastest)

    expected, logits = reference.forward(IDS[:11]), model.forward(IDS[:11])
    greedy = [
        list(generate_ids(each, IDS[:11], Sampling(temperature=0), max_tokens=24))
        for each in (reference, model)
    ]

    assert {"blocks"} == {chosen.form for chosen in model.ops.choices.values()}
    assert np.abs(expected - logits).max() <= 1e-3 * expected.std()
    assert greedy[0] == greedy[1]


@emulated
def test_a_type_that_is_wrong_here_is_warned_of_and_not_used(
    stand_in: StandIn, tmp_path: Path, fastest: pytest.MonkeyPatch
) -> None:
    path = write_block_llama(tmp_path / "m.gguf", [TensorType.Q4_0, TensorType.Q8_0])
    ops = MLX()
    ops.kernels = Kernels(stand_in, TEXT.replace(" ^ 0x80808080", ""))

    with pytest.warns(RuntimeWarning, match="Q8_0 as blocks differs from NumPy") as caught:
        model = load(path, ops, fastest)

    assert {"Q8_0 as blocks differs from NumPy on this device: not used"} == {
        str(each.message) for each in caught
    }
    assert {"Q4_0 x 256", "Q4_0 x 512", "Q8_0 x 256", "Q8_0 x 512"} == set(ops.choices)
    for name, chosen in ops.choices.items():
        assert chosen.form == ("affine" if name.startswith("Q8_0") else "blocks")
    assert "Q8_0 x 256: affine, blocks is wrong here" in repr(ops)
    expected = Llama.from_gguf(path, backend="numpy").forward(IDS[:3])
    assert np.abs(expected - model.forward(IDS[:3])).max() <= 1e-3 * expected.std()


@emulated
@pytest.mark.parametrize("faster", ["blocks", "affine"])
def test_of_two_forms_that_are_right_the_faster_is_kept(
    faster: str, kernels: Kernels, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = {faster: 0.001, "blocks" if faster == "affine" else "affine": 0.002}
    names = {forms.Blocks: "blocks", forms.Affine: "affine"}
    monkeypatch.setattr(choice, "seconds", lambda form, _: times[names[type(form)]])

    chosen = choice.choose_form(TensorType.Q4_0, (40, 64), kernels)

    assert chosen == choice.Choice(faster, times)
    assert f"{faster}, affine {1e3 * times['affine']:.3f} ms, blocks" in str(chosen)


@emulated
def test_where_no_form_is_right_the_numbers_are_kept(
    kernels: Kernels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "is_right", lambda *_: False)

    with pytest.warns(RuntimeWarning, match="differs from NumPy") as caught:
        chosen = choice.choose_form(TensorType.Q4_0, (40, 64), kernels)

    assert (2, "dense") == (len(caught), chosen.form)


@emulated
def test_rows_that_are_no_whole_parts_stay_numbers(kernels: Kernels) -> None:
    assert ["blocks", "dense"] == list(choice.makers(TensorType.F16, 48, kernels))
    assert ["dense"] == list(choice.makers(TensorType.F16, 40, kernels))
    assert choice.Choice("dense") == choice.choose_form(TensorType.F16, (3, 40), kernels)


@emulated
def test_forms_are_timed(kernels: Kernels) -> None:
    chosen = choice.choose_form(TensorType.Q4_K, (3, 256), kernels)

    assert {"affine", "blocks"} == set(chosen.seconds)
    assert chosen.form == min(chosen.seconds, key=lambda name: chosen.seconds[name])


# MLX itself


@pytest.mark.skipif(mx.metal.is_available(), reason="a Metal device, which does more than read")
def test_mlx_takes_the_calls_as_they_are_made() -> None:
    kernels, data = Kernels(mx.fast.metal_kernel), mx.array(random_blocks(TensorType.Q4_0, 4, 64))

    with pytest.raises(RuntimeError, match="No Metal back-end"):  # and no TypeError
        kernels.matvec(TensorType.Q4_0, data, mx.zeros((1, 64)))
    with pytest.raises(RuntimeError, match="No Metal back-end"):
        kernels.dequantize(TensorType.Q4_0, data)


# On a Metal device


@pytest.mark.skipif(not mx.metal.is_available(), reason="no Metal device")
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_metal_device_computes_what_numpy_does(kind: TensorType) -> None:
    kernels = Kernels(mx.fast.metal_kernel)
    data = random_blocks(kind, N, K)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = np.array(kernels.dequantize(kind, mx.array(data)))
        xs = [activations(M, K) for M in range(1, 9)]
        ys = [np.array(kernels.matvec(kind, mx.array(data), mx.array(x))) for x in xs]

    expected = dequantize(kind, data, (N, K))
    assert np.abs(expected - found).max() <= 1e-6 * np.abs(expected).max()
    for x, y in zip(xs, ys, strict=True):
        assert relative_error(data, kind, x, y) <= 2e-5
