"""Our logits and greedy ids beside llama.cpp's, and the golden records that carry its answers.

    python -m tools.logits greedy MODEL.gguf      200 greedy ids, then all logits teacher-forced
    python -m tools.logits quantised MODEL.gguf   MODEL in each block type that our writer makes
    python -m tools.logits random                 the models of tools/small_llamas.py
    python -m tools.logits stages                 every stage of one of them
    python -m tools.logits samplers               one filter at a time on fixed logits
    python -m tools.logits drift MODEL.gguf       how far quantised products lead from the f32 truth

With --record, llama.cpp's side is written to golden/llama/. Needs `spm` and `llama_cpp` in one
environment, and LLAMA_CPP_LIB_PATH naming the folder of llama.cpp's libraries.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
import numpy.typing as npt

from spm.llama import Llama, Sampling, generate_ids
from tools import llama_oracle, small_llamas
from tools.llama_oracle import LlamaCppModel

GOLDEN = Path(__file__).parent.parent / "golden" / "llama"
PROMPT = "Once upon a time"
N_GREEDY = 200
TEACHER_TEXT = "One day, a girl named Lily found a big red ball in the park. She was so happy!"
N_DRIFT = 512
N_ROWS = 3  # rows of each quantised model's logits that are recorded, spread over the text


def main() -> None:
    """Compare, print, and record if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=[*RUNS, "drift"])
    parser.add_argument("model", type=Path, nargs="?", help="a GGUF file, for greedy and quantised")
    parser.add_argument("--record", action="store_true", help="write golden/llama/*.jsonl")
    args = parser.parse_args()
    if args.what in ("greedy", "quantised", "drift") and args.model is None:
        parser.error(f"{args.what} needs a model")
    if args.what == "drift":
        drift(args.model)
        return
    name, header, lines = RUNS[args.what](args.model)
    if args.record:
        about = f" {args.model.name}" if args.model else ""
        command = f"python -m tools.logits {args.what}{about} --record"
        write(GOLDEN / f"{name}.jsonl", {**header, "command": command}, lines)


def greedy(path: Path) -> tuple[str, dict[str, Any], list[dict[str, Any]]]:
    """Free running, then teacher-forced on what llama.cpp wrote."""
    oracle, ours = LlamaCppModel(path), Llama.from_gguf(path)
    prompt = oracle.prompt_ids(PROMPT)
    ids, steps = oracle.greedy(prompt, N_GREEDY)
    mine = list(generate_ids(ours, prompt, Sampling(temperature=0), max_tokens=N_GREEDY))
    equal = sum(a == b for a, b in zip(ids, mine, strict=False))
    print(f"{path.name}: {equal} of {len(ids)} greedy ids equal")
    compare(path.name, oracle.logits(prompt + ids), ours.forward(prompt + ids))
    lines = [{"id": i, "top": top(row)} for i, row in zip(ids, steps, strict=True)]
    about = {"prompt": PROMPT, "prompt_ids": prompt, "text": oracle.pieces(ids)}
    return path.stem, {**header(path), **about}, lines


def quantised(path: Path) -> tuple[str, dict[str, Any], list[dict[str, Any]]]:
    """The same model in each block type that our writer makes, read by both."""
    ids = LlamaCppModel(path).prompt_ids(TEACHER_TEXT)
    long_rows = Llama.from_gguf(path).config.dim % 256 == 0
    kinds = small_llamas.BLOCK_TYPES + (small_llamas.K_TYPES if long_rows else ())
    rows = np.linspace(0, len(ids) - 1, N_ROWS).astype(int).tolist()
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        for kind in kinds:
            copy = small_llamas.requantise(path, Path(folder) / f"{kind.name}.gguf", kind)
            expected = LlamaCppModel(copy).logits(ids)
            compare(f"{path.stem} as {kind.name}", expected, Llama.from_gguf(copy).forward(ids))
            lines += rows_of(kind.name, copy, expected, rows)
    return f"{path.stem}-quantised", {**header(path), "ids": ids, "rows": rows}, lines


