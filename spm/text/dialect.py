"""What a dialect is: one oracle's way from text to ids and back, for one vocabulary."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final, Protocol

from spm.errors import VocabError
from spm.text.dialect_llama_cpp import LlamaCpp
from spm.text.dialect_sentencepiece import SentencePiece
from spm.text.token import Stretch, Token
from spm.vocab import Vocab, as_llama_cpp


class Decoder(Protocol):
    """Ids in, bytes out, as they come; `flush` gives what was held back and ends the text."""

    def push(self, i: int) -> bytes: ...  # noqa: D102
    def flush(self) -> bytes: ...  # noqa: D102


class Dialect(Protocol):
    """Two steps to ids: `stretches` cuts and normalises, `tokens` merges one stretch."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def vocab(self) -> Vocab: ...  # noqa: D102
    @property
    def ranks(self) -> Mapping[bytes, float]: ...  # noqa: D102
    def stretches(self, text: bytes, parse_special: bool) -> Iterator[Token | Stretch]: ...  # noqa: D102
    def tokens(self, stretch: Stretch) -> Iterator[Token]: ...  # noqa: D102
    def decoder(self, skip_special: bool) -> Decoder: ...  # noqa: D102


_DIALECTS: Final[Mapping[str, Callable[[Vocab], Dialect]]] = {
    "llama.cpp": lambda vocab: LlamaCpp(as_llama_cpp(vocab)),
    "sentencepiece": SentencePiece,
}


def dialect_of(vocab: Vocab, name: str) -> Dialect:
    """Read `vocab` as the named oracle does.

    Raises VocabError if the oracle would not read it, or if no dialect has that name.
    """
    if name not in _DIALECTS:
        raise VocabError(f"dialect is {name!r}, expected {' or '.join(map(repr, _DIALECTS))}")
    return _DIALECTS[name](vocab)


def encode(dialect: Dialect, text: bytes, parse_special: bool) -> Iterator[Token]:
    """The tokens of `text`, without BOS and EOS."""
    for stretch in dialect.stretches(text, parse_special):
        if isinstance(stretch, Token):
            yield stretch
        else:
            yield from dialect.tokens(stretch)
