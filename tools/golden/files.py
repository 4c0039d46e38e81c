"""Which golden files there are, and how each is made: path -> contents, oracle by oracle."""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from tools.golden import crafted, divergences, vocabs, wire
from tools.golden.cases import (
    CRAFTED_THEMES,
    ROOT,
    SPACE_VOCABS,
    Case,
    Golden,
    Record,
    dump_text,
    inputs,
    line,
    read,
    render,
    sha256,
)
from tools.golden.oracles import LlamaCpp, Oracle

SHARED = Path(os.environ.get("SPM_SHARED", ROOT.parents[1] / "shared")) / "data"

Item = TypeVar("Item")

SUFFIX = {"sentencepiece": ".model", "llama.cpp": ".gguf"}

# Real GGUF files, and real .model files worth converting for llama.cpp.
REAL_GGUF = (
    "ggml-vocab-llama-spm",
    "ggml-vocab-baichuan",
    "stories260K",
    "llama-2-tiny-random",
    "ggml-vocab-nomic-bert-moe",  # Unigram
)
REAL_CONVERTED = (
    "baichuan2",
    "brandon_tiny",
    "grok1_131072",
    "internlm2",
    "llama2_32000",
    "mistral_v1",
    "mistral_v3_240323",
    "open_llama",
    "tok512",
    "yi",
)


@dataclass(frozen=True)
class Plan:
    """One golden file to be: where it goes, and who makes it when asked."""

    path: Path
    make: Callable[[], bytes]


def _rendered(make: Callable[[Oracle, Path], Golden], oracle: Oracle, vocab: Path) -> bytes:
    return render(make(oracle, vocab)).encode("ascii")


def _header(kind: str, oracle: Oracle, vocab: Path, **more: object) -> Record:
    return {
        "format": 1,
        "kind": kind,
        "oracle": oracle.name,
        "version": oracle.version,
        "vocab": vocab.name,
        "sha256": sha256(vocab),
        "options": oracle.options,
        "command": "python -m tools.golden",
        **more,
    }


def vocabularies() -> Iterator[Plan]:
    """The files of golden/vocabs, made again from their recipes."""
    with tempfile.TemporaryDirectory() as folder:
        for made in vocabs.make_all(Path(folder)):
            yield Plan(ROOT / "vocabs" / made.name, made.read_bytes)


# -- our own vocabularies -------------------------------------------------------------------------


def own_vocabs(oracle: Oracle) -> list[Path]:
    """The vocabularies of golden/vocabs that an oracle reads."""
    return sorted((ROOT / "vocabs").glob("*" + SUFFIX[oracle.name]))


def cases_for(vocab: Path) -> list[Case]:
    """Every case for a trained vocabulary; for a crafted one the themes that can say something."""
    if vocab.stem in vocabs.TRAINED:
        return list(inputs().values())
    spaces = ("whitespace",) if vocab.stem in SPACE_VOCABS else ()
    return list(inputs(CRAFTED_THEMES + spaces).values())


def ids(oracle: Oracle, vocab: Path) -> Golden:
    """What the oracle encodes each case to."""
    return Golden(_header("ids", oracle, vocab), oracle.encode(vocab, cases_for(vocab)))


def decode(oracle: Oracle, vocab: Path) -> Golden:
    """What the oracle decodes ids to: every single id, lists made to hurt, its own encodings.

    An encoding that decodes to its own text is not written down: see the header.
    """
    records = oracle.encode(vocab, cases_for(vocab))
    encoded = {r["id"]: r["ids"] for r in records if "ids" in r}
    singles = ([i] for i in range(len(vocabs.piece_types(vocab))))
    lists = list({tuple(ids): ids for ids in [*singles, *id_lists(vocab)]}.values())
    texts = oracle.decode(vocab, [*lists, *encoded.values()])
    written = [{"ids": ids, **text} for ids, text in zip(lists, texts, strict=False)]
    cases = inputs()
    for name, text in zip(encoded, texts[len(lists) :], strict=True):
        if text != dump_text(cases[name].data):
            written.append({"id": name, **text})
    note = "the ids of a case that is not listed decode to its own text"
    return Golden(_header("decode", oracle, vocab, note=note), written)