def random() -> tuple[str, dict[str, Any], list[dict[str, Any]]]:
    """Every way in which a Llama can differ, teacher-forced."""
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        for name, case in small_llamas.CASES.items():
            path = small_llamas.write_case(Path(folder) / f"{name}.gguf", case)
            expected = LlamaCppModel(path).logits(small_llamas.IDS)
            compare(name, expected, Llama.from_gguf(path).forward(small_llamas.IDS))
            lines += rows_of(name, path, expected, small_llamas.ROWS)
    return "random", {**header(None), "ids": small_llamas.IDS, "rows": small_llamas.ROWS}, lines


def stages() -> tuple[str, dict[str, Any], list[dict[str, Any]]]:
    """Each stage that our `tap` sees, as often as it sees it: Qcur before and after RoPE."""
    case, ids = "grouped", small_llamas.IDS[:3]
    with tempfile.TemporaryDirectory() as folder:
        path = small_llamas.write_case(Path(folder) / "model.gguf", small_llamas.CASES[case])
        seen = LlamaCppModel(path).stages(ids)
        ours: list[tuple[str, npt.NDArray[np.float32]]] = []
        Llama.from_gguf(path).forward(ids, tap=lambda name, values: ours.append((name, values)))
        about = {**header(path), "model": case, "ids": ids}
    lines: list[dict[str, Any]] = []
    for name in dict(ours):
        theirs = distinct(values for other, values in seen if other == name)
        mine = [values for other, values in ours if other == name]
        apart = max(np.abs(a.ravel() - b.ravel()).max() for a, b in zip(theirs, mine, strict=True))
        print(f"{name}: {len(mine)} x {mine[0].shape}: max |difference| {apart:.1e}")
        for values in theirs:
            lines.append({"stage": name, "values": [round(float(x), 5) for x in values.ravel()]})
    return "stages", about, lines


def drift(path: Path) -> None:
    """Teacher-forced over 512 ids: the native back end and llama.cpp, each against NumPy's f32.

    All three read the same file. NumPy multiplies its dequantised weights with unrounded input.
    """
    truth = Llama.from_gguf(path, "numpy")
    n = min(N_DRIFT, truth.config.max_seq_len)
    ids = np.random.RandomState(0).randint(3, truth.config.vocab_size, n).tolist()
    expected = truth.forward(ids)
    del truth
    native = Llama.from_gguf(path, "native")
    sides: dict[str, Callable[[], npt.NDArray[np.float32]]] = {
        native.ops.describe(): lambda: native.forward(ids),
        "native, kv=q8_0": lambda: Llama.from_gguf(path, "native", kv="q8_0").forward(ids),
        "llama.cpp": lambda: LlamaCppModel(path).logits(ids, as_it_comes=True),
    }
    print(f"{path.name}: {n} ids")
    for name, run in sides.items():
        found = run()
        error = np.linalg.norm(found - expected, axis=1) / np.linalg.norm(expected, axis=1)
        same = np.mean(found.argmax(axis=1) == expected.argmax(axis=1))
        print(
            f"  {name}: relative error {error.mean():.5f}, KL {divergence(expected, found):.3e}, "
            f"same argmax {same:.1%}"
        )


def divergence(expected: npt.NDArray[np.float32], found: npt.NDArray[np.float32]) -> float:
    """The mean Kullback-Leibler divergence of the rows' distributions, in nats."""
    p, q = log_softmax(expected), log_softmax(found)
    return float(np.mean(np.sum(np.exp(p) * (p - q), axis=1)))


