"""spm generate [MODEL] PROMPT: a model continues a text."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass, field

from spm.cli.source import read_text
from spm.data import embedded_model
from spm.errors import EncodeError
from spm.gguf import GGUF
from spm.llama import Llama, Sampling, generate
from spm.tokenizer import Tokenizer

_DEFAULTS = Sampling()
_ABOUT = {
    "temperature": "how far to bend towards unlikely ids",
    "top_k": "keep the K likeliest ids, 0 all",
    "top_p": "keep the likeliest ids that together have this probability, 1 all",
    "min_p": "keep ids at least this likely beside the likeliest, 0 all",
    "typical_p": "keep the most typical ids that together have this probability, 1 all",
    "repeat_penalty": "divide the logits of ids seen before, 1 off",
    "frequency_penalty": "subtract this for each time an id was seen, 0 off",
    "presence_penalty": "subtract this if an id was seen, 0 off",
    "penalty_last_n": "how many ids back the penalties look",
    "seed": "of the random numbers",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this verb."""
    parser.add_argument(
        "model", metavar="MODEL", nargs="?", help="a GGUF file (default: the embedded tiny model)"
    )
    parser.add_argument("prompt", metavar="PROMPT", help="the text, or - for standard input")
    parser.add_argument("--ids", action="store_true", help="show the ids of prompt and answer")
    parser.add_argument("--max-tokens", type=int, default=512, metavar="N", help="default 512")
    parser.add_argument(
        "--stop", action="append", default=[], metavar="TEXT", help="end before TEXT"
    )
    parser.add_argument(
        "--parse-special", action="store_true", help="read </s> and the like as special pieces"
    )
    parser.add_argument("--backend", default="auto", help="auto, numpy or mlx")
    sampling = parser.add_argument_group("sampling; temperature 0 is greedy")
    for name, default in vars(_DEFAULTS).items():
        option, about = "--" + name.replace("_", "-"), f"{_ABOUT[name]} (default {default})"
        sampling.add_argument(option, type=type(default), default=default, metavar="X", help=about)


def run(args: argparse.Namespace) -> int:
    """Stream the continuation to standard output, and on a terminal its rate to standard error."""
    prompt = _prompt(args.prompt)
    progress = Progress(shown=sys.stderr.isatty() and not args.json)
    progress.say("loading")
    with GGUF.open(embedded_model() if args.model is None else args.model) as gguf:
        tok = Tokenizer.from_gguf(gguf)
        model = Llama.from_gguf(gguf, backend=args.backend)
        prompt_ids = tok.encode(prompt, parse_special=args.parse_special)
        if args.ids and not args.json:
            progress.clear()
            print("prompt ids:", *prompt_ids, flush=True)
        progress.say(f"reading {len(prompt_ids)} ids")
        ids: list[int] = []
        text = ""
        if not args.json:
            progress.clear()
            print(prompt, end="", flush=True)

        def on_id(i: int) -> None:
            ids.append(i)
            progress.count()

        for part in generate(
            model,
            tok,
            prompt,
            Sampling(**{name: getattr(args, name) for name in vars(_DEFAULTS)}),
            max_tokens=args.max_tokens,
            stop=args.stop,
            parse_special=args.parse_special,
            on_id=on_id,
        ):
            text += part
            if not args.json:
                progress.clear()
                print(part, end="", flush=True)
    if args.json:
        rate = round(progress.rate, 2)
        print(
            json.dumps({"prompt_ids": prompt_ids, "ids": ids, "text": text, "ids_per_second": rate})
        )
        return 0
    print()
    if args.ids:
        print("answer ids:", *ids)
    progress.end(stopped=len(ids) == args.max_tokens)
    return 0


def _prompt(text: str) -> str:
    try:
        return read_text(text).decode()
    except UnicodeDecodeError as error:
        raise EncodeError(f"prompt: byte {error.start} is no valid UTF-8, expected text") from None


@dataclass
class Progress:
    """What a person at a terminal sees beside the text: what is going on, and how fast."""

    shown: bool
    ids: int = 0
    began: float = field(default_factory=time.monotonic)
    _line: str = ""

    def say(self, what: str) -> None:
        """Show `what` until there is something better."""
        if self.shown:
            self._line = f"[{what}]"
            print(f"\r{self._line}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Make room for the text."""
        if self._line:
            print(f"\r{' ' * len(self._line)}\r", end="", file=sys.stderr, flush=True)
            self._line = ""

    def count(self) -> None:
        """One more id; the clock starts at the first, when the prompt has been read."""
        if self.ids == 0:
            self.began = time.monotonic()
        self.ids += 1

    @property
    def rate(self) -> float:
        """Ids a second after the first."""
        seconds = time.monotonic() - self.began
        return (self.ids - 1) / seconds if self.ids > 1 and seconds > 0 else 0.0

    def end(self, stopped: bool) -> None:
        """Tell the rate, and whether there might have been more."""
        if self.shown:
            self.clear()
            more = ", stopped by --max-tokens" if stopped else ""
            print(f"[{self.ids} ids, {self.rate:.0f} a second{more}]", file=sys.stderr)
