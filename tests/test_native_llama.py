"""The compiled kernels equal the specification: every type, every processor's table, odd shapes.

Products are compared with those of NumPy over the same rounded input: what the kernels may differ
by is the order of float32 sums.
"""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spm.data import embedded_model
from spm.errors import ModelError
from spm.gguf import GGUF, Quantized, TensorType, dequantize, write_gguf
from spm.gguf.types import BLOCK_LAYOUTS
from spm.llama import Llama
from spm.llama.ops import Segment, native
from spm.llama.ops import numpy as spec
from spm.llama.ops.native import NativeOps
from spm.native import core
from tests.quant_blocks import F16_SCALES
from tools.small_llamas import CASES, IDS, Case, requantise, write_case

pytestmark = pytest.mark.skipif(not native.built(), reason="the compiled kernels are not built")

TABLES = core.llama_kernels() if native.built() else []
WEIGHTS = sorted(
    (set(TensorType) - {TensorType[name] for name in ("I8", "I16", "I32", "I64", "F64", "Q8_1")}),
    key=lambda kind: kind.name,
)
BEYOND = 1 << 64  # what a size of the core ends before
FLOATS = {TensorType.F32, TensorType.F16, TensorType.BF16}


@pytest.fixture(scope="module", params=TABLES)
def ops(request: pytest.FixtureRequest) -> NativeOps:
    """Three threads, on whatever there is."""
    return NativeOps(3, "f32", request.param)


def blocks(kind: TensorType, rows: int, cols: int, seed: int = 0) -> Quantized:
    """Random bytes, the half-precision scales in them of a sane size."""
    rng = np.random.default_rng(seed)
    layout = BLOCK_LAYOUTS[kind]
    n = rows * cols // layout.values
    data = rng.integers(0, 256, (n, layout.nbytes), np.uint8)
    for at in F16_SCALES.get(kind, []) if kind is not TensorType.IQ1_M else []:
        scales = rng.uniform(-0.1, 0.1, n).astype("<f2")
        data[:, at : at + 2] = scales.view(np.uint8).reshape(n, 2)
    values = rng.standard_normal(rows * cols).astype("<f4")
    if kind is TensorType.F32:
        data = values.view(np.uint8)
    elif kind is TensorType.F16:
        data = values.astype("<f2").view(np.uint8)
    elif kind is TensorType.BF16:
        data = (values.view("<u4") >> 16).astype("<u2").view(np.uint8)
    elif kind in (TensorType.Q1_0, TensorType.Q2_0):
        data[:, 0:2] = np.array([0x2E66], "<u2").view(np.uint8)  # 0.1
    elif kind is TensorType.Q8_K:
        data[:, 0:4] = rng.uniform(-0.1, 0.1, n).astype("<f4").view(np.uint8).reshape(n, 4)
    elif kind is TensorType.IQ1_M:  # the scale's nibbles lie in four bytes: 0.1 again
        data[:, 49:57:2] = data[:, 49:57:2] & 0x0F | np.array([0x60, 0x60, 0xE0, 0x20], np.uint8)
    elif kind is TensorType.MXFP4:
        data[:, 0] = rng.integers(118, 128, n)
    elif kind is TensorType.NVFP4:
        data[:, 0:4] = rng.integers(0x20, 0x40, (n, 4))
    return Quantized(kind, (rows, cols), data.reshape(-1))


def matrix(ops: NativeOps, weights: Quantized, folder: Path) -> tuple[Any, np.ndarray]:
    """The same weights as the kernels have them and as float32, by way of a file."""
    write_gguf(folder / "w.gguf", {}, {"w": weights})
    with GGUF.open(folder / "w.gguf") as gguf:
        return ops.matrix(gguf.tensors["w"]), gguf.tensors["w"].dequantize()


def rows(ops: NativeOps, T: int, n: int, seed: int = 1) -> tuple[Any, np.ndarray]:
    x = np.random.default_rng(seed).standard_normal((T, n)).astype(np.float32)
    return ops.engine.rows(x), x