def log_softmax(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """(T, V) -> (T, V)."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.sum(np.exp(shifted), axis=1, keepdims=True)))


def distinct(arrays: Iterable[npt.NDArray[np.float32]]) -> list[npt.NDArray[np.float32]]:
    """Without those that only give the one before another shape."""
    kept: list[npt.NDArray[np.float32]] = []
    for array in arrays:
        if not kept or not np.array_equal(array.ravel(), kept[-1].ravel()):
            kept.append(array)
    return kept


def samplers() -> tuple[str, dict[str, Any], list[dict[str, Any]]]:
    """Each of llama.cpp's filters alone, on logits without ties: their order is not defined."""
    logits = [2.5, -1.0, 0.5, 3.25, 0.375, -4.0, 1.75, 3.0, 0.0, -0.25, 2.0, 1.0]
    recent = [3, 3, 7, 1, 3, 5]
    settings: dict[str, list[tuple[float, ...]]] = {
        "top_k": [(0,), (1,), (3,), (8,), (50,)],
        "top_p": [(0.0, 1), (0.3, 1), (0.9, 1), (0.999, 1), (1, 1)],
        "min_p": [(0.0, 1), (0.05, 1), (0.4, 1), (1.0, 1)],
        "typical": [(0.1, 1), (0.5, 1), (0.95, 1), (1, 1)],
        "temp": [(0.1,), (0.8,), (2.0,)],
        "penalties": [
            (12, 64, 1.5, 0, 0),
            (12, 64, 1, 0.5, 0),
            (12, 64, 1, 0, 0.5),
            (12, 3, 1.25, 0.25, 1),
        ],
    }
    lines = []
    for name, choices in settings.items():
        for args in choices:
            sampler = getattr(llama_cpp, f"llama_sampler_init_{name}")(*args)
            left = llama_oracle.apply_sampler(sampler, logits, recent)
            ids, kept = [i for i, _ in left], [round(logit, 6) for _, logit in left]
            lines.append({"sampler": name, "args": args, "ids": ids, "logits": kept})
    return "samplers", {**header(None), "logits": logits, "recent": recent}, lines


def compare(name: str, expected: npt.NDArray[np.float32], found: npt.NDArray[np.float32]) -> None:
    """Print how far two (T, V) tables of logits lie apart."""
    apart = np.abs(expected - found).max()
    same = np.sum(expected.argmax(axis=1) == found.argmax(axis=1))
    print(
        f"{name}: logits {expected.shape}: max |difference| {apart:.1e} where they reach "
        f"{np.abs(expected).max():.1f}, cosine >= {cosine(expected, found).min():.6f}, "
        f"argmax equal at {same} of {len(expected)}"
    )


def cosine(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """The cosine of each pair of rows: 2 x (T, V) -> (T,)."""
    a64, b64 = a.astype(np.float64), b.astype(np.float64)
    lengths = np.linalg.norm(a64, axis=1) * np.linalg.norm(b64, axis=1)
    return np.asarray(np.sum(a64 * b64, axis=1) / lengths)


def top(row: npt.NDArray[np.float32], n: int = 5) -> list[list[float]]:
    """The n likeliest [id, logit]."""
    return [[int(i), round(float(row[i]), 5)] for i in np.argsort(-row, kind="stable")[:n]]


def header(path: Path | None) -> dict[str, Any]:
    """Who answered, and about which file."""
    about = {"model": path.name, "sha256": sha256(path)} if path else {}
    return {"format": 1, "oracle": llama_oracle.NAME, "options": llama_oracle.OPTIONS, **about}


def rows_of(
    name: str, path: Path, logits: npt.NDArray[np.float32], rows: Iterable[int]
) -> list[dict[str, Any]]:
    """One line for each recorded position of one model."""
    about = {"model": name, "sha256": sha256(path)}
    return [{**about, "row": t, "logits": [round(float(x), 5) for x in logits[t]]} for t in rows]


def sha256(path: Path) -> str:
    """Of the file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write(path: Path, header: dict[str, Any], lines: list[dict[str, Any]]) -> None:
    """JSON Lines: the header first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in [header, *lines]), encoding="utf-8")
    print(f"wrote {path.relative_to(GOLDEN.parent.parent)}")


RUNS: dict[str, Callable[[Path], tuple[str, dict[str, Any], list[dict[str, Any]]]]] = {
    "greedy": greedy,
    "quantised": quantised,
    "random": lambda _: random(),
    "stages": lambda _: stages(),
    "samplers": lambda _: samplers(),
}

if __name__ == "__main__":
    main()
