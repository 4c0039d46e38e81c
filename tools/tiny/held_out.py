"""Stories that were kept from the model, and how surprised it is by them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import sentencepiece
from numpy.typing import NDArray

from spm.llama import Llama
from tools.tiny.stories import stories
from tools.tiny.vocabulary import ids_of

SENTENCE_END = re.compile(r'(?<=[.!?"]) |\n')


@dataclass(frozen=True)
class HeldOut:
    """The stories, and how near to the training stories they are."""

    stories: list[str]
    met_before: int  # stories dropped because training had them word for word
    known_sentences: float  # of all their sentences, the part that training had word for word


def held_out(seed: int, n_training: int, n: int) -> HeldOut:
    """Draw `n` stories of another split, none of which is among the first `n_training`."""
    training = set(islice(stories(seed, "training"), n_training))
    drawn: list[str] = []
    met_before = 0
    for story in stories(seed, "held out"):
        if story in training:
            met_before += 1
        elif len(drawn) < n:
            drawn.append(story)
        else:
            break
    known = {sentence for story in training for sentence in SENTENCE_END.split(story)}
    sentences = [sentence for story in drawn for sentence in SENTENCE_END.split(story)]
    return HeldOut(drawn, met_before, sum(s in known for s in sentences) / len(sentences))


@dataclass(frozen=True)
class Surprise:
    """Mean loss over held-out text, in nats."""

    per_token: float
    per_byte: float


def surprise(
    model: Llama, pieces: sentencepiece.SentencePieceProcessor, texts: Sequence[str]
) -> Surprise:
    """Each story by itself, from BOS to EOS: what the file's own reader makes of them."""
    nats = n_tokens = 0.0
    for text in texts:
        ids = ids_of(text, pieces)
        logits = model.forward(ids[:-1]).astype(np.float64)  # (T, V)
        nats += float(np.sum(log_sum_exp(logits) - logits[np.arange(len(ids) - 1), ids[1:]]))
        n_tokens += len(ids) - 1
    return Surprise(nats / n_tokens, nats / sum(len(text.encode()) for text in texts))


def log_sum_exp(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """The logarithm of the sum of e to the logits, (T, V) -> (T,)."""
    top = logits.max(axis=1)
    return np.asarray(top + np.log(np.exp(logits - top[:, None]).sum(axis=1)))


def frequencies_alone(seen: NDArray[np.int64], held: NDArray[np.int64], vocab_size: int) -> float:
    """The loss per token of a model that knows how often each piece comes, and nothing else."""
    odds = (np.bincount(seen, minlength=vocab_size) + 1) / (len(seen) + vocab_size)
    return float(-np.log(odds[held]).mean())