def id_lists(vocab: Path) -> Iterator[list[int]]:
    """Lists of ids that no text encodes to, by a seeded generator: see `_ids_of_kind`."""
    types = vocabs.piece_types(vocab)
    everything = range(len(types))
    odd = [i for i in everything if types[i] not in (crafted.NORMAL, crafted.BYTE)]
    byte = [i for i in everything if types[i] == crafted.BYTE]
    control = [i for i in everything if types[i] == crafted.CONTROL]
    random = _Lcg(len(types))
    yield []
    telling = list({kind: i for i, kind in reversed([*enumerate(types)])}.values()) + spaced(vocab)
    for pair in itertools.product(telling, repeat=2):  # each kind of piece before each other
        yield list(pair)
    for pool in filter(None, [everything, odd, byte]):
        for size in (3, 6, 9, 14):
            yield [random.choice(pool) for _ in range(size)]
    for first in control:  # a control piece first: is the space behind it kept?
        for size in (1, 2, 5):
            yield [first, *(random.choice(everything) for _ in range(size))]
    for _ in range(12):  # special pieces and bytes scattered among the others
        yield [random.choice(random.choice([everything, odd, byte or odd])) for _ in range(8)]


def spaced(vocab: Path) -> list[int]:
    """Some ids whose pieces begin with ▁: their space may or may not survive decoding."""
    pieces = vocabs.piece_texts(vocab)
    return [i for i, piece in enumerate(pieces) if piece.startswith("▁")][:3]


class _Lcg:
    """Knuth's MMIX generator: the same numbers on every machine and Python, for ever."""

    def __init__(self, seed: int) -> None:
        self.state = seed

    def choice(self, pool: Sequence[Item]) -> Item:
        """One element of a sequence."""
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return pool[(self.state >> 33) % len(pool)]


def own(oracle: Oracle) -> Iterator[Plan]:
    """The files of golden/ids and golden/decode."""
    for vocab in own_vocabs(oracle):
        for kind, make in (("ids", ids), ("decode", decode)):
            path = ROOT / kind / oracle.name / f"{vocab.stem}.jsonl"
            yield Plan(path, partial(_rendered, make, oracle, vocab))


def existing(oracle: str) -> Iterator[Path]:
    """The files on disk that `own` and `real` should be making for an oracle."""
    yield from (ROOT / "ids" / oracle).glob("*")
    yield from (ROOT / "decode" / oracle).glob("*")
    if real_models():
        yield from (ROOT / "real" / oracle).glob("*")
    if oracle == "sentencepiece":
        yield from (p for p in (ROOT / "vocabs").glob("*") if p.suffix in SUFFIX.values())


# -- real vocabularies ----------------------------------------------------------------------------


def real_models() -> list[Path]:
    """The .model files of the shared folder that merge by score (model_type BPE)."""
    found = sorted((SHARED / "sentencepiece").glob("*.model"))
    return [path for path in found if wire.submessage(path.read_bytes(), 2).get(3) == 2]


def real(oracle: Oracle) -> Iterator[Plan]:
    """The files of golden/real; none where the shared folder is absent."""
    models = real_models()
    if oracle.name == "sentencepiece":
        vocabularies = models
    else:
        vocabularies = [p for p in models if p.stem in REAL_CONVERTED]
        files = [SHARED / "gguf" / f"{name}.gguf" for name in REAL_GGUF]
        vocabularies += [path for path in files if path.exists()]
    for vocab in vocabularies:
        path = ROOT / "real" / oracle.name / f"{vocab.stem}.jsonl"
        yield Plan(path, partial(_rendered, real_ids, oracle, vocab))


def real_ids(oracle: Oracle, vocab: Path) -> Golden:
    """What the oracle encodes each case to; llama.cpp reads a .model after conversion."""
    cases = list(inputs().values())
    if not (isinstance(oracle, LlamaCpp) and vocab.suffix == ".model"):
        return Golden(_header("ids", oracle, vocab), oracle.encode(vocab, cases))
    with tempfile.TemporaryDirectory() as folder:
        gguf = Path(folder, vocab.stem + ".gguf")
        vocabs.write_gguf(vocabs.converted(vocab), gguf)
        records = oracle.encode(gguf, cases)
    return Golden(_header("ids", oracle, vocab, converted=True), records)


# -- the list of divergences ----------------------------------------------------------------------


def divergence_list() -> Plan:
    """golden/divergences.jsonl; lines about a real vocabulary that is not here stay as they are."""
    path = ROOT / "divergences.jsonl"
    return Plan(path, partial(_divergences, path))


def _divergences(path: Path) -> bytes:
    present = {model.stem: model for model in real_models()}
    kept = read(path).records if path.exists() else []
    records = list(divergences.own())
    for name in divergences.shared_names("real"):
        if name in present:
            records += divergences.real(present[name])
        else:
            records += [r for r in kept if r["vocab"] == f"real/{name}"]
    header = {"format": 1, "kind": "divergences", "command": "python -m tools.golden"}
    return "".join(line(record) for record in [header, *records]).encode("ascii")