def assert_near(expected: np.ndarray, found: np.ndarray, atol: float = 1e-5) -> None:
    """Within `atol` of the expected numbers' size."""
    assert found.shape == expected.shape
    size = np.sqrt(np.mean(np.square(expected, dtype=np.float64)))
    np.testing.assert_allclose(found, expected, atol=atol * size, rtol=0)


# Blocks


@pytest.mark.parametrize("kind", WEIGHTS, ids=lambda kind: kind.name)
def test_weights_unpack_to_the_bit(kind: TensorType, ops: NativeOps, tmp_path: Path) -> None:
    for n_rows in (1, 3, 16, 37):
        found, weights = matrix(ops, blocks(kind, n_rows, 768, seed=n_rows), tmp_path)

        assert np.array_equal(weights, ops.embed(found, np.arange(n_rows)).numpy)


def test_a_file_is_read_a_stretch_after_the_other(ops: NativeOps, tmp_path: Path) -> None:
    n_rows = 6149  # 25 MB, of which a thread's first part is a sixth, and read in three stretches
    found, weights = matrix(ops, blocks(TensorType.F32, n_rows, 1024), tmp_path)

    assert np.array_equal(weights, ops.embed(found, np.arange(n_rows)).numpy)


@pytest.mark.parametrize("kind", [TensorType.Q4_0, TensorType.Q4_1, TensorType.F16])
def test_every_half_precision_scale_is_read_as_ieee_754_says(
    kind: TensorType, ops: NativeOps, tmp_path: Path
) -> None:
    weights = blocks(kind, 2048, 1024)
    data = weights.data.reshape(-1, BLOCK_LAYOUTS[kind].nbytes)
    data[: 1 << 16, 0:2] = np.arange(1 << 16, dtype="<u2").view(np.uint8).reshape(-1, 2)
    expected = dequantize(kind, weights.data, weights.shape)

    found = ops.embed(matrix(ops, weights, tmp_path)[0], np.arange(2048)).numpy

    nan = np.isnan(expected)
    assert np.array_equal(nan, np.isnan(found))
    assert np.array_equal(expected[~nan], found[~nan])


# Products


@pytest.mark.parametrize("kind", WEIGHTS, ids=lambda kind: kind.name)
def test_products_are_the_specifications(kind: TensorType, ops: NativeOps, tmp_path: Path) -> None:
    for n_rows, cols in [(1, 256), (7, 512), (50, 256), (64, 1280)]:
        w, weights = matrix(ops, blocks(kind, n_rows, cols), tmp_path)
        for T in (1, 2, 3, 5, 8, 12, 13, 18, 19, 31):
            x, values = rows(ops, T, cols, seed=T)
            seen = values if kind in FLOATS else ops.engine.rounded(x).numpy

            expected = seen.astype(np.float64) @ weights.T.astype(np.float64)
            assert_near(expected, ops.linear(x, w).numpy)


def test_a_product_adds_its_bias(ops: NativeOps, tmp_path: Path) -> None:
    w, weights = matrix(ops, blocks(TensorType.F32, 21, 30), tmp_path)
    bias, values = rows(ops, 1, 21)
    x, of_x = rows(ops, 4, 30)

    assert_near(spec.linear(of_x, weights, values[0]), ops.linear(x, w, bias).numpy)


def test_weights_left_in_the_file_give_the_same_products(ops: NativeOps, tmp_path: Path) -> None:
    for kind in (TensorType.Q4_K, TensorType.Q8_0, TensorType.F16):
        weights = blocks(kind, 75, 512)
        packed, _ = matrix(ops, weights, tmp_path)
        mapped = ops.engine.mapped_matrix(kind, 75, 512, weights.data)
        for T in (1, 4, 20):
            x, _ = rows(ops, T, 512)

            assert np.array_equal(ops.linear(x, packed).numpy, ops.linear(x, mapped).numpy)
        ids = np.array([0, 74, 33])
        assert np.array_equal(ops.embed(packed, ids).numpy, ops.embed(mapped, ids).numpy)


