"""What a template may cost: it pays for all that it does, before it does it, and then it is over.

One unit is about one step of a template, or `BYTES` characters or list entries that are copied.
Jinja has no endless loop, but loops inside loops, macros that call themselves twice and texts that
double are as good. So every block of statements pays for its own length each time that it runs, and
every operation for the size of what it reads and makes. Nothing here looks at a clock: what is
refused is refused on every machine.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

UNITS: Final = 5_000_000  # a chat of hundreds of messages needs some 100,000
UNITS_PER_CHARACTER: Final = 100  # of the messages: some templates look back at all for each
STEPS_TO_WEIGH: Final = 4  # what is inside of a value, each
AT_ONCE: Final = 8  # characters that one unit copies


class SpentError(Exception):
    """The budget is spent. No ValueError: templates have filters that recover from those."""


class Budget:
    """The units that are left to one rendering."""

    def __init__(self, characters: int = 0) -> None:
        self.left = UNITS + UNITS_PER_CHARACTER * characters

    def pay(self, units: int) -> None:
        """Take units away. Raises SpentError when there are none left, and ever after."""
        self.left -= units
        if self.left < 0:
            raise SpentError

    def pay_for(self, size: int) -> None:
        """Pay for a text or a list that is read or made as a whole."""
        self.pay(1 + size // AT_ONCE)

    def weigh(self, value: object) -> None:
        """Pay for a value that is compared, hashed or written, and for all that is inside.

        A list that holds another twice, that one again, and so on, is small until it is read.
        """
        values = [value]
        while values:
            value = values.pop()
            if isinstance(value, (str, range)):
                self.pay_for(len(value))
            elif isinstance(value, Mapping):
                self.pay(STEPS_TO_WEIGH * (1 + 2 * len(value)))
                values += [*value.keys(), *value.values()]
            elif isinstance(value, Collection):
                self.pay(STEPS_TO_WEIGH * (1 + len(value)))
                values += value
            else:
                self.pay(1)
