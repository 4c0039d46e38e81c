"""The same model on every back end that is here: what it says, odd shapes, what it refuses.

A back end is named with the way in which it keeps keys and values, "native f16". What each
operation makes, and each processor's kernels, is in test_native_llama.py and test_mlx.py.
"""

from __future__ import annotations

import importlib.util
import os
import struct
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple, TypeAlias

import gguf
import numpy as np
import pytest

from spm import Tokenizer
from spm.data import embedded_model
from spm.errors import GGUFError, ModelError, SpmError
from spm.gguf import GGUF, Quantized, TensorType, quantize, write_gguf
from spm.llama import Llama, Sampling, generate, generate_ids
from spm.llama.ops import native
from tools.small_llamas import (
    BLOCK_TYPES,
    CASES,
    IDS,
    K_TYPES,
    Case,
    metadata,
    requantise,
    tensors,
    widen,
    write_case,
)

OTHERS = ["native f32", "native f16"] if native.built() else []
OTHERS += ["mlx"] if importlib.util.find_spec("mlx") else []
N_NOISE = 64
BACK_ENDS = ["numpy", *OTHERS]
FLOATS = (TensorType.F32, TensorType.F16, TensorType.BF16)
GREEDY = Sampling(temperature=0)


def load(source: Path | GGUF, back_end: str) -> Llama:
    name, *kv = back_end.split()
    return Llama.from_gguf(source, name, kv=kv[0] if kv else None)


