"""spm inspect MODEL: what a file holds, in one screen."""

from __future__ import annotations

import argparse
import json
import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from spm.cli.source import DIALECTS, add_vocabulary, is_gguf, open_tokenizer
from spm.errors import VocabError, one_line
from spm.gguf import GGUF, StringArray
from spm.vocab import Vocab
from spm.vocab.pipeline import Pipeline


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this verb."""
    add_vocabulary(parser)
    parser.add_argument("--tensors", action="store_true", help="one line for each tensor")


def run(args: argparse.Namespace) -> int:
    """Print the vocabulary, the metadata and the tensors."""
    report: dict[str, Any] = {"file": one_line(args.model)}
    if is_gguf(args.model):
        with GGUF.open(args.model) as gguf:
            report |= _container(gguf)
    try:
        tok = open_tokenizer(args)
        report["vocabulary"] = _vocabulary(tok.vocab)
        if tok.vocab.pipeline is not None:
            report["pipeline"] = _pipeline(tok.vocab.pipeline)
        report["dialects"] = _dialects(args)
        report["unusual"] = list(tok.unusual())
    except VocabError as error:
        if "gguf" not in report:
            raise
        report["vocabulary"] = {"not read": str(error)}
    if args.json:
        print(json.dumps(report, ensure_ascii=False))
    else:
        _print(report, args.tensors)
    return 0


def _container(gguf: GGUF) -> dict[str, Any]:
    tensors = {
        name: {"type": t.type.name, "shape": list(t.shape), "nbytes": t.nbytes, "offset": t.offset}
        for name, t in gguf.tensors.items()
    }
    metadata = {key: _summary(value) for key, value in gguf.metadata.items()}
    return {"gguf": gguf.version, "metadata": metadata, "tensors": tensors}


def _summary(value: object) -> object:
    """A metadata value if it is short, else what it is."""
    if isinstance(value, StringArray):
        return f"{len(value)} strings"
    if isinstance(value, np.ndarray):
        short = value.size <= 8 and bool(np.isfinite(value).all())
        return value.tolist() if short else f"{value.size} x {value.dtype}"
    if isinstance(value, list):
        return f"{len(value)} arrays"
    if isinstance(value, str) and len(value) > 200:
        return f"{value[:200]}… ({len(value)} characters)"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # JSON has no word for it
    return value


def _vocabulary(vocab: Vocab) -> dict[str, Any]:
    distinct = len(np.unique(vocab.scores))
    return {
        "family": vocab.family.value,
        "pieces": len(vocab),
        "types": {kind.name: n for kind, n in sorted(Counter(vocab.types).items())},
        "distinct scores": distinct,
        "longest piece": f"{max(map(len, vocab.pieces))} bytes",
        "special ids": dict(vocab.special_ids),
        "ends generation": sorted(vocab.eog_ids),
        "adds": [r for r, on in (("BOS", vocab.add_bos), ("EOS", vocab.add_eos)) if on],
        "adds space prefix": vocab.add_space_prefix,
        "fingerprint": vocab.fingerprint,
    }


def _pipeline(steps: Pipeline) -> dict[str, list[str]]:
    """The components of a tokenizer.json in the order in which a text meets them."""
    special = sum(token.special for token in steps.added_tokens)
    ends = steps.post_processor
    return {
        "added tokens": [f"{len(steps.added_tokens)}, of which {special} are special"],
        "normalizer": list(map(_step, steps.normalizers)),
        "pre_tokenizer": list(map(_step, steps.pre_tokenizers)),
        "model": [_step(steps.model)],
        "post_processor": [f"{list(ends.before)} before, {list(ends.behind)} behind a text"],
        "decoder": list(map(_step, steps.decoders or ())),
    }


def _step(step: object) -> str:
    """A component as Python shows it, cut where it becomes long."""
    shown = repr(step)
    return shown if len(shown) <= 200 else f"{shown[:200]}…"


def _dialects(args: argparse.Namespace) -> dict[str, str]:
    """Which dialects the file offers, and why it does not offer the others."""
    offered = {}
    for dialect in DIALECTS:
        try:
            open_tokenizer(argparse.Namespace(model=args.model, dialect=dialect))
            offered[dialect] = "offered"
        except VocabError as error:
            offered[dialect] = str(error)
    return offered


def _print(report: dict[str, Any], each_tensor: bool) -> None:
    print(report["file"])
    _print_section("vocabulary", report.get("vocabulary", {}))
    steps = report.get("pipeline", {})
    _print_section("pipeline", {name: "  ".join(shown) or "none" for name, shown in steps.items()})
    _print_section("dialects", report.get("dialects", {}))
    if unusual := report.get("unusual"):
        print("\nunusual", *map(one_line, unusual), sep="\n  ")
    if "gguf" not in report:
        return
    _print_section(f"metadata, GGUF version {report['gguf']}", report["metadata"])
    tensors = report["tensors"]
    if each_tensor:
        rows = {n: f"{t['type']:<6} {t['shape']}  {t['nbytes']} bytes" for n, t in tensors.items()}
    else:
        rows = {k: f"{n} tensors" for k, n in Counter(t["type"] for t in tensors.values()).items()}
    _print_section(f"tensors, {sum(t['nbytes'] for t in tensors.values())} bytes", rows)


def _print_section(title: str, rows: Mapping[str, object]) -> None:
    if not rows:
        return
    print(f"\n{title}")
    lines = [(one_line(name), one_line(str(value))) for name, value in rows.items()]
    width = min(max((len(name) for name, _ in lines), default=0), 60)
    for name, value in lines:
        print(f"  {name:<{width}}  {value}")
