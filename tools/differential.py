"""Hold spm against the references on strings that nobody wrote down.

    python -m tools.differential --count 20000 --seed 7 llama-2.gguf mistral.model ...

A `.gguf` is held against llama.cpp, a `.model` against sentencepiece; --text adds lines of real
text. Encoding, and decoding of what was encoded, must agree to the last id and byte. Differences
are printed, cut down to the smallest piece of the string that still differs, and make the exit code
1.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from spm import Tokenizer, TokenType
from tools.oracles import LlamaCppOracle, Oracle, SentencePieceOracle

Maker = Callable[[random.Random, list[bytes]], bytes]

_SPACES = [
    " ",
    "  ",
    "\t",
    "\n",
    "\r\n",
    "\u00a0",
    "\u3000",
    "\u2009",
    "\u2581",
    "\u200b",
    "\ufeff",
    "\0",
]
_SPECIAL = [
    "<s>",
    "</s>",
    "<unk>",
    "<pad>",
    "<0x0A>",
    "<0x00>",
    "<|user|>",
    "[INST]",
    "<mask>",
    "\u2047",
]
_BLOCKS = [  # first and last code point
    (0x20, 0x7E), (0xA0, 0x17F), (0x300, 0x36F), (0x370, 0x4FF), (0x590, 0x6FF), (0x900, 0x97F),
    (0xE00, 0xE7F), (0x1100, 0x11FF), (0x1E00, 0x1FFF), (0x2000, 0x2BFF), (0x3040, 0x30FF),
    (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0xE000, 0xE0FF), (0xFB00, 0xFFEF), (0x1F300, 0x1FAFF),
]  # fmt: skip


def glued_pieces(rng: random.Random, pieces: list[bytes]) -> bytes:
    """Pieces of the vocabulary side by side, ▁ sometimes written as a space."""
    parts = rng.choices(pieces, k=rng.randint(1, 12))
    spaced = rng.random() < 0.7
    return b"".join(p.replace("\u2581".encode(), b" ") if spaced else p for p in parts)


def unicode(rng: random.Random, pieces: list[bytes]) -> bytes:
    """Characters of a few blocks of Unicode."""
    blocks = rng.choices(_BLOCKS, k=rng.randint(1, 3))
    n = rng.randint(1, 40)
    return "".join(chr(rng.randint(*rng.choice(blocks))) for _ in range(n)).encode()


def spaces(rng: random.Random, pieces: list[bytes]) -> bytes:
    """Runs of white space between, before and after words."""
    parts = [rng.choice(_SPACES) * rng.choice([1, 1, 2, 3, rng.randint(1, 40)]) for _ in range(4)]
    words = rng.choices(["a", "Hello", "world", "1", ".", "\u00e9", ""], k=4)
    return "".join(x for pair in zip(parts, words) for x in rng.sample(pair, 2)).encode()


def repetition(rng: random.Random, pieces: list[bytes]) -> bytes:
    """One short thing many times: ties."""
    unit = rng.choice([rng.choice(pieces), rng.choice("axlh=-.0 \u2581").encode()])
    return unit * rng.randint(2, 40) + rng.choice(pieces)[: rng.randint(0, 3)]


def special_text(rng: random.Random, pieces: list[bytes]) -> bytes:
    """The spelling of special pieces, inside other text."""
    parts = rng.choices([*_SPECIAL, "hi", " ", "\n", "a b", "<", ">", "|"], k=rng.randint(1, 8))
    return "".join(parts).encode()


def invalid_utf8(rng: random.Random, pieces: list[bytes]) -> bytes:
    """Random bytes, and good text with some of its bytes changed, lost or doubled."""
    if rng.random() < 0.3:
        return rng.randbytes(rng.randint(1, 30))
    data = bytearray(glued_pieces(rng, pieces) + unicode(rng, pieces))
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data))
        data[at : at + 1] = rng.choice([b"", rng.randbytes(1), bytes(data[at : at + 1]) * 2])
        if not data:
            break
    return bytes(data)


MAKERS: list[Maker] = [glued_pieces, unicode, spaces, repetition, special_text, invalid_utf8]


def texts(
    rng: random.Random, pieces: list[bytes], count: int, lines: list[bytes]
) -> Iterator[bytes]:
    """`count` made strings, one in four of them two kinds joined, then the given lines."""
    for _ in range(count):
        text = rng.choice(MAKERS)(rng, pieces)
        if rng.random() < 0.25:
            text += rng.choice(MAKERS)(rng, pieces)
        yield text
    yield from lines


def random_ids(rng: random.Random, everything: Sequence[int], special: Sequence[int]) -> list[int]:
    """Ids that no encoder would give: bytes that make no character, special pieces anywhere."""
    return [rng.choice(rng.choice([special, everything])) for _ in range(rng.randint(1, 9))]


def differs(tok: Tokenizer, oracle: Oracle, text: bytes, parse_special: bool) -> bool:
    """Whether spm and the oracle disagree on the ids of `text` or on the text of those ids."""
    expected = oracle.encode(text, parse_special)
    actual = tok.encode(text, add_special=False, parse_special=parse_special)
    return expected != actual or oracle.decode(expected) != tok.decode_bytes(expected)


def smallest(text: bytes, wrong: Callable[[bytes], bool]) -> bytes:
    """Drop ever smaller stretches of `text` as long as it stays wrong."""
    size = len(text) // 2
    while size:
        for at in range(0, len(text), size):
            shorter = text[:at] + text[at + size :]
            if shorter and wrong(shorter):
                text = shorter
                break
        else:
            size //= 2
        size = min(size, len(text))
    return text


def check(path: Path, count: int, seed: int, lines: list[bytes]) -> int:
    """Compare on one vocabulary; print one line for it and one for each difference. Return their
    number."""
    started = time.monotonic()
    rng = random.Random(f"{seed} {path.name}")
    is_gguf = path.suffix == ".gguf"
    tok = Tokenizer.from_gguf(path) if is_gguf else Tokenizer.from_sentencepiece(path)
    oracle: Oracle = LlamaCppOracle(path) if is_gguf else SentencePieceOracle(path)
    pieces, everything = list(tok.vocab.pieces), range(len(tok.vocab))
    special = [i for i, kind in enumerate(tok.vocab.types) if kind != TokenType.NORMAL]
    tried = found = 0
    for text in texts(rng, pieces, count, lines):
        for parse_special in (False, True) if is_gguf else (False,):
            tried += 1
            if differs(tok, oracle, text, parse_special):
                found += 1
                if found <= 10:
                    wrong = smallest(text, lambda t: differs(tok, oracle, t, parse_special))  # noqa: B023
                    print(f"  {wrong!r} parse_special={parse_special}", flush=True)
        ids = random_ids(rng, everything, special or everything)
        if oracle.decode(ids) != tok.decode_bytes(ids):
            found += 1
            print(f"  decode {ids}: {oracle.decode(ids)!r} != {tok.decode_bytes(ids)!r}")
    seconds = time.monotonic() - started
    print(
        f"{path.name}: {found} differences, {tried} encodings, {oracle.name}, {seconds:.0f} s",
        flush=True,
    )
    return found


def main() -> int:
    """Parse the command line, compare, tell."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("vocabularies", nargs="+", type=Path)
    parser.add_argument(
        "--count", type=int, default=20_000, help="made strings for each vocabulary"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--text", type=Path, action="append", default=[], help="a file of real text"
    )
    parser.add_argument(
        "--lines", type=int, default=300, help="how many lines of each --text, at random"
    )
    args = parser.parse_args()
    lines: list[bytes] = []
    for path in args.text:
        whole = path.read_bytes().splitlines(keepends=True)
        lines += random.Random(args.seed).sample(whole, min(args.lines, len(whole)))
    print(f"seed {args.seed}, {args.count} strings, {len(lines)} lines of text")
    found = [check(path, args.count, args.seed, lines) for path in args.vocabularies]
    return int(any(found))


if __name__ == "__main__":
    sys.exit(main())
