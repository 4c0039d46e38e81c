"""A Hugging Face `tokenizer.json` -> Vocab, with its Pipeline.

The file is what `tokenizers` 0.23 writes and reads (tokenizers/src/tokenizer/serialization.rs and
the serialization of each component). Read here is what an id or a text depends on: everything but
`truncation` and `padding`, which say what to do with a batch, and which its own users set anew for
every call. A component that is not known is an error that names it, and so is a file that the
library would read as something else than what it says: ids that it would give anew, ids of no
piece, pieces of two ids.

    vocab   {"a": 0, "b": 1, "ab": 2}       by id            a  b  ab
    merges  ["a b"] or [["a", "b"]]         (left, right, what results): (0, 1, 2)
    added   {"id": 3, "content": "<s>", "special": true, ...}
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from spm.errors import VocabError, quoted
from spm.vocab import pipeline as hf
from spm.vocab.json_at import At, read_json
from spm.vocab.vocab import BYTE_OF_PIECE, Family, TokenType, Vocab

MAX_PIECES: Final = 8_000_000
MAX_STEPS: Final = 256  # components of one stage; real files have below 10

_FAMILIES: Final[dict[type, Family]] = {
    hf.BPE: Family.BPE,
    hf.Unigram: Family.UNIGRAM,
    hf.WordPiece: Family.WORDPIECE,
    hf.WordLevel: Family.WORD,
}


def vocab_from_hf(path: str | os.PathLike[str]) -> Vocab:
    """Read a `tokenizer.json`. Raises VocabError, also for components that are not known."""
    root = read_json(Path(path))
    if "version" in root and root["version"].text() != "1.0":
        root["version"].wrong("'1.0'")
    ids, model = _model(root["model"])
    n_own = len(ids)
    added = tuple(_added_tokens(root, ids))
    pieces = _pieces(root, ids)
    pipeline = hf.Pipeline(
        n_own=n_own,
        added_tokens=added,
        normalizers=tuple(_steps(root, "normalizer", "normalizers", _NORMALIZERS)),
        pre_tokenizers=tuple(_steps(root, "pre_tokenizer", "pretokenizers", _PRE_TOKENIZERS)),
        model=model,
        post_processor=_post_processor(root, len(pieces)),
        decoders=(
            tuple(_steps(root, "decoder", "decoders", _DECODERS)) if "decoder" in root else None
        ),
    )
    return Vocab(
        source=root.source,
        pieces=pieces,
        scores=_scores(model, len(pieces)),
        types=_types(pieces, pipeline),
        special_ids=_special_ids(root, pipeline),
        add_bos=False,
        add_eos=False,
        add_space_prefix=False,
        family=_FAMILIES[type(model)],
        lacks="normalizer_spec",
        byte_fallback=getattr(model, "byte_fallback", False),
        pipeline=pipeline,
    )


# ---- pieces


def _pieces(root: At, ids: Mapping[str, int]) -> tuple[bytes, ...]:
    """The pieces by id, the added ones behind the model's."""
    by_id = {i: piece for piece, i in ids.items()}
    for i in range(len(by_id)):
        if i not in by_id:
            beyond = max(by_id)
            raise VocabError(
                f"{root.source}: no piece has id {i}, but there is id {beyond}, expected every id"
            )
    return tuple(by_id[i].encode() for i in range(len(by_id)))


def _added_tokens(root: At, ids: dict[str, int]) -> Iterator[hf.AddedToken]:
    """The added tokens; those that the model does not have get the next ids.

    added_vocabulary.rs, `add_tokens`: it counts, whatever the file says, so the two must agree.
    """
    if "added_tokens" not in root:
        return
    seen: set[str] = set()
    next_id = len(ids)
    for at in root["added_tokens"].items():
        content = at["content"].text()
        if not content or content in seen:
            at["content"].wrong("a text that no other added token has")
        seen.add(content)
        if content not in ids:
            ids[content] = next_id
            next_id += 1
        if at["id"].number() != ids[content]:
            at["id"].wrong(f"{ids[content]}, which tokenizers gives {quoted(content.encode())}")
        flags = ("single_word", "lstrip", "rstrip", "normalized", "special")
        yield hf.AddedToken(ids[content], content, *(at[name].flag() for name in flags))


