"""Run a Python target under atheris: `python -m tools.fuzz.watched gguf -max_total_time=9`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import FunctionType
from typing import Final

import atheris

from tools.fuzz import paths, readers

TARGETS: Final = {"gguf": readers.gguf, "model": readers.model, "paths": paths.agree}


def main(name: str, options: list[str]) -> None:
    """Fuzz until libFuzzer ends the process."""
    for function in functions_of_spm():
        atheris.instrument_func(function)
    # To minimise, libFuzzer starts itself again, through a shell.
    itself = f"{sys.executable} -m tools.fuzz.watched {name}"
    atheris.Setup([itself, *options], TARGETS[name])
    atheris.Fuzz()


def functions_of_spm() -> Iterator[FunctionType]:
    """Every function and method, imported already: a package that was installed to be edited has a
    loader of its own, and atheris sees nothing of what that imports.
    """
    modules = [m for name, m in sys.modules.items() if f"{name}.".startswith("spm.")]
    for module in modules:
        own = [found for found in vars(module).values() if _is_of(found, module.__name__)]
        members = [member for found in own for member in _members(found)]
        yield from (found for found in members if isinstance(found, FunctionType))


def _is_of(found: object, module: str) -> bool:
    return getattr(found, "__module__", None) == module


def _members(found: object) -> Iterator[object]:
    """A function itself; the methods of a class, out of what they are wrapped in."""
    if not isinstance(found, type):
        yield found
        return
    for member in vars(found).values():
        wrapped = (getattr(member, name, None) for name in ("__func__", "fget", "func"))
        yield next(filter(None, wrapped), member)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
