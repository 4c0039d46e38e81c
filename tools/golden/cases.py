"""The golden folder as data: inputs, golden files and their headers, read and written in one place.

Every file is JSON Lines in ASCII: white space is visible, a line is a case, a diff can be reviewed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2] / "golden"

Record = dict[str, Any]  # one line of a golden file

# Crafted vocabularies know a handful of letters: text in other scripts would only test their bytes.
CRAFTED_THEMES = (
    "invalid_utf8",
    "letters",
    "longest",
    "prefix",
    "special",
    "ties",
    "user_defined",
)
SPACE_VOCABS = ("inner_space", "llama_hf_prefix", "runs", "ties")  # … and these know white space


@dataclass(frozen=True)
class Case:
    """One input, and why it is there; the text is kept as the bytes that are given to an oracle."""

    id: str
    data: bytes
    why: str

    @property
    def theme(self) -> str:
        """The file that the case stands in."""
        return self.id.partition("/")[0]

    @property
    def text(self) -> str | bytes:
        """The text as a str where it is UTF-8, else its bytes."""
        return _text(self.data)


@dataclass(frozen=True)
class Golden:
    """One golden file: the header, and the records behind it."""

    header: Record
    records: list[Record]


def _text(data: bytes) -> str | bytes:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data


def dump_text(data: bytes) -> Record:
    """Bytes as a JSON object: {"text": …} where they are UTF-8, else {"bytes_hex": …}."""
    text = _text(data)
    return {"text": text} if isinstance(text, str) else {"bytes_hex": data.hex()}


def load_text(record: Mapping[str, Any]) -> bytes:
    """The reverse of `dump_text`."""
    if "bytes_hex" in record:
        return bytes.fromhex(record["bytes_hex"])
    text: str = record["text"]
    return text.encode("utf-8")


@cache
def inputs(themes: tuple[str, ...] | None = None) -> Mapping[str, Case]:
    """All cases by id, or those of some themes, in the order of the files."""
    found = {}
    for path in sorted((ROOT / "inputs").glob("*.jsonl")):
        if themes is not None and path.stem not in themes:
            continue
        for line in path.read_text("ascii").splitlines():
            case = _case(path.stem, line)
            if case.id in found:
                raise SystemExit(f"{path.name}: case {case.id} stands twice, expected once")
            found[case.id] = case
    return found


def _case(theme: str, line: str) -> Case:
    record = json.loads(line)
    if not {"id", "why"} <= record.keys() or not {"text", "bytes_hex"} & record.keys():
        raise SystemExit(f"{theme}.jsonl: {line[:80]}: expected id, why, and text or bytes_hex")
    if not record["id"].startswith(f"{theme}/"):
        raise SystemExit(f"{theme}.jsonl: case {record['id']}, expected an id like {theme}/...")
    return Case(record["id"], load_text(record), record["why"])


def line(record: Record) -> str:
    """A record as its line of a file."""
    return json.dumps(record, ensure_ascii=True, separators=(",", ":")) + "\n"


def render(golden: Golden) -> str:
    """A golden file as text."""
    return "".join(line(record) for record in [golden.header, *golden.records])


def read(path: Path) -> Golden:
    """A golden file from disk."""
    header, *records = map(json.loads, path.read_text("ascii").splitlines())
    return Golden(header, records)


def sha256(path: Path) -> str:
    """The name by which a golden file knows its vocabulary."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
