"""The filters and tests of Jinja that templates may use, each paid for.

Those that make a text out of a text are the operations of text.py and keep its mask. The others are
Jinja's own, and what text they make is nobody's. A filter that is not here is an error that names
it, as any filter is that Jinja does not know.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial, wraps
from typing import Any

import jinja2.filters
import jinja2.tests

from spm.chat import text as texts
from spm.chat.operations import Operations
from spm.chat.text import SafeText, Text, unsafe, words


def filters(env: Operations) -> dict[str, Callable[..., Any]]:
    """The filters of Jinja that templates may use; those that make texts keep their masks."""

    def of_text(operation: Callable[..., Any]) -> Callable[..., Any]:
        return lambda value, *args, **kwargs: operation(
            env.budget, unsafe(env.written(value)), *args, **kwargs
        )

    kept = words("replace upper lower capitalize")
    own = {name: of_text(texts.MAKING[name]) for name in kept} | {"trim": of_text(texts.strip)}
    own |= {"string": env.written, "safe": partial(_safe, env), "join": partial(_join, env)}
    own |= {"tojson": partial(_tojson, env), "indent": partial(_indent, env)}
    own |= {"int": partial(_int, env), "float": partial(_float, env), "round": partial(_round, env)}
    cheap = ("default", "d", "length", "count", "first", "items", "abs")
    walking = ("list", "map", "select", "reject", "selectattr", "rejectattr")
    weighing = ("last", "reverse", "sort", "dictsort", "unique", "min", "max")
    return {
        **own,
        **{name: jinja2.filters.FILTERS[name] for name in cheap},
        **{name: _with_value(jinja2.filters.FILTERS[name], env.steps) for name in walking},
        **{name: _with_value(jinja2.filters.FILTERS[name], env.weighed) for name in weighing},
    }


def _with_value(function: Callable[..., Any], change: Callable[[Any], Any]) -> Callable[..., Any]:
    """A filter or a test whose value goes through `change` first.

    Some get the environment or the context in front of the value; Jinja marks those.
    """
    place = int(hasattr(function, "jinja_pass_arg"))

    @wraps(function)
    def changed(*args: Any, **kwargs: Any) -> Any:
        return function(*args[:place], change(args[place]), *args[place + 1 :], **kwargs)

    return changed


def _safe(env: Operations, value: Any) -> SafeText:
    text = env.written(value)
    return SafeText(text, texts.own_of(text))


def _join(env: Operations, value: Any, d: str = "", attribute: str | int | None = None) -> Text:
    values = env.paid(value)
    if attribute is not None:
        values = map(jinja2.filters.make_attrgetter(env, attribute), values)
    return texts.join(env.budget, unsafe(env.written(d)), map(env.written, values))


def _tojson(
    env: Operations,
    value: Any,
    ensure_ascii: bool = False,
    indent: int | str | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """JSON that is not escaped for HTML: as transformers', nobody's text."""
    indents = len(indent) if isinstance(indent, str) else indent or 0
    if not 0 <= indents <= 64 or len("".join(separators or ())) > 64:
        raise ValueError("tojson: an indent or separators longer than 64")
    for _ in range(1 + indents):
        env.budget.weigh(value)
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def _indent(
    env: Operations, s: Any, width: int | str = 4, first: bool = False, blank: bool = False
) -> str:
    """Jinja's, and so nobody's text."""
    text = str.__str__(unsafe(env.written(s)))
    margin = len(width) if isinstance(width, str) else width
    env.budget.pay_for(len(text) + (len(text.splitlines()) + 1) * margin)
    return jinja2.filters.do_indent(text, width, first, blank)


def _int(env: Operations, value: Any, default: int = 0, base: int = 10) -> Any:
    return jinja2.filters.do_int(_short(env, value), default, base)


def _float(env: Operations, value: Any, default: float = 0.0) -> Any:
    return jinja2.filters.do_float(_short(env, value), default)


def _short(env: Operations, value: Any) -> Any:
    env.budget.weigh(value)
    if isinstance(value, str) and len(value) > 1000:
        raise ValueError(f"a number of {len(value)} characters, expected at most 1000")
    return value


def _round(env: Operations, value: Any, precision: int = 0, method: Any = "common") -> float:
    if abs(precision) > 100 or not isinstance(value, (int, float)):
        raise ValueError("round: expected a number and at most 100 digits")
    return jinja2.filters.do_round(value, precision, method)


def tests(env: Operations) -> dict[str, Callable[..., Any]]:
    """The tests of Jinja that templates may use."""
    theirs: Mapping[str, Any] = jinja2.tests.TESTS
    cheap = words(
        "defined undefined none boolean false true integer float number string mapping iterable"
        " sequence callable sameas"
    )
    comparing = words(
        "eq equalto == ne != gt greaterthan > ge >= lt lessthan < le <= in lower upper"
    )

    def compared(name: str) -> Callable[..., bool]:
        return lambda *args: theirs[name](*map(env.weighed, args))

    def divides(value: Any, by: Any) -> bool:
        return bool(env.computed("%", value, by) == 0)

    return {
        **{name: theirs[name] for name in cheap},
        **{name: compared(name) for name in comparing},
        "divisibleby": divides,
        "even": lambda value: divides(value, 2),
        "odd": lambda value: env.computed("%", value, 2) == 1,
    }
