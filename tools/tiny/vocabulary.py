"""Stories -> a vocabulary, and a story -> ids with it; both by the reference library.

The options are those under which sentencepiece and llama.cpp agree on every text: BPE, no
normalisation, one space put before the text, a byte piece for whatever the stories never showed.
A line feed is such a byte: the model ends its paragraphs with `<0x0A>`.
"""

from __future__ import annotations

import io
from itertools import islice
from pathlib import Path

import sentencepiece

from tools.tiny.stories import stories

PRINTABLE = "".join(map(chr, range(ord("!"), ord("~") + 1)))  # a piece each, seen or not


def train_vocabulary(path: Path, seed: int, size: int) -> sentencepiece.SentencePieceProcessor:
    """Learn `size` pieces from the first 4,000 training stories; the model file goes to `path`."""
    told = islice(stories(seed, "training"), 4000)
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=(paragraph for story in told for paragraph in story.split("\n")),
        model_writer=model,
        model_type="bpe",
        vocab_size=size,
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        add_dummy_prefix=True,
        required_chars=PRINTABLE,
        num_threads=1,
        minloglevel=2,
    )
    path.write_bytes(model.getvalue())
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


def ids_of(story: str, pieces: sentencepiece.SentencePieceProcessor) -> list[int]:
    """A story between BOS and EOS: that is how a model learns where one ends."""
    ids: list[int] = pieces.encode(story, add_bos=True, add_eos=True)
    return ids
