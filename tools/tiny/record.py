"""What llama.cpp answers to the embedded model -> golden/llama/tiny.json.

    python -m tools.tiny.record

Greedy stories come from the shipped weights written as F32: the same numbers, but for F32 llama.cpp
quantises no activations, so that every narrow choice is made alike. Logits come from the shipped
file and from its K-quants; those are compared by their cosine. Needs `llama_cpp` and
LLAMA_CPP_LIB_PATH, as tools/llama_oracle.py says.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spm.data import embedded_model
from spm.gguf import TensorType
from tools import llama_oracle
from tools.tiny import export

GOLDEN = Path(__file__).parents[2] / "golden" / "llama" / "tiny.json"
PROMPTS = ("Once upon a time", "In the forest", "Leo wanted")
QUANTS = (TensorType.Q8_0, TensorType.Q4_K, TensorType.Q5_K, TensorType.Q6_K)
EOS = 2
N_GREEDY = 400
ROWS = (0, 9, 99)  # of the first story's logits: rows enough to meet every weight, few to store


def main() -> None:
    """Ask and write."""
    shipped = embedded_model()
    about, weights = export.read(shipped)
    with tempfile.TemporaryDirectory() as folder:
        files = {kind: Path(folder) / f"{kind.name}.gguf" for kind in (TensorType.F32, *QUANTS)}
        for kind, path in files.items():
            export.write(path, about, weights, kind)
        cases = [story(files[TensorType.F32], prompt) for prompt in PROMPTS]
        told = cases[0]["prompt_ids"] + cases[0]["ids"]
        quants = [logits(kind, files[kind], told) for kind in QUANTS]
    golden = {
        "format": 1,
        "oracle": llama_oracle.NAME,
        "options": llama_oracle.OPTIONS,
        "command": "python -m tools.tiny.record",
        "model": shipped.name,
        "sha256": sha256(shipped),
        "cases": cases,
        "rows": ROWS,
        "quants": quants,
    }
    GOLDEN.write_text(json.dumps(golden, indent=1) + "\n", encoding="utf-8")
    print(f"wrote {GOLDEN}")


def story(path: Path, prompt: str) -> dict[str, Any]:
    """The likeliest ids after a prompt, up to and with EOS, and the narrowest choice among them."""
    oracle = llama_oracle.LlamaCppModel(path)
    prompt_ids = oracle.prompt_ids(prompt)
    ids, logits = oracle.greedy(prompt_ids, N_GREEDY)
    length = ids.index(EOS) + 1 if EOS in ids else len(ids)
    best = np.sort(logits[:length], axis=1)[:, -2:]  # the two largest of each step
    text = oracle.pieces(ids[: length - 1])
    margin = round(float((best[:, 1] - best[:, 0]).min()), 3)
    print(f"{prompt}|{text}\n{length} ids, narrowest margin {margin}")
    about = {"prompt": prompt, "text": text, "narrowest_margin": margin}
    return {**about, "prompt_ids": prompt_ids, "ids": ids[:length]}


def logits(kind: TensorType, path: Path, ids: Sequence[int]) -> dict[str, Any]:
    """A few rows of a file's logits (T, V), teacher-forced."""
    rows = llama_oracle.LlamaCppModel(path).logits(ids)[list(ROWS)]
    rounded = [[round(float(x), 3) for x in row] for row in rows]
    return {"type": kind.name, "sha256": sha256(path), "logits": rounded}


def sha256(path: Path) -> str:
    """Of the file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    main()