def _types(pieces: tuple[bytes, ...], pipeline: hf.Pipeline) -> tuple[TokenType, ...]:
    types = [TokenType.NORMAL] * len(pieces)
    model = pipeline.model
    if getattr(model, "byte_fallback", False):
        for i, piece in enumerate(pieces):
            if piece in BYTE_OF_PIECE:
                types[i] = TokenType.BYTE
    for token in pipeline.added_tokens:
        types[token.id] = TokenType.CONTROL if token.special else TokenType.USER_DEFINED
    if model.unk_id is not None:
        types[model.unk_id] = TokenType.UNKNOWN
    return tuple(types)


def _scores(model: hf.Model, n: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """To look at; Unigram reckons with those of the pipeline."""
    scores = np.zeros(n, np.float32)
    if isinstance(model, hf.Unigram):
        with np.errstate(over="ignore"):
            scores[: len(model.scores)] = model.scores
    return scores


def _special_ids(root: At, pipeline: hf.Pipeline) -> dict[str, int]:
    """What the file gives a role: unk, pad, and with one id before or behind a text bos and eos."""
    found: dict[str, int] = {}
    if pipeline.model.unk_id is not None:
        found["unk"] = pipeline.model.unk_id
    if "padding" in root:
        found["pad"] = root["padding"]["pad_id"].number()
    ends = pipeline.post_processor
    found.update(zip(["bos"], ends.before[:1]) if len(ends.before) == 1 else ())
    found.update(zip(["eos"], ends.behind[:1]) if len(ends.behind) == 1 else ())
    return found


# ---- models


def _model(at: At) -> tuple[dict[str, int], hf.Model]:
    """The ids of the model's pieces, and what it does with them.

    models/mod.rs: files older than the `type` of a model are told apart by their other keys.
    """
    kind = at["type"].text() if "type" in at else _guess_by_keys(at)
    if kind not in _MODELS:
        at["type"].wrong(" or ".join(_MODELS))
    return _MODELS[kind](at)


def _guess_by_keys(at: At) -> str:
    if "merges" in at:
        return "BPE"
    if "continuing_subword_prefix" in at:
        return "WordPiece"
    return "WordLevel" if "unk_token" in at else "Unigram"


def _ids(at: At) -> dict[str, int]:
    """A model's `vocab`, an object of ids by piece."""
    found: dict[str, int] = {}
    by_id: dict[int, str] = {}
    if len(at.object()) > MAX_PIECES:
        raise VocabError(
            f"{at.source}: {at.path} has {len(at.object())} pieces, expected at most {MAX_PIECES}"
        )
    for piece in at.object():
        here = At(
            at.value[piece], f"{at.path}[{quoted(piece.encode('utf-8', 'replace'))}]", at.source
        )
        At(piece, here.path, at.source).text()
        i = here.number(0, MAX_PIECES)
        if i in by_id:
            here.wrong(f"an id that {quoted(by_id[i].encode())} does not have")
        found[piece], by_id[i] = i, piece
    return found


def _unk(at: At, name: str, ids: Mapping[str, int]) -> int | None:
    """The id of a model's unknown token. One that is not in the vocabulary is no token."""
    return ids.get(at[name].text()) if name in at else None


def _bpe(at: At) -> tuple[dict[str, int], hf.Model]:
    if at["dropout"].value not in (None, 0) and "dropout" in at:
        at["dropout"].wrong("null: ids that are drawn by chance are not supported")
    ids = _ids(at["vocab"])
    prefix = at["continuing_subword_prefix"].text() if "continuing_subword_prefix" in at else ""
    suffix = at["end_of_word_suffix"].text() if "end_of_word_suffix" in at else ""
    byte_fallback = at["byte_fallback"].flag(False)
    if byte_fallback and (prefix or suffix):
        at["byte_fallback"].wrong("false beside continuing_subword_prefix or end_of_word_suffix")
    unk_id = _unk(at, "unk_token", ids)
    if "unk_token" in at and unk_id is None:
        at["unk_token"].wrong("a piece of model.vocab")
    return ids, hf.BPE(
        merges=tuple(_merges(at["merges"], ids, len(prefix.encode()))),
        unk_id=unk_id,
        continuing_subword_prefix=prefix,
        end_of_word_suffix=suffix,
        fuse_unk=at["fuse_unk"].flag(False),
        byte_fallback=byte_fallback,
        ignore_merges=at["ignore_merges"].flag(False),
    )


def _merges(at: At, ids: Mapping[str, int], prefix_size: int) -> Iterator[tuple[int, int, int]]:
    """Ids of left, right and result; a prefix of continuing pieces is left out of the result."""
    for here in at.items():
        left, right = _halves(here)
        merged = left + right.encode()[prefix_size:].decode("utf-8", "replace")
        for piece in (left, right, merged):
            if piece not in ids:
                here.wrong(
                    f"a merge of pieces that makes a piece: {quoted(piece.encode())} is none"
                )
        yield ids[left], ids[right], ids[merged]


def _halves(at: At) -> tuple[str, str]:
    if isinstance(at.value, list):
        halves = [half.text() for half in at.items()]
    else:
        halves = at.text().split(" ")
    if len(halves) != 2:
        at.wrong("two pieces")
    return halves[0], halves[1]


def _unigram(at: At) -> tuple[dict[str, int], hf.Model]:
    ids: dict[str, int] = {}
    scores: list[float] = []
    for entry in at["vocab"].items():
        pair = list(entry.items())
        if len(pair) != 2:
            entry.wrong("a piece and its score")
        piece = pair[0].text()
        if piece in ids:
            pair[0].wrong(f"a piece that id {ids[piece]} is not")
        ids[piece] = len(scores)
        scores.append(pair[1].score())
    unk_id = at["unk_id"].number(0, len(scores) - 1) if "unk_id" in at else None
    return ids, hf.Unigram(tuple(scores), unk_id, at["byte_fallback"].flag(False))


def _word_piece(at: At) -> tuple[dict[str, int], hf.Model]:
    ids = _ids(at["vocab"])
    at["unk_token"].text()
    return ids, hf.WordPiece(
        unk_id=_unk(at, "unk_token", ids),
        continuing_subword_prefix=at["continuing_subword_prefix"].text(),
        max_input_chars_per_word=at["max_input_chars_per_word"].number(0, (1 << 63) - 1),
    )


def _word_level(at: At) -> tuple[dict[str, int], hf.Model]:
    ids = _ids(at["vocab"])
    at["unk_token"].text()
    return ids, hf.WordLevel(_unk(at, "unk_token", ids))


_MODELS: Final[Mapping[str, Callable[[At], tuple[dict[str, int], hf.Model]]]] = {
    "BPE": _bpe,
    "Unigram": _unigram,
    "WordPiece": _word_piece,
    "WordLevel": _word_level,
}


# ---- normalizers, pre-tokenizers and decoders


def _steps(
    root: At, stage: str, members: str, known: Mapping[str, Callable[[At], Any]]
) -> list[Any]:
    """The components of a stage, those inside of a `Sequence` one by one."""
    steps: list[Any] = []
    todo = [root[stage]] if stage in root else []
    while todo:
        at = todo.pop()
        kind = at["type"].text()
        if kind == "Sequence":
            todo += reversed(list(at[members].items()))
        elif kind not in known:
            at["type"].wrong(f"one of {', '.join(known)}")
        else:
            steps.append(known[kind](at))
        if len(steps) + len(todo) > MAX_STEPS:
            raise VocabError(
                f"{root.source}: {stage} has more than {MAX_STEPS} steps, expected few"
            )
    return steps


def _pattern(at: At) -> hf.Pattern:
    for kind in ("String", "Regex"):
        if kind in at and len(at.object()) == 1:
            return hf.Pattern(at[kind].text(), is_regex=kind == "Regex")
    return at.wrong("a String or a Regex")


def _replace(at: At) -> hf.Replace:
    return hf.Replace(_pattern(at["pattern"]), at["content"].text())


def _split(at: At) -> hf.Split:
    behavior = at["behavior"].one_of(hf.BEHAVIORS)
    return hf.Split(_pattern(at["pattern"]), behavior, at["invert"].flag())


def _bert_normalizer(at: At) -> hf.BertNormalizer:
    lowercase = at["lowercase"].flag()
    return hf.BertNormalizer(
        clean_text=at["clean_text"].flag(),
        handle_chinese_chars=at["handle_chinese_chars"].flag(),
        strip_accents=at["strip_accents"].flag(lowercase),
        lowercase=lowercase,
    )


def _precompiled(at: At) -> hf.Precompiled:
    here = at["precompiled_charsmap"]
    try:
        return hf.Precompiled(base64.b64decode(here.text(), validate=True))
    except (binascii.Error, ValueError):
        here.wrong("base64")


def _byte_level(at: At) -> hf.ByteLevel:
    return hf.ByteLevel(at["add_prefix_space"].flag(), at["use_regex"].flag(True))


def _metaspace(at: At) -> hf.Metaspace:
    """`add_prefix_space` is the older way to say `prepend_scheme`: metaspace.rs."""
    scheme = at["prepend_scheme"].one_of(hf.PREPEND_SCHEMES) if "prepend_scheme" in at else None
    if not at["add_prefix_space"].flag(True) and scheme != "never":
        at["prepend_scheme"].wrong("'never' beside an add_prefix_space of false")
    split = at["split"].flag(True)
    return hf.Metaspace(at["replacement"].character(), scheme or "always", split)


def _punctuation(at: At) -> hf.Punctuation:
    return hf.Punctuation(at["behavior"].one_of(hf.BEHAVIORS) if "behavior" in at else "Isolated")


def _fixed_length(at: At) -> hf.FixedLength:
    return hf.FixedLength(at["length"].number(1) if "length" in at else 5)


_NORMALIZERS: Final[Mapping[str, Callable[[At], hf.Normalizer]]] = {
    "NFC": lambda at: hf.Normalize("NFC"),
    "NFD": lambda at: hf.Normalize("NFD"),
    "NFKC": lambda at: hf.Normalize("NFKC"),
    "NFKD": lambda at: hf.Normalize("NFKD"),
    "Lowercase": lambda at: hf.Lowercase(),
    "Strip": lambda at: hf.Strip(at["strip_left"].flag(), at["strip_right"].flag()),
    "StripAccents": lambda at: hf.StripAccents(),
    "Nmt": lambda at: hf.Nmt(),
    "Replace": _replace,
    "Prepend": lambda at: hf.Prepend(at["prepend"].text()),
    "ByteLevel": lambda at: hf.ByteLevelText(),
    "BertNormalizer": _bert_normalizer,
    "Precompiled": _precompiled,
}

_PRE_TOKENIZERS: Final[Mapping[str, Callable[[At], hf.PreTokenizer]]] = {
    "ByteLevel": _byte_level,
    "Split": _split,
    "Metaspace": _metaspace,
    "Whitespace": lambda at: hf.Whitespace(),
    "WhitespaceSplit": lambda at: hf.WhitespaceSplit(),
    "BertPreTokenizer": lambda at: hf.BertPreTokenizer(),
    "Punctuation": _punctuation,
    "Digits": lambda at: hf.Digits(at["individual_digits"].flag()),
    "CharDelimiterSplit": lambda at: hf.CharDelimiterSplit(at["delimiter"].character()),
    "FixedLength": _fixed_length,
}

_DECODERS: Final[Mapping[str, Callable[[At], hf.Decoder]]] = {
    "ByteLevel": _byte_level,
    "Metaspace": _metaspace,
    "Replace": _replace,
    "WordPiece": lambda at: hf.WordPieceDecoder(at["prefix"].text(), at["cleanup"].flag()),
    "BPEDecoder": lambda at: hf.BPEDecoder(at["suffix"].text()),
    "ByteFallback": lambda at: hf.ByteFallback(),
    "Fuse": lambda at: hf.Fuse(),
    "Strip": lambda at: hf.StripDecoder(
        at["content"].character(), at["start"].number(), at["stop"].number()
    ),
    "CTC": lambda at: hf.CTC(
        at["pad_token"].text(), at["word_delimiter_token"].text(), at["cleanup"].flag()
    ),
}


# ---- post-processor


@dataclass
class _Ends:
    """What the post-processors read so far do."""

    before: tuple[int, ...] = ()
    behind: tuple[int, ...] = ()
    adds: bool = False
    merges: bool = False  # into one, so that a later one counts what was added
    trims: tuple[hf.TrimOffsets, ...] = ()


def _post_processor(root: At, n_pieces: int) -> hf.PostProcessor:
    """At most one adds ids: the library applies a second template to the parts of the first."""
    ends = _Ends()
    todo = [root["post_processor"]] if "post_processor" in root else []
    for _ in range(MAX_STEPS):
        if not todo:
            break
        at = todo.pop()
        kind = at["type"].text()
        if kind == "Sequence":
            todo += reversed(list(at["processors"].items()))
        elif kind == "ByteLevel":
            if ends.merges and at["trim_offsets"].flag():
                at["type"].wrong("no ByteLevel behind a processor that adds [CLS] and [SEP]")
            ends.trims += _trim(at)
        elif kind not in ("TemplateProcessing", "BertProcessing", "RobertaProcessing"):
            known = "TemplateProcessing, BertProcessing, RobertaProcessing, ByteLevel, Sequence"
            at["type"].wrong(f"one of {known}")
        elif ends.adds:
            at["type"].wrong("at most one post-processor that adds ids")
        else:
            _read_ends(at, kind, n_pieces, ends)
    else:
        raise VocabError(f"{root.source}: post_processor has too many steps, expected few")
    return hf.PostProcessor(ends.before, ends.behind, ends.trims)


def _trim(at: At) -> tuple[hf.TrimOffsets, ...]:
    space = at["add_prefix_space"].flag()
    return (hf.TrimOffsets(space),) if at["trim_offsets"].flag() else ()


def _read_ends(at: At, kind: str, n_pieces: int, ends: _Ends) -> None:
    ends.adds = True
    if kind == "TemplateProcessing":
        ends.before, ends.behind = _template(at, n_pieces)
        return
    ends.merges = True
    if kind == "RobertaProcessing":
        ends.trims += _trim(at)
    ends.before, ends.behind = (_token_id(at["cls"], n_pieces),), (_token_id(at["sep"], n_pieces),)


def _token_id(at: At, n_pieces: int) -> int:
    pair = list(at.items())
    if len(pair) != 2:
        at.wrong("a token and its id")
    pair[0].text()
    return pair[1].number(0, n_pieces - 1)


def _template(at: At, n_pieces: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The ids around `$A` in the template for one text."""
    ids: list[int] = []
    found: list[int] = []  # where the text stands among the ids
    for piece in at["single"].items():
        if "Sequence" in piece:
            piece["Sequence"]["id"].one_of(("A",))
            found.append(len(ids))
        else:
            name = piece["SpecialToken"]["id"].text()
            ids += [i.number(0, n_pieces - 1) for i in at["special_tokens"][name]["ids"].items()]
    if len(found) != 1:
        at["single"].wrong("a template with the text in it once")
    return tuple(ids[: found[0]]), tuple(ids[found[0] :])