def test_input_is_rounded_to_127_steps_of_each_32(ops: NativeOps) -> None:
    x, values = rows(ops, 5, 96)

    found = ops.engine.rounded(x).numpy

    step = np.abs(values.reshape(5, 3, 32)).max(axis=2, keepdims=True) / 127
    assert (np.abs(found - values).reshape(5, 3, 32) <= step * 0.5001).all()
    assert np.allclose(found.reshape(5, 3, 32) / step, np.rint(found.reshape(5, 3, 32) / step))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_stays_so(value: float, ops: NativeOps, tmp_path: Path) -> None:
    w, _ = matrix(ops, blocks(TensorType.Q4_0, 8, 64), tmp_path)
    values = np.ones((1, 64), np.float32)
    values[0, 40] = value

    assert not np.isfinite(ops.linear(ops.engine.rows(values), w).numpy).any()


def test_nothing_and_next_to_nothing_are_no_special_case(ops: NativeOps, tmp_path: Path) -> None:
    w, _ = matrix(ops, blocks(TensorType.Q8_0, 8, 64), tmp_path)
    for value in (0.0, 1e-44, 1e-38):
        x = ops.engine.rows(np.full((1, 64), value, np.float32))

        assert (np.abs(ops.linear(x, w).numpy) < 1e-30).all()


# The other operations


@pytest.mark.parametrize("T", [1, 2, 40])
@pytest.mark.parametrize("n", [2, 24, 40, 256])
def test_what_is_done_to_rows_is_the_specifications(T: int, n: int, ops: NativeOps) -> None:
    a, of_a = rows(ops, T, n)
    b, of_b = rows(ops, T, n, seed=2)
    weight, of_weight = rows(ops, 1, n, seed=3)
    angles = ops.angles(np.arange(7, 7 + T), 2, 1e4, 0.5, None)

    assert_near(of_a + of_b, ops.add(a, b).numpy)
    assert_near(
        spec.rms_norm(of_a, of_weight[0], 1e-5), ops.rms_norm(a, weight, 1e-5).numpy, atol=2e-6
    )
    assert_near(spec.swiglu(of_a * 30, of_b), ops.swiglu(ops.engine.rows(of_a * 30), b).numpy)
    expected = spec.rope(of_a, spec.angles(np.arange(7, 7 + T), 2, 1e4, 0.5, None))
    assert_near(expected, ops.rope(a, angles).numpy)
    which = np.array([T - 1, 0])
    assert np.array_equal(of_a[which], ops.take(a, which).numpy)


def test_a_gate_survives_what_exp_would_not(ops: NativeOps) -> None:
    gate = ops.engine.rows(np.array([[1000, -1000, 88, -88, 0]], np.float32))
    up = ops.engine.rows(np.ones((1, 5), np.float32))

    np.testing.assert_allclose(ops.swiglu(gate, up).numpy, [[1000, 0, 88, 0, 0]], atol=1e-30)


def test_frequencies_slow_each_pair(ops: NativeOps) -> None:
    freqs = np.array([[2, 8, 1]], np.float32)
    x, values = rows(ops, 3, 12)

    expected = spec.rope(values, spec.angles(np.arange(3), 6, 1e4, 1.0, freqs[0]))
    angles = ops.angles(np.arange(3), 6, 1e4, 1.0, ops.engine.rows(freqs))
    assert_near(expected, ops.rope(x, angles).numpy)


# Attention


@pytest.mark.parametrize(
    ("heads", "kv_heads", "head_dim"),
    [(1, 1, 2), (4, 4, 6), (6, 2, 40), (8, 1, 64), (9, 1, 16), (10, 2, 128), (32, 2, 36)],
)
def test_attention_is_the_specifications(
    heads: int, kv_heads: int, head_dim: int, ops: NativeOps
) -> None:
    of_spec = attention_run(spec, heads, kv_heads, head_dim)
    of_ops = attention_run(ops, heads, kv_heads, head_dim)

    for (expected, seen), (found, looked) in zip(of_spec, of_ops, strict=True):
        assert_near(expected, found)
        for a, b in zip(seen, looked, strict=True):
            assert_near(a, b)


