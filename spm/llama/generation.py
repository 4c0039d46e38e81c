"""A prompt -> the model's continuation, streamed as text (`generate`) or as ids (`generate_ids`).

Both are generators that return why they ended, which a plain `for` may ignore:

    "eog"      the model chose a piece that ends generation (EOS, EOT, ...)
    "stop"     the text reached a stop string, which is not part of it
    "length"   max_tokens ids
    "context"  no position is left in the model's context
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Sequence
from typing import Literal, TypeAlias

import numpy as np

from spm.errors import ModelError, brief
from spm.llama.model import Llama
from spm.llama.sampling import Sampling, next_id
from spm.tokenizer import Tokenizer

Finish: TypeAlias = Literal["eog", "stop", "length", "context"]

DEFAULT = Sampling()


def generate(
    model: Llama,
    tok: Tokenizer,
    prompt: str,
    sampling: Sampling = DEFAULT,
    *,
    max_tokens: int = 256,
    stop: Sequence[str] = (),
    parse_special: bool = False,
    on_id: Callable[[int], None] | None = None,
) -> Generator[str, None, Finish]:
    """Yield the continuation of `prompt`, piece by piece, never half a character.

    Ends at any EOG id and before the first of the `stop` strings: text that might begin one is
    held back until it cannot. `parse_special=False` keeps control pieces that are spelt in `prompt`
    plain text, as untrusted text needs. `on_id` is told every new id, as it is chosen. Raises
    ModelError for bad arguments and for a prompt longer than the context, and what `tok.encode`
    raises.
    """
    if not isinstance(sampling, Sampling):
        raise TypeError(f"sampling is {type(sampling).__name__}, expected Sampling")
    stops = (stop,) if isinstance(stop, str) else tuple(stop)
    if "" in stops:
        raise ModelError("stop: found an empty string, expected at least one character")
    ids = tok.encode(prompt, add_special=True, parse_special=parse_special)
    decoder = tok.stream_decoder()
    for i in ids:  # the continuation's text depends on what precedes it: its first space, above all
        decoder.push(i)
    steps = generate_ids(model, ids, sampling, max_tokens=max_tokens, eog_ids=tok.vocab.eog_ids)
    held = ""
    while True:
        try:
            chosen = next(steps)
        except StopIteration as end:
            finish: Finish = end.value
            break
        if on_id:
            on_id(chosen)
        ready, held, stopped = release(held + decoder.push(chosen), stops)
        if ready:
            yield ready
        if stopped:
            return "stop"
    ready, held, stopped = release(held + decoder.flush(), stops)
    if ready + held:
        yield ready + held
    return "stop" if stopped else finish


def generate_ids(
    model: Llama,
    ids: Sequence[int],
    sampling: Sampling = DEFAULT,
    *,
    max_tokens: int = 256,
    eog_ids: Collection[int] = (),
) -> Generator[int, None, Finish]:
    """Yield the ids that continue `ids`; an EOG id ends the sequence and is not yielded."""
    if isinstance(max_tokens, bool) or not isinstance(max_tokens, int) or max_tokens < 0:
        raise ModelError(f"max_tokens: found {brief(max_tokens)}, expected an integer from 0")
    context = model.config.max_seq_len
    if not 1 <= len(ids) <= context:
        raise ModelError(f"prompt: found {len(ids)} ids, expected 1 to {context}")
    rng = np.random.Generator(np.random.PCG64(sampling.seed))
    cache, seen, new = model.new_cache(), list(ids), list(ids)
    for _ in range(max_tokens):
        if cache.length + len(new) > context:
            return "context"
        logits = model.step([(new, cache)])[0]  # (V,)
        chosen = next_id(logits, seen, sampling, rng)
        if chosen in eog_ids:
            return "eog"
        yield chosen
        seen.append(chosen)
        new = [chosen]
    return "length"


def release(text: str, stops: Sequence[str]) -> tuple[str, str, bool]:
    """text -> (what may be shown, what must wait, whether a stop string was reached).

    Of several stop strings the one that ends first counts, so that the answer does not depend on
    the pieces in which `text` arrived. What waits is the longest end of `text` with which a stop
    string begins.
    """
    found = [(text.find(stop) + len(stop), text.find(stop)) for stop in stops if stop in text]
    if found:
        return text[: min(found)[1]], "", True
    waits = len(text) - max((_begun(text, stop) for stop in stops), default=0)
    return text[:waits], text[waits:], False


def _begun(text: str, stop: str) -> int:
    """How long an end of `text` is that `stop` begins with, in time linear in both.

    Knuth, Morris and Pratt: `borders[n - 1]` is the longest proper end of stop[:n] that `stop`
    begins with, so that a mismatch never looks at a character of the text again.
    """
    stop = stop[: len(text) + 1]
    borders = [0] * len(stop)
    for n in range(1, len(stop)):
        k = borders[n - 1]
        while k and stop[n] != stop[k]:
            k = borders[k - 1]
        borders[n] = k + (stop[n] == stop[k])
    k = 0
    for character in text[-len(stop) :]:
        while k and (k == len(stop) or character != stop[k]):
            k = borders[k - 1]
        k += character == stop[k]
    return k
