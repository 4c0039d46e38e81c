"""A chat template: messages in, a text out. Jinja is imported when the first is rendered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from spm.chat.budget import Budget, SpentError
from spm.chat.messages import Message, characters, chat, plain
from spm.chat.text import Span, Text, own
from spm.errors import ChatError, GGUFError, brief, one_line
from spm.gguf import GGUF
from spm.vocab import Vocab

DEFAULT: Final = "default"
TOOL_USE: Final = "tool_use"
_ROLES: Final = ("bos", "eos", "unk", "sep", "pad", "mask")
_KEY: Final = "tokenizer.chat_template"


@dataclass(frozen=True)
class Rendered:
    """A chat as a text, where its template speaks in it, and its ids.

    `trusted` holds the spans of `text`, in characters, that are the template's own: control pieces
    are found in there and nowhere else.
    """

    text: str
    trusted: tuple[Span, ...]
    ids: tuple[int, ...]


def _listed(given: Iterable[Mapping[str, Any]] | None, name: str) -> list[Mapping[str, Any]] | None:
    if given is not None and (isinstance(given, str) or not isinstance(given, Iterable)):
        raise ChatError(f"{name} is {brief(given)}, expected a list")
    return None if given is None else list(given)


@dataclass(frozen=True)
class ChatTemplate:
    """A template and where it is from, for messages."""

    source: str
    where: str = "chat template"
    problem: str = ""  # why the file's template cannot be read at all; said when it is wanted

    def render(
        self,
        messages: Iterable[Message],
        *,
        tools: Iterable[Mapping[str, Any]] | None = None,
        documents: Iterable[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = True,
        special_tokens: Mapping[str, str],
        variables: Mapping[str, Any],
    ) -> Text:
        """The text of a chat. Raises ChatError, in bounded time and memory, whatever goes wrong."""
        if self.problem:
            raise ChatError(self.problem)
        given = {
            "messages": chat(messages),
            "tools": plain(_listed(tools, "tools"), "tools"),
            "documents": plain(_listed(documents, "documents"), "documents"),
            "add_generation_prompt": bool(add_generation_prompt),
            **{name: plain(value, name) for name, value in variables.items()},
        }
        trusted = {name: own(piece) for name, piece in special_tokens.items()}
        return self._run({**trusted, **given}, Budget(characters(given)))

    def _run(self, variables: dict[str, Any], budget: Budget) -> Text:
        try:
            from spm.chat import sandbox
        except ImportError:
            raise ChatError(
                f"{self.where}: jinja2 is not installed, expected: pip install 'spm[chat]'"
            ) from None
        try:
            return sandbox.render(self.source, variables, budget)
        except SpentError:
            problem = "the template does more than its budget allows"
        except RecursionError:
            problem = "the template is nested too deeply, or calls itself without end"
        except Exception as error:
            line = getattr(error, "lineno", None)
            at = f"line {line}: " if isinstance(line, int) else ""
            said = getattr(error, "message", None) or error  # jinja's str() adds lines
            problem = one_line(f"{at}{type(error).__name__}: {said}")
        raise ChatError(f"{self.where}: {problem}")


def templates_from_gguf(gguf: GGUF) -> dict[str, ChatTemplate]:
    """The chat templates of a file by name, the one without a name as 'default'.

    llama.cpp reads the same keys, `llama_model_chat_template` in src/llama-model.cpp.
    """
    templates = {}
    for key in gguf.metadata:
        if key == _KEY or key.startswith(f"{_KEY}."):
            name = DEFAULT if key == _KEY else key.removeprefix(f"{_KEY}.")
            templates[name] = _template(gguf, key)
    return templates


def _template(gguf: GGUF, key: str) -> ChatTemplate:
    """One template; a file with one that is not even text has ids all the same."""
    where = one_line(f"{gguf.path}: {key}")
    try:
        source = gguf.metadata[key]
    except GGUFError as error:
        return ChatTemplate("", where, str(error))
    if isinstance(source, str):
        return ChatTemplate(source, where)
    return ChatTemplate("", where, f"{where} is {type(source).__name__}, expected a string")


def chosen(
    templates: Mapping[str, ChatTemplate],
    wanted: str | ChatTemplate | None,
    with_tools: bool,
    source: str,
) -> ChatTemplate:
    """The template that is asked for, or else the one that transformers would take."""
    if isinstance(wanted, ChatTemplate):
        return wanted
    if wanted is None:
        wanted = TOOL_USE if with_tools and TOOL_USE in templates else DEFAULT
    if wanted not in templates:
        there = " or ".join(map(brief, templates)) or "a ChatTemplate, the file has none"
        raise ChatError(f"{source}: the chat template is {brief(wanted)}, expected {there}")
    return templates[wanted]


def special_tokens(vocab: Vocab) -> dict[str, str]:
    """The variables bos_token, eos_token and so on: the pieces of the ids that there are."""
    ids = {role: vocab.special_ids[role] for role in _ROLES if role in vocab.special_ids}
    return {f"{role}_token": vocab.pieces[i].decode("utf-8", "replace") for role, i in ids.items()}
