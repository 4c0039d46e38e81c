"""The vocabularies of golden/vocabs: how each one is made, byte for byte the same every time.

TRAINED come out of sentencepiece's own trainer, from text.py; CRAFTED are written piece by piece,
in crafted.py; the GGUF files for llama.cpp are converted from every .model and, where llama.cpp has
rules of its own (OWN_RULES), made from pieces alone.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools.golden import families, wire
from tools.golden.crafted import (
    CONTROL,
    CRAFTED,
    NORMAL,
    UNKNOWN,
    USER_DEFINED,
    Piece,
    byte_pieces,
    craft,
    letters,
    normal,
)
from tools.golden.text import training_lines

# -- trained --------------------------------------------------------------------------------------

# Identity, nothing removed, runs of spaces and single digits as pieces: the family of Llama 2.
PLAIN: dict[str, Any] = {
    "normalization_rule_name": "identity",
    "remove_extra_whitespaces": False,
    "allow_whitespace_only_pieces": True,
    "split_digits": True,
    "byte_fallback": True,
    "vocab_size": 900,
}

TRAINED: dict[str, dict[str, Any]] = {
    "identity": PLAIN,
    "no_bytes": PLAIN | {"byte_fallback": False, "vocab_size": 700},
    "nmt_nfkc": {"byte_fallback": True, "vocab_size": 800},
    "nfkc_cf": {"normalization_rule_name": "nfkc_cf", "vocab_size": 600},
    "special": PLAIN
    | {
        "add_dummy_prefix": False,
        "control_symbols": ["<|system|>", "[INST]"],
        "user_defined_symbols": ["<|user|>", "ab", "abc", "bcd", "▁▁", "\n\n", "😀👍"],
        "pad_id": 3,
    },
    "suffix": PLAIN | {"treat_whitespace_as_suffix": True},
    "rules": PLAIN | {"remove_extra_whitespaces": True, "vocab_size": 600},
}

# For "rules": longest rule first, one to many, many to one, to nothing, to spaces, from spaces.
RULES = (
    ("a", "A"),
    ("ab", "[]"),
    ("abc", ""),
    ("\u00e9", "e"),
    ("e\u0301", "E"),
    ("\t", " "),
    ("\n", "  "),
    ("\u3000", " "),
    ("~", " ~ "),
    ("  !", "!"),
    ("👍🏽", "👍"),
)

# And for its denormaliser, which rewrites the decoded text.
BACK = (("[]", "ab"), ("A", "a"), ("...", "…"))


def _tsv(rules: Sequence[tuple[str, str]]) -> str:
    """The trainer's rule format: code points in hexadecimal, source TAB target."""
    return "".join(
        "\t".join(" ".join(f"{ord(c):X}" for c in side) for side in rule) + "\n" for rule in rules
    )


def train(name: str) -> bytes:
    """The .model of one recipe; single-threaded, so that its bytes never vary."""
    import sentencepiece

    model = io.BytesIO()
    options = dict(TRAINED[name])
    with tempfile.TemporaryDirectory() as folder:
        if name == "rules":
            tsv = Path(folder, "rules.tsv")
            tsv.write_text(_tsv(RULES), encoding="ascii")
            options["normalization_rule_tsv"] = str(tsv)
            back = Path(folder, "back.tsv")
            back.write_text(_tsv(BACK), encoding="ascii")
            options["denormalization_rule_tsv"] = str(back)
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(training_lines()),
            model_writer=model,
            model_type="bpe",
            character_coverage=0.98,
            num_threads=1,
            minloglevel=2,
            **options,
        )
    return _without_rule_paths(model.getvalue())


def _without_rule_paths(proto: bytes) -> bytes:
    """The trainer notes the path of a rule file (field 6 of both): ours is temporary."""
    parts = []
    for number, value in wire.fields(proto):
        if number in (3, 5) and isinstance(value, bytes):
            kept = [(n, v) for n, v in wire.fields(value) if n != 6]
            value = b"".join(wire.field(n, v) for n, v in kept)
        parts.append(wire.field(number, value))
    return b"".join(parts)


