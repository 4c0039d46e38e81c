"""Models: one part of a text -> ids, and how many bytes of the part each stands for.

Places are in bytes because two of the models spell what they do not know byte by byte; a byte has
the place of its character. Sources: tokenizers/src/models, `tokenize` of each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from heapq import heapify, heappop, heappush
from itertools import pairwise
from typing import Any, Final, NamedTuple

from spm.errors import EncodeError, VocabError
from spm.vocab import Vocab
from spm.vocab import pipeline as hf
from spm.vocab.vocab import byte_piece

UNKNOWN_PENALTY: Final = 10.0  # unigram/model.rs, K_UNK_PENALTY
MAX_UNIGRAM_CHARACTERS: Final = 8000  # of a piece; sentencepiece's limit is 7999 bytes


class Span(NamedTuple):
    """An id and the bytes of the part that it stands for."""

    id: int
    begin: int
    end: int


Tokenize = Callable[[str], list[Span]]


def model(vocab: Vocab, ids: Mapping[str, int], step: hf.Model) -> Tokenize:
    """What turns a part into ids; `ids` holds the pieces of the model, not the added ones."""
    return _MAKERS[type(step)](vocab.source, ids, step)


def _in_a_row(tokens: list[tuple[int, int]]) -> list[Span]:
    """Ids and sizes -> where they stand, one behind the other."""
    spans: list[Span] = []
    end = 0
    for i, size in tokens:
        spans.append(Span(i, end, end + size))
        end += size
    return spans


def _byte_ids(ids: Mapping[str, int]) -> list[int | None]:
    return [ids.get(byte_piece(byte).decode()) for byte in range(256)]


# ---- BPE


def _bpe(source: str, ids: Mapping[str, int], step: hf.BPE) -> Tokenize:
    merges = {(left, right): (rank, new) for rank, (left, right, new) in enumerate(step.merges)}
    byte_ids = _byte_ids(ids) if step.byte_fallback else []

    def spell(char: str, shown: str) -> list[tuple[int, int]] | None:
        """The ids of one character, None if it has none."""
        i = ids.get(shown)
        if i is not None:
            return [(i, len(char.encode()))]
        if not step.byte_fallback:
            return None
        spelled = [(found, 1) for b in char.encode() if (found := byte_ids[b]) is not None]
        return spelled if len(spelled) == len(char.encode()) else None

    def symbols(part: str) -> Iterator[tuple[int, int]]:
        """Characters as ids. An unknown one waits for the next known piece, not for bytes."""
        unknown: int | None = None  # its size
        for at, char in enumerate(part):
            shown = step.continuing_subword_prefix + char if at else char
            shown += step.end_of_word_suffix if at == len(part) - 1 else ""
            spelled = spell(char, shown)
            if spelled is None and step.unk_id is None:
                continue  # a character that nothing stands for is left out
            if spelled is None and unknown is not None and step.fuse_unk:
                unknown += len(char.encode())
                continue
            if unknown is not None and (spelled is None or shown in ids):
                yield step.unk_id or 0, unknown
                unknown = None
            if spelled is None:
                unknown = len(char.encode())
            else:
                yield from spelled
        if unknown is not None:
            yield step.unk_id or 0, unknown

    def tokenize(part: str) -> list[Span]:
        if step.ignore_merges and (whole := ids.get(part)) is not None:
            return [Span(whole, 0, len(part.encode()))]
        return _in_a_row(merge_pairs(list(symbols(part)), merges))

    return tokenize


def merge_pairs(
    symbols: list[tuple[int, int]], merges: Mapping[tuple[int, int], tuple[int, int]]
) -> list[tuple[int, int]]:
    """Merge pairs of ids until none is left, the lowest rank first, and of equal ones the leftmost.

    Symbols are ids with their sizes. A pair that was queued is still good if what stands there now
    would become the same id, whatever its own rank is: bpe/word.rs, `merge_all`.
    """
    row: list[int | None] = [i for i, _ in symbols]  # None where a symbol was swallowed
    sizes = [size for _, size in symbols]
    n = len(row)
    before = list(range(-1, n - 1))
    after = list(range(1, n + 1))
    agenda = [
        (found[0], at, found[1])
        for at, (left, right) in enumerate(pairwise(i for i, _ in symbols))
        if (found := merges.get((left, right))) is not None
    ]
    heapify(agenda)

    def consider(left: int, right: int) -> None:
        found = merges.get((row[left], row[right]))  # type: ignore[arg-type]
        if found is not None:
            heappush(agenda, (found[0], left, found[1]))

    while agenda:
        _, left, new = heappop(agenda)
        right = after[left]
        if row[left] is None or right >= n:
            continue
        found = merges.get((row[left], row[right]))  # type: ignore[arg-type]
        if found is None or found[1] != new:
            continue
        row[left], row[right] = new, None
        sizes[left] += sizes[right]
        after[left] = after[right]
        if after[left] < n:
            before[after[left]] = left
        if before[left] >= 0:
            consider(before[left], left)
        if after[left] < n:
            consider(left, after[left])
    return [(i, size) for i, size in zip(row, sizes) if i is not None]


# ---- Unigram


def _unigram(source: str, ids: Mapping[str, int], step: hf.Unigram) -> Tokenize:
    if max(map(len, ids)) > MAX_UNIGRAM_CHARACTERS:
        raise VocabError(
            f"{source}: model.vocab has a piece of {max(map(len, ids))} characters,"
            f" expected at most {MAX_UNIGRAM_CHARACTERS}"
        )
    sizes = _sizes_by_first(ids)
    unknown_score = min(step.scores) - UNKNOWN_PENALTY
    byte_ids = _byte_ids(ids) if step.byte_fallback else []

    def best_path(part: str) -> tuple[list[int], list[int | None]]:
        """For each place the beginning of the piece that best ends there, and its id.

        Places are reached from left to right; a path that is as good as the one before is not
        taken.
        """
        n = len(part)
        scores = [0.0] * (n + 1)
        begins = [-1] * (n + 1)
        found: list[int | None] = [None] * (n + 1)

        def reach(begin: int, end: int, score: float, i: int | None) -> None:
            score += scores[begin]
            if begins[end] < 0 or score > scores[end]:
                scores[end], begins[end], found[end] = score, begin, i

        for begin in range(n):
            single = False
            for size in sizes.get(part[begin], ()):
                i = ids.get(part[begin : begin + size]) if begin + size <= n else None
                if i is not None:
                    reach(begin, begin + size, step.scores[i], i)
                    single = single or size == 1
            if not single:
                reach(begin, begin + 1, unknown_score, step.unk_id)
        return begins, found

    def pieces(part: str) -> list[str]:
        """The pieces from left to right; unknown ones side by side are one."""
        begins, found = best_path(part)
        texts: list[str] = []
        end, unknown_end = len(part), -1
        while end > 0:
            if found[end] is None:
                raise EncodeError(f"{source}: a character has no piece, and model.unk_id is null")
            if found[end] == step.unk_id:
                unknown_end = end if unknown_end < 0 else unknown_end
            else:
                if unknown_end >= 0:
                    texts.append(part[end:unknown_end])
                    unknown_end = -1
                texts.append(part[begins[end] : end])
            end = begins[end]
        if unknown_end >= 0:
            texts.append(part[:unknown_end])
        return texts[::-1]

    def tokenize(part: str) -> list[Span]:
        spans: list[Span] = []
        end = 0
        for piece in pieces(part):
            begin, end = end, end + len(piece.encode())
            i = ids.get(piece)
            spelled = [byte_ids[b] for b in piece.encode()] if i is None and byte_ids else [None]
            if i is None and None not in spelled:
                spans += (Span(b, begin, end) for b in spelled if b is not None)
            else:
                spans.append(Span(step.unk_id or 0 if i is None else i, begin, end))
        return spans

    return tokenize


def _sizes_by_first(ids: Mapping[str, int]) -> dict[str, list[int]]:
    """How long the pieces are that begin with a character, the shortest first."""
    sizes: dict[str, set[int]] = {}
    for piece in ids:
        if piece:
            sizes.setdefault(piece[0], set()).add(len(piece))
    return {first: sorted(found) for first, found in sizes.items()}


# ---- WordPiece and WordLevel


def _word_piece(source: str, ids: Mapping[str, int], step: hf.WordPiece) -> Tokenize:
    prefix = step.continuing_subword_prefix
    longest = max(map(len, ids), default=0)

    def unknown(part: str) -> list[Span]:
        return [_unknown(source, step.unk_id, part)]

    def tokenize(part: str) -> list[Span]:
        if len(part) > step.max_input_chars_per_word:
            return unknown(part)
        tokens: list[tuple[int, int]] = []
        begin = 0
        while begin < len(part):
            shown = prefix if begin else ""
            for end in range(min(len(part), begin + longest - len(shown)), begin, -1):
                i = ids.get(shown + part[begin:end])
                if i is not None:
                    break
            else:
                return unknown(part)
            tokens.append((i, len(part[begin:end].encode())))
            begin = end
        return _in_a_row(tokens)

    return tokenize


def _word_level(source: str, ids: Mapping[str, int], step: hf.WordLevel) -> Tokenize:
    def tokenize(part: str) -> list[Span]:
        i = ids.get(part)
        if i is None:
            return [_unknown(source, step.unk_id, part)]
        return [Span(i, 0, len(part.encode()))]

    return tokenize


def _unknown(source: str, unk_id: int | None, part: str) -> Span:
    if unk_id is None:
        raise EncodeError(
            f"{source}: a word of the text has no piece, and model.unk_token has none,"
            " expected one for unknown words"
        )
    return Span(unk_id, 0, len(part.encode()))


_MAKERS: Final[dict[type, Callable[[str, Mapping[str, int], Any], Tokenize]]] = {
    hf.BPE: _bpe,
    hf.Unigram: _unigram,
    hf.WordPiece: _word_piece,
    hf.WordLevel: _word_level,
}
