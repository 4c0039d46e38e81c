"""Vocabularies written piece by piece, for the traps that no trainer makes.

A recipe is a list of pieces and the few fields of the `.model` that change ids; `craft` writes it
as sentencepiece's ModelProto.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from tools.golden import wire

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6

Piece = tuple[str, float, int]  # text, score, type


@dataclass(frozen=True)
class Crafted:
    """Pieces written by hand, and the few fields of the .model that matter beside them."""

    pieces: Sequence[Piece]
    dummy_prefix: bool = True
    remove_extra: bool = False
    suffix: bool = False
    byte_fallback: bool = True
    escape: bool = True
    trainer: dict[int, str] = field(default_factory=dict)  # further fields of trainer_spec
    base: Sequence[Piece] = field(
        default=(("<unk>", 0.0, UNKNOWN), ("<s>", 0.0, CONTROL), ("</s>", 0.0, CONTROL))
    )


def byte_pieces() -> list[Piece]:
    """The 256 byte pieces, `<0x00>` to `<0xFF>`."""
    return [(f"<0x{byte:02X}>", 0.0, BYTE) for byte in range(256)]


def normal(scores: dict[str, float]) -> list[Piece]:
    """Ordinary pieces from text and score."""
    return [(text, score, NORMAL) for text, score in scores.items()]


def letters(score: float = -1e9) -> list[Piece]:
    """▁ and a few letters, each a piece of its own, so that not everything falls to bytes."""
    return [(c, score, NORMAL) for c in "▁abcdefghikpqrstuxy<>|0"]


def _ladder(unit: str, upto: int, kind: int, first: float, step: float) -> list[Piece]:
    """unit*2, unit*3, … unit*upto with evenly stepping scores."""
    return [(unit * n, first + step * (n - 2), kind) for n in range(2, upto + 1)]


CRAFTED: dict[str, Crafted] = {
    # Everything has one score: the leftmost pair wins, and nothing else decides.
    "ties": Crafted(
        [
            *letters(-1.0),
            *normal(
                dict.fromkeys(["aa", "aaa", "aaaa", "ab", "ba", "bc", "cb", "abc", "cab"], -1.0)
            ),
            *normal(dict.fromkeys(["▁▁", "▁▁▁", "▁▁▁▁", "▁a", "▁b", "a▁", "xx", "xxxx"], -1.0)),
        ]
    ),
    # A piece outranks its own parts, or is reached by one of its splits only; z and w are no
    # pieces by themselves though zw is.
    "improper": Crafted(
        [
            *letters(),
            *normal({"ab": -3.0, "bc": -2.0, "cd": -1.0, "de": 0.0, "abc": -0.5, "abcd": -9.0}),
            *normal(
                {"bcd": -0.25, "ef": -7.0, "efg": -0.125, "fg": -6.0, "gh": -5.0, "efgh": -8.0}
            ),
            *normal({"▁a": -4.0, "▁ab": -0.1, "▁▁": -2.5, "zw": -1.5, "wz": -1.25, "zwz": -11.0}),
        ]
    ),
    # sentencepiece compares the bits of a score: -0.0 is below +0.0. llama.cpp: they tie.
    "zeros": Crafted(
        [
            *letters(),
            *normal({"ab": -0.0, "bc": 0.0, "cd": -0.0, "de": 0.0, "ea": 0.0, "aa": -0.0}),
            *normal({"bb": 0.0, "▁a": -0.0, "abc": -0.0, "bcd": 0.0, "▁▁": 0.0}),
        ]
    ),
    # UNUSED pieces merge and are split again as they were merged; abab nests, pqr has two ways,
    # h is UNUSED with nothing to split into, xyz hides the UNUSED xy, NUL is a hole in the table.
    "unused": Crafted(
        [
            *[p for p in letters() if p[0] != "h"],
            ("h", -1e9, UNUSED),
            ("ab", -1.0, UNUSED),
            ("abab", -0.5, UNUSED),
            ("abababab", -0.25, UNUSED),
            ("xy", -1.0, UNUSED),
            ("pq", -3.0, UNUSED),
            ("qr", -2.0, UNUSED),
            ("pqr", -4.0, UNUSED),
            ("▁c", -2.0, UNUSED),
            ("gh", -1.0, UNUSED),
            ("\0", 0.0, UNUSED),
            *normal({"bc": -2.0, "xyz": -2.0, "▁ab": -5.0, "cd": -3.0, "rs": -2.5, "qrs": -3.5}),
        ]
    ),
    # k*104 was merged one by one; sentencepiece stops splitting it at depth 100.
    "unused_deep": Crafted([*letters(), *_ladder("k", 106, UNUSED, 1.0, 1.0)]),
    # CONTROL, BYTE and UNKNOWN pieces that merging could build, and the normal pieces on the way.
    "reserved": Crafted(
        [
            *[p for p in letters() if p[0] != "q"],
            ("q", -1e9, CONTROL),
            ("ab", 0.0, CONTROL),
            ("[x]", -0.5, CONTROL),
            *normal({"bc": -2.0, "abc": -1.0, "<s": -3.0, "</": -4.0, "</s": -4.5, "[x": -4.0}),
            *normal(
                {"<0": -5.0, "<0x": -5.5, "<0x4": -6.0, "<0x41": -6.5, "<u": -7.0, "<un": -7.5}
            ),
            *normal({"<unk": -8.0, "x]": -9.0, "k>": -9.5, "1>": -10.0}),
        ]
    ),
    # Pieces with ▁ inside and at their end: cutting the text at spaces is wrong here.
    "inner_space": Crafted(
        [
            *letters(),
            *normal({"a▁b": -1.0, ">▁</": -2.0, "▁a▁": -3.0, "b▁": -4.0, "▁a": -5.0, "▁▁": -6.0}),
            *normal({"▁b": -4.5, "▁▁▁": -0.5, "a▁": -6.5, "▁<": -7.0, "▁</": -7.5, "a▁b▁c": -8.0}),
            *normal({"</": -9.0, "b▁c": -0.75}),
        ]
    ),
    # +inf first, -inf last, ties among both; no prefix, yet extra white space is removed.
    "infinite": Crafted(
        [
            *letters(-math.inf),
            *normal(
                {"ab": math.inf, "bc": math.inf, "cd": -math.inf, "de": -math.inf, "ef": -1e38}
            ),
            *normal({"▁a": 3e38, "abc": -math.inf, "cde": math.inf, "▁▁": -math.inf}),
        ],
        dummy_prefix=False,
        remove_extra=True,
    ),
    # Scores of both signs, subnormal ones among them: order is by value, not by magnitude.
    "positive": Crafted(
        [
            *letters(1.0),
            *normal({"ab": 5.0, "bc": 7.0, "cd": -5.0, "de": -7.0, "ef": 1e-44, "fg": -1e-44}),
            *normal(
                {"abc": 0.5, "▁a": 6.0, "▁▁": 1e30, "efg": 2e-45, "gh": 1e-45, "aa": 16777217.0}
            ),
        ]
    ),
    # NaN has no order in C++'s floats, but sentencepiece compares bits.
    "nan": Crafted(
        [*letters(), *normal({"ab": math.nan, "bc": -1.0, "cd": math.inf, "de": -math.inf})]
    ),
    # The runs of ▁ of Llama 2, all at one score, and two very long ones.
    "runs": Crafted(
        [
            *letters(),
            *_ladder("▁", 16, NORMAL, -1e9, 0.0),
            *normal({"▁" * 32: -1e9, "▁" * 64: -1e9, "▁a": -1.0, "▁▁a": -5.0, "▁b": -2.0}),
        ]
    ),
    # Overlapping user-defined pieces, with ▁, with real spaces, with a line feed; no prefix.
    "user_defined": Crafted(
        [
            ("ab", 0.0, USER_DEFINED),
            ("abc", -5.0, USER_DEFINED),
            ("bcd", 0.0, USER_DEFINED),
            ("cdef", 0.0, USER_DEFINED),
            ("<|user|>", 0.0, USER_DEFINED),
            ("▁the", 0.0, USER_DEFINED),
            ("▁▁▁", 0.0, USER_DEFINED),
            ("x y", 0.0, USER_DEFINED),
            ("\n\n", 0.0, USER_DEFINED),
            ("\u00e9", 0.0, USER_DEFINED),
            *letters(),
            *normal({"▁a": -1.0, "ef": -2.0, "▁▁": -3.0, "hi": -4.0, "▁hi": -5.0, "ca": -6.0}),
            *normal({"xab": -0.5, "abx": -0.5, "▁ab": -0.5}),  # never: ab is frozen
        ],
        dummy_prefix=False,
    ),
    # The same pieces with a prefix and with white space removed around them.
    "user_prefix": Crafted(
        [
            ("ab", 0.0, USER_DEFINED),
            ("abc", -5.0, USER_DEFINED),
            ("<|user|>", 0.0, USER_DEFINED),
            ("▁the", 0.0, USER_DEFINED),
            ("x y", 0.0, USER_DEFINED),
            ("  ", 0.0, USER_DEFINED),
            *letters(),
            *normal({"▁a": -1.0, "▁hi": -5.0, "hi": -4.0, "▁▁": -3.0}),
        ],
        remove_extra=True,
    ),
    # Seventy user-defined pieces that begin alike; sentencepiece looks at the first 64 that match.
    "user_ladder": Crafted([*letters(), *_ladder("k", 70, USER_DEFINED, 0.0, 0.0)]),
    # Suffix mode with white space removed, and without bytes: the unknown run is one id.
    "suffix_unk": Crafted(
        [*letters(), *normal({"a▁": -1.0, "ab": -2.0, "ab▁": -3.0, "▁▁": -4.0, "b▁": -5.0})],
        remove_extra=True,
        suffix=True,
        byte_fallback=False,
    ),
    # escape_whitespaces off (the trainer refuses that): a space stays a space, ▁ is another letter.
    "unescaped": Crafted(
        [*letters(), *normal({" ": -9.0, " a": -1.0, "▁a": -0.5, "  ": -2.0, "ab": -3.0})],
        escape=False,
    ),
    # The unknown piece is the last one, BOS has a name of its own, there is no EOS.
    "unk_last": Crafted(
        [
            *letters(),
            *normal({"ab": -1.0, "▁a": -2.0}),
            ("<begin>", 0.0, CONTROL),
            ("[UNK]", 0.0, UNKNOWN),
        ],
        byte_fallback=False,
        trainer={44: " ?? ", 46: "<begin>"},  # unk_surface, bos_piece
        base=(),
    ),
}


def craft(recipe: Crafted) -> bytes:
    """A sentencepiece ModelProto: pieces (1), trainer_spec (2), normalizer_spec (3)."""
    table = [*recipe.base, *(byte_pieces() if recipe.byte_fallback else []), *recipe.pieces]
    entries = [
        wire.field(1, text) + wire.field(2, score) + wire.field(3, kind)
        for text, score, kind in table
    ]
    trainer = (
        wire.field(3, 2)  # model_type BPE
        + wire.field(4, len(table))
        + wire.field(24, recipe.suffix)
        + wire.field(35, recipe.byte_fallback)
        + b"".join(wire.field(number, value) for number, value in recipe.trainer.items())
    )
    normalizer = (
        wire.field(1, "identity")
        + wire.field(3, recipe.dummy_prefix)
        + wire.field(4, recipe.remove_extra)
        + wire.field(5, recipe.escape)
    )
    parts = [(1, e) for e in entries] + [(2, trainer), (3, normalizer)]
    return b"".join(wire.field(number, part) for number, part in parts)
