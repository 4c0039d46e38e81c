"""Record what llama.cpp does with odd Unigram vocabularies: golden/unigram/llama.cpp.jsonl.

    python -m tools.golden_unigram                 write the golden file
    python -m tools.golden_unigram --check 2000    hold spm against llama.cpp on so many others

Every vocabulary is drawn by chance out of what the two oracles treat differently: ties, scores that
are improper, huge or no numbers, every type of piece, halves of characters, spellings whose type
llama.cpp corrects, a charsmap, ids and flags. llama.cpp runs in a process of its own, which it may
end: such a text is recorded as null, such a vocabulary is left out.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import numpy as np

from spm import SpmError, Tokenizer
from spm.gguf import write_gguf
from spm.vocab import vocab_from_sentencepiece
from tools.golden.oracles import RefusedError, ask

GOLDEN = Path(__file__).parents[1] / "golden"
FILE = GOLDEN / "unigram" / "llama.cpp.jsonl"
MAX_SPECIAL = 12  # of more than 16 of a size llama.cpp finds any first (golden/README.md)
WAYS = [(False, False), (False, True), (True, True)]  # add_special, parse_special

_SCORES = [0.0, -0.0, -1.0, -1.5, -2.0, -3.0, -3.0, -7.25, -1e-7, 1.0, 5.0, -1e9, -3e5]
_ODD_SCORES = [3e38, -3e38, float("inf"), float("-inf"), float("nan")]
_ALPHABET = ["a", "b", "c", "\u00e9", "\u00e8", "\u2581", "\U0001f600", "\uff41", "\t"]
_SPELLED = ["<|end|>", "</s>", "<|channel|>", "unused0", "<0x41>", "<x>", "<y", "[PAD]"]
_HALVES = [b"\xc3", b"\xe2\x96", b"\xa9", b"a\xc3", b" ", b"a b", b"\xff"]
_TYPES = [1, 1, 1, 1, 1, 1, 2, 3, 4, 4, 5, 5]


def by_hand() -> Iterator[tuple[dict[str, Any], list[bytes], list[list[int]]]]:
    """What chance seldom finds: places that nothing reaches, and types that are corrected."""
    texts = [b"ab", b"ba", b"aab b", b"xab", b"a<|end|>b", b"<|end|><|end|>", b"<|en", b"end"]
    tokens = ["<pad>", "</s>", "<unk>", "a", "b", "ab", "<|end|>", "<", "|", "end"]
    for kind in (1, 3, 4, 5):
        for score in (float("nan"), float("-inf"), -1.0, -20.0, 2.0):
            scores = [0.0, 0.0, 0.0, score, -1.0, -3.0, score, -2.0, -2.0, -2.0]
            types = [3, 3, 2, 1, 1, 1, kind, 1, 1, 1]
            vocab = {"tokens": tokens, "scores": scores, "token_type": types, "charsmap": False}
            yield vocab, texts, [[6, 3, 6], [1, 6, 1]]


def draw_vocab(rng: random.Random) -> dict[str, Any]:
    """The keys of a vocabulary as JSON; the bytes of a piece are the characters of its string."""
    head = [b"<pad>", b"</s>", b"<unk>", b"<s>"]
    words = {"".join(rng.choices(_ALPHABET[:6], k=rng.randint(1, 4))) for _ in range(14)}
    pieces = [*words, *rng.sample(_ALPHABET, 6), *rng.sample(_SPELLED, 3)]
    bodies = [*map(str.encode, pieces), *rng.sample(_HALVES, rng.randint(0, 3))]
    bodies = [p for p in dict.fromkeys(bodies) if p not in head]
    odd = rng.random() < 0.3
    scores = [rng.choice(_SCORES + _ODD_SCORES * odd) for _ in (*head, *bodies)]
    types = [3, 3, 2, 3, *(6 if p == b"<0x41>" else rng.choice(_TYPES) for p in bodies)]
    for i in [i for i, kind in enumerate(types) if kind in (2, 3, 4)][MAX_SPECIAL:]:
        types[i] = 1
    keys: dict[str, Any] = {
        key: rng.random() < 0.5
        for key in ("add_space_prefix", "remove_extra_whitespaces", "add_bos_token")
        if rng.random() < 0.7
    }
    if keys.get("add_bos_token"):
        keys["bos_token_id"] = 3
    if rng.random() < 0.2:
        keys["unknown_token_id"] = rng.randrange(len(scores))
    return {
        "tokens": [p.decode("latin-1") for p in (*head, *bodies)],
        "scores": scores,
        "token_type": types,
        "charsmap": rng.random() < 0.4,
        **keys,
    }


def draw_text(rng: random.Random, vocab: dict[str, Any]) -> bytes:
    """A few pieces, characters, spaces and bytes."""
    kinds: list[Callable[[], bytes]] = [
        lambda: rng.choice(vocab["tokens"]).encode("latin-1"),
        lambda: rng.choice(_ALPHABET).encode(),
        lambda: b" " * rng.choice([1, 1, 2, 3]),
        lambda: rng.choice([b"\n", b"<", b"<x", b"\0", b"\xc0\x80", b"\xed\xa0\x80", b"zz", b"~"]),
        lambda: rng.choice([*_HALVES, bytes([rng.randrange(256)])]),
    ]
    weights = [6, 6, 3, 2, 1]
    return b"".join(rng.choices(kinds, weights)[0]() for _ in range(rng.randint(0, 12)))


def write_vocab(path: Path, vocab: dict[str, Any]) -> Path:
    """The vocabulary as a GGUF; its charsmap is that of golden/vocabs/rules.model."""
    keys = {**vocab, "model": "t5", "token_type": np.array(vocab["token_type"], np.int32)}
    keys["tokens"] = [token.encode("latin-1") for token in vocab["tokens"]]
    keys["scores"] = np.array(vocab["scores"], np.float32)
    if keys.pop("charsmap"):
        rules = vocab_from_sentencepiece(GOLDEN / "vocabs" / "rules.model").normalization
        assert rules is not None
        keys["precompiled_charsmap"] = np.frombuffer(rules.charsmap, np.uint8)
    named = {f"tokenizer.ggml.{key}": value for key, value in keys.items()}
    write_gguf(path, {"general.architecture": "t5", **named}, {})
    return path


def answers(path: Path, texts: list[bytes], lists: list[list[int]]) -> list[Any]:
    """llama.cpp's ids for every text and way, its text in hex for every list of ids."""
    encode = [["encode", text.hex(), *way] for text in texts for way in WAYS]
    decode = [["decode", ids, *way] for ids in lists for way in ((True, False), (False, True))]
    return ask(path, [*encode, *decode])


