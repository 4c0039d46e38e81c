"""Hold spm against the references on strings that nobody wrote down.

    python -m tools.differential --count 20000 --seed 7 llama-2.gguf mistral.model ...

A `.gguf` is held against llama.cpp, a `.model` against sentencepiece, a `.json` against Hugging
Face tokenizers, which takes Unicode text alone; --text adds lines of real
text, --isa says for which instruction sets the core is tried (the best one). All that a Tokenizer
does with a text must agree to the last id and byte: `encode`, `encode_batch`, `count`,
`encode_offsets`, `truncate`, a stream of parts, and decoding of what was encoded. Where ids stand
sentencepiece tells; for llama.cpp, which does not, the pure Python path does. Differences are
printed, cut down to the smallest piece of the string that still differs, and make the exit code 1.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from itertools import chain, islice, pairwise
from pathlib import Path
from typing import NamedTuple
from unittest import mock
from zlib import crc32

from spm import EncodeError, Tokenizer, TokenType
from spm.text.dialect import encode as specification
from spm.vocab import Family
from tools.oracles import HuggingFaceOracle, LlamaCppOracle, Oracle, SentencePieceOracle

CHUNK = 1000  # strings that are compared at once

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


_OF_A_KIND = [  # characters that patterns tell apart
    "0123456789",
    "٠١२५６９Ⅷ½²",
    "abcdefghijklmnopqrstuvwxyz",
    "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "éßñÉÑǅʰªµяЯσΣ",
    "漢字日本語々〇豈𠀀\ufa6e\U0002a6df",
    "ひらカナﾊ한글ㄱㅎㄅ\u1100\u1161",
    "กขน้ำ\u0e31कि\u093fবাং\u0301\u0308\u20dd",
    " \t\n\r\v\f\u0085\u00a0\u2009\u2028\u3000",
    "\n\r",
    "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~",
    "、。「」！？：；，…“”‘’—～€£→∑´«»।،",
    "😀👍\u200d\ufe0f🇩🇪",
    "\u0378\ue000\U000e0080\U0010ffff\x00\x1c\x7f\x80\u00ad\u200b\ufeff",
]
_WHOLE = ["'s", "'S", "'t", "'RE", "'ve", "'Ll", "'x", "IMGIMGABZ", "<sentinel:12>", "//", "\r\n"]


def words_and_numbers(rng: random.Random, pieces: list[bytes]) -> bytes:
    """Runs of characters of a kind, as the patterns of pre-tokenizers tell them apart."""
    parts = []
    for kind in rng.choices(rng.sample(_OF_A_KIND, 4), k=rng.randint(1, 9)):
        parts.append("".join(rng.choices(kind, k=rng.choice([1, 1, 2, 3, 4, rng.randint(1, 13)]))))
        parts.append(rng.choice(["", "", " ", rng.choice(_WHOLE)]))
    return "".join(parts).encode()


MAKERS: list[Maker] = [
    glued_pieces,
    unicode,
    spaces,
    repetition,
    special_text,
    invalid_utf8,
    words_and_numbers,
]


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


# ---- the ways to ids and back


class Case(NamedTuple):
    """A text and what is expected of it: ids, where they stand in bytes, the text of the ids."""

    text: bytes
    parse_special: bool
    ids: list[int]
    spans: list[list[int]]
    decoded: bytes


def case_of(tok: Tokenizer, oracle: Oracle, text: bytes, parse_special: bool) -> Case | None:
    """Ask the oracle; not about what spm refuses, since llama.cpp ends the process then."""
    try:
        tokens = list(specification(tok._dialect, text, parse_special))
    except EncodeError:
        return None
    ids, spans = oracle.locate(text, parse_special)
    if spans is None:
        spans = [[token.begin, token.end] for token in tokens]
    return Case(text, parse_special, ids, spans, oracle.decode(ids))


def _encode(tok: Tokenizer, case: Case) -> bool:
    return case.ids == tok.encode(case.text, add_special=False, parse_special=case.parse_special)


def _encode_batch(tok: Tokenizer, case: Case) -> bool:
    return not _batch_differs(tok, [case, case])


def _count(tok: Tokenizer, case: Case) -> bool:
    n = tok.count(case.text, add_special=False, parse_special=case.parse_special)
    return len(case.ids) == n


def _encode_offsets(tok: Tokenizer, case: Case) -> bool:
    ids, spans = tok.encode_offsets(
        case.text, unit="byte", add_special=False, parse_special=case.parse_special
    )
    return case.ids == ids and case.spans == spans.tolist()


def _truncate(tok: Tokenizer, case: Case) -> bool:
    """The text of the ids that fit, and those ids again where nothing depends on the rest."""
    text, parse_special, ids, spans, _ = case
    room = crc32(text) % (len(ids) + 2)
    cut = tok.truncate(text, room, add_special=False, parse_special=parse_special)
    if room >= len(ids):
        return cut == text
    found = tok.encode(cut, add_special=False, parse_special=parse_special)
    if not text.startswith(cut) or len(found) > room:
        return False
    return _depends_on_the_rest(tok) or (
        found == ids[: len(found)] and len(cut) == (spans[room - 1][1] if room else 0)
    )


@cache
def _depends_on_the_rest(tok: Tokenizer) -> bool:
    """Whether a beginning may have other ids, or other places, than it has in the whole text."""
    if tok.dialect == "huggingface":
        return True
    rules, vocab = tok.vocab.normalization, tok.vocab
    if tok.dialect == "llama.cpp" and vocab.family != Family.UNIGRAM:
        return vocab.family in (Family.PLAMO2, Family.BPE)
    whole = b"".join(vocab.pieces[i] for i in vocab.ids_of_type(TokenType.USER_DEFINED))
    found_twice = any(char.encode() in whole for char in " \u2581\ufffd")
    merging = tok._dialect.score_merging
    unused = merging is not None and bool(merging.unused)
    return unused or found_twice or not (rules and rules.only_spaces_change)


def _stream_encoder(tok: Tokenizer, case: Case) -> bool:
    """Parts that are cut anywhere, where the text is one."""
    try:
        text = case.text.decode()
    except UnicodeDecodeError:
        return True
    chance, n = crc32(case.text), len(text) + 1
    places = [0, *sorted((chance % n, (chance >> 8) % n, (chance >> 16) % n)), n]
    encoder = tok.stream_encoder(add_special=False, parse_special=case.parse_special)
    parts = [encoder.push(text[begin:end]) for begin, end in pairwise(places)]
    return case.ids == [*chain(*parts), *encoder.flush()]


def _decode(tok: Tokenizer, case: Case) -> bool:
    return case.decoded == _decoded(tok, case.ids)


def _decoded(tok: Tokenizer, ids: list[int]) -> bytes:
    """As bytes, where the oracle gives bytes; tokenizers gives text."""
    return tok.decode(ids).encode() if tok.dialect == "huggingface" else tok.decode_bytes(ids)


WAYS: dict[str, Callable[[Tokenizer, Case], bool]] = {
    "encode": _encode,
    "encode_batch": _encode_batch,
    "count": _count,
    "encode_offsets": _encode_offsets,
    "truncate": _truncate,
    "stream_encoder": _stream_encoder,
    "decode": _decode,
}


def _batch_differs(tok: Tokenizer, cases: Sequence[Case]) -> list[Case]:
    """Those of which a batch gives other ids."""
    batch = tok.encode_batch(
        [case.text for case in cases],
        threads=2,
        add_special=False,
        parse_special=cases[0].parse_special,
    )
    if batch.ids.tolist() == [*chain.from_iterable(case.ids for case in cases)]:
        ends = batch.offsets.tolist()
        if all(len(case.ids) == b - a for case, (a, b) in zip(cases, pairwise(ends))):
            return []
    return [case for case, ids in zip(cases, batch.to_lists()) if case.ids != ids]


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


class Bout:
    """One vocabulary, one instruction set, and the differences found so far."""

    def __init__(self, path: Path, isa: str | None, oracle: Oracle) -> None:
        self.name = f"{path.name} {isa}" if isa else path.name
        self.oracle = oracle
        with mock.patch.dict(os.environ, {"SPM_ISA": isa} if isa else {}):
            self.tok = tokenizer(path)
        self.found = 0

    def compare(self, cases: Sequence[Case]) -> None:
        """Every way on every case; batches as they come."""
        for case in _batch_differs(self.tok, cases):
            self.tell("encode_batch", case)
        for name, agrees in WAYS.items():
            if name == "encode_batch":
                continue
            for case in cases:
                if not agrees(self.tok, case):
                    self.tell(name, case)

    def tell(self, name: str, case: Case) -> None:
        """Count a difference, and print the first ones, as small as they get."""
        self.found += 1
        if self.found > 10:
            return

        def wrong(text: bytes) -> bool:
            smaller = case_of(self.tok, self.oracle, text, case.parse_special)
            return smaller is not None and not WAYS[name](self.tok, smaller)

        text = smallest(case.text, wrong)
        print(f"  {self.name}: {name} {text!r} parse_special={case.parse_special}", flush=True)

    def compare_decoding(self, ids: list[int], expected: bytes) -> None:
        """Ids that no encoder would give."""
        found = _decoded(self.tok, ids)
        if expected != found:
            self.found += 1
            print(f"  {self.name}: decode {ids}: {expected!r} != {found!r}", flush=True)


def tokenizer(path: Path) -> Tokenizer:
    """By the name of the file."""
    if path.suffix == ".json":
        return Tokenizer.from_hf(path)
    return (Tokenizer.from_gguf if path.suffix == ".gguf" else Tokenizer.from_sentencepiece)(path)


def oracle_of(path: Path) -> Oracle:
    """By the name of the file."""
    if path.suffix == ".json":
        return HuggingFaceOracle(path)
    return (LlamaCppOracle if path.suffix == ".gguf" else SentencePieceOracle)(path)


def chunks(items: Iterable[bytes], size: int) -> Iterator[list[bytes]]:
    """Lists of `size` items, the last of them shorter."""
    items = iter(items)
    while chunk := list(islice(items, size)):
        yield chunk


def check(
    path: Path, count: int, seed: int, lines: list[bytes], isas: Sequence[str | None] = (None,)
) -> int:
    """Compare on one vocabulary; print a line for each instruction set and each difference. Return
    their number."""
    started = time.monotonic()
    rng = random.Random(f"{seed} {path.name}")
    oracle = oracle_of(path)
    bouts = [Bout(path, isa, oracle) for isa in isas]
    tok, tried, refused = bouts[0].tok, 0, 0
    everything = range(len(tok.vocab))
    special = [i for i, kind in enumerate(tok.vocab.types) if kind != TokenType.NORMAL]
    for chunk in chunks(texts(rng, list(tok.vocab.pieces), count, lines), CHUNK):
        if tok.dialect == "huggingface":
            chunk = [text.decode("utf-8", "replace").encode() for text in chunk]
        for parse_special in (False,) if tok.dialect == "sentencepiece" else (False, True):
            tried += len(chunk)
            asked = [case_of(tok, oracle, text, parse_special) for text in chunk]
            cases = [case for case in asked if case is not None]
            refused += len(asked) - len(cases)
            for bout in bouts:
                bout.compare(cases)
        for _ in chunk:
            ids = random_ids(rng, everything, special or everything)
            expected = oracle.decode(ids)
            for bout in bouts:
                bout.compare_decoding(ids, expected)
    seconds = time.monotonic() - started
    for bout in bouts:
        print(
            f"{bout.name}: {bout.found} differences, {tried} encodings, {refused} of them refused,"
            f" {oracle.name}, {seconds:.0f} s",
            flush=True,
        )
    return sum(bout.found for bout in bouts)


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
    parser.add_argument(
        "--isa", nargs="+", default=[None], help="instruction sets, e.g. avx512 avx2 portable"
    )
    args = parser.parse_args()
    lines: list[bytes] = []
    for path in args.text:
        whole = path.read_bytes().splitlines(keepends=True)
        lines += random.Random(args.seed).sample(whole, min(args.lines, len(whole)))
    print(f"seed {args.seed}, {args.count} strings, {len(lines)} lines of text")
    found = [check(path, args.count, args.seed, lines, args.isa) for path in args.vocabularies]
    return int(any(found))


if __name__ == "__main__":
    sys.exit(main())
