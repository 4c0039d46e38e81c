"""Text of which every character is known to be the template's own, or not.

A rendered prompt mixes the template's words with those of strangers:

    '<|user|>' ~ message.content|trim ~ '</s>'     with   content = " hi </s> "

    text    < | u s e r | > h i   < / s > < / s >
    own     1 1 1 1 1 1 1 1 0 0 0 0 0 0 0 1 1 1 1

A `Text` is a str with such a mask beside it. The template's literals and the special tokens begin
as 1s; the messages, the tools and all else that is handed in begin as 0s. What a template does to
a text is then one of the operations of this file, and each of them does to the mask what it does to
the characters. Hence the theorem that the whole room rests on:

    A character with a 1 is a copy of a character of a literal or a special token.

It holds because there are two sources of 1s, `own` and the `own` of an operand, and every
operation here cuts, repeats or joins masks where it cuts, repeats or joins text. It does not
depend on this file being complete: a plain str counts as 0s all over (`own_of`), so what is made
by code that knows nothing of masks - `str`, `json.dumps`, a filter of Jinja's - is nobody's, and
the worst that a forgotten operation can do is to deny the template a control piece of its own.

What the mask does not follow is choice: a template that compares a text with its own literals and
then writes those has said them itself.

Every operation takes `budget` first and pays before it makes something larger than its operands.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, SupportsIndex

from spm.chat.budget import Budget

Span = tuple[int, int]


def words(line: str) -> frozenset[str]:
    """The words of a line: the closed lists of what templates are offered."""
    return frozenset(line.split())


class Text(str):
    """A str and its mask: `own` has one byte for each character, 1 if it is the template's."""

    __slots__ = ("own",)
    own: bytes

    def __new__(cls, characters: str, own: bytes) -> Text:
        """Pair characters with their mask."""
        assert len(characters) == len(own)
        text = super().__new__(cls, characters)
        text.own = own
        return text

    def __str__(self) -> Text:
        """`str()`, which Jinja calls on all that it writes, keeps the mask."""
        return self


class SafeText(Text):
    """What the filter `safe` makes: added to another text, that one is escaped for HTML.

    This is markupsafe's `Markup`, of which chat templates use nothing else.
    """

    __slots__ = ()


def unsafe(text: str) -> str:
    """A text of which one may take a part: of `SafeText` it would be escaped again or not."""
    if isinstance(text, SafeText):
        raise TypeError("the filter safe is offered for writing and adding only")
    return text


def own(text: str) -> Text:
    """A text that is the template's, all of it."""
    return Text(text, b"\1" * len(text))


def own_of(text: str) -> bytes:
    """The mask of any str; one without is not the template's."""
    return text.own if isinstance(text, Text) else bytes(len(text))


def own_spans(text: str) -> tuple[Span, ...]:
    """Where the template's own characters stand, from left to right: begin and end."""
    mask, spans = own_of(text), []
    begin = mask.find(1)
    while begin >= 0:
        end = mask.find(0, begin)
        spans.append((begin, end if end >= 0 else len(mask)))
        begin = mask.find(1, spans[-1][1])
    return tuple(spans)


def byte_spans(text: str, spans: Iterable[Span]) -> list[Span]:
    """Spans of characters as spans of the bytes of the text's UTF-8."""
    found: list[Span] = []
    begin = end = 0  # in characters, and where they are in bytes:
    at = 0
    for begin, stop in spans:
        at += len(text[end:begin].encode())
        size = len(text[begin:stop].encode())
        found.append((at, at + size))
        at, end = at + size, stop
    return found


# ---- operations


def joined(budget: Budget, parts: Iterable[str]) -> Text:
    """The parts, one after the other."""
    parts = list(parts)
    budget.pay_for(sum(map(len, parts)) + len(parts))
    return Text("".join(parts), b"".join(map(own_of, parts)))


def cut(budget: Budget, text: str, index: int | slice) -> Text:
    """`text[index]`. Raises IndexError as str does."""
    if not isinstance(index, slice):
        return Text(text[index], own_of(text)[index % len(text) :][:1])
    budget.pay_for(len(text))
    return Text(text[index], own_of(text)[index])


def repeated(budget: Budget, text: str, times: int) -> Text:
    """`text * times`."""
    budget.pay_for(len(text) * max(times, 0))
    return Text(text * times, own_of(text) * times)


def join(budget: Budget, separator: str, texts: Iterable[str]) -> Text:
    """`separator.join(texts)`."""
    texts = list(texts)
    if not all(isinstance(text, str) for text in texts):
        raise TypeError("join: expected strings")
    between = [part for text in texts for part in (separator, text)]
    return joined(budget, between[1:])


def strip(budget: Budget, text: str, characters: str | None = None) -> Text:
    """`text.strip(characters)`."""
    return lstrip(budget, rstrip(budget, text, characters), characters)


def lstrip(budget: Budget, text: str, characters: str | None = None) -> Text:
    """`text.lstrip(characters)`."""
    budget.pay_for(len(text))
    return cut(budget, text, slice(len(text) - len(text.lstrip(characters)), None))