def spm_answers(path: Path, texts: list[bytes], lists: list[list[int]]) -> list[Any]:
    """The same by spm."""
    tok = Tokenizer.from_gguf(path)
    encoded = [
        tok.encode(text, add_special=add, parse_special=parse)
        for text in texts
        for add, parse in WAYS
    ]
    shown = [tok.decode_bytes(i, skip_special=s).hex() for i in lists for s in (True, False)]
    return [*encoded, *shown]


def draw(rng: random.Random, n_texts: int) -> tuple[dict[str, Any], list[bytes], list[list[int]]]:
    """A vocabulary, texts, and rows of ids."""
    vocab = draw_vocab(rng)
    texts = [draw_text(rng, vocab) for _ in range(n_texts)]
    everything = range(len(vocab["tokens"]))
    return vocab, texts, [rng.choices(everything, k=rng.randint(1, 6)) for _ in range(n_texts // 3)]


def record(seed: int, n_vocabs: int, n_texts: int) -> list[dict[str, Any]]:
    """What the golden file holds, a line for each vocabulary."""
    lines: list[dict[str, Any]] = [
        {
            "producer": "llama.cpp of llama-cpp-python 0.3.36",
            "command": "python -m tools.golden_unigram",
        }
    ]
    rng = random.Random(seed)
    drawn = (draw(rng, n_texts) for _ in repeat(None))
    with tempfile.TemporaryDirectory() as folder:
        for vocab, texts, lists in chain(by_hand(), drawn):
            if len(lines) > n_vocabs:
                break
            path = write_vocab(Path(folder) / "v.gguf", vocab)
            try:
                told = answers(path, texts, lists)
            except RefusedError:
                continue
            line = {"texts": [text.hex() for text in texts], "ids": lists, "answers": told}
            lines.append({"vocab": vocab, **line})
    return lines


def check(seed: int, n_vocabs: int) -> int:
    """Hold spm against llama.cpp, print where they differ, return how often."""
    rng = random.Random(seed)
    differences = refused = asked = 0
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(n_vocabs):
            vocab, texts, lists = draw(rng, 60)
            path = write_vocab(Path(folder) / "v.gguf", vocab)
            try:
                told = answers(path, texts, lists)
            except RefusedError:
                refused += 1
                continue
            try:
                found = spm_answers(path, texts, lists)
            except SpmError as error:
                found = [str(error)] * len(told)
            asked += len(told)
            wrong = [i for i in range(len(told)) if told[i] != found[i] and told[i] is not None]
            differences += len(wrong)
            for i in wrong[:2]:
                what = texts[i // 3] if i < 3 * len(texts) else lists[(i - 3 * len(texts)) // 2]
                print(f"{json.dumps(vocab)}\n  {what!r} {i % 3}: {told[i]} != {found[i]}")
    print(f"{n_vocabs} vocabularies, {refused} refused, {asked} answers, {differences} differences")
    return differences


def main() -> int:
    """Parse the command line; write or check."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--check", type=int, default=0, metavar="N")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    if args.check:
        return int(check(args.seed, args.check) > 0)
    lines = record(args.seed, 40, 12)
    FILE.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
