"""spm generate [MODEL] PROMPT: a model continues a text."""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from spm.cli.candidates import Considered, consider, table
from spm.cli.source import read_text
from spm.cli.status import Status
from spm.data import embedded_model
from spm.errors import EncodeError
from spm.gguf import GGUF
from spm.llama import Choice, Llama, Sampling, generate
from spm.tokenizer import Tokenizer
from spm.vocab import Vocab

INTERRUPTED = "interrupted"  # a reason to end that only a person at the keyboard has

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
    parser.add_argument(
        "--show-ids", "--ids", action="store_true", help="show the ids of prompt and answer"
    )
    parser.add_argument(
        "--show-logits",
        action="store_true",
        help="show how likely each id was, and what might have been in its place",
    )
    parser.add_argument("--max-tokens", type=int, default=512, metavar="N", help="default 512")
    parser.add_argument(
        "--stop", action="append", default=[], metavar="TEXT", help="end before TEXT"
    )
    parser.add_argument(
        "--shift",
        action="store_true",
        help="where the context ends, go on from the newer half of the text",
    )
    parser.add_argument(
        "--parse-special", action="store_true", help="read </s> and the like as special pieces"
    )
    parser.add_argument("--backend", default="auto", help="auto, mlx, native or numpy")
    native = parser.add_argument_group("of the native back end")
    native.add_argument("--threads", type=int, metavar="N", help="default: one for each core")
    native.add_argument("--kv", help="how keys and values are kept: f16 (default), f32 or q8_0")
    native.add_argument(
        "--mapped", action="store_true", help="leave weights in the file: less memory, slower"
    )
    sampling = parser.add_argument_group("sampling; temperature 0 is greedy")
    for name, default in vars(_DEFAULTS).items():
        option, about = "--" + name.replace("_", "-"), f"{_ABOUT[name]} (default {default})"
        sampling.add_argument(option, type=type(default), default=default, metavar="X", help=about)


def run(args: argparse.Namespace) -> int:
    """Stream the continuation to standard output, and on a terminal its rate to standard error."""
    with Status(shown=sys.stderr.isatty() and not args.json) as status:
        return _run(args, status)


def _run(args: argparse.Namespace, status: Status) -> int:
    prompt = _prompt(args.prompt)
    sampling = Sampling(**{name: getattr(args, name) for name in vars(_DEFAULTS)})
    tok, model = _load(args, status)
    prompt_ids = tok.encode(prompt, parse_special=args.parse_special)
    answer = Answer(prompt_ids, tok.vocab if args.show_logits else None)
    page = Page(prompt, answer, args.show_ids, status)
    status.say(f"reading {len(prompt_ids)} ids")

    def parts() -> Iterator[str]:
        answer.finish = yield from generate(
            model,
            tok,
            prompt,
            sampling,
            max_tokens=args.max_tokens,
            stop=args.stop,
            parse_special=args.parse_special,
            shift=args.shift,
            on_choice=answer.note,
        )

    with suppress(KeyboardInterrupt):  # what there is, is the answer
        for part in parts():
            answer.text += part
            if not args.json:
                page.show(part)
    if args.json:
        print(json.dumps(answer.told()))
    else:
        page.end()
    if answer.finish == "context":
        full = f"the context's {model.config.max_seq_len} positions are full: --shift goes on"
        warnings.warn(full, stacklevel=1)
    return 130 if answer.finish == INTERRUPTED else 0


def _prompt(text: str) -> str:
    try:
        return read_text(text).decode()
    except UnicodeDecodeError as error:
        raise EncodeError(f"prompt: byte {error.start} is no valid UTF-8, expected text") from None


def _load(args: argparse.Namespace, status: Status) -> tuple[Tokenizer, Llama]:
    status.say("loading")
    with GGUF.open(embedded_model() if args.model is None else args.model) as gguf:
        gguf.expect_reads()
        tok = Tokenizer.from_gguf(gguf)
        model = Llama.from_gguf(
            gguf,
            args.backend,
            threads=args.threads,
            kv=args.kv,
            mapped=args.mapped,
            progress=status.loading,
        )
    status.note(model.ops.describe())
    return tok, model


@dataclass
class Answer:
    """What has been generated so far."""

    prompt_ids: list[int]
    vocab: Vocab | None  # to look closer at each choice, where that was asked for
    ids: list[int] = field(default_factory=list)
    considered: list[Considered] = field(default_factory=list)
    text: str = ""
    finish: str = INTERRUPTED  # until it has come to another end
    began: float = 0.0
    ended: float = 0.0

    def note(self, choice: Choice) -> None:
        """One more id; the clock runs from the first, when the prompt has been read."""
        self.ended = time.monotonic()
        self.began = self.began or self.ended
        self.ids.append(choice.id)
        if self.vocab:
            self.considered.append(consider(choice, self.vocab))

    @property
    def rate(self) -> float:
        """Ids a second after the first."""
        seconds = self.ended - self.began
        return (len(self.ids) - 1) / seconds if seconds > 0 else 0.0

    def told(self) -> dict[str, Any]:
        """As JSON has it."""
        rows = [row.told() for row in self.considered]
        return {
            "prompt_ids": self.prompt_ids,
            "ids": self.ids,
            "text": self.text,
            "finish": self.finish,
            "ids_per_second": round(self.rate, 2),
            **({"choices": rows} if self.vocab else {}),
        }


@dataclass
class Page:
    """The answer as a person reads it, behind its prompt."""

    prompt: str
    answer: Answer
    show_ids: bool
    status: Status
    _begun: bool = False

    def show(self, part: str) -> None:
        """Go on with the text."""
        if not self._begun:
            self._begin()
        print(part, end="", flush=True)

    def _begin(self) -> None:
        self._begun = True
        self.status.clear()
        if self.show_ids:
            print("prompt ids:", *self.answer.prompt_ids)
        print(self.prompt, end="")

    def end(self) -> None:
        """End the last line; add what was asked for, and on a terminal the rate and the reason."""
        self.show("\n")
        if self.show_ids:
            print("answer ids:", *self.answer.ids)
        if self.answer.vocab:
            print(*table(self.answer.considered), sep="\n")
        because = {"length": ", stopped by --max-tokens", INTERRUPTED: ", interrupted"}
        why = because.get(self.answer.finish, "")
        self.status.note(f"{len(self.answer.ids)} ids, {self.answer.rate:.0f} a second{why}")
