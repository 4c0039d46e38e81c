"""Other encodings of a text than the one: the best n, and encodings by chance.

Models that are trained on varying encodings of the same text learn what pieces have in common
(subword regularization; BPE-dropout for merges). `SentencePieceProcessor::NBestEncode` and
`SampleEncode` of sentencepiece's src/sentencepiece_processor.cc.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import isfinite
from random import Random
from typing import Final

from spm.errors import EncodeError
from spm.text.dialect import Dialect, encode
from spm.text.dialect_sentencepiece import SentencePiece
from spm.text.lattice import Lattice, Node, draw
from spm.text.spm_sentencepiece import SpmSentencePiece
from spm.text.token import Stretch, Token
from spm.text.unigram import NO_ID, UnigramSentencePiece

MAX_NBEST: Final = 512  # sentencepiece_processor.cc, kMaxNBestSize

Row = tuple[list[int], float]


def nbest(dialect: Dialect, text: bytes, n: int) -> list[Row]:
    """The ids and the score of the `n` best encodings, the best first.

    One is what `encode` gives, and scores 0. Raises EncodeError if the model is not Unigram.
    """
    sentencepiece, unigram = _unigram(dialect)
    _check_n("n", n)
    (stretch,) = sentencepiece.parts(text, parse_special=False)
    if n <= 1 or not stretch.symbols:
        return [(_ids_of(sentencepiece.tokens(stretch)), 0.0)]
    rows = _lattice(unigram, stretch).nbest(n)
    return [(_ids(sentencepiece, row, stretch), score) for row, score in rows]


def sample(dialect: Dialect, text: bytes, alpha: float, nbest_size: int, rng: Random) -> list[int]:
    """The ids of one encoding by chance.

    Unigram: of all encodings (`nbest_size` below 0) or of the best `nbest_size`, each as often as
    its probability raised to the power of `alpha`; 0 and 1 are what `encode` gives. SPM: each merge
    whose turn it is is dropped with probability `alpha`. Raises EncodeError for other families.
    """
    if not isfinite(alpha) or alpha < 0:
        raise EncodeError(f"alpha is {alpha}, expected 0 or more")
    _check_n("nbest_size", nbest_size)
    if isinstance(dialect, SentencePiece) and isinstance(dialect.segmentation, SpmSentencePiece):
        return _with_dropout(dialect, dialect.segmentation, text, lambda: rng.random() < alpha)
    sentencepiece, unigram = _unigram(dialect)
    if nbest_size in (0, 1):
        return _ids_of(encode(dialect, text, parse_special=False))
    if nbest_size > 1:
        rows = nbest(dialect, text, nbest_size)
        return rows[draw([alpha * (score - rows[0][1]) for _, score in rows], rng)][0]
    (stretch,) = sentencepiece.parts(text, parse_special=False)
    return _ids(sentencepiece, _lattice(unigram, stretch).sample(alpha, rng), stretch)


def _check_n(name: str, n: int) -> None:
    if n > MAX_NBEST:
        raise EncodeError(f"{name} is {n}, expected at most {MAX_NBEST}")


def _unigram(dialect: Dialect) -> tuple[SentencePiece, UnigramSentencePiece]:
    if isinstance(dialect, SentencePiece) and isinstance(
        dialect.segmentation, UnigramSentencePiece
    ):
        return dialect, dialect.segmentation
    raise EncodeError(
        f"{dialect.vocab.source}: the vocabulary is {dialect.vocab.family.value} in the"
        f" {dialect.name} dialect, expected Unigram in the sentencepiece dialect"
    )


def _lattice(unigram: UnigramSentencePiece, stretch: Stretch) -> Lattice:
    return Lattice(stretch.symbols, unigram.lexicon, unigram.user_defined)


def _ids(dialect: SentencePiece, row: Iterable[Node], stretch: Stretch) -> list[int]:
    segments = (
        (b"".join(stretch.symbols[n.begin : n.end]), None if n.id == NO_ID else n.id) for n in row
    )
    return _ids_of(dialect.spell(segments, stretch))


def _with_dropout(
    dialect: SentencePiece, merging: SpmSentencePiece, text: bytes, skips: Callable[[], bool]
) -> list[int]:
    (stretch,) = dialect.parts(text, parse_special=False)
    return _ids_of(dialect.spell(merging.segments(stretch, skips), stretch))


def _ids_of(tokens: Iterable[Token]) -> list[int]:
    return [token.id for token in tokens]
