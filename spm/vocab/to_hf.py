"""Vocab -> a Hugging Face `tokenizer.json`: what `vocab_from_hf`, and tokenizers, read again.

Every component is written under the name and with the keys that tokenizers 0.23 gives it
(tokenizers/src, the serialization of each). A stage of several steps is a `Sequence`. How ids of
another dialect become a Pipeline stands in as_pipeline.py.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any, Final

from spm.errors import VocabError
from spm.vocab import pipeline as hf
from spm.vocab.as_pipeline import as_pipeline
from spm.vocab.json_at import as_serde_reads
from spm.vocab.vocab import Vocab

Json = dict[str, Any]

_TYPES: Final[Mapping[type, str]] = {  # where a class has not the name that the file uses
    hf.ByteLevelText: "ByteLevel",
    hf.WordPieceDecoder: "WordPiece",
    hf.StripDecoder: "Strip",
}
_KEYS: Final = {  # (class, field) -> key, where the two differ
    (hf.Strip, "left"): "strip_left",
    (hf.Strip, "right"): "strip_right",
    (hf.Prepend, "prefix"): "prepend",
    (hf.Precompiled, "charsmap"): "precompiled_charsmap",
    (hf.Digits, "individual"): "individual_digits",
}


def hf_json(vocab: Vocab, dialect: str, before: Sequence[int], behind: Sequence[int]) -> Json:
    """The content of a tokenizer.json; `before` and `behind` are what stands around a text.

    Raises VocabError for what the format, or the library, has no word for.
    """
    if vocab.pipeline is None:
        pieces, pipeline = as_pipeline(vocab, dialect, before, behind)
        pad_id = None  # a file that never pads has no padding either
    else:
        pieces, pipeline = [piece.decode() for piece in vocab.pieces], vocab.pipeline
        pad_id = vocab.pad_id
    decoders = pipeline.decoders
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None if pad_id is None else _padding(pad_id, pieces),
        "added_tokens": [_fields(token) for token in pipeline.added_tokens],
        "normalizer": _stage("normalizers", pipeline.normalizers),
        "pre_tokenizer": _stage("pretokenizers", pipeline.pre_tokenizers),
        "post_processor": _post_processor(pipeline.post_processor, pieces),
        "decoder": _sequence("decoders", decoders)
        if decoders == ()
        else _stage("decoders", decoders or ()),
        "model": _MODELS[type(pipeline.model)](
            vocab.source, pieces[: pipeline.n_own], pipeline.model
        ),
    }


def _padding(pad_id: int, pieces: Sequence[str]) -> Json:
    """That a file names an id for it is kept; a single text is not padded by this."""
    return {
        "strategy": "BatchLongest",
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": pad_id,
        "pad_type_id": 0,
        "pad_token": pieces[pad_id] if pad_id < len(pieces) else "",
    }


# ---- components


def _stage(members: str, steps: Sequence[object]) -> Json | None:
    """Nothing, a component, or several as one."""
    if len(steps) < 2:
        return _component(steps[0]) if steps else None
    return _sequence(members, steps)


def _sequence(members: str, steps: Sequence[object]) -> Json:
    return {"type": "Sequence", members: [_component(step) for step in steps]}


def _component(step: object) -> Json:
    kind = type(step)
    if isinstance(step, hf.Normalize):
        return {"type": step.form}
    found = {"type": _TYPES.get(kind, kind.__name__), **_fields(step)}
    if isinstance(step, hf.ByteLevel):
        found["trim_offsets"] = True  # which counts in a post-processor alone
    return found


def _fields(step: Any) -> Json:
    names = (field.name for field in fields(step))
    return {_KEYS.get((type(step), name), name): _value(getattr(step, name)) for name in names}


def _value(value: object) -> object:
    if isinstance(value, hf.Pattern):
        return {"Regex" if value.is_regex else "String": value.text}
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def _post_processor(ends: hf.PostProcessor, pieces: Sequence[str]) -> Json | None:
    steps = [
        {
            "type": "ByteLevel",
            "add_prefix_space": trim.add_prefix_space,
            "trim_offsets": True,
            "use_regex": True,
        }
        for trim in ends.trims
    ]
    if ends.before or ends.behind:
        steps.append(_template(ends.before, ends.behind, pieces))
    if len(steps) < 2:
        return steps[0] if steps else None
    return {"type": "Sequence", "processors": steps}


def _template(before: Sequence[int], behind: Sequence[int], pieces: Sequence[str]) -> Json:
    """A pair, of which no dialect but tokenizers' own knows, is parted as BERT and Llama 2 do."""

    def row(ids: Sequence[int], type_id: int) -> list[Json]:
        return [{"SpecialToken": {"id": pieces[i], "type_id": type_id}} for i in ids]

    def text(name: str, type_id: int) -> list[Json]:
        return [{"Sequence": {"id": name, "type_id": type_id}}]

    first = [*row(before, 0), *text("A", 0)]
    second = [*([] if behind else row(before, 1)), *text("B", 1), *row(behind, 1)]
    known = {
        pieces[i]: {"id": pieces[i], "ids": [i], "tokens": [pieces[i]]} for i in (*before, *behind)
    }
    return {
        "type": "TemplateProcessing",
        "single": [*first, *row(behind, 0)],
        "pair": [*first, *row(behind, 0), *second],
        "special_tokens": known,
    }