def attention_run(ops: Any, heads: int, kv_heads: int, head_dim: int) -> list[Any]:
    """Two texts that grow by turns, past the edges of blocks and through every growth."""
    stores = [ops.kv_store(2, kv_heads, head_dim) for _ in range(2)]
    lengths, found = [0, 0], []
    capacity = 0
    for turn, counts in enumerate([(1, 0), (15, 3), (1, 1), (33, 20), (1, 1), (70, 0), (1, 1)]):
        if max(lengths) + max(counts) > capacity:
            capacity = max(lengths) + max(counts) + turn
            for store, length in zip(stores, lengths, strict=True):
                store.grow(capacity, length)
        segments = [
            Segment(store, length, T)
            for store, length, T in zip(stores, lengths, counts, strict=True)
            if T
        ]
        T = sum(counts)
        rng = np.random.default_rng(turn)
        wide = [heads, kv_heads, kv_heads]
        qkv = [rng.standard_normal((T, n * head_dim)).astype(np.float32) for n in wide]
        given = qkv if ops is spec else [ops.engine.rows(x) for x in qkv]
        looked: list[np.ndarray] = []
        mixed = ops.attention(*given, 1, segments, looked.append)
        found.append((ops.to_numpy(mixed).copy(), looked))
        lengths = [a + b for a, b in zip(lengths, counts, strict=True)]
    return found


def test_keys_are_kept_in_half_precision_as_ieee_754_rounds(ops: NativeOps) -> None:
    halves = NativeOps(1, "f16", ops.engine.kernels)
    rng = np.random.default_rng(0)
    keys = (rng.standard_normal((40, 16)) * 10.0 ** rng.integers(-9, 6, (40, 16))).astype("f4")
    keys[0, :6] = [65504, 65519.9, 65520, 5.96e-8, 2.98e-8, -2.99e-8]
    store = halves.kv_store(1, 1, 16)
    store.grow(40, 0)
    x = halves.engine.rows(keys)

    halves.attention(x, x, x, 0, [Segment(store, 0, 40)])

    with np.errstate(over="ignore"):
        assert np.array_equal(
            keys.astype(np.float16).astype(np.float32), halves.engine.keys(store, 0, 40).numpy
        )


def test_values_kept_in_half_precision_are_mixed_as_such(ops: NativeOps) -> None:
    halves = NativeOps(2, "f16", ops.engine.kernels)
    (q, of_q), (k, of_k), (v, of_v) = (
        rows(halves, 30, n, seed=seed) for seed, n in enumerate((96, 48, 48))
    )
    of_store, store = spec.kv_store(1, 2, 24), halves.kv_store(1, 2, 24)
    of_store.grow(30, 0)
    store.grow(30, 0)

    of_k, of_v = (x.astype(np.float16).astype(np.float32) for x in (of_k, of_v))
    expected = spec.attention(of_q, of_k, of_v, 0, [Segment(of_store, 0, 30)])
    assert_near(expected, halves.attention(q, k, v, 0, [Segment(store, 0, 30)]).numpy)


@pytest.mark.parametrize("head_dim", [2, 32, 40, 64])
def test_keys_kept_as_int8_are_127_steps_of_each_32(head_dim: int, ops: NativeOps) -> None:
    int8 = NativeOps(1, "q8_0", ops.engine.kernels)
    x, values = rows(int8, 40, head_dim)
    store = int8.kv_store(1, 1, head_dim)
    store.grow(20, 0)
    int8.attention(*(int8.take(x, np.arange(20)),) * 3, 0, [Segment(store, 0, 20)])
    store.grow(40, 20)
    int8.attention(*(int8.take(x, np.arange(20, 40)),) * 3, 0, [Segment(store, 20, 20)])

    found = int8.engine.keys(store, 0, 40).numpy

    for start in range(0, head_dim, 32):
        part, kept = values[:, start : start + 32], found[:, start : start + 32]
        step = np.abs(part).max(axis=1, keepdims=True) / 127
        assert (np.abs(kept - part) <= step * 0.5001).all()
        assert np.allclose(kept / step, np.rint(kept / step), atol=1e-4)