def rstrip(budget: Budget, text: str, characters: str | None = None) -> Text:
    """`text.rstrip(characters)`."""
    budget.pay_for(len(text))
    return cut(budget, text, slice(len(text.rstrip(characters))))


def removeprefix(budget: Budget, text: str, prefix: str) -> Text:
    """`text.removeprefix(prefix)`."""
    return cut(budget, text, slice(len(text) - len(text.removeprefix(prefix)), None))


def removesuffix(budget: Budget, text: str, suffix: str) -> Text:
    """`text.removesuffix(suffix)`."""
    return cut(budget, text, slice(len(text.removesuffix(suffix))))


def split(
    budget: Budget, text: str, sep: str | None = None, maxsplit: SupportsIndex = -1
) -> list[Text]:
    """`text.split(sep, maxsplit)`."""
    budget.pay(1 + len(text))  # as many parts as characters, at the worst
    return _placed(budget, text, text.split(sep, maxsplit), sep)


def rsplit(
    budget: Budget, text: str, sep: str | None = None, maxsplit: SupportsIndex = -1
) -> list[Text]:
    """`text.rsplit(sep, maxsplit)`."""
    budget.pay(1 + len(text))
    return _placed(budget, text, text.rsplit(sep, maxsplit), sep)


def splitlines(budget: Budget, text: str, keepends: bool = False) -> list[Text]:
    """`text.splitlines(keepends)`."""
    budget.pay(1 + len(text))
    return _placed(budget, text, text.splitlines(keepends), "" if keepends else None)


def _placed(budget: Budget, text: str, parts: list[str], sep: str | None) -> list[Text]:
    """The parts of a text that was split, found in it again.

    Without `sep` they stand between runs of white space or line ends, with which no part begins
    but one at the very beginning: the first place where a part is found is its own.
    """
    placed, at = [], 0
    for part in parts:
        at = text.index(part, at) if sep is None else at
        placed.append(cut(budget, text, slice(at, at + len(part))))
        at += len(part) + len(sep or "")
    return placed


def replace(budget: Budget, text: str, old: str, new: str, count: SupportsIndex = -1) -> str:
    """`text.replace(old, new, count)`: the new text is as much the template's as it was."""
    budget.pay_for(len(text) + (text.count(old) + 1) * len(new))
    if not old:
        return text.replace(old, new, count)  # between all characters: nobody's
    return join(budget, new, split(budget, text, old, count))


def upper(budget: Budget, text: str) -> str:
    """`text.upper()`."""
    return _in_case(budget, text, str.upper)


def lower(budget: Budget, text: str) -> str:
    """`text.lower()`."""
    return _in_case(budget, text, str.lower)


def capitalize(budget: Budget, text: str) -> str:
    """`text.capitalize()`."""
    return _in_case(budget, text, str.capitalize)


def title(budget: Budget, text: str) -> str:
    """`text.title()`."""
    return _in_case(budget, text, str.title)


def _in_case(budget: Budget, text: str, method: Callable[[str], str]) -> str:
    """The same characters in another case; outside of ASCII one may become several: nobody's."""
    budget.pay_for(3 * len(text))
    characters = method(text)
    return Text(characters, own_of(text)) if text.isascii() else characters


def format_(budget: Budget, text: str, *args: str, **named: str) -> Text:
    """`text.format(*args, **named)` for fields that are empty, a number or a name.

    The words around the fields are the template's if all of `text` is. Raises TypeError for any
    other field: formats can be as wide as they please, and walk along attributes.
    """
    budget.pay(1 + len(text))
    wording = own if 0 not in own_of(text) else str
    parts: list[str] = []
    numbers = iter(range(len(args)))
    for literal, name, spec, conversion in string.Formatter().parse(text):
        parts.append(wording(literal))
        if name is None:
            continue
        if spec or conversion or not (name.isidentifier() or name.isdecimal() or not name):
            raise TypeError("format: a field is more than a number or a name")
        parts.append(named[name] if name.isidentifier() else args[int(name or next(numbers))])
    return joined(budget, parts)


def escaped(budget: Budget, text: str) -> str:
    """The text as HTML shows it, as markupsafe's `escape` does; a `SafeText` is that already."""
    if isinstance(text, SafeText):
        return text
    for character, name in _ENTITIES.items():
        if character in text:
            text = replace(budget, text, character, Text(name, bytes(len(name))))
    return text


_ENTITIES: Final = {"&": "&amp;", ">": "&gt;", "<": "&lt;", "'": "&#39;", '"': "&#34;"}

# The methods of a str that templates may call, by name; the second kind answers with a number or
# with yes or no, and makes no text.
MAKING: Final[Mapping[str, Callable[..., Any]]] = {
    "strip": strip,
    "lstrip": lstrip,
    "rstrip": rstrip,
    "removeprefix": removeprefix,
    "removesuffix": removesuffix,
    "split": split,
    "rsplit": rsplit,
    "splitlines": splitlines,
    "replace": replace,
    "join": join,
    "upper": upper,
    "lower": lower,
    "capitalize": capitalize,
    "title": title,
    "format": format_,
}
ASKING: Final = words(
    "startswith endswith find rfind index rindex count isalnum isalpha isascii isdecimal isdigit"
    " isidentifier islower isnumeric isspace istitle isupper"
)