# ---- models


def _piece(i: int | None, pieces: Sequence[str]) -> str | None:
    return None if i is None else pieces[i]


def _ids(pieces: Sequence[str]) -> dict[str, int]:
    return {piece: i for i, piece in enumerate(pieces)}


def _bpe(source: str, pieces: Sequence[str], model: hf.BPE) -> Json:
    return {
        "type": "BPE",
        "dropout": None,
        "unk_token": _piece(model.unk_id, pieces),
        "continuing_subword_prefix": model.continuing_subword_prefix or None,
        "end_of_word_suffix": model.end_of_word_suffix or None,
        "fuse_unk": model.fuse_unk,
        "byte_fallback": model.byte_fallback,
        "ignore_merges": model.ignore_merges,
        "vocab": _ids(pieces),
        "merges": [[pieces[left], pieces[right]] for left, right, _ in model.merges],
    }


def _unigram(source: str, pieces: Sequence[str], model: hf.Unigram) -> Json:
    scores = (_written(source, i, score) for i, score in enumerate(model.scores))
    return {
        "type": "Unigram",
        "unk_id": model.unk_id,
        "vocab": [[piece, score] for piece, score in zip(pieces, scores)],
        "byte_fallback": model.byte_fallback,
    }


def _written(source: str, i: int, score: float) -> float:
    """A number whose shortest decimal the library reads as `score`: one nearby, or none."""
    nearby = [score, math.nextafter(score, math.inf), math.nextafter(score, -math.inf)]
    for number in nearby:
        if as_serde_reads(repr(number)) == score:
            return number
    raise VocabError(f"{source}: id {i} has score {score!r}, which JSON cannot say to tokenizers")


def _word_piece(source: str, pieces: Sequence[str], model: hf.WordPiece) -> Json:
    return {
        "type": "WordPiece",
        "unk_token": _unk_token(model.unk_id, pieces),
        "continuing_subword_prefix": model.continuing_subword_prefix,
        "max_input_chars_per_word": model.max_input_chars_per_word,
        "vocab": _ids(pieces),
    }


def _word_level(source: str, pieces: Sequence[str], model: hf.WordLevel) -> Json:
    unk_token = _unk_token(model.unk_id, pieces)
    return {"type": "WordLevel", "vocab": _ids(pieces), "unk_token": unk_token}


def _unk_token(unk_id: int | None, pieces: Sequence[str]) -> str:
    """Its piece; without one a spelling that no piece has, since there must be some."""
    if unk_id is not None:
        return pieces[unk_id]
    return "[UNK" + "]" * (1 + max(map(len, pieces), default=0))


_MODELS: Final[Mapping[type, Callable[[str, Sequence[str], Any], Json]]] = {
    hf.BPE: _bpe,
    hf.Unigram: _unigram,
    hf.WordPiece: _word_piece,
    hf.WordLevel: _word_level,
}
