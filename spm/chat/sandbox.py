"""Where templates run: Jinja's sandbox, with every operation paid for and every mask kept.

The template's language, scopes, macros and loops are Jinja's own: it parses, it compiles to Python,
and what it compiles is run. The settings and functions are those that transformers gives templates
(utils/chat_template_utils.py). Two things are different.

1. **Closed lists.** A template may use the nodes (compiler.py), filters and tests (filters.py),
   functions and methods that are named in this room, and no others: what was not thought of is an
   error that names it. A chat template needs few, and everything else (blocks, includes, `attr`,
   formats with a width, `center`) is a way out of the sandbox or out of memory that somebody has
   found before.
2. **Every operation is ours** (operations.py), since the compiler writes it so, and pays to the
   budget before it makes anything; texts keep their masks (text.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, NoReturn, cast

from jinja2 import Template
from jinja2.exceptions import SecurityError, TemplateError
from jinja2.runtime import LoopContext
from jinja2.utils import Namespace

from spm.chat.budget import Budget
from spm.chat.compiler import compiled
from spm.chat.filters import filters, tests
from spm.chat.operations import Operations
from spm.chat.text import Text, words

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


class Sandbox(Operations):
    """Jinja's environment for one rendering, with the closed lists of names."""

    def __init__(self, budget: Budget) -> None:
        super().__init__(budget)
        self.filters = cast(Any, filters(self))
        self.tests = cast(Any, tests(self))
        self.globals = {
            "range": self.globals["range"],  # of 100,000 at most, in Jinja's sandbox
            "dict": self.dict_of,
            "namespace": self.namespace_of,
            "raise_exception": _raise,
            "strftime_now": self.strftime_now,
        }

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Whether an attribute may be had: a few of dicts and loops, all of namespaces."""
        if isinstance(obj, _Namespace):
            return not attr.startswith("_")
        return attr in _MEMBERS.get(type(obj), ())

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


def _raise(message: Any) -> NoReturn:
    """The template refuses the messages."""
    raise TemplateError(str(message) if isinstance(message, str) else "no message")
