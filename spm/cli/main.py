"""`spm VERB ...`: find the verb, run it, turn errors into one line and an exit code."""

from __future__ import annotations

import argparse
import io
import os
import sys
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from typing import NoReturn

from spm.cli import bench, convert, decode, encode, explain, generate, inspect, template
from spm.errors import SpmError, one_line

_VERBS = (encode, decode, explain, inspect, template, convert, generate, bench)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    if sys.stderr is None:  # closed by the caller: nobody is to hear of errors
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115  # for the rest of the process
    args = _parser().parse_args(argv)

    def say(line: str) -> None:
        print(f"spm {args.verb}: {line}", file=sys.stderr)

    if sys.stdout is None:
        say("standard output is closed, expected it open")
        return 1
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="surrogateescape")
    warnings.showwarning = lambda warning, *_: say(f"warning: {warning}")
    try:
        code: int = args.run(args)
        sys.stdout.flush()
    except SpmError as error:
        say(str(error))
        return 1
    except MemoryError:
        say("not enough memory for this input")
        return 1
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader had enough, as `head` does
        _drop_output()
        return 141
    except OSError as error:
        _drop_output()
        say(f"{one_line(str(error.filename or 'output'))}: {error.strerror}")
        return 1
    return code


def _drop_output() -> None:
    """Let what could not be written go nowhere, or Python tries again when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line; the usage is behind --help."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {one_line(message)}; see {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="spm", description="Exact ids for GGUF and sentencepiece vocabularies.")
    parser.add_argument("--version", action="version", version=f"spm {version('spm')}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for module in _VERBS:
        name = module.__name__.rpartition(".")[2]
        summary = (module.__doc__ or "").partition(": ")[2].partition("\n")[0]
        verb = verbs.add_parser(name, help=summary, description=summary)
        module.add_arguments(verb)
        verb.add_argument("--json", action="store_true", help="print one JSON object")
        verb.set_defaults(run=module.run)
    return parser
