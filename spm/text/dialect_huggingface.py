"""Text -> ids -> text as Hugging Face tokenizers 0.23 does it with a `tokenizer.json`.

The order of things (tokenizers/src/tokenizer/mod.rs, `encode_single_sequence`): added tokens that
are not normalised are found in the text; what lies between is normalised, each part by itself; the
other added tokens are found there; what is left is cut by the pre-tokenizers and given to the
model, part by part. Every part knows where it stood in the text as it was given (hf/aligned.py).

    "Héllo<s> you"      added tokens   Héllo | <s> | ␣you
                        normalizers    hello |     | ␣you
                        pre-tokenizers hello |     | Ġyou
                        model          hel·lo|     | Ġyou

`parse_special` is the opposite of the library's `encode_special_tokens`: without it the spelling of
a special token is text like any other. Texts are Unicode: bytes that are not are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

from spm.errors import EncodeError, VocabError
from spm.text.hf.added import AddedTokens
from spm.text.hf.aligned import Aligned
from spm.text.hf.decoders import decoder
from spm.text.hf.models import model
from spm.text.hf.normalizers import normalizer
from spm.text.hf.postprocessors import trimmed
from spm.text.hf.pretokenizers import pre_tokenizer
from spm.text.hf.spans import Model
from spm.text.token import Stretch, Token
from spm.vocab import Vocab
from spm.vocab.pipeline import AddedToken

Placed = tuple[int, str, int, int]  # id, piece, begin and end in characters of the text


class HuggingFace:
    """tokenizers' reading of one `tokenizer.json`. Immutable; any number of threads may use it.

    Raises VocabError if the vocabulary has no pipeline, or for a pattern that is not read.
    """

    name = "huggingface"
    behind_at_end = False  # what the post-processor adds stands nowhere: 0 to 0
    merging: None = None
    score_merging: None = None

    def __init__(self, vocab: Vocab) -> None:
        if vocab.pipeline is None:
            raise VocabError(
                f"{vocab.source}: dialect is 'huggingface', expected a tokenizer.json for it"
            )
        self.vocab = vocab
        self.pipeline = vocab.pipeline
        self._begin()

    def _begin(self) -> None:
        steps, source = self.pipeline, self.vocab.source
        self.before = steps.post_processor.before
        self.behind = steps.post_processor.behind
        self.normalizers = [normalizer(step, f"{source}: normalizer") for step in steps.normalizers]
        self.pre_tokenizers = [
            pre_tokenizer(step, f"{source}: pre_tokenizer") for step in steps.pre_tokenizers
        ]
        self.new_chain = decoder(steps.decoders, f"{source}: decoder")
        self.shown = self._shown_tokens()
        tokens = steps.added_tokens
        self.raw = AddedTokens(((t.content, t) for t in tokens if not t.normalized), source)
        self.normalized = AddedTokens(
            ((self.shown[t.id], t) for t in tokens if t.normalized), source
        )
        self.special = frozenset(token.content for token in tokens if token.special)
        self.model = self._model()

    def __getstate__(self) -> dict[str, object]:
        return {"vocab": self.vocab, "pipeline": self.pipeline}

    def __setstate__(self, state: dict[str, object]) -> None:
        vars(self).update(state)
        self._begin()

    def _shown_tokens(self) -> dict[int, str]:
        """Added tokens as they are looked for and decoded: normalised, where they want to be."""
        shown: dict[int, str] = {}
        for token in self.pipeline.added_tokens:
            text = Aligned.of(token.content)
            if token.normalized:
                self._normalize(text)
            shown[token.id] = text.text
        return shown

    def _model(self) -> Model:
        n = self.pipeline.n_own
        ids = {piece.decode(): i for piece, i in self.vocab.piece_to_id.items() if i < n}
        return model(self.vocab.source, ids, self.pipeline.model)

    # ---- text -> ids

    def parts(self, text: bytes, parse_special: bool, begins: bool = True) -> Iterator[Token]:
        """The tokens of a text. Raises EncodeError for what is not UTF-8, or has no ids."""
        given = _decoded(text)
        tokens = [token for part in self._cut(given, parse_special) for token in part]
        places = [(begin, end) for _, _, begin, end in tokens]
        for trim in self.pipeline.post_processor.trims:
            places = trimmed(places, [piece for _, piece, _, _ in tokens], trim)
        to_bytes = _bytes_before(given)
        for (i, _, _, _), (begin, end) in zip(tokens, places):
            yield Token(i, to_bytes[begin], to_bytes[end])

    def tokens(self, stretch: Stretch) -> Iterator[Token]:
        """There are no stretches here: parts are tokens."""
        return iter(())

    def _cut(self, text: str, parse_special: bool) -> Iterator[list[Placed]]:
        """The tokens of each part of a text."""
        for token, part in self.raw.cut(Aligned.of(text), parse_special):
            if token is not None:
                yield [_placed(token, part)]
                continue
            self._normalize(part)
            for inner, rest in self.normalized.cut(part, parse_special):
                yield [_placed(inner, rest)] if inner else list(self._encode(rest))

    def _normalize(self, text: Aligned) -> None:
        for rewrite in self.normalizers:
            rewrite(text)

    def _encode(self, text: Aligned) -> Iterator[Placed]:
        parts = [text]
        for cut in self.pre_tokenizers:
            parts = [piece for part in parts for piece in cut(part) if piece.text]
        for part in parts:
            char_of = _characters_at(part.text)
            for i, begin, end in self.model.tokenize(part.text):
                piece = self.vocab.pieces[i].decode()
                yield i, piece, *part.place(char_of[begin], char_of[end - 1] + 1)

    def settled(self, text: bytes, parse_special: bool) -> tuple[int, bool]:
        """Nothing is certain before the text ends: a normaliser may look at all of it."""
        return 0, True

    # ---- ids -> text

    def decoder(self, skip_special: bool) -> HuggingFaceDecoder:
        """A decoder at the beginning of a text."""
        return HuggingFaceDecoder(self, skip_special)

    def decoded_piece(self, i: int) -> str:
        """An id as the decoders see it."""
        return self.shown[i] if i in self.shown else self.vocab.pieces[i].decode()


class HuggingFaceDecoder:
    """Ids in, bytes out, as early as the steps of the decoder are certain."""

    def __init__(self, dialect: HuggingFace, skip_special: bool) -> None:
        self.dialect = dialect
        self.skip_special = skip_special
        self.chain = dialect.new_chain()

    def push(self, i: int) -> bytes:
        """The bytes that id `i` adds.

        The library asks whether a token as shown is special, so one that normalisation changes is
        never left out.
        """
        piece = self.dialect.decoded_piece(i)
        if self.skip_special and piece in self.dialect.special:
            return b""
        return self.chain.push(piece)

    def flush(self) -> bytes:
        """The bytes that were held back."""
        return self.chain.flush()


def _decoded(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise EncodeError(
            f"text: byte {error.start} is no valid UTF-8, expected Unicode text for"
            " dialect 'huggingface'"
        ) from None


def _placed(token: AddedToken, part: Aligned) -> Placed:
    return (token.id, part.text, *part.place(0, len(part.text)))


def _characters_at(text: str) -> range | list[int]:
    """For each byte of a text the character that it belongs to."""
    if text.isascii():
        return range(len(text))
    return [at for at, char in enumerate(text) for _ in char.encode()]


def _bytes_before(text: str) -> range | list[int]:
    """For each character of a text, and its end, how many bytes stand before it."""
    if text.isascii():
        return range(len(text) + 1)
    return list(accumulate((len(char.encode()) for char in text), initial=0))
