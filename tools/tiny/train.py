"""Stories go in, a model that tells such stories comes out. One core is enough.

Each step reads the next few stories, so none is seen twice, and the loss that scrolls by is already
the loss on text the model has never read. Step n depends on its stories and on the state after step
n - 1 alone: a run that was stopped and resumed ends in the same weights, bit for bit.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import sentencepiece
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from tools.tiny.model import TinyLlama
from tools.tiny.shape import Shape
from tools.tiny.stories import stories
from tools.tiny.vocabulary import ids_of

NOTHING = -100  # the id behind a story's end, up to the length of the longest: not asked about


@dataclass(frozen=True)
class Recipe:
    """How long, how much at once, and how boldly."""

    steps: int
    seed: int
    batch: int = 8  # stories in a step
    warmup: int = 50
    matrices: float = 0.02  # peak learning rate of the blocks' matrices (Muon)
    others: float = 3e-3  # and of the embedding, the output and the gains (Adam)
    decay: float = 0.1  # of the matrices alone
    save_every: int = 200

    def height(self, step: int) -> float:
        """The learning rate as a part of its peak: it climbs, then falls on a line to zero."""
        climb = (step + 1) / self.warmup
        return min(climb, (self.steps - step) / max(1, self.steps - self.warmup))


def train(
    pieces: sentencepiece.SentencePieceProcessor, shape: Shape, recipe: Recipe, checkpoint: Path
) -> TinyLlama:
    """Train from the start, or go on from `checkpoint`."""
    torch.manual_seed(recipe.seed)
    torch.set_num_threads(1)  # sums in one order: the same weights every time
    torch.use_deterministic_algorithms(True)
    model = TinyLlama(shape)
    optimizers = optimizers_of(model, recipe)
    start = resume(checkpoint, model, optimizers, recipe)
    began, step = time.monotonic(), start
    try:
        for step in range(start, recipe.steps):
            loss = one_step(model, optimizers, recipe.height(step), batch_of(pieces, recipe, step))
            if step % 20 == 0 or step == recipe.steps - 1:
                report(step, loss, recipe, (time.monotonic() - began) / (step - start + 1))
            if (step + 1) % recipe.save_every == 0 or step == recipe.steps - 1:
                save(checkpoint, step + 1, model, optimizers, recipe)
    except KeyboardInterrupt:
        done = max(start, step - step % recipe.save_every)
        raise SystemExit(f"\nstopped; the same command goes on from step {done}") from None
    return model


def batch_of(pieces: sentencepiece.SentencePieceProcessor, recipe: Recipe, step: int) -> Tensor:
    """The stories of a step as ids (B, T + 1), filled up with NOTHING."""
    told = stories(recipe.seed, "training", start=step * recipe.batch)
    rows = [ids_of(story, pieces) for story in islice(told, recipe.batch)]
    ids = torch.full((recipe.batch, max(map(len, rows))), NOTHING)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
    return ids


def one_step(
    model: TinyLlama, optimizers: list[torch.optim.Optimizer], height: float, ids: Tensor
) -> float:
    """Guess every next id, see how wrong that was, and move each weight a little."""
    with torch.autocast("cpu", torch.bfloat16):  # the products in bfloat16, the sums in float32
        logits = model(ids[:, :-1].clamp(min=0))  # (B, T, V)
    guesses, answers = logits.float().flatten(0, 1), ids[:, 1:].flatten()
    loss = cross_entropy(guesses, answers, ignore_index=NOTHING)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * height
        optimizer.step()
        optimizer.zero_grad()
    return float(loss.item())


def optimizers_of(model: TinyLlama, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Muon for the blocks' matrices, which it turns as a whole; Adam for everything else."""
    matrices = [weight for weight in model.blk.parameters() if weight.ndim == 2]
    others = [w for w in model.parameters() if all(w is not matrix for matrix in matrices)]
    muon = torch.optim.Muon(matrices, lr=recipe.matrices, weight_decay=recipe.decay)
    adam = torch.optim.Adam(others, lr=recipe.others, betas=(0.9, 0.99))
    for optimizer in (muon, adam):
        for group in optimizer.param_groups:
            group["peak"] = group["lr"]
    return [muon, adam]


def report(step: int, loss: float, recipe: Recipe, seconds: float) -> None:
    """One line of progress: where, how well, how fast, how long still."""
    minutes = (recipe.steps - 1 - step) * seconds / 60
    rate = recipe.batch / seconds
    place = f"step {step:5d} of {recipe.steps}"
    print(f"{place}  loss {loss:.3f}  {rate:5.1f} stories/s  {minutes:5.1f} min to go", flush=True)


def save(
    path: Path,
    step: int,
    model: TinyLlama,
    optimizers: list[torch.optim.Optimizer],
    recipe: Recipe,
) -> None:
    """Everything a later run needs, put in place in one move."""
    state = {
        "recipe": asdict(recipe),
        "step": step,
        "model": model.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
    }
    torch.save(state, path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)


def resume(
    path: Path, model: TinyLlama, optimizers: list[torch.optim.Optimizer], recipe: Recipe
) -> int:
    """The step to go on with: 0 without a checkpoint; one of another recipe is refused."""
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    if state["recipe"] != asdict(recipe):
        raise SystemExit(f"{path}: made with {state['recipe']}, not {asdict(recipe)}; move it away")
    model.load_state_dict(state["model"])
    for optimizer, kept in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(kept)
    return int(state["step"])


def weights_of(model: TinyLlama) -> dict[str, NDArray[np.float32]]:
    """The trained weights under their GGUF names, row-major (out, in) as both sides have them."""
    return {name: weight.detach().numpy() for name, weight in model.named_parameters()}