def test_values_kept_as_int8_are_mixed_as_such(ops: NativeOps) -> None:
    int8 = NativeOps(2, "q8_0", ops.engine.kernels)
    (q, of_q), (k, of_k) = rows(int8, 30, 80), rows(int8, 30, 40, seed=2)
    v = int8.take(k, np.arange(30))  # what is kept of the keys can be asked for: let both be equal
    store, of_store = int8.kv_store(1, 1, 40), spec.kv_store(1, 1, 40)
    store.grow(30, 0)
    of_store.grow(30, 0)

    mixed = int8.attention(q, k, v, 0, [Segment(store, 0, 30)]).numpy

    kept = int8.engine.keys(store, 0, 30).numpy
    assert_near(spec.attention(of_q, kept, kept, 0, [Segment(of_store, 0, 30)]), mixed)
    assert not np.array_equal(of_k, kept)


# Whole models


@pytest.mark.parametrize("name", CASES)
def test_whole_models_of_odd_shapes_are_the_specifications(
    name: str, ops: NativeOps, tmp_path: Path
) -> None:
    path = write_case(tmp_path / "m.gguf", CASES[name])
    expected = Llama.from_gguf(path, "numpy").forward(IDS)
    model = loaded(path, ops)

    assert_near(expected, model.forward(IDS), atol=3e-5)


def loaded(path: Path, ops: NativeOps) -> Llama:
    with GGUF.open(path) as gguf:
        return Llama._load(gguf, ops, None)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_any_number_of_threads_gives_the_same_bits(threads: int) -> None:
    alone = Llama.from_gguf(embedded_model(), "native", threads=1).forward(IDS)

    assert np.array_equal(
        alone, Llama.from_gguf(embedded_model(), "native", threads=threads).forward(IDS)
    )


def test_weights_left_in_the_file_give_the_same_bits(tmp_path: Path) -> None:
    path = requantise(embedded_model(), tmp_path / "m.gguf", TensorType.Q4_K)
    packed = Llama.from_gguf(path, "native").forward(IDS)

    mapped = Llama.from_gguf(path, "native", mapped=True)

    assert np.array_equal(packed, mapped.forward(IDS))
    assert "mapped" in mapped.ops.describe()


@pytest.mark.parametrize("kv", ["f32", "f16", "q8_0"])
def test_less_of_a_key_is_kept_and_the_logits_stay_near(kv: str) -> None:
    expected = Llama.from_gguf(embedded_model(), "numpy").forward(IDS)

    found = Llama.from_gguf(embedded_model(), "native", kv=kv).forward(IDS)

    error = np.linalg.norm(found - expected) / np.linalg.norm(expected)
    assert error < {"f32": 0.02, "f16": 0.02, "q8_0": 0.04}[kv]


