"""What a dialect is: one oracle's way from text to ids and back, for one vocabulary."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final, Protocol

from spm.errors import VocabError, brief
from spm.text.dialect_llama_cpp import LlamaCpp
from spm.text.dialect_sentencepiece import SentencePiece
from spm.text.family import Decoder, Merging, ScoreMerging
from spm.text.token import Stretch, Token
from spm.vocab import Vocab, as_llama_cpp


class Dialect(Protocol):
    """Two steps to ids: `parts` cuts and normalises, `tokens` merges one stretch."""

    name: str
    vocab: Vocab
    before: tuple[int, ...]  # the ids that `add_special` puts before a text
    behind: tuple[int, ...]  # and behind it
    behind_at_end: bool  # whether these stand at the end of the text, or like the others at 0

    @property
    def merging(self) -> Merging | None:
        """What decides about merges, if neighbours merge at all."""

    @property
    def score_merging(self) -> ScoreMerging | None:
        """The same where the score of the result alone decides."""

    def parts(
        self, text: bytes, parse_special: bool, begins: bool = True
    ) -> Iterator[Token | Stretch]:
        """The special pieces of a text, done, and between them what is ready to merge.

        Without `begins` the text goes on from another one that was cut there.
        """

    def tokens(self, stretch: Stretch) -> Iterator[Token]:
        """The tokens of one stretch."""

    def settled(self, text: bytes, parse_special: bool) -> tuple[int, bool]:
        """How much of a text encodes apart from what follows, and whether that begins anew."""

    def decoder(self, skip_special: bool) -> Decoder:
        """A decoder at the beginning of a text."""


def _hugging_face(vocab: Vocab) -> Dialect:
    """Imported here, since nothing else needs the package `regex`."""
    from spm.text.dialect_huggingface import HuggingFace

    return HuggingFace(vocab)


_DIALECTS: Final[Mapping[str, Callable[[Vocab], Dialect]]] = {
    "llama.cpp": lambda vocab: LlamaCpp(as_llama_cpp(vocab)),
    "sentencepiece": SentencePiece,
    "huggingface": _hugging_face,
}


def dialect_of(vocab: Vocab, name: str) -> Dialect:
    """Read `vocab` as the named oracle does.

    Raises VocabError if the oracle would not read it, or if no dialect has that name.
    """
    if name not in _DIALECTS:
        raise VocabError(f"dialect is {brief(name)}, expected {' or '.join(map(repr, _DIALECTS))}")
    if vocab.pipeline is not None and name != "huggingface":
        raise VocabError(
            f"{vocab.source}: dialect is {brief(name)}, expected 'huggingface' for a tokenizer.json"
        )
    return _DIALECTS[name](vocab)


def encode(
    dialect: Dialect, text: bytes, parse_special: bool, begins: bool = True
) -> Iterator[Token]:
    """The tokens of `text`, without BOS and EOS."""
    for part in dialect.parts(text, parse_special, begins):
        if isinstance(part, Token):
            yield part
        else:
            yield from dialect.tokens(part)
