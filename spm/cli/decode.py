"""spm decode MODEL ID...: ids to text."""

from __future__ import annotations

import argparse
import json
import re

from spm.cli.source import add_vocabulary, open_tokenizer, read_text
from spm.errors import DecodeError, quoted


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this verb."""
    add_vocabulary(parser)
    parser.add_argument(
        "ids", metavar="ID", nargs="+", help="the ids, or - for standard input (spaces or commas)"
    )
    parser.add_argument("--special", action="store_true", help="show special pieces")


def run(args: argparse.Namespace) -> int:
    """Print the text and a newline."""
    tok = open_tokenizer(args)
    words = read_text(*args.ids) if len(args.ids) == 1 else " ".join(args.ids).encode()
    text = tok.decode(
        [_id(word) for word in re.findall(rb"[^\s,\[\]]+", words)], skip_special=not args.special
    )
    print(json.dumps({"text": text, "dialect": tok.dialect}) if args.json else text)
    return 0


def _id(word: bytes) -> int:
    if not re.fullmatch(rb"-?[0-9]{1,18}", word):
        raise DecodeError(f"id is {quoted(word)}, expected an integer")
    return int(word)