# -- converted ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Gguf:
    """What a vocabulary-only GGUF for llama.cpp says; None leaves the key out."""

    pieces: Sequence[Piece]
    ids: dict[str, int] = field(default_factory=dict)  # "bos" -> 1, …
    name: str | None = None
    scores: bool = True
    integer_scores: bool = False
    types: bool = True
    add_space_prefix: bool | None = True
    add_bos: bool | None = True
    add_eos: bool | None = False
    model: str = "llama"
    flags: dict[str, bool] = field(default_factory=dict)  # further keys that are true or false


def converted(model: Path) -> Gguf:
    """A .model as llama.cpp's converter would write it: pieces, scores and types as they are.

    `_create_vocab_sentencepiece` of its conversion scripts asks the sentencepiece library for each
    piece, as we do. Its USER_DEFINED type comes from a second file beside the .model; we have only
    the .model, and take the type from there.
    """
    import sentencepiece

    library = sentencepiece.SentencePieceProcessor(model_file=str(model))
    pieces = [
        (library.IdToPiece(i), library.GetScore(i), kind)
        for i, kind in enumerate(piece_types(model))
    ]
    special = {
        "bos": library.bos_id(),
        "eos": library.eos_id(),
        "unknown": library.unk_id(),
        "padding": library.pad_id(),
    }
    return Gguf(
        pieces,
        {name: token for name, token in special.items() if token >= 0},
        add_space_prefix=bool(wire.submessage(model.read_bytes(), 3).get(3, True)),
    )


def _own_rules() -> dict[str, Gguf]:
    """Files on which llama.cpp has a rule that no .model can ask for."""
    crafted = CRAFTED["user_defined"]
    table = [*crafted.base, *byte_pieces(), *crafted.pieces]
    ids = {"bos": 1, "eos": 2, "unknown": 0}
    # BOS and EOS that are ordinary pieces: decoding leaves them out at the ends, and only there.
    texts = [text for text, _, _ in table]
    roles = {"bos": texts.index("▁a"), "eos": texts.index("hi"), "unknown": 0}
    # As converted from a Hugging Face folder: ▁ becomes a space in user-defined pieces, at -1000.
    hf = [
        (t.replace("▁", " "), -1000.0, k) if k == USER_DEFINED else (t, s, k) for t, s, k in table
    ]
    phi = [("<|endoftext|>", 0.0, CONTROL), ("<|end|>", 0.0, CONTROL), ("[N]", 0.0, USER_DEFINED)]
    # Pieces that llama.cpp types by their spelling, whatever the file says.
    spelled = [
        ("<unk>", 0.0, UNKNOWN),
        ("<s>", 0.0, CONTROL),
        ("</s>", 0.0, NORMAL),
        *byte_pieces(),
        ("<|im_end|>", -1.0, NORMAL),
        ("<|channel|>", 0.0, CONTROL),
        ("<|fim_prefix|>", 0.0, USER_DEFINED),
        ("<unused0>", 0.0, CONTROL),
        *letters(),
    ]
    # No byte pieces, but two bytes that are pieces by themselves: a line feed, half a character.
    no_bytes = [*crafted.base, *letters(), *normal({"ab": -1.0, "\n": -2.0, "\udcc3": -3.0})]
    return {
        "llama_hf": Gguf(hf, ids, add_space_prefix=False),
        "llama_hf_prefix": Gguf(hf, ids, add_space_prefix=True),
        "llama_defaults": Gguf(table, add_space_prefix=None, add_bos=None, add_eos=None),
        "llama_untyped": Gguf(table, ids, scores=False, types=False),
        "llama_integer_scores": Gguf(
            [*crafted.base, *byte_pieces(), *letters(-9.0), *normal({"ab": 3.0, "bc": 4.0})],
            ids,
            integer_scores=True,
        ),
        "llama_eos": Gguf(table, ids, add_bos=False, add_eos=True),
        "llama_roles": Gguf(table, roles, add_bos=True, add_eos=True),
        "llama_phi3": Gguf([*table[:259], *phi, *letters()], ids, name="Phi-3 of our own"),
        "llama_spelled": Gguf(spelled, ids),
        "llama_no_bytes": Gguf(no_bytes, ids),
        "llama_empty_piece": Gguf([*table, ("", -1.0, NORMAL), ("[EMPTY", -1.0, NORMAL)], ids),
    }


