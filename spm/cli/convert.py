"""spm convert MODEL FILE: a vocabulary to another format, if its ids stay the same."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Final

from spm.cli.source import add_vocabulary, open_tokenizer
from spm.errors import SpmError, one_line
from spm.tokenizer import Tokenizer

_WRITERS: Final[dict[str, Callable[[Tokenizer, str], None]]] = {
    ".gguf": Tokenizer.to_gguf,
    ".model": Tokenizer.to_sentencepiece,
    ".json": Tokenizer.to_hf,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this verb."""
    add_vocabulary(parser)
    endings = " or ".join(_WRITERS)
    parser.add_argument("file", metavar="FILE", help=f"where to; its name ends with {endings}")


def run(args: argparse.Namespace) -> int:
    """Write the file and say what it holds."""
    ending = Path(args.file).suffix
    if ending not in _WRITERS:
        expected = " or ".join(_WRITERS)
        raise SpmError(f"{one_line(args.file)}: the name ends with '{ending}', expected {expected}")
    tok = open_tokenizer(args)
    _WRITERS[ending](tok, args.file)
    report = {"file": args.file, "pieces": len(tok.vocab), "dialect": tok.dialect}
    if args.json:
        print(json.dumps(report))
    else:
        print(f"{one_line(args.file)}: {len(tok.vocab)} pieces, the same ids ({tok.dialect})")
    return 0
