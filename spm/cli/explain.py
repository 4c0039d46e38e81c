"""spm explain MODEL TEXT: every merge on the way from text to ids."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import Any

from spm.cli.source import add_vocabulary, open_tokenizer, read_text
from spm.text.explain import Explanation, Part
from spm.tokenizer import Tokenizer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this verb."""
    add_vocabulary(parser)
    parser.add_argument("text", metavar="TEXT", help="the text, or - for standard input")
    parser.add_argument(
        "--parse-special", action="store_true", help="read </s> and the like as special pieces"
    )


def run(args: argparse.Namespace) -> int:
    """Print the symbols, one line for each merge, and the ids."""
    tok = open_tokenizer(args)
    explanation = tok.explain(read_text(args.text), parse_special=args.parse_special)
    if args.json:
        print(json.dumps(_plain(asdict(explanation)), ensure_ascii=False))
    else:
        print("\n".join(_lines(tok, explanation)))
    return 0


def _lines(tok: Tokenizer, explanation: Explanation) -> list[str]:
    lines = []
    for part in explanation.parts:
        lines += [f"symbols  {_row(part.symbols)}", *_merges(part)]
        for token in part.tokens:
            source = _show(explanation.text[token.begin : token.end])
            lines.append(
                f"id       {token.id:>6}  {_show(tok.vocab.pieces[token.id]):<14} from '{source}'"
            )
    return lines


def _merges(part: Part) -> list[str]:
    lines = []
    for merge in part.merges:
        pair = f"{_show(merge.left)} + {_show(merge.right)}"
        by, value = ("rank", merge.rank) if merge.score is None else ("score", merge.score)
        tie = f"  leftmost of {merge.tied + 1} with this {by}" if merge.tied else ""
        lines.append(f"merge    {pair:<22} {value:>12g}   {_row(merge.symbols)}{tie}")
    return lines


def _row(symbols: tuple[bytes, ...]) -> str:
    return "|".join(_show(symbol) for symbol in symbols)


def _show(symbol: bytes) -> str:
    text = symbol.decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _plain(value: Any) -> Any:
    """What JSON can hold: bytes become text."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, (list, tuple)) else value
