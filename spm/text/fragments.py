"""Special pieces are cut out of a text before anything merges: text -> fragments.

llama.cpp's order decides (`tokenizer_st_partition`, src/llama-vocab.cpp): the longest special piece
is searched first, over the whole text, then the next longest in what is left. So with `ab` and
`bcd` special, `abcd` is a|bcd, where a scan from left to right would find ab|c|d.
"""

from __future__ import annotations

from typing import NamedTuple

from spm.vocab import TokenType, Vocab

_WHITE_SPACE = b" \t\n\v\f\r"  # C's isspace


class Fragment(NamedTuple):
    """A stretch of the text, in bytes: special if it has an id, plain text if not."""

    begin: int
    end: int
    id: int | None = None


class Special(NamedTuple):
    """A piece that is found as a whole, before merging."""

    piece: bytes
    id: int
    rstrip: bool  # it swallows the white space after it


def special_pieces(vocab: Vocab, parse_special: bool) -> tuple[Special, ...]:
    """The pieces to search for, in order; CONTROL and UNKNOWN only with `parse_special`.

    llama.cpp sorts by size with std::sort, which leaves equal sizes in no fixed order; here the
    lower id goes first.
    """
    kinds = {TokenType.USER_DEFINED}
    if parse_special:
        kinds |= {TokenType.CONTROL, TokenType.UNKNOWN}
    ids = [i for i, kind in enumerate(vocab.types) if kind in kinds]
    specials = [Special(vocab.pieces[i], i, i in vocab.rstrip_ids) for i in ids]
    return tuple(sorted(specials, key=lambda special: -len(special.piece)))


def partition(text: bytes, specials: tuple[Special, ...]) -> list[Fragment]:
    """Cut `text` at every special piece; fragments of plain text are never empty."""
    fragments = [Fragment(0, len(text))] if text else []
    for special in specials:
        if special.piece in text:
            fragments = [
                part
                for fragment in fragments
                for part in (_cut(text, fragment, special) if fragment.id is None else [fragment])
            ]
    return fragments


def _cut(text: bytes, fragment: Fragment, special: Special) -> list[Fragment]:
    parts = []
    begin, end, _ = fragment
    while (at := text.find(special.piece, begin, end)) >= 0:
        if at > begin:
            parts.append(Fragment(begin, at))
        begin = at + len(special.piece)
        parts.append(Fragment(at, begin, special.id))
        if special.rstrip:
            while begin < end and text[begin] in _WHITE_SPACE:
                begin += 1
    if begin < end:
        parts.append(Fragment(begin, end))
    return parts
