"""Special pieces are cut out of a text before anything merges: text -> fragments.

llama.cpp's order decides (`tokenizer_st_partition`, src/llama-vocab.cpp): the longest special piece
is searched first, over the whole text, then the next longest in what is left. So with `ab` and
`bcd` special, `abcd` is a|bcd, where a scan from left to right would find ab|c|d.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from spm.vocab import TokenType, Vocab

_WHITE_SPACE = b" \t\n\v\f\r"  # C's isspace


class Fragment(NamedTuple):
    """A part of the text, in bytes: a special piece if it has an id, plain text if not."""

    begin: int
    end: int
    id: int | None = None


class Special(NamedTuple):
    """A piece that is found as a whole, before merging."""

    piece: bytes
    id: int
    lstrip: bool  # it swallows the white space before it
    rstrip: bool  # and after it


class Trusted(NamedTuple):
    """Where in a text special pieces are looked for, if not everywhere."""

    spans: Sequence[tuple[int, int]]  # begins and ends in bytes, from left to right, apart
    anywhere: frozenset[int]  # the ids that need no trust: llama.cpp always parses USER_DEFINED


class Cut(NamedTuple):
    """What a special piece takes out of the text: itself, and the white space that it swallows."""

    begin: int
    end: int
    special: Fragment


def special_pieces(vocab: Vocab, parse_special: bool) -> tuple[Special, ...]:
    """The pieces to search for, in order; CONTROL and UNKNOWN only with `parse_special`.

    llama.cpp sorts by size with std::sort, which leaves equal sizes in no fixed order; here the
    lower id goes first.
    """
    if_asked = (TokenType.CONTROL, TokenType.UNKNOWN) if parse_special else ()
    specials = [
        Special(vocab.pieces[i], i, i in vocab.lstrip_ids, i in vocab.rstrip_ids)
        for i in vocab.ids_of_type(TokenType.USER_DEFINED, *if_asked)
    ]
    return tuple(sorted(specials, key=lambda special: -len(special.piece)))


def partition(
    text: bytes, specials: tuple[Special, ...], trusted: Trusted | None = None
) -> list[Fragment]:
    """Cut `text` at every special piece; fragments of plain text are never empty.

    With `trusted`, a piece that reaches out of its spans is not special, however it is spelled.
    """
    cuts: list[Cut] = []  # in order, apart from each other
    for special in specials:
        anywhere = trusted is None or special.id in trusted.anywhere
        _cut_all(text, special, cuts, None if anywhere or trusted is None else trusted.spans)
    fragments: list[Fragment] = []
    begin = 0
    for cut in cuts:
        if begin < cut.begin:
            fragments.append(Fragment(begin, cut.begin))
        fragments.append(cut.special)
        begin = cut.end
    if begin < len(text):
        fragments.append(Fragment(begin, len(text)))
    return fragments


def settled(text: bytes, specials: tuple[Special, ...]) -> int:
    """How much of the beginning of `text` is cut in the same way whatever follows it.

    Occurrences that overlap decide about each other, and the last of them may not have ended yet:
    so this is where the group begins that reaches beyond the end, if there is one.
    """
    end = len(text)
    reaches = sorted(reach for special in specials for reach in _reaches(text, special))
    groups: list[tuple[int, int]] = []
    for begin, stop in reaches:
        if groups and begin < groups[-1][1]:
            groups[-1] = groups[-1][0], max(stop, groups[-1][1])
        else:
            groups.append((begin, stop))
    return groups[-1][0] if groups and groups[-1][1] > end else end


def _reaches(text: bytes, special: Special) -> Iterator[tuple[int, int]]:
    """From where to where one special piece has a say; beyond the end if it may still come."""
    piece, size, end = special.piece, len(special.piece), len(text)
    begins = [at for at in range(max(end - size + 1, 0), end) if piece.startswith(text[at:])]
    at = text.find(piece)
    while at >= 0:
        begins.append(at)
        at = text.find(piece, at + 1)
    if special.lstrip:
        begins.append(end)
    for begin in begins:
        stop = begin + size
        if special.lstrip:
            begin = len(text[:begin].rstrip(_WHITE_SPACE))
        if special.rstrip and stop <= end:
            stop = end - len(text[stop:].lstrip(_WHITE_SPACE))
            stop += stop == end
        yield begin, stop


def _cut_all(
    text: bytes, special: Special, cuts: list[Cut], spans: Sequence[tuple[int, int]] | None
) -> None:
    """Cut at every occurrence that lies in what is left of the text, and in one of the spans."""
    size = len(special.piece)
    at = text.find(special.piece)
    while at >= 0:
        if spans is not None and (trusted := _trusted_from(at, size, spans)) != at:
            at = text.find(special.piece, trusted) if trusted >= 0 else -1
            continue
        i = bisect_left(cuts, (at + size,))  # the first cut that begins behind the occurrence
        before = cuts[i - 1].end if i else 0
        if before > at:  # it overlaps a cut, and so does all that begins before that cut's end
            at = text.find(special.piece, before)
            continue
        begin, end = at, at + size
        if special.lstrip:
            while begin > before and text[begin - 1] in _WHITE_SPACE:
                begin -= 1
        if special.rstrip:
            limit = cuts[i].begin if i < len(cuts) else len(text)
            while end < limit and text[end] in _WHITE_SPACE:
                end += 1
        cuts.insert(i, Cut(begin, end, Fragment(at, at + size, special.id)))
        at = text.find(special.piece, end)


def _trusted_from(at: int, size: int, spans: Sequence[tuple[int, int]]) -> int:
    """`at` if a piece of that size lies in one of the spans there, else the next begin, or -1."""
    i = bisect_right(spans, at, key=lambda span: span[0])
    if i and at + size <= spans[i - 1][1]:
        return at
    return spans[i][0] if i < len(spans) else -1
