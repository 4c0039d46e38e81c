"""Where the two oracles part ways on one vocabulary and one text, and for which reason.

The reasons are those of golden/README.md. `explain_*` looks at the answers, the types of the pieces
and sentencepiece's own normaliser, and names the first reason of the table that applies; an answer
pair that no reason explains stops the tool: a person has to look.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.golden import crafted, vocabs, wire
from tools.golden.cases import ROOT, Record, inputs, load_text, read

SPACE = "▁"


class UnexplainedError(Exception):
    """The oracles differ, and no reason of the table applies."""


@dataclass(frozen=True)
class Facts:
    """What must be known of a .model to tell why the oracles differ on it."""

    types: list[int]
    pieces: list[str]
    suffix: bool
    escape: bool
    dummy_prefix: bool
    signed_zeros: bool
    denormalizer: bool
    library: Any


def facts(model: Path) -> Facts:
    """From the .model, partly through the library."""
    import sentencepiece

    proto = model.read_bytes()
    normalizer = wire.submessage(proto, 3)
    library = sentencepiece.SentencePieceProcessor(model_file=str(model))
    size = range(library.vocab_size())
    zeros = {str(library.GetScore(i)) for i in size} >= {"0.0", "-0.0"}
    return Facts(
        types=vocabs.piece_types(model),
        pieces=[library.IdToPiece(i) for i in size],
        suffix=bool(wire.submessage(proto, 2).get(24, False)),
        escape=bool(normalizer.get(5, True)),
        dummy_prefix=bool(normalizer.get(3, True)),
        signed_zeros=zeros,
        denormalizer=bool(wire.submessage(proto, 5).get(2)),
        library=library,
    )


def explain_encode(vocab: Facts, data: bytes, theirs: list[int], llama: Record) -> str:
    """The reason, D1 to D10, for which the ids of a text differ: the first that applies."""

    def of(kinds: tuple[int, ...], ids: list[int]) -> list[int]:
        return [i for i in ids if vocab.types[i] in kinds]

    text = data.decode("utf-8", "replace")
    if text.encode() != data:
        return "D1"
    if "error" in llama:
        return "D2"
    ours: list[int] = llama["ids"]
    if not vocab.escape:
        return "D3"
    if vocab.suffix:
        return "D4"
    if vocab.library.normalize(text) != _escaped(vocab, text):
        return "D5"
    user = (crafted.USER_DEFINED,)
    if of(user, theirs) != of(user, ours):
        return "D6"
    if of(user, theirs):
        return "D7"
    if crafted.UNUSED in vocab.types:
        return "D8"
    reserved = (crafted.CONTROL, crafted.UNKNOWN, crafted.BYTE)
    if Counter(of(reserved, theirs)) != Counter(of(reserved, ours)):
        return "D9"
    if vocab.signed_zeros:
        return "D10"
    raise UnexplainedError(f"{text!r}: sentencepiece {theirs}, llama.cpp {ours}")


def _escaped(vocab: Facts, text: str) -> str:
    """The text as an identity normaliser would leave it."""
    if not text:
        return ""
    return SPACE * vocab.dummy_prefix + text.replace(" ", SPACE)


def explain_decode(vocab: Facts, ids: list[int], theirs: bytes, ours: bytes) -> str:
    """The reason, D11 to D16, for which the same ids decode to two texts."""
    kinds = {vocab.types[i] for i in ids}
    if crafted.UNKNOWN in kinds:
        return "D11"
    if crafted.UNUSED in kinds:
        return "D12"
    if any(vocab.types[i] == crafted.USER_DEFINED and SPACE in vocab.pieces[i] for i in ids):
        return "D13"
    if "\ufffd" in theirs.decode("utf-8"):
        return "D14"
    if theirs.lstrip(b" ") == ours.lstrip(b" "):
        return "D15"
    if vocab.denormalizer:
        return "D16"
    raise UnexplainedError(f"{ids}: sentencepiece {theirs!r}, llama.cpp {ours!r}")


def differing_cases(name: str, folder: str) -> Iterator[tuple[str, list[int], Record]]:
    """The cases whose ids differ: case id, sentencepiece's ids, llama.cpp's record."""
    theirs, ours = (
        {r["id"]: r for r in read(ROOT / folder / oracle / f"{name}.jsonl").records}
        for oracle in ("sentencepiece", "llama.cpp")
    )
    for case, record in theirs.items():
        if record["ids"] != ours[case].get("ids"):
            yield case, record["ids"], ours[case]


def differing_lists(name: str) -> Iterator[tuple[list[int], bytes, bytes]]:
    """The lists of ids whose texts differ: ids, sentencepiece's text, llama.cpp's."""
    theirs, ours = (
        [r for r in read(ROOT / "decode" / oracle / f"{name}.jsonl").records if "ids" in r]
        for oracle in ("sentencepiece", "llama.cpp")
    )
    for a, b in zip(theirs, ours, strict=True):
        if load_text(a) != load_text(b):
            yield a["ids"], load_text(a), load_text(b)


def differing(name: str, folder: str) -> set[str]:
    """Everything the two oracles differ on for a vocabulary: case ids, and lists of ids as text."""
    cases = {case for case, _, _ in differing_cases(name, folder)}
    if folder == "ids":
        cases |= {str(ids) for ids, _, _ in differing_lists(name)}
    return cases


def shared_names(folder: str) -> list[str]:
    """The vocabularies that both oracles have answered for."""
    first, second = (
        {path.stem for path in (ROOT / folder / oracle).glob("*.jsonl")}
        for oracle in ("sentencepiece", "llama.cpp")
    )
    return sorted(first & second)


def own() -> Iterator[Record]:
    """The divergences on our own vocabularies: a line for each way, vocabulary and reason."""
    cases = inputs()
    for name in shared_names("ids"):
        vocab = facts(ROOT / "vocabs" / f"{name}.model")
        found: dict[str, list[Any]] = {}
        for case, theirs, llama in differing_cases(name, "ids"):
            reason = explain_encode(vocab, cases[case].data, theirs, llama)
            found.setdefault(reason, []).append(case)
        for ids, text, shown in differing_lists(name):
            found.setdefault(explain_decode(vocab, ids, text, shown), []).append(ids)
        for reason, what in found.items():
            yield {"vocab": name, "reason": reason, "cases": what}


def real(model: Path) -> Iterator[Record]:
    """The divergences on a real vocabulary, which golden/ knows by name only."""
    cases, vocab = inputs(), facts(model)
    found: dict[str, list[str]] = {}
    for case, theirs, llama in differing_cases(model.stem, "real"):
        reason = explain_encode(vocab, cases[case].data, theirs, llama)
        found.setdefault(reason, []).append(case)
    for reason, what in found.items():
        yield {"vocab": f"real/{model.stem}", "reason": reason, "cases": what}
