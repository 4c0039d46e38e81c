"""What a `tokenizer.json` asks for between a text and its ids, as data: one class per component.

A text passes, in this order, the added tokens, the normalizers, the pre-tokenizers, the model and
the post-processor; ids become text again through the decoders. Components of type `Sequence` are
gone: each stage is a tuple of steps. The classes are named as their `type` in the file is; what
they do stands in spm/text/hf.
"""

from __future__ import annotations

import hashlib
from dataclasses import astuple, dataclass, field
from typing import Literal, TypeAlias, get_args

Behavior: TypeAlias = Literal[
    "Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"
]
PrependScheme: TypeAlias = Literal["always", "first", "never"]
UnicodeForm: TypeAlias = Literal["NFC", "NFD", "NFKC", "NFKD"]

BEHAVIORS: tuple[Behavior, ...] = get_args(Behavior)
PREPEND_SCHEMES: tuple[PrependScheme, ...] = get_args(PrependScheme)


@dataclass(frozen=True)
class Pattern:
    """What is searched: a text, or a regular expression in Oniguruma's Ruby syntax."""

    text: str
    is_regex: bool


# ---- normalizers, and those of them that are decoders as well


@dataclass(frozen=True)
class Normalize:
    """`NFC`, `NFD`, `NFKC` or `NFKD`."""

    form: UnicodeForm


@dataclass(frozen=True)
class Lowercase:
    """Small letters, one character at a time."""


@dataclass(frozen=True)
class Strip:
    """White space at the ends goes."""

    left: bool
    right: bool


@dataclass(frozen=True)
class StripAccents:
    """Combining marks go."""


@dataclass(frozen=True)
class Nmt:
    """Control characters go, and what counts as white space becomes spaces."""


@dataclass(frozen=True)
class Replace:
    """Every match becomes `content`. Also a decoder."""

    pattern: Pattern
    content: str


@dataclass(frozen=True)
class Prepend:
    """`prefix` is put before a text that is not empty."""

    prefix: str


@dataclass(frozen=True)
class ByteLevelText:
    """`ByteLevel` as a normalizer: every byte becomes a visible character."""


@dataclass(frozen=True)
class BertNormalizer:
    """BERT's cleaning, with its four switches."""

    clean_text: bool
    handle_chinese_chars: bool
    strip_accents: bool
    lowercase: bool


@dataclass(frozen=True)
class Precompiled:
    """sentencepiece's charsmap, applied grapheme by grapheme."""

    charsmap: bytes = field(repr=False)


Normalizer: TypeAlias = (
    Normalize
    | Lowercase
    | Strip
    | StripAccents
    | Nmt
    | Replace
    | Prepend
    | ByteLevelText
    | BertNormalizer
    | Precompiled
)


# ---- pre-tokenizers


@dataclass(frozen=True)
class ByteLevel:
    """A space in front, GPT-2's words, bytes as visible characters. Also a decoder."""

    add_prefix_space: bool
    use_regex: bool


@dataclass(frozen=True)
class Split:
    """Cut at the matches, or with `invert` between them."""

    pattern: Pattern
    behavior: Behavior
    invert: bool


@dataclass(frozen=True)
class Metaspace:
    """Spaces become `replacement`, one more is put in front. Also a decoder."""

    replacement: str
    prepend_scheme: PrependScheme
    split: bool


@dataclass(frozen=True)
class Whitespace:
    """Words, and what is neither word nor white space."""


@dataclass(frozen=True)
class WhitespaceSplit:
    """What stands between white space."""


@dataclass(frozen=True)
class BertPreTokenizer:
    """What stands between white space, every punctuation mark alone."""


@dataclass(frozen=True)
class Punctuation:
    """Cut at punctuation marks."""

    behavior: Behavior


@dataclass(frozen=True)
class Digits:
    """Cut at numbers, or at every one of their characters."""

    individual: bool


@dataclass(frozen=True)
class CharDelimiterSplit:
    """What stands between one character."""

    delimiter: str


@dataclass(frozen=True)
class FixedLength:
    """So many characters at a time."""

    length: int


