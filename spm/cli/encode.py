"""spm encode MODEL TEXT: text to ids."""

from __future__ import annotations

import argparse
import json

from spm.cli.source import add_vocabulary, open_tokenizer, read_text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this verb."""
    add_vocabulary(parser)
    parser.add_argument("text", metavar="TEXT", help="the text, or - for standard input")
    parser.add_argument("--no-special", action="store_true", help="without BOS and EOS")
    parser.add_argument(
        "--parse-special", action="store_true", help="read </s> and the like as special pieces"
    )
    parser.add_argument(
        "--pieces", action="store_true", help="one id a line, with its piece and its bytes"
    )


def run(args: argparse.Namespace) -> int:
    """Print the ids on one line."""
    tok = open_tokenizer(args)
    ids, spans = tok.encode_offsets(
        read_text(args.text),
        unit="byte",
        add_special=not args.no_special,
        parse_special=args.parse_special,
    )
    pieces = [tok.vocab.pieces[i].decode("utf-8", "backslashreplace") for i in ids]
    if args.json:
        rows = {"ids": ids, "pieces": pieces, "bytes": spans.tolist()}
        print(json.dumps({**rows, "dialect": tok.dialect, "fingerprint": tok.fingerprint}))
    elif args.pieces:
        for i, piece, (begin, end) in zip(ids, pieces, spans.tolist()):
            print(f"{i:>7}  {f'{begin}-{end}':<9}  {piece!r}")
    else:
        print(*ids)
    return 0
