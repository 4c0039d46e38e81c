"""`spm VERB ...`: find the verb, run it, turn errors into one line and an exit code."""

from __future__ import annotations

import argparse
import io
import os
import sys
import warnings
from collections.abc import Sequence

from spm.cli import decode, encode, explain, generate, inspect
from spm.errors import SpmError

_VERBS = (encode, decode, explain, inspect, generate)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    args = _parser().parse_args(argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="surrogateescape")
    warnings.showwarning = lambda warning, *_: print(f"spm {args.verb}: {warning}", file=sys.stderr)
    try:
        code: int = args.run(args)
        sys.stdout.flush()
    except SpmError as error:
        print(f"spm {args.verb}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader had enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        print(f"spm {args.verb}: {error.filename or 'output'}: {error.strerror}", file=sys.stderr)
        return 1
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="spm", description="Exact ids for GGUF and sentencepiece vocabularies."
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for module in _VERBS:
        name = module.__name__.rpartition(".")[2]
        summary = (module.__doc__ or "").partition(": ")[2].partition("\n")[0]
        verb = verbs.add_parser(name, help=summary, description=summary)
        module.add_arguments(verb)
        verb.add_argument("--json", action="store_true", help="print one JSON object")
        verb.set_defaults(run=module.run)
    return parser
