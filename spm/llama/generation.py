"""Prompts -> the model's continuations, as text (`generate`, `generate_batch`) or `generate_ids`.

All are generators that return why they ended, which a plain `for` may ignore:

    "eog"      the model chose a piece that ends generation (EOS, EOT, ...)
    "stop"     the text reached a stop string, which is not part of it
    "length"   max_tokens ids
    "context"  no position is left in the model's context

A text that asks for `shift` goes on where the context ends. The newer half of its ids is read
again, as if it were a prompt, with BOS in front if the vocabulary adds one:

    context 8   <s> a b c d e f g     h was chosen and has no position
    from here   <s> f g h             4 ids are read into an empty cache

llama.cpp does not read again (tools/completion/completion.cpp, "context shift"): it drops the older
half from its cache and rotates the keys of the rest to their new positions. That costs less, but
these keys and values were computed while the dropped ids could still be seen, and are what no
reading of any text would give. Reading again gives exactly the logits of the ids that are kept, for
one more row of prefill for each new id.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from spm.errors import ModelError, brief
from spm.llama.model import Llama
from spm.llama.ops import Float32
from spm.llama.sampling import Sampling, next_id
from spm.llama.showing import Showing
from spm.text.stream import StreamDecoder
from spm.tokenizer import Tokenizer

Finish: TypeAlias = Literal["eog", "stop", "length", "context"]

DEFAULT = Sampling()
SHIFT_CONTEXT = 4  # positions: of fewer, the newer half has no room for BOS and an id


class Choice(NamedTuple):
    """An id as it was chosen, for whoever wants to look."""

    text: int  # the index of its prompt
    id: int
    logits: Float32  # (V,) the model's own, before penalties and temperature


def generate(
    model: Llama,
    tok: Tokenizer,
    prompt: str,
    sampling: Sampling = DEFAULT,
    *,
    max_tokens: int = 256,
    stop: str | Sequence[str] = (),
    parse_special: bool = False,
    shift: bool = False,
    on_choice: Callable[[Choice], None] | None = None,
) -> Generator[str, None, Finish]:
    """Yield the continuation of `prompt`, piece by piece, never half a character.

    Ends at any EOG id and before the first of the `stop` strings: text that might begin one is
    held back until it cannot. `parse_special=False` keeps control pieces that are spelt in `prompt`
    plain text, as untrusted text needs. `shift` goes on where the context ends, as told above.
    `on_choice` is told every new id as it is chosen, EOG ids excepted. Raises ModelError for bad
    arguments and for a prompt longer than the context, and what `tok.encode` raises.
    """
    parts = generate_batch(
        model,
        tok,
        [prompt],
        sampling,
        max_tokens=max_tokens,
        stop=stop,
        parse_special=parse_special,
        shift=shift,
        on_choice=on_choice,
    )
    while True:
        try:
            _, part = next(parts)
        except StopIteration as end:
            finish: Finish = end.value[0]
            return finish
        yield part


def generate_batch(
    model: Llama,
    tok: Tokenizer,
    prompts: Sequence[str],
    sampling: Sampling | Sequence[Sampling] = DEFAULT,
    *,
    max_tokens: int = 256,
    stop: str | Sequence[str] = (),
    parse_special: bool = False,
    shift: bool = False,
    on_choice: Callable[[Choice], None] | None = None,
) -> Generator[tuple[int, str], None, list[Finish]]:
    """Yield (index of a prompt, text that continues it) as it becomes ready; return why each ends.

    The weights are read once for the next ids of all texts, which is most of what a step costs. A
    text that ends leaves the batch, and gives its memory back.

    Each prompt gets the text that `generate` gives it alone: it has random numbers of its own, from
    the seed of `sampling`, or of its own Sampling where `sampling` holds one for each. (Rows that
    are multiplied together may be rounded otherwise than alone, which can tip a choice between ids
    whose logits agree to the last digits.) The other arguments are `generate`'s, for all texts
    alike, and so are the errors; a prompt that is at fault is named by its index.
    """
    if isinstance(prompts, (str, bytes)):
        raise TypeError(f"prompts is {type(prompts).__name__}, expected several texts")
    stops = _checked_stops(stop)
    texts = []
    for index, (prompt, own) in enumerate(zip(prompts, _one_for_each(prompts, sampling))):
        ids = tok.encode(prompt, add_special=True, parse_special=parse_special)
        head = ids[:1] if tok.vocab.add_bos else []
        name = f"prompt {index}" if len(prompts) > 1 else "prompt"
        new = NewIds(model, ids, own, max_tokens, tok.vocab.eog_ids, head if shift else None, name)
        texts.append(NewText(index, new, Showing(_decoder_behind(ids, tok), stops), on_choice))
    finishes: list[Finish] = ["length"] * len(texts)  # as it stays if max_tokens is 0
    while texts := [text for text in texts if text.new.finish is None]:
        logits = model.step([(text.new.unread, text.new.cache) for text in texts])  # (n, V)
        for text, row in zip(texts, logits):
            if part := text.grow(row):
                yield text.index, part
            if text.new.finish:
                finishes[text.index] = text.new.finish
    return finishes


def generate_ids(
    model: Llama,
    ids: Sequence[int],
    sampling: Sampling = DEFAULT,
    *,
    max_tokens: int = 256,
    eog_ids: Collection[int] = (),
) -> Generator[int, None, Finish]:
    """Yield the ids that continue `ids`; an EOG id ends the sequence and is not yielded."""
    new = NewIds(model, ids, sampling, max_tokens, eog_ids)
    while new.finish is None:
        chosen = new.choose(model.step([(new.unread, new.cache)])[0])
        if chosen is not None:
            yield chosen
    return new.finish


class NewIds:
    """The ids of one text: those to be read next, what chooses among the answers, and the end."""

    def __init__(
        self,
        model: Llama,
        ids: Sequence[int],
        sampling: Sampling,
        max_tokens: int,
        eog_ids: Collection[int],
        head: Sequence[int] | None = None,  # what stays in front in a shift; None: no shift
        name: str = "prompt",
    ) -> None:
        if isinstance(max_tokens, bool) or not isinstance(max_tokens, int) or max_tokens < 0:
            raise ModelError(f"max_tokens: found {brief(max_tokens)}, expected an integer from 0")
        context = model.config.max_seq_len
        if not 1 <= len(ids) <= context:
            raise ModelError(f"{name}: found {len(ids)} ids, expected 1 to {context}")
        if head is not None and context < SHIFT_CONTEXT:
            expected = f"expected at least {SHIFT_CONTEXT} positions to shift in"
            raise ModelError(f"context: found {context}, {expected}")
        self.finish: Finish | None = None if max_tokens else "length"
        self.unread, self.cache = list(ids), model.new_cache()
        self._seen, self._left = list(ids), max_tokens
        self._model, self._sampling, self._eog_ids, self._head = model, sampling, eog_ids, head
        self._rng = np.random.Generator(np.random.PCG64(sampling.seed))

    def choose(self, logits: Float32) -> int | None:
        """The id that follows what has been read, by its logits (V,); None where the text ends."""
        chosen = next_id(logits, self._seen, self._sampling, self._rng)
        if chosen in self._eog_ids:
            self.finish = "eog"
            return None
        self._seen.append(chosen)
        self._left -= 1
        self.unread = [chosen]
        if self._left == 0:
            self.finish = "length"
        elif self.cache.length == self._model.config.max_seq_len:
            self._run_over()
        return chosen

    def _run_over(self) -> None:
        """No position is left for what is unread: end here, or begin anew with the newer half."""
        if self._head is None:
            self.finish = "context"
            return
        newer = self._model.config.max_seq_len // 2 - len(self._head)
        self.unread, self.cache = [*self._head, *self._seen[-newer:]], self._model.new_cache()


@dataclass(frozen=True)
class NewText:
    """The text of those ids."""

    index: int
    new: NewIds
    showing: Showing
    on_choice: Callable[[Choice], None] | None

    def grow(self, logits: Float32) -> str:
        """Choose an id; return the text that may be shown now."""
        chosen, part = self.new.choose(logits), ""
        if chosen is not None:
            if self.on_choice:
                self.on_choice(Choice(self.index, chosen, logits))
            part = self.showing.push(chosen)
        if self.new.finish:
            part += self.showing.flush()
        if self.showing.stopped:
            self.new.finish = "stop"
        return part


def _one_for_each(
    prompts: Sequence[str], sampling: Sampling | Sequence[Sampling]
) -> Sequence[Sampling]:
    """A Sampling for each prompt."""
    samplings = sampling if isinstance(sampling, Sequence) else [sampling] * len(prompts)
    for one in samplings:
        if not isinstance(one, Sampling):
            raise TypeError(f"sampling is {type(one).__name__}, expected Sampling")
    if len(samplings) != len(prompts):
        found = f"found {len(samplings)}, expected one, or one for each of {len(prompts)} prompts"
        raise ModelError(f"sampling: {found}")
    return samplings


def _checked_stops(stop: str | Sequence[str]) -> tuple[str, ...]:
    if not isinstance(stop, (str, Sequence)):
        raise ModelError(f"stop: found {brief(stop)}, expected a string or several")
    stops = (stop,) if isinstance(stop, str) else tuple(stop)
    if wrong := [each for each in stops if not isinstance(each, str) or not each]:
        raise ModelError(f"stop: found {brief(wrong[0])}, expected strings of a character or more")
    return stops


def _decoder_behind(ids: Sequence[int], tok: Tokenizer) -> StreamDecoder:
    """A continuation's text depends on what precedes it: its first space, above all."""
    decoder = tok.stream_decoder()
    for i in ids:
        decoder.push(i)
    return decoder
