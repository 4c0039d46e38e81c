"""A finished file -> its card: every figure measured on that file, every sample spoken by it."""

from __future__ import annotations

import hashlib
import math
import platform
import textwrap
from collections.abc import Iterator
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece

from spm.gguf import GGUF
from spm.llama import Llama, Sampling, generate
from spm.tokenizer import Tokenizer
from tools.tiny.export import piece_row, vocabulary_fingerprint
from tools.tiny.held_out import frequencies_alone, held_out, surprise
from tools.tiny.shape import Shape
from tools.tiny.stories import PLOTS, stories
from tools.tiny.train import Recipe
from tools.tiny.vocabulary import ids_of

N_HELD_OUT = 300
SAMPLES = (
    ("Once upon a time", Sampling(temperature=0)),
    ("In a hut under the tall trees there lived", Sampling(temperature=0.7, seed=1)),
    ("Leo wanted", Sampling(temperature=0.7, seed=2)),
)
TEMPLATE = """\
# The embedded model

`tiny.gguf` is a Llama of {parameters:,} parameters that tells short stories in simple English. It
is here so that `spm generate` has something to say on a machine with no other model, and so that
tests and examples have a real one: grouped-query attention, RoPE, an SPM vocabulary with byte
pieces, and rows long enough for every block type. It knows nothing of the world, it follows no
instructions, and what it says is nobody's opinion. Begin as a story begins: "Once upon a time",
"In the forest", or nothing at all. From the middle of a story it loses its way.

| | |
|---|---|
| architecture | `llama`: {shape.n_layers} layers, dim {shape.dim}, hidden {shape.hidden_dim}, \
{shape.n_heads} heads of {shape.head_dim}, {shape.n_kv_heads} kv heads |
| context | {shape.max_seq_len} ids |
| file | {size:,} bytes, {kind} with F32 norms |
| file sha256 | `{sha256}` |
| vocabulary | SPM (BPE), {shape.vocab_size} pieces, byte fallback, no normalisation |
| vocabulary sha256 | `{vocabulary}` |
| licence | MIT, as the project |

The vocabulary's sha256 is taken over what the sentencepiece library recorded, a line for each
piece: the piece, its score as Python prints it, its GGUF type, with tabs between.

## How it was made

    pip install torch=={torch} sentencepiece=={sentencepiece} numpy=={numpy}
    python -m tools.train_tiny --steps {recipe.steps} --seed {recipe.seed}

| | |
|---|---|
| text | {n_stories:,} stories, {tokens:,} ids, each read once |
| steps | {recipe.steps:,} of {recipe.batch} stories, on one core |
| learning | Muon to {recipe.matrices} for the blocks, Adam to {recipe.others} for the rest |
| rates | {recipe.warmup} steps up, then down on a line to zero |
| numbers | products in bfloat16, the rest in float32 |
| where | Python {python}, {machine} |

The same command on the same kind of machine gives the same bytes. Another kind of processor rounds
its sums otherwise, and the weights come out a little different.

All the text comes from `tools/tiny/stories.py`: {n_plots} plots, written for this purpose, with
their people, places and things drawn by lot; the longest story has {longest} ids. No other text was
used. The first 1,000 stories of the training, one behind the other, have the sha256
`{training_text}`.

## How well it knows its stories

{n_held_out} held-out stories, from the same grammar by other lots. None is among the training
stories ({met_before} that were had been dropped), though {known_sentences:.0%} of their sentences
are: the grammar is small. So the loss tells how well the model has learnt this grammar. It tells
nothing about other English.

| | nats per token | nats per byte | perplexity |
|---|---|---|---|
| chance: ln {shape.vocab_size} | {chance:.3f} | | {shape.vocab_size} |
| piece frequencies alone | {frequencies:.3f} | | {frequencies_perplexity:.0f} |
| **this file** | **{per_token:.3f}** | **{per_byte:.3f}** | **{perplexity:.2f}** |

A part of what is left no model can learn: who the hero is, and where she goes, is drawn by lot.

## What it says

This very file, by `spm.generate`, to the end of the story; the prompt is in bold.
"""


def card(path: Path, vocabulary: Path, shape: Shape, recipe: Recipe) -> str:
    """Measure the file at `path`, let it speak, and tell how it was made."""
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(vocabulary))
    figures = {
        "shape": shape,
        "recipe": recipe,
        **of_file(path, pieces),
        **of_making(recipe),
        **of_loss(path, pieces, recipe),
    }
    return TEMPLATE.format(**figures) + "".join(samples(path))


def of_file(path: Path, pieces: sentencepiece.SentencePieceProcessor) -> dict[str, Any]:
    """What can be seen without running it."""
    with GGUF.open(path) as gguf:
        shapes = [tensor.shape for tensor in gguf.tensors.values()]
        kinds = {tensor.type.name for tensor in gguf.tensors.values() if len(tensor.shape) == 2}
    rows = [piece_row(pieces, i) for i in range(pieces.get_piece_size())]
    return {
        "parameters": sum(math.prod(shape) for shape in shapes),
        "size": path.stat().st_size,
        "kind": ", ".join(sorted(kinds)),
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "vocabulary": vocabulary_fingerprint(rows),
    }


def of_making(recipe: Recipe) -> dict[str, Any]:
    """With what, and from what, it was made."""
    text = "".join(islice(stories(recipe.seed, "training"), 1000))
    return {
        **{name: version(name).split("+")[0] for name in ("torch", "sentencepiece", "numpy")},
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "n_stories": recipe.steps * recipe.batch,
        "n_plots": len(PLOTS),
        "training_text": hashlib.sha256(text.encode()).hexdigest(),
    }


def of_loss(
    path: Path, pieces: sentencepiece.SentencePieceProcessor, recipe: Recipe
) -> dict[str, Any]:
    """How surprised it is by stories it has not read, and how surprised one could be."""
    n_stories, vocab_size = recipe.steps * recipe.batch, pieces.get_piece_size()
    training = islice(stories(recipe.seed, "training"), n_stories)
    rows = [ids_of(story, pieces) for story in training]
    seen = np.concatenate(rows)
    held = held_out(recipe.seed, n_stories, N_HELD_OUT)
    ids = np.array([i for story in held.stories for i in ids_of(story, pieces)])
    frequencies = frequencies_alone(seen, ids, vocab_size)
    loss = surprise(Llama.from_gguf(path), pieces, held.stories)
    return {
        "tokens": len(seen),
        "longest": max(map(len, rows)),
        "n_held_out": len(held.stories),
        "met_before": held.met_before,
        "known_sentences": held.known_sentences,
        "chance": math.log(vocab_size),
        "frequencies": frequencies,
        "frequencies_perplexity": math.exp(frequencies),
        "per_token": loss.per_token,
        "per_byte": loss.per_byte,
        "perplexity": math.exp(loss.per_token),
    }


def samples(path: Path) -> Iterator[str]:
    """A heading, a prompt and what the model makes of it, for each of SAMPLES."""
    model, tok = Llama.from_gguf(path), Tokenizer.from_gguf(path)
    for prompt, sampling in SAMPLES:
        told = "".join(generate(model, tok, prompt, sampling, max_tokens=500))
        how = f"temperature {sampling.temperature}, seed {sampling.seed}"
        yield f"\n{'Greedy' if sampling.temperature == 0 else how.capitalize()}:\n\n"
        paragraphs = f"**{prompt}**{told}".split("\n")
        yield (
            "\n>\n".join(
                textwrap.fill(p, 98, initial_indent="> ", subsequent_indent="> ")
                for p in paragraphs
            )
            + "\n"
        )
