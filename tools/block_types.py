"""Trained weights in every block type, as ggml makes it: is the story the same on every back end?

    python -m tools.block_types spm/data/tiny.gguf [stories260K.gguf ...] [--types IQ2_XS TQ1_0]

Each file that is made goes to every back end that is here, with every table of kernels, and to
llama.cpp. NumPy tells a few stories, greedily. How far another's logits lie from NumPy's at most is
measured on ids that tell nothing; where NumPy's best id is ahead by more than twice that, the other
must choose it too: teacher-forced, and left alone until it comes to an id that is not ahead so far.
Who is wrong is far off, and left with little to agree on: so nobody's root mean square may be twice
llama.cpp's, which rounds its input as well. One line for each type and back end; the exit status is
1 if any failed. A model whose rows are no whole super-blocks is widened first, which changes
nothing that it says.

Needs `spm` and `llama_cpp` in one environment, and LLAMA_CPP_LIB_PATH naming the folder of
llama.cpp's libraries.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from spm.gguf import TensorType
from spm.gguf.types import BLOCK_LAYOUTS
from spm.llama import Llama, Sampling, generate_ids
from spm.llama.ops import native
from spm.llama.weights import NO_WEIGHTS
from spm.native import core
from tools import llama_oracle
from tools.llama_oracle import LlamaCppModel
from tools.small_llamas import requantise, widen

PROMPTS = (
    "Once upon a time",
    "One day, a girl named Lily",
    "There was a big dog",
    "Tom and his mom went to the park",
    "The little cat was sad",
    "A bird saw a red ball",
)
N_GREEDY = 40
N_NOISE = 128
HALVES = 0.002  # of the logits' deviation, what keys and values in half precision may cost
NONSENSE = 0.1  # and what no rounding costs
TYPES = [kind for kind in BLOCK_LAYOUTS if kind not in NO_WEIGHTS]

Logits: TypeAlias = npt.NDArray[np.float32]  # (T, V)


class Voice(NamedTuple):
    """A model on a back end."""

    logits: Callable[[Sequence[int]], Logits]
    greedy: Callable[[Sequence[int], int], list[int]]  # ids, how many more


class Told(NamedTuple):
    """One story: ids, the first `start` of them the prompt, and NumPy's logits after each."""

    start: int
    ids: list[int]
    logits: Logits


def main() -> None:
    """Compare all, print, and fail if any did."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", type=Path, nargs="+", help="GGUF files of trained Llamas")
    parser.add_argument("--types", nargs="+", default=[kind.name for kind in TYPES])
    args = parser.parse_args()
    failed = 0
    for model in args.models:
        with tempfile.TemporaryDirectory() as folder:
            for name in args.types:
                failed += compare(prepare(model, Path(folder), TensorType[name]), name)
    sys.exit(failed > 0)


def prepare(model: Path, folder: Path, kind: TensorType) -> Path:
    """`model`, its matrices made blocks of `kind` by ggml."""
    config = Llama.from_gguf(model, "numpy").config
    if config.dim % 256 or config.hidden_dim % 256:
        model = widen(model, folder / f"wide-{model.name}")
    return requantise(model, folder / f"{model.stem}.gguf", kind, llama_oracle.quantize)


def compare(path: Path, name: str) -> int:
    """A line for each back end; how many of them failed."""
    oracle, numpy = LlamaCppModel(path), ours(path, "numpy")
    noise_ids = np.random.RandomState(0).randint(3, oracle.vocab_size, N_NOISE).tolist()
    expected = numpy.logits(noise_ids)
    stories = [tell(numpy, oracle.prompt_ids(prompt)) for prompt in PROMPTS]
    n_ids, failed, allowed = sum(len(story.ids) for story in stories), 0, NONSENSE
    for back_end, voice in voices(path, oracle):
        off = np.abs(voice.logits(noise_ids) - expected)
        most, rms = off.max() / expected.std(), np.sqrt(np.mean(off**2)) / expected.std()
        certain, same, alone = map(sum, zip(*(agree(voice, told, off.max()) for told in stories)))
        good = rms <= allowed and same == certain and alone == len(stories)
        failed += not good
        print(
            f"{path.stem} {name}, {back_end}: off by {most:.2g} deviations, rms {rms:.2g}; "
            f"{same} of {certain} certain ids (of {n_ids}) equal; "
            f"{alone} of {len(stories)} stories{'' if good else '  <-- FAILED'}",
            flush=True,
        )
        if back_end == "llama.cpp":
            allowed = max(2 * rms, HALVES)
    return failed


def tell(numpy: Voice, prompt: list[int]) -> Told:
    """What NumPy says after `prompt`."""
    ids = prompt + numpy.greedy(prompt, N_GREEDY)
    return Told(len(prompt), ids, numpy.logits(ids))


def agree(voice: Voice, story: Told, noise: float) -> tuple[int, int, bool]:
    """Ids that are certain, those of them chosen too, and whether the story told alone is one."""
    start, ids, logits = story
    second, best = np.sort(logits, axis=1)[:, -2:].T
    certain = best - second > 2 * noise
    same = voice.logits(ids).argmax(axis=1) == logits.argmax(axis=1)
    alone = voice.greedy(ids[:start], N_GREEDY)
    parted = [t for t, (a, b) in enumerate(zip(alone, ids[start:]), start) if a != b]
    one_story = not parted or not certain[parted[0] - 1]
    return int(certain.sum()), int((same & certain).sum()), bool(one_story)


def voices(path: Path, oracle: LlamaCppModel) -> Iterator[tuple[str, Voice]]:
    """llama.cpp, then every back end but NumPy, by what to call it."""
    yield "llama.cpp", Voice(oracle.logits, lambda ids, n: oracle.greedy(ids, n)[0])
    for isa, table in native.KERNELS.items():
        if native.built() and core is not None and table in core.llama_kernels():
            os.environ["SPM_ISA"] = isa
            for kv in ("f32", "f16"):
                yield f"native {kv} {isa}", ours(path, "native", kv)
    if find_spec("mlx"):
        yield "mlx", ours(path, "mlx")


def ours(path: Path, back_end: str, kv: str | None = None) -> Voice:
    """One of this package's back ends."""
    model = Llama.from_gguf(path, back_end, kv=kv)
    greedy = Sampling(temperature=0)
    return Voice(model.forward, lambda ids, n: list(generate_ids(model, ids, greedy, max_tokens=n)))


if __name__ == "__main__":
    main()
