"""The MLX back end against its specification, operation by operation and as whole models.

On Linux it runs on MLX's CPU path; on a Mac the same tests run on the GPU, with looser bounds.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

mx = pytest.importorskip("mlx.core", reason="mlx is not installed: pip install 'spm[metal]'")

from spm.errors import GGUFError, ModelError  # noqa: E402
from spm.gguf import GGUF, Quantized, Tensor, TensorType, dequantize, write_gguf  # noqa: E402
from spm.gguf.quants import DECODERS  # noqa: E402
from spm.llama import Llama, Sampling, generate_ids  # noqa: E402
from spm.llama.ops import Segment, choose  # noqa: E402
from spm.llama.ops import numpy as specification  # noqa: E402
from spm.llama.ops.metal import affine  # noqa: E402
from spm.llama.ops.mlx import MLX  # noqa: E402
from tests.block_llamas import TEN, random_blocks, write_block_llama  # noqa: E402
from tools import metal  # noqa: E402
from tools.small_llamas import CASES, IDS, write_case  # noqa: E402

LOOSE = 10 if mx.metal.is_available() else 1
LARGE = {TensorType[name] for name in ("F64", "I16", "I32", "I64", "Q8_K")}  # what is no weight
OTHERS = sorted({*DECODERS} - {*TEN} - LARGE)


@pytest.fixture
def ops() -> MLX:
    made: Any = choose("mlx")
    return made


def f32(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def assert_close(expected: np.ndarray, found: Any, atol: float = 2e-6) -> None:
    values = np.array(found)
    assert (np.float32, expected.shape) == (values.dtype, values.shape)
    np.testing.assert_allclose(values, expected, atol=LOOSE * atol, rtol=0)


def made_tensor(path: Path, kind: TensorType, rows: int, columns: int) -> Tensor:
    """A random matrix in a file."""
    plain = {TensorType.F32: "<f4", TensorType.I8: "i1"}
    if kind in plain:
        data = (9 * f32(rows, columns)).astype(plain[kind]).view(np.uint8)
    else:
        data = random_blocks(kind, rows, columns)
    write_gguf(path, {}, {"matrix": Quantized(kind, (rows, columns), data)})
    return GGUF.open(path).tensors["matrix"]


# Weights


@pytest.mark.parametrize("shape", [(1, 256), (5, 768), (44, 256)])
@pytest.mark.parametrize("kind", [*TEN, *OTHERS], ids=lambda kind: kind.name)
def test_rows_and_products_of_every_type(
    kind: TensorType, shape: tuple[int, int], ops: MLX, tmp_path: Path
) -> None:
    tensor = made_tensor(tmp_path / "m.gguf", kind, *shape)
    weights, ids = tensor.dequantize(), np.array([0, shape[0] - 1, 0])

    matrix = ops.matrix(tensor)

    rows = np.array(ops.embed(matrix, ids))
    assert np.array_equal(weights[ids], rows) if LOOSE == 1 else np.allclose(weights[ids], rows)
    for T in (1, 3, 40):
        x = f32(T, shape[1])
        y = np.array(ops.linear(mx.array(x), matrix))
        exact = x.astype(np.float64) @ weights.astype(np.float64).T
        assert ((T, shape[0]), np.float32) == (y.shape, y.dtype)
        assert np.abs(y - exact).max() <= 2e-5 * LOOSE * np.sqrt(np.mean(exact**2))


@pytest.mark.parametrize("kind", TEN, ids=lambda kind: kind.name)
def test_repacking_keeps_every_value(kind: TensorType) -> None:
    data = random_blocks(kind, 3, 512, seed=1)
    group = 16 if kind in (TensorType.Q2_K, TensorType.Q3_K, TensorType.Q6_K) else 32

    words, scales, biases, bits = affine.pack(kind, data, 512)

    # By hand from MLX's format: a little-endian stream of bits, groups of 32.
    stream = np.unpackbits(words.view(np.uint8), axis=1, bitorder="little").reshape(3, 512, bits)
    q = (stream.astype(np.float32) * 2.0 ** np.arange(bits, dtype=np.float32)).sum(axis=2)
    values = [np.repeat(s, 32, 1) * q + np.repeat(b, 32, 1) for s, b in zip(scales, biases)]
    if len(values) == 2:
        values = [np.where(np.arange(512) % 32 < 16, *values)]
    assert (len(values), len(scales)) == (1, 32 // group)
    assert np.array_equal(dequantize(kind, data, (3, 512)), values[0])
    assert words.nbytes == 3 * 512 * bits // 8


@pytest.mark.parametrize("bits", range(1, 9))
def test_a_stream_of_bits_starts_at_the_lowest(bits: int) -> None:
    q = np.arange(0, 192, 3, dtype=np.uint8).reshape(4, 16) & ((1 << bits) - 1)

    stream = affine.bit_stream(q, bits)

    for row, found in zip(q, stream, strict=True):
        number = sum(int(each) << bits * i for i, each in enumerate(row))
        assert number.to_bytes(2 * bits, "little") == found.tobytes()


def test_each_type_and_row_length_is_reported(ops: MLX, tmp_path: Path) -> None:
    for kind, columns in [(TensorType.Q4_K, 256), (TensorType.Q4_K, 512), (TensorType.F16, 256)]:
        ops.matrix(made_tensor(tmp_path / "m.gguf", kind, 2, columns))

    if ops.kernels is None:
        assert {"Q4_K x 256": "affine", "Q4_K x 512": "affine", "F16 x 256": "dense"} == {
            name: str(chosen) for name, chosen in ops.choices.items()
        }
        assert "MLX on the CPU, F16 as dense, Q4_K as affine" == ops.describe()
    assert f"MLX on {mx.default_device()}\n  Q4_K x 256: " in repr(ops)


def test_numbers_stay_as_narrow_as_the_file_has_them(ops: MLX, tmp_path: Path) -> None:
    ops.kernels = None
    dtypes = {"F32": mx.float32, "F16": mx.float16, "BF16": mx.bfloat16, "I8": mx.float32}
    for name, dtype in dtypes.items():
        matrix: Any = ops.matrix(made_tensor(tmp_path / "m.gguf", TensorType[name], 2, 256))
        assert dtype == matrix.weights.dtype


def test_a_file_cut_short_is_named(ops: MLX, tmp_path: Path) -> None:
    tensor = made_tensor(tmp_path / "m.gguf", TensorType.Q4_0, 64, 256)
    tensor.path.write_bytes(tensor.path.read_bytes()[:-5])

    with pytest.raises(GGUFError, match=r"m.gguf: tensor matrix: .*the file ends here"):
        ops.matrix(tensor)


# Operations


def test_rows_are_taken_and_added(ops: MLX) -> None:
    x, rows = f32(5, 8), np.array([4, 0, 4])

    assert_close(x[rows], ops.take(mx.array(x), rows))
    assert_close(x + x[::-1], ops.add(mx.array(x), mx.array(x[::-1].copy())))
    assert np.array_equal(x, ops.to_numpy(mx.array(x)))


def test_linear_adds_its_bias(ops: MLX, tmp_path: Path) -> None:
    tensor = made_tensor(tmp_path / "m.gguf", TensorType.F32, 3, 8)
    x, bias = f32(2, 8), f32(3)

    y = ops.linear(mx.array(x), ops.matrix(tensor), mx.array(bias))

    assert_close(specification.linear(x, tensor.dequantize(), bias), y, atol=1e-5)


@pytest.mark.parametrize("eps", [1e-5, 0.5])
def test_rms_norm(eps: float, ops: MLX) -> None:
    x, weight = f32(3, 40), f32(40, seed=1)

    y = ops.rms_norm(mx.array(x), mx.array(weight), eps)

    assert_close(specification.rms_norm(x, weight, eps), y)


def test_swiglu_far_from_zero_too(ops: MLX) -> None:
    gate, up = f32(4, 40) * np.float32(60), f32(4, 40, seed=1)

    y = ops.swiglu(mx.array(gate), mx.array(up))

    assert_close(specification.swiglu(gate, up), y, atol=1e-4)


@pytest.mark.parametrize("freqs", [None, np.linspace(1, 8, 20, dtype=np.float32)])
def test_rope_far_into_a_context(freqs: np.ndarray | None, ops: MLX) -> None:
    positions, x = np.array([0, 7, 100_000]), f32(3, 80)

    known = None if freqs is None else mx.array(freqs)
    turned = ops.rope(mx.array(x), ops.angles(positions, 40, 5e5, 0.5, known))

    angles = specification.angles(positions, 40, 5e5, 0.5, freqs)
    assert_close(specification.rope(x, angles), turned)


# Attention: H heads, K kv heads, several texts, a store that grows


@pytest.mark.parametrize(("H", "K", "d"), [(4, 4, 6), (6, 2, 4), (1, 1, 40), (4, 1, 64)])
def test_attention_of_texts_of_unequal_lengths(H: int, K: int, d: int, ops: MLX) -> None:
    stores = [[each.kv_store(2, K, d) for _ in range(3)] for each in (specification, ops)]
    lengths = [0, 0, 0]
    for step, new in enumerate([(5, 1, 3), (1, 1, 1), (1, 70, 2)]):
        q, k, v = (f32(sum(new), heads * d, seed=step) for heads in (H, K, K))
        for each in stores:
            for store, used, T in zip(each, lengths, new, strict=True):
                store.grow(used + T + step, used)
        for layer in (0, 1):
            expected, found = (
                run(q, k, v, layer, [Segment(*s) for s in zip(each, lengths, new, strict=True)])
                for run, each in zip((specification.attention, on_mlx(ops)), stores, strict=True)
            )
            assert_close(expected, found)
        lengths = [used + T for used, T in zip(lengths, new, strict=True)]


def on_mlx(ops: MLX) -> Callable[..., Any]:
    return lambda q, k, v, *rest: ops.attention(mx.array(q), mx.array(k), mx.array(v), *rest)


def test_attention_shows_its_weights(ops: MLX) -> None:
    seen: list[list[np.ndarray]] = [[], []]
    q, k, v = f32(5, 24), f32(5, 8, seed=1), f32(5, 8, seed=2)
    for run, made, shown in zip(
        (specification.attention, on_mlx(ops)), (specification, ops), seen, strict=True
    ):
        stores = [made.kv_store(1, 2, 4), made.kv_store(1, 2, 4)]
        for store in stores:
            store.grow(3, 0)
        run(q, k, v, 0, [Segment(stores[0], 0, 3), Segment(stores[1], 0, 2)], shown.append)

    assert [(6, 3, 3), (6, 2, 2)] == [each.shape for each in seen[1]]
    for expected, found in zip(*seen, strict=True):
        assert_close(expected, found)


def test_keys_and_values_are_kept_apart(ops: MLX) -> None:
    store, same = ops.kv_store(1, 1, 4), mx.array(f32(3, 4))
    store.grow(3, 0)
    store.write(0, 0, same, same)  # fills both buffers with one array

    keys, values = store.write(0, 1, mx.zeros((1, 4)), mx.ones((1, 4)))
    again, _ = store.write(0, 0, mx.ones((1, 4)), mx.ones((1, 4)))

    expected = np.array(same)
    assert np.array_equal([expected[0], np.zeros(4)], np.array(keys)[0])
    assert np.array_equal([expected[0], np.ones(4)], np.array(values)[0])
    assert np.array_equal(np.ones((1, 4)), np.array(again)[0])
    assert np.array_equal(expected[[0, 2]], np.array(same)[[0, 2]])


# Whole models


def assert_same_model(path: Path, ids: list[int] = IDS, prompt: list[int] = IDS[:11]) -> Llama:
    """Logits to a thousandth of their deviation, and the same 24 greedy ids after the prompt."""
    reference, model = (Llama.from_gguf(path, backend=name) for name in ("numpy", "mlx"))
    expected, logits = reference.forward(ids), model.forward(ids)
    tolerance = 1e-3 * expected.std()
    assert np.abs(expected - logits).max() <= tolerance
    top = np.sort(expected, axis=1)
    clear = top[:, -1] - top[:, -2] > tolerance
    assert np.array_equal(expected.argmax(axis=1)[clear], logits.argmax(axis=1)[clear])
    greedy = Sampling(temperature=0)
    stories = [list(generate_ids(m, prompt, greedy, max_tokens=24)) for m in (reference, model)]
    assert stories[0] == stories[1]
    assert len(stories[0]) == 24
    return model


@pytest.mark.parametrize("kind", TEN, ids=lambda kind: kind.name)
def test_a_llama_of_each_block_type_is_numpys(kind: TensorType, tmp_path: Path) -> None:
    model = assert_same_model(write_block_llama(tmp_path / "m.gguf", [kind]))

    assert {f"{kind.name} x 256", f"{kind.name} x 512"} == set(model.ops.choices)  # type: ignore[attr-defined]


def test_a_llama_of_all_block_types_is_numpys(tmp_path: Path) -> None:
    assert_same_model(write_block_llama(tmp_path / "m.gguf", TEN))


@pytest.mark.parametrize("name", CASES)
def test_every_kind_of_llama_is_numpys(name: str, tmp_path: Path) -> None:
    assert_same_model(write_case(tmp_path / "m.gguf", CASES[name]))


def test_every_stage_is_numpys(tmp_path: Path) -> None:
    path = write_case(tmp_path / "m.gguf", CASES["grouped"])
    stages: list[list[tuple[str, np.ndarray]]] = [[], []]
    for backend, seen in zip(("numpy", "mlx"), stages, strict=True):
        model = Llama.from_gguf(path, backend)
        model.forward(IDS[:70], tap=lambda *stage, seen=seen: seen.append(stage))

    assert [name for name, _ in stages[0]] == [name for name, _ in stages[1]]
    for (name, expected), (_, found) in zip(*stages, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-4 * LOOSE, rtol=0, err_msg=name)


def test_a_prompt_in_parts_beside_another_text(tmp_path: Path) -> None:
    model = Llama.from_gguf(write_case(tmp_path / "m.gguf", CASES["grouped"]), "mlx")
    whole = model.forward(IDS)
    cache, used = model.new_cache(), 0
    for T in (1, 1, 62, 1, 1, 64):  # both sides of what a cache first has room for
        one, other = model.step([(IDS[used : used + T], cache), (IDS[:5], model.new_cache())])
        used += T
        np.testing.assert_allclose(one, whole[used - 1], atol=1e-4 * LOOSE, rtol=0)
        np.testing.assert_allclose(other, whole[4], atol=1e-4 * LOOSE, rtol=0)


def test_a_pass_whose_logits_nobody_asks_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Llama.from_gguf(write_case(tmp_path / "m.gguf", CASES["plain"]), "mlx")
    whole = model.forward(IDS)
    monkeypatch.setattr("spm.llama.model.BATCH", 7)
    started, start = [], mx.async_eval
    monkeypatch.setattr(mx, "async_eval", lambda *arrays: (started.append(1), start(*arrays)))

    logits = model.step([(IDS[:49], model.new_cache()), (IDS[:9], model.new_cache())])

    assert len(started) == 9  # seven passes of the first text alone, and two of the other
    np.testing.assert_allclose(logits, whole[[48, 8]], atol=1e-4 * LOOSE, rtol=0)


def test_the_same_ids_give_the_same_bits(tmp_path: Path) -> None:
    model = Llama.from_gguf(write_case(tmp_path / "m.gguf", CASES["grouped"]), "mlx")

    first = model.forward(IDS)

    assert np.array_equal(first, model.forward(IDS, tap=lambda *_: None))


def test_weights_that_overflow_are_an_error_of_one_line(tmp_path: Path) -> None:
    model = Llama.from_gguf(write_case(tmp_path / "m.gguf", CASES["plain"]), "mlx")
    model.weights.output_norm[:] = 3e38

    with pytest.raises(ModelError, match=r"^logits: found infinity or NaN in row 0, expected"):
        model.forward(IDS[:3])


def test_the_tool_prints_a_line_for_each_form(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["metal", "--rows", "8", "--columns", "256"])

    metal.main()

    _, header, *lines = capsys.readouterr().out.splitlines()
    assert ["type", "form", "MB", "error", "ms", "GB/s"] == header.split()
    assert {*(kind.name for kind in TEN), "F16", "BF16"} == {line.split()[0] for line in lines}
    assert all(float(line.split()[3]) <= 2e-5 * LOOSE for line in lines)
