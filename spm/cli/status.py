"""What a person at a terminal sees beside the output: what is going on."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from types import TracebackType


@dataclass
class Status:
    """A line on standard error that replaces itself, or nothing where it is not `shown`.

    As a context it leaves no half-told line in front of an error.
    """

    shown: bool
    _line: str = ""

    def __enter__(self) -> Status:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.clear()

    def say(self, what: str) -> None:
        """Show `what` until there is something better."""
        if self.shown:
            line = f"[{what}]"
            print(f"\r{line:<{len(self._line)}}", end="", file=sys.stderr, flush=True)
            self._line = line

    def clear(self) -> None:
        """Make room for the output."""
        if self._line:
            print(f"\r{' ' * len(self._line)}\r", end="", file=sys.stderr, flush=True)
            self._line = ""

    def note(self, what: str) -> None:
        """Show `what` and leave it there."""
        self.say(what)
        if self.shown:
            print(file=sys.stderr)
            self._line = ""

    def loading(self, read: int, total: int) -> None:
        """How far a model has been read, in bytes."""
        self.say(f"loading: {read / 1e6:,.1f} of {total / 1e6:,.1f} MB")
