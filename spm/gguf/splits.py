"""Models cut into several files: which belong together, and is each the part it claims to be.

llama.cpp's gguf-split names the parts `<prefix>-00001-of-0000N.gguf` and writes into each: split.no
(from 0), split.count and split.tensors.count (of all parts). The first part holds the metadata.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from spm.errors import GGUFError, one_line
from spm.gguf.types import MetadataValue

PART_NAME: Final = re.compile(
    r"(?P<prefix>.*)-(?P<number>[0-9]{5})-of-(?P<count>[0-9]{5})\.gguf", re.DOTALL
)


def part_paths(path: Path, metadata: Mapping[str, MetadataValue]) -> list[Path]:
    """Every part of the model that `path` belongs to, in order; just `path` for a whole model.

    The metadata decides (llama-model-loader.cpp); a name that contradicts it is an error.
    """
    count = split_number(path, metadata, "split.count", default=1)
    name = PART_NAME.fullmatch(path.name)
    if count <= 1:  # gguf-split writes 0 when it merges
        if name and int(name["count"]) > 1:
            raise GGUFError(
                f"{one_line(path)}: the name says part {int(name['number'])} of "
                f"{int(name['count'])}, but split.count does not: expected the metadata of a part"
            )
        return [path]
    part = split_number(path, metadata, "split.no")
    expected = f"-{part + 1:05d}-of-{count:05d}.gguf"
    if name is None or part >= count or not path.name.endswith(expected):
        raise GGUFError(
            f"{one_line(path)}: split.no is {part} of {count}, expected a name ending in {expected}"
        )
    prefix = name["prefix"]
    return [path.with_name(f"{prefix}-{i + 1:05d}-of-{count:05d}.gguf") for i in range(count)]


def check_part(path: Path, metadata: Mapping[str, MetadataValue], part: int, count: int) -> None:
    """A part found by its name must call itself that part in its metadata."""
    for key, expected in (("split.no", part), ("split.count", count)):
        found = split_number(path, metadata, key)
        if found != expected:
            raise GGUFError(f"{one_line(path)}: {key} is {found}, expected {expected}")


def split_number(
    path: Path, metadata: Mapping[str, MetadataValue], key: str, default: int | None = None
) -> int:
    """One of the split.* keys: an integer that is not negative."""
    value = metadata.get(key, default)
    if type(value) is not int or value < 0:
        found = "absent" if value is None else f"{value!r:.40}"
        raise GGUFError(f"{one_line(path)}: {key} is {found}, expected an integer from 0")
    return value
