"""Text -> ids -> text as llama.cpp does it, whatever the family of the vocabulary.

Encoding (`llama_vocab::impl::tokenize`, src/llama-vocab.cpp): cut out special pieces; what stands
between them is normalised and encoded as the family does it: no normaliser comes before.

Decoding (`llama_vocab::impl::detokenize`): every id shows its piece, or is silent. The first id
loses one leading space if the vocabulary adds one, unless a BOS stood before it and was removed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from spm.errors import VocabError
from spm.text.bpe import Bpe
from spm.text.clean_spaces import CleanedDecoder
from spm.text.family import Decoder, Encoding, Merging, ScoreMerging, ends
from spm.text.fragments import partition, settled, special_pieces
from spm.text.plamo2 import Plamo2
from spm.text.rwkv import Rwkv
from spm.text.spm_llama_cpp import SpmLlamaCpp
from spm.text.token import Stretch, Token
from spm.text.unigram import UnigramLlamaCpp
from spm.text.wordpiece import WordPiece
from spm.vocab import Family, TokenType, Vocab

_SILENT: Final = (TokenType.CONTROL, TokenType.UNKNOWN)
_ENCODINGS: Final[Mapping[Family, Callable[[Vocab], Encoding]]] = {
    Family.SPM: SpmLlamaCpp,
    Family.WORDPIECE: WordPiece,
    Family.RWKV: Rwkv,
    Family.PLAMO2: Plamo2,
    Family.BPE: Bpe,
    Family.UNIGRAM: UnigramLlamaCpp,
}


class LlamaCpp:
    """llama.cpp's reading of one vocabulary. Immutable; any number of threads may use it.

    Raises VocabError if llama.cpp has no such family.
    """

    name = "llama.cpp"
    behind_at_end = True

    def __init__(self, vocab: Vocab) -> None:
        if vocab.family not in _ENCODINGS:
            raise VocabError(
                f"{vocab.source}: the vocabulary is {vocab.family.value}, which llama.cpp does not"
                " read, expected dialect='sentencepiece'"
            )
        self.vocab = vocab
        self.encoding = _ENCODINGS[vocab.family](vocab)
        self.specials = {p: special_pieces(vocab, parse_special=p) for p in (False, True)}
        self.before, self.behind = _ends(vocab)

    @property
    def merging(self) -> Merging | None:
        """What decides about merges, if neighbours merge at all."""
        return self.encoding if isinstance(self.encoding, (SpmLlamaCpp, Bpe)) else None

    @property
    def score_merging(self) -> ScoreMerging | None:
        """The same where the score of the result alone decides."""
        return self.encoding if isinstance(self.encoding, SpmLlamaCpp) else None

    def parts(
        self, text: bytes, parse_special: bool, begins: bool = True
    ) -> Iterator[Token | Stretch]:
        """The special pieces of `text`, and between them the texts that are encoded."""
        after_special = begins
        for begin, end, i in partition(text, self.specials[parse_special]):
            if i is not None:
                yield Token(i, begin, end)
            else:
                yield from self.encoding.stretches(text, begin, end, after_special)
            after_special = i is not None

    def tokens(self, stretch: Stretch) -> Iterator[Token]:
        """The tokens of one stretch. Raises EncodeError if a byte cannot be spelled."""
        return self.encoding.tokens(stretch)

    def settled(self, text: bytes, parse_special: bool) -> tuple[int, bool]:
        """How much of a text encodes apart from what follows, and whether that begins anew."""
        specials = self.specials[parse_special]
        end = settled(text, specials)
        fragments = partition(text[:end], specials)
        if not fragments:
            return 0, True
        last = fragments[-1]
        if last.id is not None:
            return end, True  # with the white space that it swallowed
        cut = self.encoding.settled(text, last.begin, last.end)
        return cut, cut == last.begin

    def decoder(self, skip_special: bool) -> Decoder:
        """A decoder at the beginning of a text."""
        decoder = LlamaCppDecoder(self, skip_special)
        return CleanedDecoder(decoder) if self.encoding.cleans_spaces else decoder


def _ends(vocab: Vocab) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The ids that `add_special` puts before a text and behind it."""
    if vocab.family == Family.WORDPIECE:  # whatever its flags say
        return (vocab.special_ids["bos"],), (vocab.special_ids["sep"],)
    if vocab.family in (Family.RWKV, Family.PLAMO2):
        return (), ()
    return ends(vocab)


class LlamaCppDecoder:
    """Ids in, bytes out, as they come; `flush` ends the text.

    With `skip_special` this is `llama_detokenize` with remove_special and without unparse_special;
    without it, the other way round.
    """

    def __init__(self, dialect: LlamaCpp, skip_special: bool) -> None:
        self.dialect = dialect
        self.skip_special = skip_special
        self.at_start = True
        self.strip_space = dialect.vocab.add_space_prefix
        self.held = b""  # the text of an EOS: it is shown only if something follows

    def push(self, i: int) -> bytes:
        """The bytes that id `i` adds."""
        vocab = self.dialect.vocab
        at_start, self.at_start = self.at_start, False
        if at_start and self.skip_special and vocab.add_bos and i == vocab.bos_id:
            self.strip_space = False
            return b""
        text = self._text(i)
        if self.strip_space:
            text = text.removeprefix(b" ")
            self.strip_space = False
        shown, self.held = self.held, b""
        if self.skip_special and vocab.add_eos and i == vocab.eos_id:
            self.held = text
            return shown
        return shown + text

    def _text(self, i: int) -> bytes:
        if self.skip_special and self.dialect.vocab.types[i] in _SILENT:
            return b""
        return self.dialect.encoding.piece_text(i)

    def flush(self) -> bytes:
        """What was held back and can be shown: nothing, an EOS at the end is removed."""
        return b""
