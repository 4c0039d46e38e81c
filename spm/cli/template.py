"""spm template MODEL MESSAGES: messages to the model's prompt, and its ids."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from spm.chat import Rendered
from spm.cli.source import add_vocabulary, open_tokenizer, read_text
from spm.errors import SpmError, one_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this verb."""
    add_vocabulary(parser)
    parser.add_argument(
        "messages", metavar="MESSAGES", help="a file with a JSON list of messages, or - for stdin"
    )
    parser.add_argument("--tools", metavar="FILE", help="a file with a JSON list of tools")
    parser.add_argument("--name", help="which of the file's chat templates")
    parser.add_argument(
        "--no-prompt", action="store_true", help="do not ask for an answer at the end"
    )
    parser.add_argument("--ids", action="store_true", help="print the ids, not the text")


def run(args: argparse.Namespace) -> int:
    """Print the text as the template writes it, to the last byte."""
    tok = open_tokenizer(args)
    rendered = tok.render_chat(
        _read(args.messages),
        tools=_read(args.tools) if args.tools else None,
        template=args.name,
        add_generation_prompt=not args.no_prompt,
    )
    if args.json:
        print(json.dumps(_told(rendered)))
    elif args.ids:
        print(*rendered.ids)
    else:
        print(rendered.text, end="")
    return 0


def _told(rendered: Rendered) -> dict[str, Any]:
    trusted = [list(span) for span in rendered.trusted]
    return {"text": rendered.text, "trusted": trusted, "ids": list(rendered.ids)}


def _read(path: str) -> Any:
    """The JSON of a file. Raises SpmError if it cannot be read or is no list."""
    try:
        data = read_text("-") if path == "-" else Path(path).read_bytes()
        value = json.loads(data)
    except OSError as error:
        raise SpmError(f"{one_line(path)}: {error.strerror}, expected a JSON file") from None
    except (ValueError, RecursionError) as error:
        raise SpmError(f"{one_line(path)}: {one_line(str(error))}, expected JSON") from None
    if not isinstance(value, list):
        raise SpmError(f"{one_line(path)}: found {type(value).__name__}, expected a JSON list")
    return value