@pytest.mark.parametrize("asked", ["avx2", "portable", "mmx"])
def test_spm_isa_chooses_the_kernels(asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPM_ISA", asked)
    table = native.KERNELS.get(asked)

    if table in TABLES:
        assert NativeOps(1).describe().startswith(f"native, {table}, ")
    else:
        with pytest.raises(ValueError, match=rf"^SPM_ISA is '{asked}', expected .*portable on "):
            NativeOps(1)


def test_texts_in_one_pass_get_the_logits_that_they_get_alone() -> None:
    model = Llama.from_gguf(embedded_model(), "native")
    texts = [IDS[:1], IDS[3:70], IDS[1:30]]
    caches = [model.new_cache() for _ in texts]

    first = model.step(list(zip(texts, caches, strict=True)))
    second = model.step([([5], cache) for cache in caches])

    for i, text in enumerate(texts):
        alone = model.forward([*text, 5])
        assert_near(alone[-2], first[i], atol=1e-4)
        assert_near(alone[-1], second[i], atol=1e-4)


def test_python_threads_share_a_model() -> None:
    model = Llama.from_gguf(embedded_model(), "native", threads=2)
    expected = {n: model.forward(IDS[:n]) for n in range(1, 9)}
    wrong: list[int] = []

    def run(n: int) -> None:
        for _ in range(10):
            if not np.array_equal(expected[n], model.forward(IDS[:n])):
                wrong.append(n)

    threads = [threading.Thread(target=run, args=(n,)) for n in expected]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


ALONE: dict[str, Any] = {"n_heads": 1, "n_kv_heads": 1}
ODD = {
    "one piece": Case(1, "", vocab_size=1, dim=2, hidden_dim=1, head_dim=2, **ALONE),
    "odd columns": Case(2, "", vocab_size=5, dim=7, hidden_dim=5, n_heads=3, n_kv_heads=1),
    "a wide head": Case(3, "", vocab_size=3, dim=3, head_dim=514, tied=True, **ALONE),
    "many pieces": Case(4, "", 1, vocab_size=1 << 18, dim=2, hidden_dim=3, head_dim=4, **ALONE),
}


@pytest.mark.parametrize("name", ODD)
def test_models_of_the_oddest_shapes_are_the_specifications(name: str, tmp_path: Path) -> None:
    path, n_pieces = write_case(tmp_path / "m.gguf", ODD[name]), ODD[name].vocab_size
    ids = [n_pieces - 1, 0, n_pieces // 2] * 3

    expected = Llama.from_gguf(path, "numpy").forward(ids)

    for mapped in (False, True):
        model = Llama.from_gguf(path, "native", threads=3, kv="f32", mapped=mapped)
        assert_near(expected, model.forward(ids), atol=3e-5)
        for wrong in (-1, n_pieces):
            with pytest.raises(ModelError):
                model.forward([wrong])


@pytest.mark.skipif(not hasattr(multiprocessing, "get_context"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_model_survives_a_fork() -> None:
    if "fork" not in multiprocessing.get_all_start_methods():
        pytest.skip("no fork on this system")
    model = Llama.from_gguf(embedded_model(), "native", threads=3)
    expected = model.forward(IDS[:20])
    apart = multiprocessing.get_context("fork")
    answers = apart.SimpleQueue()

    child = apart.Process(target=lambda: answers.put(model.forward(IDS[:20]).tobytes()))
    child.start()

    assert expected.tobytes() == answers.get()
    child.join()
    assert child.exitcode == 0


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_models_in_use_survive_a_fork_and_end_in_it() -> None:
    if "fork" not in multiprocessing.get_all_start_methods():
        pytest.skip("no fork on this system")
    models = [Llama.from_gguf(embedded_model(), "native", threads=3) for _ in range(3)]
    expected = models[0].forward(IDS[:20])
    over = threading.Event()

    def keep_busy() -> None:
        while not over.is_set():
            models[0].forward(IDS[:20])

    def use_all() -> None:
        for _ in range(2):
            assert all(np.array_equal(expected, model.forward(IDS[:20])) for model in models)
        while models:  # none may wait for the parent's threads, or let go of another's
            models.pop(0)

    busy = threading.Thread(target=keep_busy)
    busy.start()
    apart = multiprocessing.get_context("fork")
    children = [apart.Process(target=use_all) for _ in range(5)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
        child.kill()  # one that still waits
    over.set()
    busy.join()

    for child in children:
        child.join()
    assert [0] * 5 == [child.exitcode for child in children]


def test_the_core_refuses_what_would_read_beyond_an_array(ops: NativeOps, tmp_path: Path) -> None:
    w, _ = matrix(ops, blocks(TensorType.F32, 4, 6), tmp_path)
    x, _ = rows(ops, 2, 5)
    store = ops.kv_store(1, 1, 4)
    grown = ops.kv_store(1, 1, 4)
    grown.grow(16, 0)
    four, _ = rows(ops, 1, 4)
    attempts = [
        lambda: ops.linear(x, w),
        lambda: ops.embed(w, np.array([4])),
        lambda: ops.embed(w, np.array([-1])),
        lambda: ops.take(x, np.array([2])),
        lambda: ops.add(x, four),
        lambda: ops.rms_norm(x, four, 1e-5),
        lambda: ops.rope(x, four),
        lambda: ops.attention(four, four, four, 0, [Segment(store, 0, 1)]),
        lambda: ops.attention(four, four, four, 1, [Segment(store, 0, 1)]),
        lambda: ops.attention(four, four, four, 0, []),
        lambda: ops.engine.pack(w, 0, np.zeros(5 * 24, np.uint8)),
        lambda: ops.engine.pack(w, 1, np.zeros(24, np.uint8)),
        lambda: ops.engine.pack(w, 0, np.zeros(24, np.uint8)),  # a panel that the source ends in
        lambda: ops.engine.pack(w, BEYOND - 16, np.zeros(4 * 24, np.uint8)),
        lambda: ops.linear(
            four, ops.engine.matrix(0, 4, 4), ops.engine.rows(np.zeros((0, 4), "f4"))
        ),
        lambda: ops.rms_norm(four, ops.engine.rows(np.zeros((0, 4), "f4")), 1e-5),
        lambda: ops.rope(four, ops.engine.rows(np.zeros((1, 0), "f4"))),
        lambda: grown.grow(32, 17),
        lambda: grown.grow(8, 9),
        lambda: grown.grow(BEYOND - 1, 0),
        lambda: ops.attention(four, four, four, 0, [Segment(grown, BEYOND - 1, 1)]),
        lambda: ops.attention(four, four, four, 0, [Segment(grown, 16, 1)]),
    ]
    for attempt in attempts:
        with pytest.raises(ValueError, match=r"^the compiled core refuses "):
            attempt()


@pytest.mark.parametrize("threads", [0, 4097, 1 << 40])
def test_no_engine_has_no_thread_or_thousands(threads: int) -> None:
    with pytest.raises(ValueError, match=r"^the compiled core refuses so many threads$"):
        core.LlamaEngine(threads)


@pytest.mark.parametrize(
    ("kind", "n_rows", "cols"),
    [(0, 0, 4), (0, 4, 0), (2, 4, 33), (12, 4, 128), (4, 4, 32), (-1, 4, 4), (1000, 1, 8)],
)
def test_no_matrix_has_such_a_shape(kind: int, n_rows: int, cols: int, ops: NativeOps) -> None:
    for make in (
        lambda: ops.engine.matrix(kind, n_rows, cols),
        lambda: ops.engine.mapped_matrix(kind, n_rows, cols, np.zeros(64, np.uint8)),
    ):
        with pytest.raises(ValueError, match=r"^the compiled core refuses a matrix's shape$"):
            make()


@pytest.mark.parametrize("nbytes", [0, 17, 71, 73, 144])
def test_mapped_weights_are_exactly_a_matrix(nbytes: int, ops: NativeOps) -> None:
    with pytest.raises(ValueError, match=r"^the compiled core refuses bytes that are not a "):
        ops.engine.mapped_matrix(TensorType.Q4_0, 2, 64, np.zeros(nbytes, np.uint8))


@pytest.mark.parametrize(
    ("n_rows", "cols"), [(BEYOND - 1, 1), (1, BEYOND - 1), (1 << 60, 1 << 60), (1, 1 << 60)]
)
def test_a_matrix_beyond_all_memory_is_memory_that_is_not_there(
    n_rows: int, cols: int, ops: NativeOps
) -> None:
    with pytest.raises(MemoryError):
        ops.engine.matrix(TensorType.F32, n_rows, cols)
    with pytest.raises((MemoryError, ValueError)):
        ops.engine.mapped_matrix(TensorType.F32, n_rows, cols, np.zeros(64, np.uint8))


@pytest.mark.parametrize(
    ("kept", "heads", "head_dim"), [(0, 0, 4), (0, 1, 0), (3, 1, 4), (-1, 1, 4), (2, 1, BEYOND - 1)]
)
def test_no_store_has_such_a_shape(kept: int, heads: int, head_dim: int, ops: NativeOps) -> None:
    with pytest.raises(ValueError, match=r"^the compiled core refuses keys and values of this "):
        ops.engine.kv_store(kept, 1, heads, head_dim)


def test_a_store_that_cannot_grow_is_as_it_was(ops: NativeOps) -> None:
    store = ops.kv_store(2, 2, 8)
    store.grow(16, 0)
    x, _ = rows(ops, 5, 16)
    ops.attention(x, x, x, 1, [Segment(store, 0, 5)])
    keys = ops.engine.keys(store, 1, 5).numpy.copy()

    for capacity in (1 << 50, BEYOND - 20):
        with pytest.raises(MemoryError):
            store.grow(capacity, 5)

    assert np.array_equal(keys, ops.engine.keys(store, 1, 5).numpy)
    with pytest.raises(ValueError, match=r"^the compiled core refuses a segment's store$"):
        ops.attention(x, x, x, 1, [Segment(store, 16, 5)])


def test_texts_without_rows_change_nothing(ops: NativeOps) -> None:
    for T, empty in ((1, 2), (2, 1), (40, 39)):
        (q, of_q), (k, of_k), (v, of_v) = (rows(ops, T, 8, seed=seed) for seed in range(3))
        stores = [ops.kv_store(1, 1, 8) for _ in range(1 + empty)]
        of_store = spec.kv_store(1, 1, 8)
        for store in (of_store, *stores):
            store.grow(T, 0)

        segments = [Segment(stores[0], 0, T), *(Segment(store, 0, 0) for store in stores[1:])]

        expected = spec.attention(of_q, of_k, of_v, 0, [Segment(of_store, 0, T)])
        assert_near(expected, ops.attention(q, k, v, 0, segments).numpy)


# A product of weights in the file, with room for the input and none for what a thread unpacks.
OUT_OF_MEMORY = """
import numpy as np, resource
from spm.llama.ops.native import NativeOps
engine = NativeOps(3).engine
cols = 1 << 24
weights = np.zeros(cols // 32 * 18, np.uint8)
matrix = engine.mapped_matrix(2, 1, cols, weights)
x = engine.rows(np.zeros((1, cols), np.float32))
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (150 << 20), resource.RLIM_INFINITY))
for _ in range(2):
    try:
        engine.linear(x, matrix)
    except MemoryError:
        print("no memory")
small = engine.rows(np.ones((2, 32), np.float32))
print(engine.linear(small, engine.mapped_matrix(2, 40, 32, weights[: 40 * 18])).numpy.sum())
"""


@pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="limits are set as Linux has them"
)
def test_memory_may_run_out_in_any_thread() -> None:
    told = subprocess.run(
        [sys.executable, "-c", OUT_OF_MEMORY], capture_output=True, text=True, timeout=100
    )

    assert "no memory\nno memory\n0.0\n" == told.stdout, told.stderr


def test_a_file_that_is_cut_while_it_is_read_is_named(tmp_path: Path) -> None:
    path = write_case(tmp_path / "m.gguf", CASES["plain"])
    with GGUF.open(path) as gguf:
        path.write_bytes(path.read_bytes()[:-64])

        with pytest.raises(ValueError, match=r"m\.gguf: tensor .*the file ends here since it was"):
            Llama.from_gguf(gguf, "native")


def test_what_runs_is_told() -> None:
    described = NativeOps(1).describe()

    assert f"native, {TABLES[0]}, 1 thread" == described
    assert NativeOps(2).describe().endswith(", 2 threads")
