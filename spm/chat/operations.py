"""The operations of templates: each pays to the budget before it makes anything, and keeps masks.

The compiler writes calls of these where Jinja has Python's own operators (compiler.py), and the
filters are made of them (filters.py). So `{{ 'a' * 1000000 }}` comes to `computed`, where it is
paid for, and `text[1:]` to `cut`, which cuts the mask (text.py) as it cuts the text.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, Final

import jinja2.ext
from jinja2.runtime import Context, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from spm.chat import text as texts
from spm.chat.budget import Budget
from spm.chat.compiler import Compiler, Generation
from spm.chat.text import SafeText, Text, unsafe

MAX_BITS: Final = 4096  # of an integer
STEPS_OF_FILTER: Final = 8  # for each value that `map` and its like call another filter with


class Operations(ImmutableSandboxedEnvironment):
    """Jinja's environment for one rendering, still with all names that Jinja knows (sandbox.py)."""

    code_generator_class = Compiler
    intercepted_binops = frozenset(("+", "-", "*", "/", "//", "%", "**"))

    def __init__(self, budget: Budget) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=[Generation, jinja2.ext.loopcontrols],
            optimized=False,
            finalize=self.written,
        )
        self.budget = budget
        self.literals: dict[str, Text] = {}
        self.slice = slice

    # -- what compiled code calls

    def literal(self, text: str) -> Text:
        """A word of the template's own, made once."""
        if text not in self.literals:
            self.literals[text] = texts.own(text)
        return self.literals[text]

    def concat(self, parts: Iterable[str]) -> Text:
        """What a block, a macro or the template has written."""
        return texts.joined(self.budget, parts)

    def concat_of(self, *values: Any) -> Text:
        """`a ~ b`."""
        return texts.joined(self.budget, map(self.written, values))

    def written(self, value: Any) -> str:
        """A value as `{{ value }}` writes it: as Python's str does, for plain data only."""
        if isinstance(value, str):
            return value
        if not isinstance(value, (int, float, list, tuple, dict, Undefined)) and value is not None:
            raise TypeError(f"a {type(value).__name__} cannot be written")
        self.budget.weigh(value)
        return str(value)

    def weighed(self, value: Any) -> Any:
        """A value that is about to be compared or hashed."""
        self.budget.weigh(value)
        return value

    def cut(self, value: Any, index: slice) -> Any:
        """`value[begin:end:step]`."""
        if isinstance(value, str):
            return texts.cut(self.budget, unsafe(value), index)
        if isinstance(value, (list, tuple)):
            self.budget.pay(1 + len(value[index]))
        return value[index]

    def getitem(self, obj: Any, argument: Any) -> Any:
        """`obj[argument]`, or else `obj.argument`."""
        if not isinstance(obj, str):
            return super().getitem(obj, self.weighed(argument))
        if isinstance(argument, str):
            return self.getattr(obj, argument)
        try:
            return texts.cut(self.budget, unsafe(obj), operator.index(argument))
        except (TypeError, IndexError):
            return self.undefined(obj=obj, name=argument)

    def getattr(self, obj: Any, attribute: str) -> Any:
        """`obj.attribute`: the methods of a str are those of text.py."""
        if attribute == "get" and type(obj) is dict:
            return partial(self._get, obj)
        if not isinstance(obj, str):
            return super().getattr(obj, attribute)
        if attribute == "format":
            return partial(self._format, unsafe(obj))
        if attribute in texts.MAKING:
            return partial(texts.MAKING[attribute], self.budget, unsafe(obj))
        if attribute in texts.ASKING:
            self.budget.pay_for(len(obj))
            return getattr(str(obj), attribute)
        missing = self.unsafe_undefined if hasattr(obj, attribute) else self._no_attribute
        return missing(obj, attribute)

    def _no_attribute(self, obj: Any, attribute: str) -> Undefined:
        return self.undefined(obj=obj, name=attribute)

    def _get(self, obj: dict[Any, Any], key: Any, default: Any = None) -> Any:
        return obj.get(self.weighed(key), default)

    def _format(self, text: str, *args: Any, **named: Any) -> Text:
        told = {name: self.written(value) for name, value in named.items()}
        return texts.format_(self.budget, text, *map(self.written, args), **told)

    def call(self, context: Context, obj: Any, *args: Any, **kwargs: Any) -> Any:
        """`obj(...)`; a `*` may have spread a long list into the arguments."""
        self.budget.pay(1 + len(args) + len(kwargs))
        return super().call(context, obj, *args, **kwargs)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """`left + right` and its like."""
        return self.computed(operator, left, right)

    def computed(self, sign: str, left: Any, right: Any) -> Any:
        """Arithmetic, and what Python lets + and * do with texts and lists."""
        if sign == "+" and isinstance(left, str) and isinstance(right, str):
            return self._sum(left, right)
        if sign == "+" and type(left) is type(right) and isinstance(left, (list, tuple)):
            self.budget.pay(1 + len(left) + len(right))
            return left + right
        if sign == "*" and isinstance(left, int) and not isinstance(right, (int, float)):
            left, right = right, left
        if sign == "*" and isinstance(right, int) and isinstance(left, str):
            return texts.repeated(self.budget, unsafe(left), right)
        if sign == "*" and isinstance(right, int) and isinstance(left, (list, tuple)):
            self.budget.pay(1 + len(left) * max(right, 0))
            return left * right
        if isinstance(left, Undefined) or isinstance(right, Undefined):
            return self.binop_table[sign](left, right)  # it says what is undefined
        return self._arithmetic(sign, left, right)

    def _sum(self, left: str, right: str) -> Text:
        if not isinstance(left, SafeText) and not isinstance(right, SafeText):
            return texts.joined(self.budget, (left, right))
        both = texts.joined(self.budget, (texts.escaped(self.budget, t) for t in (left, right)))
        return SafeText(both, both.own)

    def _arithmetic(self, sign: str, left: Any, right: Any) -> int | float:
        for value in (left, right):
            if not isinstance(value, (int, float)):
                kinds = f"{type(left).__name__} {sign} {type(right).__name__}"
                raise TypeError(f"{kinds} is not offered to templates")
        if sign == "**" and isinstance(left, int) and isinstance(right, int):
            _check_bits(left.bit_length() * max(right, 1))
        found = self.binop_table[sign](left, right)
        if isinstance(found, int):
            _check_bits(found.bit_length())
        if not isinstance(found, (int, float)):
            raise TypeError(f"{left} {sign} {right} is no real number")
        return found

    # -- what loops, filters and blocks go through

    def paid(self, values: Iterable[Any], price: int = 1) -> Iterator[Any]:
        """The same values, each paid for when it is taken."""
        for value in values:
            self.budget.pay(price)
            yield value

    def steps(self, values: Any) -> Any:
        """What a filter walks along; some take None and the like for an empty list."""
        return self.paid(values, STEPS_OF_FILTER) if values else values

    def generation(self, caller: Callable[[], Text]) -> Text:
        """What `{% generation %}` encloses."""
        return caller()


def _check_bits(bits: int) -> None:
    if bits > MAX_BITS:
        raise OverflowError(f"an integer of {bits} bits, expected at most {MAX_BITS}")