PreTokenizer: TypeAlias = (
    ByteLevel
    | Split
    | Metaspace
    | Whitespace
    | WhitespaceSplit
    | BertPreTokenizer
    | Punctuation
    | Digits
    | CharDelimiterSplit
    | FixedLength
)


# ---- models


@dataclass(frozen=True)
class BPE:
    """Pairs of ids merge, the first pair of `merges` first: (left, right, what results)."""

    merges: tuple[tuple[int, int, int], ...] = field(repr=False)
    unk_id: int | None
    continuing_subword_prefix: str
    end_of_word_suffix: str
    fuse_unk: bool
    byte_fallback: bool
    ignore_merges: bool


@dataclass(frozen=True)
class Unigram:
    """The most probable row of pieces; `scores` by id, in the precision of the file."""

    scores: tuple[float, ...] = field(repr=False)
    unk_id: int | None
    byte_fallback: bool


@dataclass(frozen=True)
class WordPiece:
    """The longest pieces of each word, from its beginning."""

    unk_id: int | None
    continuing_subword_prefix: str
    max_input_chars_per_word: int


@dataclass(frozen=True)
class WordLevel:
    """Whole words."""

    unk_id: int | None


Model: TypeAlias = BPE | Unigram | WordPiece | WordLevel


# ---- post-processor


@dataclass(frozen=True)
class TrimOffsets:
    """White space does not count to the place of a token (`trim_offsets`)."""

    add_prefix_space: bool


@dataclass(frozen=True)
class PostProcessor:
    """What is put before a text and behind it, and where tokens are said to stand."""

    before: tuple[int, ...] = ()
    behind: tuple[int, ...] = ()
    trims: tuple[TrimOffsets, ...] = ()


# ---- decoders


@dataclass(frozen=True)
class WordPieceDecoder:
    """`WordPiece`: a space before what does not begin with `prefix`."""

    prefix: str
    cleanup: bool


@dataclass(frozen=True)
class BPEDecoder:
    """The suffix of a word becomes a space, that of the last nothing."""

    suffix: str


@dataclass(frozen=True)
class ByteFallback:
    """Pieces like <0x0A> become bytes."""


@dataclass(frozen=True)
class Fuse:
    """All pieces become one."""


@dataclass(frozen=True)
class StripDecoder:
    """`Strip`: up to `start` characters at the beginning of a piece go, and `stop` at its end."""

    content: str
    start: int
    stop: int


@dataclass(frozen=True)
class CTC:
    """Repeated pieces count once, `pad_token` goes."""

    pad_token: str
    word_delimiter_token: str
    cleanup: bool


Decoder: TypeAlias = (
    ByteLevel
    | Metaspace
    | Replace
    | WordPieceDecoder
    | BPEDecoder
    | ByteFallback
    | Fuse
    | StripDecoder
    | CTC
)


# ---- the whole


@dataclass(frozen=True)
class AddedToken:
    """A piece that is found in the text as a whole, before or after normalisation."""

    id: int
    content: str
    single_word: bool
    lstrip: bool
    rstrip: bool
    normalized: bool
    special: bool


@dataclass(frozen=True)
class Pipeline:
    """Every step between a text and its ids; `decoders` is None where the file has no decoder.

    The first `n_own` pieces of the vocabulary are the model's own, the others were added.
    """

    n_own: int
    added_tokens: tuple[AddedToken, ...]
    normalizers: tuple[Normalizer, ...]
    pre_tokenizers: tuple[PreTokenizer, ...]
    model: Model
    post_processor: PostProcessor
    decoders: tuple[Decoder, ...] | None

    @property
    def digest(self) -> str:
        """The sha256, in hex, over every component and option."""
        stages = (*self.normalizers, *self.pre_tokenizers, self.model, *(self.decoders or ()))
        steps = [(type(step).__name__, astuple(step)) for step in stages]
        ends = (self.n_own, len(self.normalizers), len(self.pre_tokenizers), self.decoders is None)
        rest = (astuple(self.post_processor), [astuple(token) for token in self.added_tokens])
        return hashlib.sha256(
            repr((steps, ends, rest)).encode("utf-8", "surrogatepass")
        ).hexdigest()
