"""A JSON file that nobody vouches for: every value is asked for by type, and errors say where.

Duplicate keys, numbers without end and nesting without end are refused; `model.merges[17]` is how a
message names a place. serde_json rounds a number twice (`f64_from_parts`), and so does this reader:
scores have the same bits.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

from spm.errors import VocabError, brief, one_line

MAX_BYTES: Final = 1 << 30


@dataclass(frozen=True)
class At:
    """A value, where it stands, and in which file."""

    value: Any
    path: str
    source: str

    def wrong(self, expected: str) -> NoReturn:
        """Raise VocabError."""
        found = "missing" if self.value is _MISSING else brief(self.value)
        raise VocabError(f"{self.source}: {one_line(self.path)} is {found}, expected {expected}")

    def __contains__(self, name: str) -> bool:
        return self.object().get(name) is not None  # null is as good as nothing

    def __getitem__(self, name: str) -> At:
        path = f"{self.path}.{name}" if self.path else name
        return At(self.object().get(name, _MISSING), path, self.source)

    def object(self) -> dict[str, Any]:
        """The members by name."""
        members = self.value
        if not isinstance(members, dict):
            self.wrong("an object")
        return members

    def items(self) -> Iterator[At]:
        """The items of a list."""
        if not isinstance(self.value, list):
            self.wrong("a list")
        for i, value in enumerate(self.value):
            yield At(value, f"{self.path}[{i}]", self.source)

    def text(self) -> str:
        """A string of Unicode text."""
        text = self.value
        if not isinstance(text, str):
            self.wrong("a string")
        if not _is_text(text):
            self.wrong("a string without half surrogate pairs")
        return text

    def character(self) -> str:
        """A string of one character."""
        text = self.text()
        if len(text) != 1:
            self.wrong("one character")
        return text

    def one_of(self, names: tuple[Any, ...]) -> Any:
        """One of some strings."""
        if self.value not in names:
            self.wrong(" or ".join(map(repr, names)))
        return self.value

    def flag(self, default: bool | None = None) -> bool:
        """A boolean; `default` stands for one that is missing or null."""
        if default is not None and self.value in (None, _MISSING):
            return default
        flag = self.value
        if not isinstance(flag, bool):
            self.wrong("true or false")
        return flag

    def number(self, first: int = 0, last: int = (1 << 31) - 1) -> int:
        """An integer."""
        number = self.value
        if type(number) is not int or not first <= number <= last:
            self.wrong(f"an integer from {first} to {last}")
        return number

    def score(self) -> float:
        """A finite number."""
        if type(self.value) not in (int, float) or abs(self.value) > 1e300:
            self.wrong("a number")
        return float(self.value)


class _Missing:
    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = object.__hash__


_MISSING: Final = _Missing()


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def read_json(path: Path) -> At:
    """The root of a JSON file. Raises VocabError."""
    source = one_line(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise VocabError(f"{source}: more than {MAX_BYTES} bytes, expected a tokenizer.json")
        data = path.read_bytes()
    except OSError as error:
        raise VocabError(f"{source}: {error.strerror}, expected a tokenizer.json") from None
    try:
        value = json.loads(
            data.decode(),
            object_pairs_hook=_members,
            parse_float=as_serde_reads,
            parse_constant=_no_constant,
        )
    except RecursionError:
        raise VocabError(f"{source}: nested without end, expected a tokenizer.json") from None
    except ValueError as error:  # also UnicodeDecodeError and JSONDecodeError
        raise VocabError(f"{source}: {one_line(str(error))}, expected a tokenizer.json") from None
    return At(value, "", source)


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        twice, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise ValueError(f"key {brief(twice)} stands twice")
    return members


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def as_serde_reads(text: str) -> float:
    """A decimal as serde_json reads it: up to 64 bits of digits, then one scaling by a power of 10.

    Both steps round, so the last bit may differ from the nearest float's.
    """
    mantissa, _, exponent = text.lower().partition("e")
    whole, _, fraction = mantissa.lstrip("-").partition(".")
    power = int(exponent or 0)
    digits = 0
    for at, digit in enumerate(whole + fraction):
        if digits * 10 + int(digit) >= 1 << 64:  # the digits that do not fit only count
            power += max(len(whole) - at, 0)
            fraction = fraction[: max(at - len(whole), 0)]
            break
        digits = digits * 10 + int(digit)
    value = _scaled(float(digits), power - len(fraction))
    return -value if text.startswith("-") else value


def _scaled(value: float, power: int) -> float:
    while power < -308 and value:
        value, power = value / 1e308, power + 308
    if power <= 308:
        scale = float(f"1e{abs(power)}")
        value = value / scale if power < 0 else value * scale
    if value and (power > 308 or value == float("inf")):
        raise ValueError("a number is out of range")
    return value
