"""Make the embedded model: stories, a vocabulary, half an hour on one core, GGUF files, a card.

    python -m tools.train_tiny                               train; after Ctrl-C, go on
    python -m tools.train_tiny --types Q8_0 F16 Q4_K         more types; does not train twice
    python -m tools.train_tiny --source spm/data/tiny.gguf --types Q4_K Q6_K     needs no torch

Everything lands in --out; the last line says what to copy where. Training needs PyTorch and
sentencepiece, another type of an existing file only `spm`.
"""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Sequence
from pathlib import Path

from spm.gguf import TensorType
from tools.tiny import export
from tools.tiny.shape import Shape

INSTALL = "pip install torch==2.13.0 sentencepiece==0.2.3"


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, or read a file; write it in every type asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("build/tiny"), help="folder (%(default)s)")
    parser.add_argument("--steps", type=int, default=1800, help="of training (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of all that is drawn (%(default)s)")
    parser.add_argument("--source", type=Path, help="a GGUF file to write in other types")
    parser.add_argument(
        "--types",
        nargs="+",
        default=["Q8_0"],
        choices=[kind.name for kind in export.FILE_TYPES],
        metavar="TYPE",
        help="of the matrices, a file each: %(choices)s; the card tells of the first",
    )
    args = parser.parse_args(arguments)
    args.out.mkdir(parents=True, exist_ok=True)
    if args.source:
        about, weights = export.read(args.source)
    else:
        about, weights = train(args.out, args.steps, args.seed)
    for name in args.types:
        path = args.out / f"tiny-{name}.gguf"
        export.write(path, about, weights, TensorType[name])
        print(f"wrote {path}, {path.stat().st_size:,} bytes")
    if not args.source:
        write_card(args.out, args.out / f"tiny-{args.types[0]}.gguf", args.steps, args.seed)


def train(out: Path, steps: int, seed: int) -> tuple[export.Metadata, export.Weights]:
    """Metadata and weights from nothing, or from the checkpoint in `out`."""
    if not all(map(importlib.util.find_spec, ("torch", "sentencepiece"))):
        raise SystemExit(f"training needs more than spm: {INSTALL}")
    from tools.tiny import train, vocabulary

    shape, recipe = Shape(), train.Recipe(steps, seed)
    pieces = vocabulary.train_vocabulary(out / "vocabulary.model", seed, shape.vocab_size)
    model = train.train(pieces, shape, recipe, out / "checkpoint.pt")
    return export.metadata(shape, pieces), train.weights_of(model)


def write_card(out: Path, file: Path, steps: int, seed: int) -> None:
    """Measure the file, and say what ships."""
    from tools.tiny import card, train

    text = card.card(file, out / "vocabulary.model", Shape(), train.Recipe(steps, seed))
    (out / "README.md").write_text(text, encoding="utf-8")
    print(f"wrote {out / 'README.md'}\ncp {file} spm/data/tiny.gguf; cp {out}/README.md spm/data/")


if __name__ == "__main__":
    main()
