"""spm decode MODEL ID...: ids to text."""

from __future__ import annotations

import argparse
import json
import re
import sys

from spm.cli.source import add_vocabulary, open_tokenizer
from spm.errors import DecodeError


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
    words = sys.stdin.read() if args.ids == ["-"] else " ".join(args.ids)
    text = tok.decode(
        [_id(word) for word in re.findall(r"[^\s,\[\]]+", words)], skip_special=not args.special
    )
    print(json.dumps({"text": text, "dialect": tok.dialect}) if args.json else text)
    return 0


def _id(word: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,18}", word):
        raise DecodeError(f"id is {word[:40]!r}, expected an integer")
    return int(word)
