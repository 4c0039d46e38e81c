"""A text of which only some spans are trusted -> ids: who may spell a control piece, and who not.

The text is one: it merges across the borders of trust, gets its space prefixes where one text
would, and its special pieces are found in one pass. Two things differ from `parse_special`:

1. CONTROL and UNKNOWN pieces are looked for inside of the trusted spans only. USER_DEFINED pieces
   are found everywhere, as llama.cpp always does: they are words of the vocabulary, and rule
   nothing.
2. llama.cpp lets a merge result in any piece, whatever its type. So `<s>` typed as text can still
   become BOS if `<s` happens to be a piece, as in InternLM2. Where a text between special pieces
   comes out with a CONTROL id, it is encoded again without those pieces in the vocabulary.

The id of UNKNOWN may still come out, also where a file calls it CONTROL: what a vocabulary cannot
spell has no other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from spm.text.dialect import encode
from spm.text.dialect_llama_cpp import LlamaCpp
from spm.text.fragments import Trusted, partition
from spm.vocab import TokenType, Vocab


def encode_trusted(
    dialect: LlamaCpp,
    text: bytes,
    spans: Sequence[tuple[int, int]],
    encode_part: Callable[[bytes], list[int]],
) -> list[int]:
    """The ids of a text with trusted `spans`, in bytes; no other part spells a CONTROL piece.

    The text is valid UTF-8, and `encode_part` encodes what stands between special pieces. Raises
    EncodeError if the vocabulary can spell the text with its CONTROL pieces only.
    """
    anywhere = frozenset(special.id for special in dialect.specials[False])
    control = frozenset(dialect.vocab.ids_of_type(TokenType.CONTROL))
    without: LlamaCpp | None = None
    found: list[int] = []
    for begin, end, i in partition(text, dialect.specials[True], Trusted(spans, anywhere)):
        ids = encode_part(text[begin:end]) if i is None else [i]
        if i is None and not control.isdisjoint(ids):
            without = without or LlamaCpp(_unspelled(dialect.vocab))
            ids = [token.id for token in encode(without, text[begin:end], False)]
        found += ids
    return found


def _unspelled(vocab: Vocab) -> Vocab:
    """The vocabulary with CONTROL pieces that no text spells: with a byte that is in no UTF-8."""
    pieces = list(vocab.pieces)
    for i in vocab.ids_of_type(TokenType.CONTROL):
        pieces[i] = b"\xff" + pieces[i]
    piece_to_id = dict(zip(pieces, range(len(pieces))))
    return vocab.reread(pieces=tuple(pieces), piece_to_id=piece_to_id)
