"""From a GGUF file to a story, every step in the open.

    python tools/generate.py MODEL.gguf "Once upon a time"

`spm.generate` does the same and more (stop strings, long prompts in batches); this is how.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np

from spm.errors import SpmError
from spm.gguf import GGUF
from spm.llama import Llama, Sampling
from spm.llama.sampling import next_id
from spm.tokenizer import Tokenizer


def main() -> None:
    """Continue a prompt, and say on standard error what happens on the way."""
    parser = argparse.ArgumentParser(description="Continue a prompt.")
    parser.add_argument("model", help="a GGUF file of a Llama")
    parser.add_argument("prompt", nargs="?", default="Once upon a time")
    parser.add_argument("--max-tokens", type=int, default=200)
    parser.add_argument("--temperature", type=float, default=0.8)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    # 1. The file: metadata, and a table of tensors. It is mapped into memory, not read.
    with GGUF.open(args.model) as gguf:
        say(f"{gguf.path.name}: {len(gguf.metadata)} keys, {len(gguf.tensors)} tensors")

        # 2. The vocabulary, out of the metadata; the weights, dequantised to float32.
        tok = Tokenizer.from_gguf(gguf)
        model = Llama.from_gguf(gguf)
    say(f"{model.config}")

    # 3. Text -> ids: what the model reads.
    ids = tok.encode(args.prompt)
    say(f"{args.prompt!r} -> {ids}")

    # 4. Prefill: all of the prompt at once. Row t of the logits scores what may follow ids[t].
    cache = model.new_cache()
    logits = model.forward(ids, cache=cache)  # (T, V)

    # 5. The decoder turns ids back into text; it has to know what came before.
    decoder = tok.stream_decoder()
    for i in ids:
        decoder.push(i)
    print(args.prompt, end="", flush=True)

    # 6. Choose an id, show its text, feed it back: one step, one token.
    sampling = Sampling(temperature=args.temperature, seed=args.seed)
    rng = np.random.Generator(np.random.PCG64(sampling.seed))
    room = model.config.max_seq_len - len(ids)
    for _ in range(min(args.max_tokens, room)):
        chosen = next_id(logits[-1], ids, sampling, rng)
        if chosen in tok.vocab.eog_ids:  # the model says that it is done
            break
        ids.append(chosen)
        print(decoder.push(chosen), end="", flush=True)
        logits = model.forward([chosen], cache=cache)  # (1, V): the cache holds all the rest
    print(decoder.flush())


def say(text: str) -> None:
    """To standard error, so that standard output is the story alone."""
    print(text, file=sys.stderr)


if __name__ == "__main__":
    try:
        main()
    except SpmError as error:
        sys.exit(f"error: {error}")
