"""Text -> ids -> text as sentencepiece 0.2.3 does it, whatever the model type.

Encoding (`SentencePieceProcessor::EncodeOptimized`): normalise the whole input once; part it as the
model type does; what is no piece is spelled by its bytes, or is UNKNOWN, one for a run.

Decoding (`SentencePieceProcessor::DecodeOptimized`): the first ▁ is dropped if the normaliser put
it there; control pieces are silent; bytes that make no character are U+FFFD each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import accumulate, groupby
from typing import Final

from spm.errors import DecodeError, EncodeError, VocabError, quoted
from spm.text.family import Merging, ScoreMerging, Segmentation, ends
from spm.text.normalize import Normalizer, PrefixMatcher
from spm.text.spm_sentencepiece import SpmSentencePiece
from spm.text.token import Stretch, Token, locate
from spm.text.unigram import UnigramSentencePiece
from spm.text.utf8 import REPLACEMENT, characters, split_unfinished
from spm.text.word_char import Characters, Words
from spm.vocab import SPACE, Family, TokenType, Vocab
from spm.vocab.vocab import BYTE_OF_PIECE, byte_piece

MAX_PIECE_BYTES: Final = 7999  # model_interface.cc, kMaxPieceSize
_SEGMENTATIONS: Final[Mapping[Family, Callable[[Vocab, PrefixMatcher], Segmentation]]] = {
    Family.SPM: SpmSentencePiece,
    Family.UNIGRAM: lambda vocab, user_defined: UnigramSentencePiece(vocab),
    Family.WORD: lambda vocab, user_defined: Words(vocab),
    Family.CHAR: Characters,
}


class SentencePiece:
    """sentencepiece's reading of one vocabulary. Immutable; any number of threads may use it.

    Raises VocabError if the vocabulary does not tell how to normalise, lacks pieces for bytes, or
    is of a family that sentencepiece does not have.
    """

    name = "sentencepiece"
    behind_at_end = True

    def __init__(self, vocab: Vocab) -> None:
        if vocab.lacks or vocab.normalization is None:
            raise VocabError(
                f"{vocab.source}: {vocab.lacks} is missing, so sentencepiece's normaliser is"
                " unknown; expected the key, or dialect='llama.cpp'"
            )
        if max(map(len, vocab.pieces)) > MAX_PIECE_BYTES:
            longest = quoted(max(vocab.pieces, key=len))
            raise VocabError(
                f"{vocab.source}: piece {longest}, expected at most {MAX_PIECE_BYTES} bytes"
            )
        self.vocab = vocab
        self.rules = vocab.normalization
        self.byte_ids = _byte_ids(vocab) if vocab.byte_fallback else []
        self.user_defined = PrefixMatcher(_of_type(vocab, TokenType.USER_DEFINED))
        self.normalizer = Normalizer(self.rules, self.user_defined, vocab.source)
        self.denormalizer = _denormalizer(vocab)
        self.segmentation = _segmentation(vocab, self.user_defined)
        self.before, self.behind = ends(vocab)

    @property
    def merging(self) -> Merging | None:
        """What decides about merges, if neighbours merge at all."""
        return self.score_merging

    @property
    def score_merging(self) -> ScoreMerging | None:
        """The same where the score of the result alone decides: here in every case."""
        return self.segmentation if isinstance(self.segmentation, SpmSentencePiece) else None

    def parts(self, text: bytes, parse_special: bool, begins: bool = True) -> Iterator[Stretch]:
        """The normalised text, as one. Raises EncodeError for `parse_special`: there is none."""
        if parse_special:
            raise EncodeError(
                "parse_special is True, expected False: sentencepiece reads no CONTROL piece out of"
                " a text"
            )
        normalized, origin = self.normalizer.normalize(text, begins)
        yield Stretch(*self.segmentation.symbols(normalized), origin)

    def tokens(self, stretch: Stretch) -> Iterator[Token]:
        """The tokens of the text."""
        return self.spell(self.segmentation.segments(stretch), stretch)

    def spell(
        self, segments: Iterable[tuple[bytes, int | None]], stretch: Stretch
    ) -> Iterator[Token]:
        """The tokens of a text that was parted: with ids for what has none."""
        return locate(self._ids(segments), stretch.origin)

    def _ids(
        self, segments: Iterable[tuple[bytes, int | None]]
    ) -> Iterator[tuple[bytes, list[int]]]:
        """Unknown are the ids of its bytes, or one UNKNOWN for a whole run."""
        for unknown, run in groupby(segments, key=lambda part: part[1] is None):
            if unknown and not self.vocab.byte_fallback:
                yield b"".join(symbol for symbol, _ in run), [self.vocab.special_ids["unk"]]
            else:
                for symbol, i in run:
                    yield symbol, [self.byte_ids[b] for b in symbol] if i is None else [i]

    def settled(self, text: bytes, parse_special: bool) -> tuple[int, bool]:
        """How much of a text encodes apart from what follows; here no piece begins it anew."""
        if (sight := self.normalizer.sight) is None:
            return 0, True
        normalized, origin = self.normalizer.normalize(text)
        symbols = characters(normalized)
        borders = [0, *accumulate(map(len, symbols))]
        for i in self.segmentation.cuts(symbols):
            at = borders[i]
            decided = origin[at] + sight <= len(text) and origin[at - 1] < origin[at]
            swallows = self.rules.remove_extra_whitespaces and symbols[i - 1] in (SPACE, b" ")
            if decided and not swallows:
                return origin[at], False
        return 0, True

    def decoder(self, skip_special: bool) -> SentencePieceDecoder:
        """A decoder at the beginning of a text."""
        return SentencePieceDecoder(self, skip_special)


def _of_type(vocab: Vocab, kind: TokenType) -> list[bytes]:
    return [vocab.pieces[i] for i in vocab.ids_of_type(kind)]


def _segmentation(vocab: Vocab, user_defined: PrefixMatcher) -> Segmentation:
    if vocab.family not in _SEGMENTATIONS:
        raise VocabError(
            f"{vocab.source}: the vocabulary is {vocab.family.value}, which sentencepiece does not"
            " read, expected dialect='llama.cpp'"
        )
    return _SEGMENTATIONS[vocab.family](vocab, user_defined)


def _byte_ids(vocab: Vocab) -> list[int]:
    for byte in range(256):
        i = vocab.piece_to_id.get(byte_piece(byte))
        if i is None or vocab.types[i] != TokenType.BYTE:
            raise VocabError(
                f"{vocab.source}: byte fallback needs BYTE piece {byte_piece(byte).decode()},"
                " which is missing, expected all 256"
            )
    return [vocab.piece_to_id[byte_piece(byte)] for byte in range(256)]


def _denormalizer(vocab: Vocab) -> Normalizer | None:
    rules = vocab.denormalization
    return Normalizer(rules, PrefixMatcher(()), vocab.source) if rules else None


class SentencePieceDecoder:
    """Ids in, bytes out, as they come; `flush` ends the text.

    sentencepiece always leaves CONTROL pieces out; without `skip_special` their spelling is shown.
    """

    def __init__(self, dialect: SentencePiece, skip_special: bool) -> None:
        self.dialect = dialect
        self.skip_special = skip_special
        rules = dialect.rules
        self.strip_space = rules.add_dummy_prefix or rules.remove_extra_whitespaces
        self.raw = b""  # byte pieces that may still become a character
        self.whole: bytearray | None = bytearray() if dialect.denormalizer else None

    def push(self, i: int) -> bytes:
        """The bytes that id `i` adds."""
        return self._show(self._text(i))

    def flush(self) -> bytes:
        """The bytes that were held back."""
        return self._show(self._end_of_bytes(), end=True)

    def _show(self, text: bytes, end: bool = False) -> bytes:
        """A denormaliser sees the text as a whole, so all of it waits for the end."""
        if self.whole is None or self.dialect.denormalizer is None:
            return text
        self.whole += text
        if not end:
            return b""
        try:
            return self.dialect.denormalizer.normalize(bytes(self.whole))[0]
        except EncodeError as error:
            raise DecodeError(f"denormaliser: {error}") from None

    def _text(self, i: int) -> bytes:
        vocab = self.dialect.vocab
        piece, kind = vocab.pieces[i], vocab.types[i]
        if kind == TokenType.BYTE:
            decided, self.raw = split_unfinished(self.raw + bytes([BYTE_OF_PIECE[piece]]))
            self.strip_space = self.strip_space and not decided
            return decided
        before = self._end_of_bytes()
        self.strip_space = self.strip_space and not before
        return before + self._piece_text(piece, kind)

    def _piece_text(self, piece: bytes, kind: TokenType) -> bytes:
        if kind == TokenType.CONTROL:
            text = b"" if self.skip_special else piece
        else:
            shown = piece.removeprefix(SPACE) if self.strip_space else piece
            unknown = kind == TokenType.UNKNOWN
            text = self.dialect.vocab.unk_surface if unknown else shown.replace(SPACE, b" ")
            if shown != piece and not self.dialect.rules.remove_extra_whitespaces:
                self.strip_space = False
        self.strip_space = self.strip_space and not text
        return text

    def _end_of_bytes(self) -> bytes:
        """Byte pieces that nothing can complete any more."""
        raw, self.raw = self.raw, b""
        return REPLACEMENT * len(raw)