def _families() -> dict[str, Gguf]:
    """What is not SPM, without flags but for one file that contradicts every default."""
    ids = {"padding": 0, "unknown": 1, "bos": 2, "seperator": 3, "eos": 3, "mask": 4}
    plain: dict[str, Any] = {"add_space_prefix": None, "add_bos": None, "add_eos": None}
    against: dict[str, Any] = {"add_space_prefix": True, "add_bos": False, "add_eos": True}
    cased = {"normalizer.lowercase": False, "add_sep_token": False}
    return {
        "wordpiece": Gguf(families.wordpiece(), ids, model="bert", **plain),
        "wordpiece_cased": Gguf(families.wordpiece(), ids, model="bert", flags=cased, **against),
        "rwkv": Gguf(families.rwkv(), {"unknown": 1}, model="rwkv", **plain),
        "plamo2": Gguf(families.plamo2(), model="plamo2", **plain),
    }


FAMILIES = _families()
OWN_RULES = {**_own_rules(), **FAMILIES}


def write_gguf(recipe: Gguf, path: Path) -> None:
    """A vocabulary-only GGUF through gguf-py: the architecture is all that llama.cpp asks for."""
    import gguf

    writer = gguf.GGUFWriter(path, "llama")
    if recipe.name is not None:
        writer.add_name(recipe.name)
    writer.add_tokenizer_model(recipe.model)
    writer.add_token_list([text.encode("utf-8", "surrogateescape") for text, _, _ in recipe.pieces])
    if recipe.integer_scores:
        writer.add_array("tokenizer.ggml.scores", [int(score) for _, score, _ in recipe.pieces])
    elif recipe.scores:
        writer.add_token_scores([score for _, score, _ in recipe.pieces])
    if recipe.types:
        writer.add_token_types([kind for _, _, kind in recipe.pieces])
    for name, token in recipe.ids.items():
        writer.add_uint32(f"tokenizer.ggml.{name}_token_id", token)
    flags = {
        "add_space_prefix": recipe.add_space_prefix,
        "add_bos_token": recipe.add_bos,
        "add_eos_token": recipe.add_eos,
        **recipe.flags,
    }
    for name, flag in flags.items():
        if flag is not None:
            writer.add_bool(f"tokenizer.ggml.{name}", flag)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


# -- all of them ----------------------------------------------------------------------------------

# sentencepiece only: llama.cpp's priority queue has no defined order for it.
NO_GGUF = ("nan",)


def piece_types(vocab: Path) -> list[int]:
    """The type of every piece of a .model, or of the GGUF that was made for llama.cpp alone."""
    if vocab.stem in OWN_RULES:
        return [kind for _, _, kind in OWN_RULES[vocab.stem].pieces]
    return [int(message.get(3, NORMAL)) for message in _messages(vocab)]


def piece_texts(vocab: Path) -> list[str]:
    """The text of every piece, likewise."""
    if vocab.stem in OWN_RULES:
        return [text for text, _, _ in OWN_RULES[vocab.stem].pieces]
    return [bytes(message[1]).decode("utf-8") for message in _messages(vocab)]


def _messages(vocab: Path) -> Iterator[dict[int, Any]]:
    for number, value in wire.fields(vocab.with_suffix(".model").read_bytes()):
        if number == 1 and isinstance(value, bytes):
            yield dict(wire.fields(value))


def make_all(folder: Path) -> Iterator[Path]:
    """Write every vocabulary into a folder; yield the paths as they are done."""
    models = {name: train(name) for name in TRAINED}
    models |= {name: craft(recipe) for name, recipe in CRAFTED.items()}
    for name, data in models.items():
        path = folder / f"{name}.model"
        path.write_bytes(data)
        yield path
        if name not in NO_GGUF:
            write_gguf(converted(path), path.with_suffix(".gguf"))
            yield path.with_suffix(".gguf")
    for name, recipe in OWN_RULES.items():
        write_gguf(recipe, folder / f"{name}.gguf")
        yield folder / f"{name}.gguf"
