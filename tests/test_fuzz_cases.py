"""The Python targets of tools.fuzz: their seeds, what was found once, and planted faults."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from spm import Tokenizer
from tools.fuzz import paths, readers
from tools.fuzz.seeds import seeds

# An input that once was a finding, and what it showed.
FOUND = {
    "spans beside a user-defined piece with a space in it": bytes([
        *(18, 0, 4), *(0, 0, 0), *(0, 0, 1), *(0, 0, 4), *(24, 2, 0, 3, 1),  # a b ▁ and "a b"
        *(5, 0, 0, 0, 3, 1, 1, 0),
    ]),
}  # fmt: skip


def damaged(target: str, n: int) -> list[bytes]:
    """Seeds with a few bytes changed, the same every time."""
    rng = random.Random(target)
    out = []
    for _, seed in rng.choices(list(seeds(target)), k=n):
        data = bytearray(seed)
        for _ in range(rng.randint(1, 5)):
            data[rng.randrange(len(data))] = rng.choice(
                [0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)]
            )
        out.append(bytes(data))
    return out


@pytest.mark.parametrize(
    ("target", "run"), [("gguf", readers.gguf), ("model", readers.model), ("paths", paths.agree)]
)
def test_seeds_whole_and_damaged(target: str, run: Callable[[bytes], None]) -> None:
    for data in [data for _, data in seeds(target)][::6] + damaged(target, 20):
        run(data)


@pytest.mark.parametrize("data", FOUND.values(), ids=list(FOUND))
def test_what_was_found_once(data: bytes) -> None:
    paths.agree(data)


def test_an_error_of_another_kind_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers.GGUF, "open", lambda path: {}["missing"])

    with pytest.raises(KeyError):
        readers.gguf(b"")


def test_ids_that_differ_are_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tokenizer, "encode", lambda *args, **options: [0])

    with pytest.raises(AssertionError):
        paths.agree(dict(seeds("paths"))["ties"])
