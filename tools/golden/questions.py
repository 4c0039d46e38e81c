"""A golden file unfolded: each thing that was asked, how, and the answer that is expected."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.golden import divergences
from tools.golden.cases import ROOT, Golden, Record, dump_text, inputs, load_text, read

# key of a record -> the keyword arguments of spm.Tokenizer.encode and .decode_bytes
ENCODE = {
    "ids": {"add_special": False, "parse_special": False},
    "parsed": {"add_special": False, "parse_special": True},
    "special": {"add_special": True, "parse_special": True},
}
DECODE = {"text": {"skip_special": True}, "unparsed": {"skip_special": False}}


@dataclass(frozen=True)
class Question:
    """`given` is a text to encode or ids to decode; None is expected where encoding must fail."""

    label: str
    given: Any
    options: dict[str, bool]
    expected: Any


def encodings(golden: Golden) -> Iterator[Question]:
    """The questions of a file of ids."""
    cases, is_llama = inputs(), golden.header["oracle"] == "llama.cpp"
    for record in golden.records:
        case, plain = cases[record["id"]], record.get("ids")
        ways = {"ids": plain}
        if is_llama and plain is not None:
            ways["parsed"] = record.get("parsed", plain)
            ways |= {"special": record["special"]} if "special" in record else {}
        for way, expected in ways.items():
            yield Question(f"{case.id} ({way})", case.text, ENCODE[way], expected)


def decodings(golden: Golden, ids: Golden) -> Iterator[Question]:
    """The questions of a file of texts; `ids` is the file of the same oracle and vocabulary."""
    cases, is_llama = inputs(), golden.header["oracle"] == "llama.cpp"
    listed = {record["id"]: record for record in golden.records if "id" in record}
    asked: list[tuple[str, Record, list[int]]] = [
        ("ids", record, record["ids"]) for record in golden.records if "ids" in record
    ]
    for record in ids.records:
        if "ids" in record:
            name = record["id"]
            asked.append((name, listed.get(name, dump_text(cases[name].data)), record["ids"]))
    for name, record, given in asked:
        yield Question(f"{name} (text)", given, DECODE["text"], load_text(record))
        if is_llama:
            shown = load_text(record.get("unparsed", record))
            yield Question(f"{name} (unparsed)", given, DECODE["unparsed"], shown)


def divergences_found(folder: str) -> set[tuple[str, str]]:
    """(vocabulary, case or ids) of everything that the oracles' files in `folder` differ on."""
    prefix = "real/" if folder == "real" else ""
    return {
        (prefix + name, case)
        for name in divergences.shared_names(folder)
        for case in divergences.differing(name, folder)
    }


def divergences_listed(folder: str) -> list[tuple[str, str]]:
    """The same from golden/divergences.jsonl."""
    return [
        (record["vocab"], str(case))
        for record in read(ROOT / "divergences.jsonl").records
        for case in record["cases"]
        if record["vocab"].startswith("real/") == (folder == "real")
    ]


def golden_files(folder: str) -> list[Path]:
    """The golden files of ids, decode or real."""
    return sorted((ROOT / folder).glob("*/*.jsonl"))
