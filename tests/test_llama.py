"""The whole network against llama.cpp's recorded answers, and what must hold for any model.

Over every back end that is here: NumPy, and the compiled kernels where they were built.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spm.errors import ModelError, SpmError
from spm.gguf import GGUF, TensorType, Typed, ValueType, write_gguf
from spm.llama import KVCache, Llama, Sampling, generate_ids
from spm.llama.ops import native
from tools.small_llamas import CASES, IDS, metadata, requantise, tensors, write_case

GOLDEN = Path(__file__).parent.parent / "golden" / "llama"
NUMERIC = {"atol": 1e-4, "rtol": 0}  # what float32 sums in another order may differ by


def read_golden(name: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    header, *lines = map(json.loads, (GOLDEN / f"{name}.jsonl").read_text("utf-8").splitlines())
    return header, lines


def assert_same_file(path: Path, sha256: str, remedy: str) -> None:
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    assert sha256 == found, f"{path.name} is not the model of the record; {remedy}"


def write_model(path: Path, keys: dict[str, Any], arrays: dict[str, Any]) -> Path:
    """The plain model with some keys and tensors replaced; None takes one away."""
    case = CASES["plain"]
    all_keys, all_arrays = {**metadata(case), **keys}, {**tensors(case), **arrays}
    kept_keys = {key: value for key, value in all_keys.items() if value is not None}
    kept_arrays = {name: array for name, array in all_arrays.items() if array is not None}
    write_gguf(path, kept_keys, kept_arrays)
    return path


def load(path: Path, backend: str) -> Llama:
    """The model, with nothing rounded on the way."""
    return Llama.from_gguf(path, backend, kv="f32")


@pytest.fixture(scope="module", params=["numpy", "native"] if native.built() else ["numpy"])
def backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def grouped(folder: Path, backend: str) -> Llama:
    return load(write_case(folder / "grouped.gguf", CASES["grouped"]), backend)


# Against llama.cpp


@pytest.mark.parametrize("name", CASES)
def test_logits_are_llama_cpps(name: str, backend: str, tmp_path: Path) -> None:
    header, lines = read_golden("random")
    expected = {line["row"]: line for line in lines if line["model"] == name}
    path = write_case(tmp_path / "model.gguf", CASES[name])
    assert_same_file(path, expected[0]["sha256"], "run: " + header["command"])

    logits = load(path, backend).forward(header["ids"])

    assert len(expected) == len(header["rows"])
    for row, line in expected.items():
        np.testing.assert_allclose(logits[row], line["logits"], **NUMERIC)


def test_every_stage_is_llama_cpps(grouped: Llama) -> None:
    header, lines = read_golden("stages")
    seen: list[tuple[str, np.ndarray]] = []

    grouped.forward(header["ids"], tap=lambda name, array: seen.append((name, array)))

    assert sorted(line["stage"] for line in lines) == sorted(name for name, _ in seen)
    for stage in {line["stage"] for line in lines}:
        expected = [line["values"] for line in lines if line["stage"] == stage]
        found = [array.ravel() for name, array in seen if name == stage]
        for a, b in zip(expected, found, strict=True):
            np.testing.assert_allclose(a, b, err_msg=stage, **NUMERIC)


def test_200_greedy_ids_and_their_logits_are_llama_cpps(shared: Path, backend: str) -> None:
    header, lines = read_golden("stories260K")
    path = shared / "gguf" / header["model"]
    assert_same_file(path, header["sha256"], "run: " + header["command"])
    model, prompt = load(path, backend), header["prompt_ids"]

    ids = list(generate_ids(model, prompt, Sampling(temperature=0), max_tokens=len(lines)))
    logits = model.forward(prompt + ids)[len(prompt) - 1 :]

    assert len(lines) == 200
    assert [line["id"] for line in lines] == ids
    for line, row in zip(lines, logits, strict=False):
        top, expected = zip(*line["top"], strict=True)
        np.testing.assert_allclose(row[list(top)], expected, **NUMERIC)


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"])
def test_quantised_logits_point_where_llama_cpps_do(
    kind: str, shared: Path, backend: str, tmp_path: Path
) -> None:
    header, lines = read_golden("stories260K-quantised")
    expected = [line for line in lines if line["model"] == kind]
    source = shared / "gguf" / header["model"]
    path = requantise(source, tmp_path / "model.gguf", TensorType[kind])
    assert_same_file(path, expected[0]["sha256"], "run: " + header["command"])

    logits = load(path, backend).forward(header["ids"])

    # llama.cpp rounds activations to 8 bits for its integer products: near, not equal.
    for line in expected:
        a, b = np.array(line["logits"]), logits[line["row"]].astype(np.float64)
        assert a @ b / np.sqrt((a @ a) * (b @ b)) >= 0.999


# Properties of any model


@pytest.mark.parametrize("cuts", [[1, 2], [64], [63, 64, 65], list(range(1, 130))])
def test_a_prompt_in_parts_gives_the_logits_of_the_whole(grouped: Llama, cuts: list[int]) -> None:
    cache = grouped.new_cache()
    parts = [IDS[a:b] for a, b in zip([0, *cuts], [*cuts, len(IDS)], strict=True)]

    logits = np.concatenate([grouped.forward(part, cache=cache) for part in parts])

    assert len(IDS) == cache.length
    np.testing.assert_allclose(grouped.forward(IDS), logits, atol=2e-5, rtol=0)


@pytest.mark.parametrize("t", [0, 1, 64, 129])
def test_a_changed_id_changes_no_logits_before_it(grouped: Llama, t: int) -> None:
    changed = [*IDS[:t], (IDS[t] + 1) % 44, *IDS[t + 1 :]]

    before, after = grouped.forward(IDS), grouped.forward(changed)

    assert np.array_equal(before[:t], after[:t])
    assert (before[t:] != after[t:]).any(axis=1).all()


def test_the_same_ids_give_the_same_bits(grouped: Llama) -> None:
    first = grouped.forward(IDS)

    assert np.array_equal(first, grouped.forward(IDS))
    assert np.array_equal(first, grouped.forward(np.array(IDS, np.int32), tap=lambda *_: None))
    assert (first.dtype, first.shape) == (np.float32, (130, 44))


def test_swapping_layers_is_noticed(grouped: Llama, folder: Path, backend: str) -> None:
    case = CASES["grouped"]
    swapped = {
        name.replace("blk.0", "blk.x").replace("blk.1", "blk.0").replace("blk.x", "blk.1"): array
        for name, array in tensors(case).items()
    }
    write_gguf(folder / "swapped.gguf", metadata(case), swapped)

    logits = load(folder / "swapped.gguf", backend).forward(IDS[:2])

    assert not np.allclose(grouped.forward(IDS[:2]), logits, atol=0.1)


def test_an_open_file_may_be_closed_after_loading(
    grouped: Llama, folder: Path, backend: str
) -> None:
    with GGUF.open(folder / "grouped.gguf") as gguf:
        model = Llama.from_gguf(gguf, backend, kv="f32")

    assert np.array_equal(grouped.forward(IDS), model.forward(IDS))


# What is refused, in one line that names it


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"general.architecture": None}, "architecture: found no such key, expected type STR"),
        ({"general.architecture": "qwen2"}, "architecture: found 'qwen2', expected 'llama'"),
        ({"general.architecture": 1}, "architecture: found type UINT32, expected STRING"),
        ({"llama.block_count": None}, "llama.block_count: found no such key, expected type UI"),
        ({"llama.block_count": 0}, "llama.block_count: found 0, expected 1 to 512"),
        ({"llama.block_count": 513}, "llama.block_count: found 513, expected 1 to 512"),
        ({"llama.block_count": 3}, "tensor blk.2.attn_norm.weight: found no such tensor, expected"),
        (
            {"llama.block_count": 1},
            "tensors blk.1.attn_k.weight, .* and 5 more: a Llama has no use for",
        ),
        ({"llama.embedding_length": 0}, "llama.embedding_length: found 0, expected 1 to"),
        ({"llama.embedding_length": 2.5}, "embedding_length: found type FLOAT32, expected UINT32"),
        ({"llama.embedding_length": 2**32 - 1}, "embedding_length: found 4294967295, expected 1"),
        ({"llama.embedding_length": 48}, r"token_embd.weight: found shape \[44, 24\], expected \["),
        ({"llama.feed_forward_length": 41}, r"ffn_gate.weight: found shape \[40, 24\], expected"),
        (
            {"llama.feed_forward_length": [40, 40]},
            "feed_forward_length: found type ARRAY, expected",
        ),
        ({"llama.attention.head_count": 0}, "attention.head_count: found 0, expected 1 to"),
        ({"llama.attention.head_count": None}, "attention.head_count: found no such key"),
        ({"llama.attention.head_count_kv": 0}, "head_count_kv: found 0, expected 1 to 4"),
        ({"llama.attention.head_count_kv": 5}, "head_count_kv: found 5, expected 1 to 4"),
        ({"llama.attention.head_count_kv": 3}, "head_count_kv: found 3, expected a divisor of"),
        ({"llama.attention.key_length": 7}, "key_length: found 7, expected an even number above 0"),
        ({"llama.attention.key_length": 8}, "value_length: found 6, expected the head's 8 dim"),
        ({"llama.rope.dimension_count": 8}, "rope.dimension_count: found 8, expected the head's 6"),
        ({"llama.rope.dimension_count": 4}, "rope.dimension_count: found 4, expected the head's 6"),
        ({"llama.context_length": 0}, "llama.context_length: found 0, expected 1 to"),
        ({"llama.context_length": None}, "llama.context_length: found no such key"),
        ({"llama.vocab_size": None}, "llama.vocab_size: found no such key, expected type U"),
        ({"llama.vocab_size": 45}, r"token_embd.weight: .* \[44, 24\], expected \[45, 24\]"),
        ({"tokenizer.ggml.tokens": ["a", "b"]}, r"token_embd.weight: .*expected \[2, 24\]"),
        ({"tokenizer.ggml.tokens": [1, 2]}, "tokenizer.ggml.tokens: found no pieces, expected an"),
        ({"llama.attention.layer_norm_rms_epsilon": None}, "rms_epsilon: found no such key"),
        ({"llama.attention.layer_norm_rms_epsilon": 0.0}, "rms_epsilon: found 0.0, expected a fin"),
        ({"llama.attention.layer_norm_rms_epsilon": float("nan")}, "rms_epsilon: found nan"),
        ({"llama.attention.layer_norm_rms_epsilon": float("inf")}, "rms_epsilon: found inf"),
        ({"llama.rope.freq_base": 0.0}, "rope.freq_base: found 0.0, expected a finite number a"),
        ({"llama.rope.freq_base": float("inf")}, "rope.freq_base: found inf"),
        ({"llama.rope.scaling.type": "yarn"}, "scaling.type: found 'yarn', expected 'none' or"),
        ({"llama.rope.scaling.type": "longrope"}, "scaling.type: found 'longrope'"),
        ({"llama.rope.scaling.factor": -1.0}, "scaling.factor: found -1.0, expected a finite"),
        ({"llama.rope.scale_linear": float("nan")}, "rope.scale_linear: found nan"),
        ({"llama.rope.scaling.attn_factor": 2.0}, "attn_factor: found 2.0, expected 1.0"),
        ({"llama.expert_count": 8}, "expert_count: found 8, expected 0: anything else is not supp"),
        ({"llama.nextn_predict_layers": 1}, "nextn_predict_layers: found 1, expected 0"),
        ({"llama.attention.causal": False}, "attention.causal: found False, expected True"),
        ({"llama.attention.sliding_window": 32}, "sliding_window: found 32, expected no window"),
        ({"llama.block_count": Typed(ValueType.INT64, 2)}, "found type INT64, expected UINT32"),
    ],
)
def test_a_wrong_key_is_named(keys: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = write_model(tmp_path / "model.gguf", keys, {})

    with pytest.raises(ModelError, match=message) as caught:
        Llama.from_gguf(path)

    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize(
    "keys",
    [
        {"llama.expert_count": 0},
        {"llama.attention.causal": True},
        {"llama.attention.sliding_window": 0},
        {"llama.attention.sliding_window": 160},
        {"llama.rope.scaling.factor": 0.0},
        {"llama.rope.scaling.factor": 1.0, "llama.rope.scale_linear": 3.0},
        {"llama.attention.key_length": None, "llama.attention.value_length": None},
        {"llama.rope.dimension_count": None, "llama.attention.head_count_kv": None},
        {"tokenizer.ggml.tokens": [f"piece {i}" for i in range(44)], "llama.vocab_size": 7},
    ],
)
def test_a_key_at_its_default_changes_nothing(keys: dict[str, Any], tmp_path: Path) -> None:
    plain = Llama.from_gguf(write_model(tmp_path / "plain.gguf", {}, {}))
    other = Llama.from_gguf(write_model(tmp_path / "other.gguf", keys, {}))

    assert plain.config == other.config


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"output_norm.weight": None}, "tensor output_norm.weight: found no such tensor"),
        ({"blk.1.ffn_up.weight": None}, r"tensor blk.1.ffn_up.weight: .* of shape \[40, 24\]"),
        ({"blk.0.attn_qkv.weight": np.zeros((72, 24), "f4")}, "tensors blk.0.attn_qkv.weight: a"),
        ({"blk.0.attn_q.scale": np.ones(1, "f4")}, "tensors blk.0.attn_q.scale: a Llama has"),
        ({"two\nlines": np.ones(1, "f4")}, r"tensors 'two\\nlines': a Llama has no use for them"),
        (
            {"blk.0.ffn_up.weight": np.zeros((24, 40), "f4")},
            r"found shape \[24, 40\], expected \[40",
        ),
        ({"output.weight": np.zeros((43, 24), "f4")}, r"tensor output.weight: found shape \[43"),
        ({"rope_freqs.weight": np.ones(6, "f4")}, r"rope_freqs.weight: .*\[6\], expected \[3\]"),
        ({"blk.0.attn_k.bias": np.ones(6, "f4")}, r"blk.0.attn_k.bias: .*\[6\], expected \[24\]"),
    ],
)
def test_a_wrong_tensor_is_named(arrays: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = write_model(tmp_path / "model.gguf", {}, arrays)

    with pytest.raises(ModelError, match=message) as caught:
        Llama.from_gguf(path)

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([], r"ids: found shape \[0\], expected \(T,\) with T >= 1"),
        ([[1, 2]], r"ids: found shape \[1, 2\]"),
        ([[1], [2, 3]], "ids: found a ragged list"),
        (5, r"ids: found shape \[\]"),
        ([1.0, 2.0], "ids: found type float64, expected integers"),
        ([True, False], "ids: found type bool, expected integers"),
        (["1"], "ids: found type <U1, expected integers"),
        ([1, 10**30], "ids: found type object, expected integers"),
        ([1, -1], "ids: found -1 at index 1, expected 0 to 43"),
        ([0, 43, 44, 45], "ids: found 44 at index 2, expected 0 to 43"),
        ([0] * 161, "context: found 0 positions in use and 161 new ids, expected at most 160"),
    ],
)
def test_wrong_ids_are_named(grouped: Llama, ids: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        grouped.forward(ids)


def test_the_context_can_be_filled_to_the_last_position(grouped: Llama) -> None:
    cache = grouped.new_cache()
    grouped.forward([1] * 159, cache=cache)
    grouped.forward([1], cache=cache)

    with pytest.raises(ModelError, match="found 160 positions in use and 1 new ids"):
        grouped.forward([1], cache=cache)
    assert cache.length == 160


def test_a_pass_that_fails_leaves_the_cache_as_it_was(grouped: Llama) -> None:
    cache = grouped.new_cache()
    grouped.forward(IDS[:70], cache=cache)

    def fail(name: str, array: np.ndarray) -> None:
        if name == "l_out-1":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        grouped.forward([5] * 20, tap=fail, cache=cache)
    logits = grouped.forward(IDS[70:], cache=cache)

    np.testing.assert_allclose(grouped.forward(IDS)[70:], logits, atol=1e-5, rtol=0)


def test_a_cache_of_another_model_is_refused(grouped: Llama, folder: Path, backend: str) -> None:
    other = load(write_case(folder / "plain.gguf", CASES["plain"]), backend)

    with pytest.raises(ModelError, match="cache: found one of another model"):
        grouped.forward([1], cache=other.new_cache())


def test_a_cache_of_an_equal_model_is_refused_too(
    grouped: Llama, folder: Path, backend: str
) -> None:
    twin = load(folder / "grouped.gguf", backend)

    with pytest.raises(ModelError, match="cache: found one of another model"):
        grouped.forward([1], cache=twin.new_cache())


def test_a_cache_grows_for_one_at_a_time(grouped: Llama) -> None:
    cache = grouped.new_cache()
    refused: list[str] = []

    def meanwhile(name: str, array: np.ndarray) -> None:
        if name == "l_out-0":
            with pytest.raises(ModelError) as caught:
                grouped.forward([1], cache=cache)
            refused.append(str(caught.value))

    grouped.forward([1, 2], tap=meanwhile, cache=cache)

    message = "cache: found it in use, expected one text and one thread at a time"
    assert refused == [message]
    with pytest.raises(ModelError, match=message):
        grouped.step([([1], cache), ([2], cache)])
    assert cache.length == 2


def test_a_cache_whose_memory_ran_out_is_as_it_was(
    grouped: Llama, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = grouped.new_cache()
    grouped.forward(IDS[:64], cache=cache)
    reserve, store = KVCache.reserve, cache.segment(0).store

    class Full:
        def grow(self, capacity: int, used: int) -> None:
            raise MemoryError

    monkeypatch.setattr(cache, "_store", Full())
    with pytest.raises(MemoryError):
        reserve(cache, 1)
    monkeypatch.setattr(cache, "_store", store)

    np.testing.assert_allclose(
        grouped.forward(IDS)[64:], grouped.forward(IDS[64:], cache=cache), atol=2e-5, rtol=0
    )


def test_no_texts_are_no_step(grouped: Llama) -> None:
    with pytest.raises(ModelError, match=r"^step: found no texts, expected at least one"):
        grouped.step([])


@pytest.mark.parametrize("threads", [0, -1, 257, 10**30, 1.5, "2", True])
def test_threads_out_of_range_are_named(threads: Any, folder: Path) -> None:
    with pytest.raises(ModelError, match=r"^threads: found .*, expected 1 to 256$"):
        Llama.from_gguf(folder / "absent.gguf", threads=threads)


def test_a_file_that_was_closed_is_named(folder: Path, backend: str) -> None:
    gguf = GGUF.open(folder / "grouped.gguf")
    gguf.close()

    with pytest.raises(SpmError, match="the file has been closed"):
        Llama.from_gguf(gguf, backend)


@pytest.mark.parametrize("name", ["cuda", "", "nat\nive"])
def test_a_backend_that_nobody_knows_is_never_replaced(name: str, folder: Path) -> None:
    with pytest.raises(ModelError, match=r"^backend '.*': unknown, expected 'auto', ") as caught:
        Llama.from_gguf(folder / "absent.gguf", backend=name)

    assert "\n" not in str(caught.value)


def test_kernels_that_were_not_built_are_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(native, "core", None)
    reasons = {"0": "SPM_NATIVE is 0", "": "this installation has no compiled kernels"}

    for value, reason in reasons.items():
        monkeypatch.setenv("SPM_NATIVE", value)
        with pytest.raises(ModelError, match=f"^backend 'native': {reason}, expected a build by"):
            Llama.from_gguf(folder / "absent.gguf", backend="native")


@pytest.mark.parametrize(("name", "kv"), [("numpy", "f16"), ("native", "f64"), ("native", "")])
def test_a_way_to_keep_keys_that_is_not_there_is_named(name: str, kv: str, folder: Path) -> None:
    if name == "native" and not native.built():
        pytest.skip("the compiled kernels are not built")
    with pytest.raises(ModelError, match=f"^kv: found '{kv}', expected 'f"):
        Llama.from_gguf(folder / "absent.gguf", backend=name, kv=kv)


def test_an_mlx_that_is_not_installed_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "spm.llama.ops.mlx", None)  # importing it is an ImportError
    monkeypatch.delattr("spm.llama.ops.mlx", raising=False)

    with pytest.raises(ModelError, match=r"^backend 'mlx': not installed, expected pip install"):
        Llama.from_gguf(folder / "absent.gguf", backend="mlx")


def test_an_option_that_a_backend_does_not_have_is_named(folder: Path) -> None:
    with pytest.raises(ModelError, match=r"^mapped: found True, expected backend 'native', not"):
        Llama.from_gguf(folder / "absent.gguf", backend="numpy", mapped=True)


def test_a_long_text_is_computed_in_batches_with_the_same_logits(
    tmp_path: Path, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(write_case(tmp_path / "m.gguf", CASES["plain"]), backend)
    whole = model.forward(IDS)
    monkeypatch.setattr("spm.llama.model.BATCH", 7)

    assert np.abs(whole - model.forward(IDS)).max() < 2e-5


@pytest.mark.parametrize("value", [3e38, np.inf, np.nan])
def test_weights_that_overflow_are_an_error_of_one_line(
    value: float, tmp_path: Path, backend: str
) -> None:
    norm = np.full(24, value, np.float32)
    model = load(write_model(tmp_path / "m.gguf", {}, {"output_norm.weight": norm}), backend)

    with pytest.raises(ModelError, match=r"^logits: found infinity or NaN in row 0, expected"):
        model.forward(IDS[:3])
