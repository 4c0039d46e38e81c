"""Hold every pre-tokenizer against llama.cpp, also those of which no file is at hand.

    python -m tools.every_pre --count 20000 --seed 7 gpt-2.gguf llama-bpe.gguf

Each vocabulary is written again under every name of `tokenizer.ggml.pre`, and ids and texts of made
strings are compared: `--count` of them for the first name of a row of the table, a tenth for the
others, which must do the same. The first differences are printed and make the exit code 1.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from spm import EncodeError, Tokenizer
from spm.gguf import GGUF, write_gguf
from spm.vocab.pretokenizers import PRE_TOKENIZERS, PreTokenizer
from tools.differential import random_ids, texts
from tools.oracles import LlamaCppOracle


def rewritten(source: Path, pre: str, target: Path) -> Path:
    """The vocabulary of `source` with another name in it."""
    with GGUF.open(source) as gguf:
        kept = {
            key: value
            for key, value in gguf.metadata.items()
            if key.startswith(("tokenizer.ggml.", "general.architecture"))
        }
        kept.update({"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": pre})
        write_gguf(target, kept, {})
    return target


def differences(path: Path, count: int, seed: str) -> Iterator[str]:
    """What differs, in words."""
    tok, oracle, rng = Tokenizer.from_gguf(path), LlamaCppOracle(path), random.Random(seed)
    ids_of_all = range(len(tok.vocab))
    for i, text in enumerate(texts(rng, list(tok.vocab.pieces), count, [])):
        special = bool(i % 2)
        try:
            found = tok.encode(text, add_special=special, parse_special=special)
        except EncodeError:
            continue  # llama.cpp ends the process
        expected = oracle.encode(text, special, special)
        if expected != found:
            yield f"encode {text!r} with special pieces {special}: {expected} != {found}"
        ids = random_ids(rng, ids_of_all, ids_of_all) if i % 3 else found
        if oracle.decode(ids) != tok.decode_bytes(ids):
            yield f"decode {ids}: {oracle.decode(ids)!r} != {tok.decode_bytes(ids)!r}"


def main() -> int:
    """Parse the command line, compare, tell."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("vocabularies", nargs="+", type=Path)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pre", nargs="+", default=list(PRE_TOKENIZERS))
    args = parser.parse_args()
    total = 0
    for source in args.vocabularies:
        seen: set[PreTokenizer] = set()
        for pre in args.pre:
            count = args.count // 10 if PRE_TOKENIZERS[pre] in seen else args.count
            seen.add(PRE_TOKENIZERS[pre])
            with tempfile.TemporaryDirectory() as folder:
                path = rewritten(source, pre, Path(folder) / "v.gguf")
                found = list(differences(path, count, f"{args.seed} {pre}"))
            print(f"{source.name} {pre}: {len(found)} differences, {count} strings", flush=True)
            print("".join(f"  {line}\n" for line in found[:3]), end="", flush=True)
            total += len(found)
    print(f"{total} differences")
    return int(total > 0)


if __name__ == "__main__":
    sys.exit(main())
