"""What is handed in, as a template sees it: plain data, and every str in it a stranger's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias

from spm.chat.text import own, words
from spm.errors import ChatError, brief

Message: TypeAlias = Mapping[
    str, Any
]  # {"role": "user", "content": "hello"}, and what else there is

# A role is the caller's word, not the user's, and templates build pieces out of it: '<|' + role +
# '|>'. So these words are as trusted as the template; any other role is text like any other.
ROLES: Final = words("system developer user assistant model tool function ipython observation")

_DEEPEST: Final = 100
_REASONING: Final = ("reasoning_content", "thinking", "reasoning")  # names of one thing


def chat(messages: Iterable[Message]) -> list[dict[str, Any]]:
    """The messages as a template reads them, prepared as transformers does.

    Keys that are None go; reasoning stands under the two names that templates ask for. Raises
    ChatError if there are none, or if one is no mapping or holds what is not plain data.
    """
    if isinstance(messages, (str, bytes, Mapping)) or not isinstance(messages, Iterable):
        raise ChatError(f"messages is {brief(messages)}, expected a list of messages")
    found = [_message(message, f"messages[{i}]") for i, message in enumerate(messages)]
    if not found:
        raise ChatError("messages is empty, expected at least one")
    return found


def _message(message: Message, where: str) -> dict[str, Any]:
    if not isinstance(message, Mapping):
        raise ChatError(f"{where} is {brief(message)}, expected a mapping")
    told = {key: value for key, value in message.items() if value is not None}
    found: dict[str, Any] = plain(told, where)
    if found.get("role") in ROLES:
        found["role"] = own(found["role"])
    reasoning = next((found[key] for key in _REASONING if key in found), None)
    if reasoning is None:
        return found
    return {"thinking": reasoning, **found, "reasoning_content": reasoning}


def plain(value: Any, where: str, depth: int = 0) -> Any:
    """A copy in dict, list, str, int, float, bool and None. Raises ChatError for anything else."""
    if depth > _DEEPEST:
        raise ChatError(f"{where[:100]} is nested {depth} deep, expected at most {_DEEPEST}")
    if value is None or isinstance(value, bool):
        return value
    for kind in (str, int, float):
        if isinstance(value, kind):
            return kind(kind.__str__(value)) if kind is str else kind(value)
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise ChatError(f"{where}: a key is {brief(key)}, expected a string")
        return {
            str.__str__(k): plain(v, f"{where}[{brief(k)}]", depth + 1) for k, v in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [plain(v, f"{where}[{i}]", depth + 1) for i, v in enumerate(value)]
    raise ChatError(
        f"{where} is {brief(value)}, expected a string, a number, a boolean, None, a list or a dict"
    )


def characters(value: Any) -> int:
    """How many characters plain data has, each entry counted as one: what rendering may cost."""
    if isinstance(value, str):
        return 1 + len(value)
    if isinstance(value, dict):
        return 1 + sum(characters(k) + characters(v) for k, v in value.items())
    return 1 + sum(map(characters, value)) if isinstance(value, list) else 1
