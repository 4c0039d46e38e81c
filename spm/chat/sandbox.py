"""Where templates run: Jinja's sandbox, with every operation paid for and every mask kept.

The template's language, scopes, macros and loops are Jinja's own: it parses, it compiles to Python,
and what it compiles is run. The settings and functions are those that transformers gives templates
(utils/chat_template_utils.py). Two things are different.

1. **Closed lists.** A template may use the nodes (compiler.py), filters and tests (filters.py),
   functions and methods that are named in this room, and no others: what was not thought of is an
   error that names it. A chat template needs few, and everything else (blocks, includes, `attr`,
   formats with a width, `center`) is a way out of the sandbox or out of memory that somebody has
   found before.
2. **Every operation comes here**, since the compiler writes it so, and pays to the budget before
   it makes anything; texts keep their masks (text.py).
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from functools import partial
from typing import Any, Final, NoReturn, cast

import jinja2.ext
from jinja2 import Template
from jinja2.exceptions import SecurityError, TemplateError
from jinja2.runtime import Context, LoopContext, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

from spm.chat import text as texts
from spm.chat.budget import Budget
from spm.chat.compiler import Compiler, Generation, compiled
from spm.chat.filters import filters, tests
from spm.chat.text import SafeText, Text, unsafe, words

MAX_BITS: Final = 4096  # of an integer
STEPS_OF_FILTER: Final = 8  # for each value that `map` and its like call another filter with

_MEMBERS: Final[Mapping[type, frozenset[str]]] = {
    dict: words("items keys values"),
    LoopContext: words(
        "index index0 revindex revindex0 first last length depth depth0 previtem nextitem cycle"
    ),
}


def render(source: str, variables: Mapping[str, Any], budget: Budget) -> Text:
    """Compile a template and run it. Raises SpentError, RecursionError and much else."""
    environment = Sandbox(budget)
    template = Template.from_code(environment, compiled(environment, source), environment.globals)
    written = template.render(variables)
    assert isinstance(written, Text)
    return written


class _Namespace(Namespace):
    """`namespace()`, which keeps no name with an underscore in front."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        super().__init__()
        for name, value in values.items():
            self[name] = value

    def __setitem__(self, name: str, value: Any) -> None:
        if not isinstance(name, str) or name.startswith("_"):
            raise SecurityError(f"a namespace keeps no {name!r}")
        super().__setitem__(name, value)


class Sandbox(ImmutableSandboxedEnvironment):
    """Jinja's environment for one rendering: its operations pay to `budget` and keep masks."""

    code_generator_class = Compiler
    intercepted_binops = frozenset(("+", "-", "*", "/", "//", "%", "**"))

    def __init__(self, budget: Budget) -> None:
        extensions = [Generation, jinja2.ext.loopcontrols]
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=extensions,
            optimized=False,
            finalize=self.written,
        )
        self.budget = budget
        self.literals: dict[str, Text] = {}
        self.slice = slice
        self.filters = cast(Any, filters(self))
        self.tests = cast(Any, tests(self))
        self.globals = {
            "range": self.globals["range"],  # of 100,000 at most, in Jinja's sandbox
            "dict": self.dict_of,
            "namespace": self.namespace_of,
            "raise_exception": _raise,
            "strftime_now": self.strftime_now,
        }

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

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Whether an attribute may be had: a few of dicts and loops, all of namespaces."""
        if isinstance(obj, _Namespace):
            return not attr.startswith("_")
        return attr in _MEMBERS.get(type(obj), ())

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

    # -- functions

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

    def dict_of(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        """`dict(...)`."""
        self.budget.weigh(args)
        return dict(*args, **kwargs)

    def namespace_of(self, *args: Any, **kwargs: Any) -> _Namespace:
        """`namespace(...)`."""
        return _Namespace(self.dict_of(*args, **kwargs))

    def strftime_now(self, pattern: str) -> str:
        """The local time, written as the pattern says."""
        self.budget.pay(len(pattern))
        return datetime.now().strftime(pattern)


def _check_bits(bits: int) -> None:
    if bits > MAX_BITS:
        raise OverflowError(f"an integer of {bits} bits, expected at most {MAX_BITS}")


def _raise(message: Any) -> NoReturn:
    """The template refuses the messages."""
    raise TemplateError(str(message) if isinstance(message, str) else "no message")
