"""What is unusual about a vocabulary: where a tokenizer that was written for others goes wrong."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

import numpy as np

from spm.errors import EncodeError, quoted
from spm.text.dialect import Dialect, encode
from spm.text.family import ScoreMerging
from spm.text.utf8 import characters, is_utf8
from spm.vocab import TokenType, Vocab
from spm.vocab.pipeline import Pipeline
from spm.vocab.vocab import byte_piece

_NOT_FOR_TEXT = (TokenType.CONTROL, TokenType.UNKNOWN, TokenType.BYTE, TokenType.UNUSED)


def unusual(dialect: Dialect) -> Iterator[str]:
    """One line for each finding, with an example."""
    vocab = dialect.vocab
    if vocab.pipeline is not None:
        yield from _pipeline(vocab.pipeline, vocab)
    elif vocab.lacks:
        yield f"{vocab.lacks} is missing: there is no sentencepiece dialect"
    yield from _malformed(vocab)
    yield from _missing_bytes(vocab)
    if dialect.score_merging is not None:
        yield from _ties(dialect.score_merging)
        yield from _improper(dialect.score_merging)
    yield from _reachable(dialect)


def _found(ids: list[int], vocab: Vocab, what: str) -> Iterator[str]:
    if ids:
        yield f"{len(ids)} {what}, such as {quoted(vocab.pieces[ids[0]])} (id {ids[0]})"


def _pipeline(steps: Pipeline, vocab: Vocab) -> Iterator[str]:
    """What a tokenizer.json leaves out, or does not do as its reader would think."""
    if steps.decoders is None:
        yield "there is no decoder: pieces are put together with spaces between them"
    added = steps.added_tokens
    plain = [token.id for token in added if not token.special]
    yield from _found(plain, vocab, "added tokens come of any text, since they are not special")
    normal = [token.id for token in added if token.special and token.normalized]
    if steps.normalizers:
        yield from _found(normal, vocab, "special tokens are looked for in the normalised text")


def _malformed(vocab: Vocab) -> Iterator[str]:
    """Such pieces come out of stray bytes alone."""
    ids = [i for i, piece in enumerate(vocab.pieces) if not is_utf8(piece)]
    yield from _found(ids, vocab, "pieces are not UTF-8")


def _missing_bytes(vocab: Vocab) -> Iterator[str]:
    missing = [b for b in range(256) if byte_piece(b) not in vocab.piece_to_id]
    if 0 < len(missing) < 256:
        first = byte_piece(missing[0]).decode()
        yield f"{len(missing)} of 256 byte pieces are missing, such as {first}"


def _ties(merging: ScoreMerging) -> Iterator[str]:
    """Of these the leftmost merges first, in one oracle as in the other."""
    ids = _results(merging)
    _, which, counts = np.unique(merging.ranks_by_id[ids], return_inverse=True, return_counts=True)
    tied = [i for i, n in zip(ids, counts[which].tolist()) if n > 1]
    yield from _found(tied, merging.vocab, "pieces share their score with another")


def _improper(merging: ScoreMerging) -> Iterator[str]:
    """A table of pairs that looks at one split of a piece gets these wrong."""
    vocab = merging.vocab
    ids = [i for i in _results(merging) if _is_improper(vocab.pieces[i], merging)]
    yield from _found(ids, vocab, "pieces may merge before a part of theirs does")


def _results(merging: ScoreMerging) -> list[int]:
    """The pieces for text that a merge can have made."""
    vocab = merging.vocab
    ids = vocab.ids_of_type(TokenType.NORMAL, TokenType.USER_DEFINED)
    return [i for i in ids if merging.may_result[i] and len(characters(vocab.pieces[i])) > 1]


def _is_improper(piece: bytes, merging: ScoreMerging) -> bool:
    symbols, own = characters(piece), merging.ranks[piece]
    for n, at in enumerate(accumulate(map(len, symbols[:-1])), 1):
        halves = ((piece[:at], n), (piece[at:], len(symbols) - n))
        ranks = [merging.ranks.get(half) for half, _ in halves]
        made = [rank for rank, (_, n) in zip(ranks, halves) if n > 1]
        if None not in ranks and any(rank > own for rank in made if rank is not None):
            return True
    return False


def _reachable(dialect: Dialect) -> Iterator[str]:
    """Where plain text can become what plain text should not."""
    vocab = dialect.vocab
    ids = [i for i in vocab.ids_of_type(*_NOT_FOR_TEXT) if _comes_of_text(dialect, i)]
    yield from _found(ids, vocab, "pieces that are not for text come of their spelling")


def _comes_of_text(dialect: Dialect, i: int) -> bool:
    vocab, text = dialect.vocab, dialect.vocab.pieces[i]
    if vocab.types[i] == TokenType.UNKNOWN and not vocab.byte_fallback:
        return False  # it may well be that its characters are unknown
    try:
        tokens = list(encode(dialect, text, parse_special=False))
    except EncodeError:
        return False
    return any(t.id == i and text[t.begin : t.end] == text for t in tokens)