@pytest.fixture(params=BACK_ENDS)
def back_end(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


# Trained weights: what our writer makes of them, and gguf-py of one type more. For those that ggml
# alone writes there is tools/block_types.py.

MXFP4 = TensorType.MXFP4


def encode(kind: TensorType, values: np.ndarray) -> np.ndarray:
    """Blocks of a type."""
    if kind is not MXFP4:
        return quantize(kind, values)
    blocks: np.ndarray = gguf.quants.quantize(values, gguf.GGMLQuantizationType(kind))
    return blocks


class Story(NamedTuple):
    """What NumPy says with a model: ids (T,), the first `start` of them the prompt, and logits."""

    path: Path
    start: int
    ids: list[int]
    logits: np.ndarray  # (T, V)
    noise_ids: np.ndarray  # that tell nothing: noise is measured on them, not on what is compared
    noise_logits: np.ndarray


Tell: TypeAlias = Callable[[Path, TensorType], Story]


@pytest.fixture(scope="module")
def tell(tmp_path_factory: pytest.TempPathFactory) -> Tell:
    """A story by a model whose matrices are made blocks of a type."""
    folder = tmp_path_factory.mktemp("stories")

    @cache
    def told(source: Path, kind: TensorType) -> Story:
        path = requantise(source, folder / f"{source.stem}-{kind.name}.gguf", kind, encode)
        model = Llama.from_gguf(path, "numpy")
        prompt = Tokenizer.from_gguf(path).encode("Once upon a time")
        ids = [*prompt, *generate_ids(model, prompt, GREEDY, max_tokens=32)]
        noise_ids = np.random.RandomState(0).randint(3, model.config.vocab_size, N_NOISE)
        return Story(
            path, len(prompt), ids, model.forward(ids), noise_ids, model.forward(noise_ids)
        )

    return told


def assert_same_story(story: Story, back_end: str, noise: float) -> None:
    """The same best id wherever the second is farther off than the logits are moved elsewhere.

    `noise` is how far they may be, in standard deviations of the logits.
    """
    path, start, ids, expected, noise_ids, noise_logits = story
    model = load(path, back_end)
    found = model.forward(ids)

    moved = np.abs(noise_logits - model.forward(noise_ids)).max()
    second, best = np.sort(expected, axis=1)[:, -2:].T
    clear = best - second > 2 * moved
    assert moved < noise * expected.std()
    assert clear.mean() > 0.6
    assert np.array_equal(expected.argmax(axis=1)[clear], found.argmax(axis=1)[clear])
    alone = list(generate_ids(model, ids[:start], GREEDY, max_tokens=len(ids) - start))
    unclear = np.flatnonzero(~clear[start - 1 : -1])
    same = int(unclear[0]) if len(unclear) else len(alone)
    assert ids[start:][:same] == alone[:same]


def noise_of(kind: TensorType, back_end: str) -> float:
    """What is allowed: for the order of sums, for keys that become halves, for input of 8 bits."""
    if back_end == "mlx" or (back_end == "native f32" and kind in FLOATS):
        return 1e-3
    return 0.01 if kind in FLOATS else 0.1


@pytest.mark.parametrize(
    "kind", [*FLOATS, *BLOCK_TYPES, *K_TYPES, MXFP4], ids=lambda kind: kind.name
)
@pytest.mark.parametrize("back_end", OTHERS)
def test_the_embedded_model_tells_numpys_story(kind: TensorType, back_end: str, tell: Tell) -> None:
    assert_same_story(tell(embedded_model(), kind), back_end, noise_of(kind, back_end))


@pytest.mark.parametrize("kind", [*FLOATS, *BLOCK_TYPES, MXFP4], ids=lambda kind: kind.name)
@pytest.mark.parametrize("back_end", OTHERS)
def test_stories260k_tells_numpys_story(
    kind: TensorType, back_end: str, shared: Path, tell: Tell
) -> None:
    story = tell(shared / "gguf" / "stories260K.gguf", kind)

    assert_same_story(story, back_end, noise_of(kind, back_end))


@pytest.fixture(scope="module")
def wide(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model, its rows whole super-blocks."""
    return widen(shared / "gguf" / "stories260K.gguf", tmp_path_factory.mktemp("wide") / "m.gguf")


@pytest.mark.parametrize("kind", K_TYPES, ids=lambda kind: kind.name)
@pytest.mark.parametrize("back_end", OTHERS)
def test_stories260k_in_super_blocks_tells_numpys_story(
    kind: TensorType, back_end: str, wide: Path, tell: Tell
) -> None:
    assert_same_story(tell(wide, kind), back_end, noise_of(kind, back_end))


@pytest.mark.parametrize("name", CASES)
def test_a_widened_model_says_the_same(name: str, tmp_path: Path) -> None:
    narrow = write_case(tmp_path / "narrow.gguf", CASES[name])
    wide = widen(narrow, tmp_path / "wide.gguf")

    expected, found = (Llama.from_gguf(path, "numpy").forward(IDS) for path in (narrow, wide))

    assert_near(expected, found, EXACT)


def test_a_chat_is_the_argmax_step_by_step(back_end: str, tmp_path: Path) -> None:
    template = "{% for message in messages %}{{ message.content }}\n{% endfor %}"
    with GGUF.open(embedded_model()) as gguf:
        keys = {**gguf.metadata, "tokenizer.chat_template": template}
        same = {n: Quantized(t.type, t.shape, t.data) for n, t in gguf.tensors.items()}
        write_gguf(tmp_path / "chat.gguf", keys, same)
    tok, model = Tokenizer.from_gguf(tmp_path / "chat.gguf"), load(tmp_path / "chat.gguf", back_end)
    messages = []
    for said in ("Once upon a time, there was a cat.", "And then?"):
        messages.append({"role": "user", "content": said})
        prompt = tok.render_chat(messages).text

        parts = list(generate(model, tok, prompt, GREEDY, max_tokens=12))

        assert by_argmax(model, tok, prompt, 12) == "".join(parts)
        assert len(parts) > 3
        messages.append({"role": "assistant", "content": "".join(parts)})


def by_argmax(model: Llama, tok: Tokenizer, prompt: str, most: int) -> str:
    """What follows the prompt, one id after the other."""
    ids = tok.encode(prompt)
    start, cache = len(tok.decode(ids)), model.new_cache()
    best = int(model.forward(ids, cache=cache)[-1].argmax())
    for _ in range(most):
        if best in tok.vocab.eog_ids:
            break
        ids.append(best)
        best = int(model.forward([best], cache=cache)[0].argmax())
    return tok.decode(ids)[start:]


# Odd shapes

ODD = {
    "one-piece": Case(21, "a vocabulary of one", vocab_size=1),
    "one-head": Case(22, "of 40 dimensions", n_heads=1, n_kv_heads=1, head_dim=40),
    "primes": Case(23, "nothing is a multiple of anything", 1, 23, 37, 3, 1, 10, vocab_size=41),
    "smallest": Case(24, "one of everything", 1, 1, 1, 1, 1, 2, vocab_size=2),
}
EXACT = 3e-5
# Attention is sharp in these models: keys that are rounded lead far. A GPU sums in its own order.
ROUGH = {"native f16": 0.01, "native q8_0": 0.2, "mlx": 3e-4}
LARGE = Case(25, "Gemma's vocabulary", 1, 32, 32, 1, 1, 32, tied=True, vocab_size=262_144)


def assert_near(expected: np.ndarray, found: np.ndarray, atol: float) -> None:
    """Within `atol` of the expected numbers' size."""
    assert (np.float32, expected.shape) == (found.dtype, found.shape)
    size = np.sqrt(np.mean(np.square(expected, dtype=np.float64)))
    np.testing.assert_allclose(found, expected, atol=atol * size, rtol=0)


@pytest.mark.parametrize("T", [1, 2, 130])
@pytest.mark.parametrize("kind", FLOATS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("back_end", OTHERS)
def test_odd_shapes_have_numpys_logits(
    back_end: str, name: str, kind: TensorType, T: int, tmp_path: Path
) -> None:
    path = write_case(tmp_path / "f32.gguf", ODD[name])
    if kind is not TensorType.F32:
        path = requantise(path, tmp_path / "m.gguf", kind)
    ids = [i % ODD[name].vocab_size for i in IDS[:T]]

    expected = Llama.from_gguf(path, "numpy").forward(ids)

    assert_near(expected, load(path, back_end).forward(ids), ROUGH.get(back_end, EXACT))


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_case(tmp_path_factory.mktemp("large") / "m.gguf", LARGE)


@pytest.mark.parametrize("kind", ["F32", "Q8_0"])
def test_a_vocabulary_of_262144_pieces(kind: str, large: Path, tmp_path: Path) -> None:
    path = large
    if kind != "F32":
        path = requantise(large, tmp_path / "m.gguf", TensorType[kind])
    ids = [0, 262_143, 131_072]
    expected = Llama.from_gguf(path, "numpy").forward(ids)

    assert (3, 262_144) == expected.shape
    for back_end in OTHERS:
        rough = 0.1 if kind == "Q8_0" and back_end != "mlx" else ROUGH.get(back_end, EXACT)
        assert_near(expected, load(path, back_end).forward(ids), rough)


@pytest.mark.parametrize("back_end", [*BACK_ENDS, *["native q8_0"][: native.built()]])
def test_a_context_is_filled_one_id_at_a_time(back_end: str, tmp_path: Path) -> None:
    """Room grows at 64, 128 and 256 positions; the context ends between two growths."""
    case = Case(26, "a longer context", n_heads=6, n_kv_heads=2, head_dim=10, context=300)
    path = write_case(tmp_path / "m.gguf", case)
    ids = (IDS * 3)[:300]
    expected, model = Llama.from_gguf(path, "numpy").forward(ids), load(path, back_end)
    cache = model.new_cache()

    logits = np.concatenate([model.forward([i], cache=cache) for i in ids])

    assert_near(expected, logits, ROUGH.get(back_end, EXACT))
    assert_near(model.forward(ids), logits, ROUGH.get(back_end, EXACT))
    with pytest.raises(ModelError, match=r"^context: found 300 positions in use and 1 new ids, "):
        model.forward([1], cache=cache)
    assert cache.length == 300


# What is refused, before anything is computed

NAMED = "blk.1.ffn_up.weight"


def assert_refused(path: Path, back_end: str, message: str, error: type[SpmError]) -> None:
    """With one line that names the tensor; nothing was loaded."""
    loaded: list[int] = []
    name = back_end.split()[0]
    with pytest.raises(error, match=message) as caught:
        Llama.from_gguf(path, name, progress=lambda read, total: loaded.append(read))

    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert [] == loaded


@pytest.mark.parametrize("kind", ["I8", "I16", "I32", "I64", "F64", "Q8_1", "Q8_K"])
@pytest.mark.parametrize("name", [NAMED, "token_embd.weight", "blk.0.attn_norm.weight"])
def test_a_type_that_no_weight_has_is_named(
    kind: str, name: str, back_end: str, tmp_path: Path
) -> None:
    case = Case(27, "rows of whole blocks", dim=256, hidden_dim=256)
    arrays, shape = tensors(case), tensors(case)[name].shape
    nbytes = {"I8": 1, "I16": 2, "I32": 4, "I64": 8, "F64": 8, "Q8_1": 36 / 32, "Q8_K": 292 / 256}
    data = np.zeros(int(np.prod(shape) * nbytes[kind]), np.uint8)
    path = tmp_path / "m.gguf"
    write_gguf(path, metadata(case), {**arrays, name: Quantized(TensorType[kind], shape, data)})

    expected = f"tensor {name}: found type {kind}, expected float32, halves or blocks"
    assert_refused(path, back_end, expected, ModelError)


@pytest.mark.parametrize("number", [4, 38, 43, 2**32 - 1])
def test_a_type_that_nobody_knows_is_named(number: int, back_end: str, tmp_path: Path) -> None:
    path = write_case(tmp_path / "m.gguf", Case(28, "plain"))
    data = bytearray(path.read_bytes())
    dimensions = data.index(NAMED.encode()) + len(NAMED)
    struct.pack_into("<I", data, dimensions + 4 + 2 * 8, number)
    path.write_bytes(data)

    assert_refused(path, back_end, rf"{NAMED}.* has type {number}\b", GGUFError)


def test_a_tensor_whose_bytes_are_cut_is_named(back_end: str, tmp_path: Path) -> None:
    path = write_case(tmp_path / "m.gguf", Case(29, "plain"))
    with GGUF.open(path) as gguf:
        last = max(gguf.tensors.values(), key=lambda tensor: tensor.offset)
    path.write_bytes(path.read_bytes()[: last.offset + last.nbytes - 1])

    assert_refused(path, back_end, rf"tensor {last.name}\b", GGUFError)


@pytest.mark.skipif(os.name == "nt", reason="Windows does not shorten a mapped file")
def test_a_tensor_that_is_cut_after_the_file_was_opened_is_named(
    back_end: str, tmp_path: Path
) -> None:
    path = write_case(tmp_path / "m.gguf", Case(30, "plain"))
    with GGUF.open(path) as gguf:
        last = max(gguf.tensors.values(), key=lambda tensor: tensor.offset)
        path.write_bytes(path.read_bytes()[: last.offset + last.nbytes - 1])

        with pytest.raises(GGUFError, match=f"tensor {last.name}: .*the file ends here") as caught:
            load(gguf, back_end)

    assert "\n" not in str(caught.value)
