"""The Tokenizer that people import: a vocabulary, read in one oracle's dialect."""

from __future__ import annotations

import operator
import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, SupportsIndex, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from spm.errors import DoubleBOSWarning, EncodeError, brief
from spm.gguf import GGUF
from spm.text.dialect import Dialect, dialect_of, encode
from spm.text.explain import Explanation, explain
from spm.text.fast import fast_decoder, fast_encoder
from spm.text.ids import checked_ids
from spm.text.stream import CharactersOf, StreamDecoder, StreamEncoder
from spm.text.token import Token
from spm.vocab import Vocab, as_converted, vocab_from_gguf, vocab_from_sentencepiece

Text: TypeAlias = str | bytes
T = TypeVar("T", str, bytes)
Unit: TypeAlias = Literal["char", "byte"]


@dataclass(frozen=True, eq=False)
class Batch:
    """The ids of many texts in one array: text i has ids[offsets[i]:offsets[i + 1]].

    `ids` is int32 (N,), `offsets` int64 (len + 1,). Indexing gives a view of one text's ids.
    """

    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]
    pad_id: int | None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, i: SupportsIndex) -> NDArray[np.int32]:
        n = operator.index(i)
        n += len(self) if n < 0 else 0
        if not 0 <= n < len(self):
            raise IndexError(f"text {operator.index(i)}, expected one of {len(self)}")
        return self.ids[self.offsets[n] : self.offsets[n + 1]]

    def __iter__(self) -> Iterator[NDArray[np.int32]]:
        return (self[i] for i in range(len(self)))

    def to_lists(self) -> list[list[int]]:
        """The ids as Python lists, one for each text."""
        return [ids.tolist() for ids in self]

    def pad(self, pad_id: int | None = None) -> NDArray[np.int32]:
        """One row for each text, filled up on the right: int32 (len, longest).

        Fills with the vocabulary's PAD unless `pad_id` is given. Raises EncodeError if there is
        neither.
        """
        fill = self.pad_id if pad_id is None else operator.index(pad_id)
        if fill is None:
            raise EncodeError("pad: the vocabulary has no PAD id, expected pad_id")
        if not -(2**31) <= fill < 2**31:
            raise EncodeError(f"pad: pad_id is {brief(fill)}, expected a number of 32 bits")
        sizes = np.diff(self.offsets)
        shape = len(self), int(sizes.max(initial=0))
        try:
            rows = np.full(shape, fill, np.int32)
        except MemoryError:
            raise EncodeError(f"pad: no memory for {shape[0]} rows of {shape[1]} ids") from None
        rows[np.arange(rows.shape[1]) < sizes[:, None]] = self.ids
        return rows


class Tokenizer:
    """Text -> ids -> text, exactly as `dialect` does it. Immutable and thread-safe."""

    def __init__(self, vocab: Vocab, dialect: str) -> None:
        self._dialect: Dialect = dialect_of(vocab, dialect)
        self._fast = fast_encoder(self._dialect)
        self._fast_decoder = fast_decoder(self._dialect)

    def __getstate__(self) -> dict[str, object]:
        return {"_dialect": self._dialect}  # the core's tables are made anew from it

    def __setstate__(self, state: dict[str, object]) -> None:
        vars(self).update(state)
        self._fast = fast_encoder(self._dialect)
        self._fast_decoder = fast_decoder(self._dialect)

    @classmethod
    def from_gguf(
        cls, source: str | os.PathLike[str] | GGUF, *, dialect: str = "llama.cpp"
    ) -> Tokenizer:
        """Read the vocabulary of a GGUF file. Raises GGUFError or VocabError."""
        if isinstance(source, GGUF):
            return cls(vocab_from_gguf(source), dialect)
        with GGUF.open(source) as gguf:
            return cls(vocab_from_gguf(gguf), dialect)

    @classmethod
    def from_sentencepiece(
        cls, path: str | os.PathLike[str], *, dialect: str = "sentencepiece"
    ) -> Tokenizer:
        """Read a sentencepiece BPE `.model`. Raises VocabError.

        With dialect='llama.cpp' the ids are those of the model converted to GGUF: scores and types
        one to one, the model's own special ids, and a BOS, since that is llama.cpp's default.
        """
        vocab = vocab_from_sentencepiece(path)
        if dialect == "llama.cpp":
            vocab = as_converted(vocab)
        return cls(vocab, dialect)

    @property
    def vocab(self) -> Vocab:
        """The vocabulary as the dialect reads it."""
        return self._dialect.vocab

    @property
    def dialect(self) -> str:
        """The oracle whose ids these are: 'llama.cpp' or 'sentencepiece'."""
        return self._dialect.name

    @property
    def fingerprint(self) -> str:
        """The vocabulary's sha256. Tokenizers with equal fingerprint and dialect give equal ids."""
        return self.vocab.fingerprint

    def __repr__(self) -> str:
        return f"Tokenizer({self.vocab!r}, dialect={self.dialect!r})"

    # ---- text -> ids

    def encode(
        self, text: Text, *, add_special: bool = True, parse_special: bool = False
    ) -> list[int]:
        """The ids of a text.

        `add_special` puts BOS and EOS where the vocabulary asks for them. `parse_special` lets the
        spelling of a CONTROL piece become that piece: never set it for text from strangers. Bytes
        need not be valid UTF-8. Raises EncodeError, or TypeError if `text` is neither str nor
        bytes. Warns of a second BOS.
        """
        ids: list[int] = self.encode_array(
            text, add_special=add_special, parse_special=parse_special
        ).tolist()
        return ids

    def encode_array(
        self, text: Text, *, add_special: bool = True, parse_special: bool = False
    ) -> NDArray[np.int32]:
        """As `encode`, int32 (n,)."""
        data = _bytes(text)
        if self._fast:
            ids = self._fast.encode(data, parse_special)
        else:
            ids = np.array([token.id for token in self._tokens(data, parse_special)], np.int32)
        return self._with_special(ids) if add_special else ids

    def encode_batch(
        self,
        texts: Iterable[Text],
        *,
        threads: int | None = None,
        add_special: bool = True,
        parse_special: bool = False,
    ) -> Batch:
        """The ids of many texts. So far one thread does it, whatever `threads` allows."""
        if threads is not None and threads < 1:
            raise EncodeError(f"threads is {brief(threads)}, expected 1 or more")
        if isinstance(texts, (str, bytes)):
            raise TypeError(f"texts is {type(texts).__name__}, expected several texts")
        rows = [
            self.encode_array(text, add_special=add_special, parse_special=parse_special)
            for text in texts
        ]
        offsets = np.cumsum([0, *map(len, rows)], dtype=np.int64)
        ids = np.concatenate(rows) if rows else np.empty(0, np.int32)
        return Batch(ids, offsets, self.vocab.pad_id)

    def encode_offsets(
        self,
        text: Text,
        *,
        unit: Unit = "char",
        add_special: bool = True,
        parse_special: bool = False,
    ) -> tuple[list[int], NDArray[np.int64]]:
        """The ids of a text and where each stands in it: begin and end, int64 (n, 2).

        `unit` says what is counted: characters of the text, or bytes of its UTF-8. BOS, EOS and the
        space that was put before a text are empty. Of a character spelled as bytes the last byte
        owns all of it. Raises EncodeError also for characters of bytes that are not valid UTF-8.
        """
        if unit not in ("char", "byte"):
            raise EncodeError(f"unit is {brief(unit)}, expected 'char' or 'byte'")
        data = _bytes(text)
        tokens = list(self._tokens(data, parse_special))
        ids = [token.id for token in tokens]
        spans = [(token.begin, token.end) for token in tokens]
        if add_special:
            ids = self._with_special(np.array(ids, np.int32)).tolist()
            bos, eos = self.vocab.add_bos, self.vocab.add_eos
            spans = [(0, 0)] * bos + spans + [(len(data), len(data))] * eos
        table = np.array(spans, np.int64).reshape(-1, 2)
        return ids, table if unit == "byte" else _characters_before(data)[table]

    def count(self, text: Text, *, add_special: bool = True, parse_special: bool = False) -> int:
        """How many ids `encode` gives."""
        return len(self.encode_array(text, add_special=add_special, parse_special=parse_special))

    def truncate(
        self, text: T, max_tokens: int, *, add_special: bool = True, parse_special: bool = False
    ) -> T:
        """The longest beginning of `text` that ends with one of its tokens and fits.

        It has at most `max_tokens` ids, BOS and EOS included, and is empty if nothing fits. Where
        sentencepiece's normaliser does something else at the new end it may be a little shorter.
        """
        data = _bytes(text)
        room = operator.index(max_tokens) - (
            self.vocab.add_bos + self.vocab.add_eos if add_special else 0
        )
        tokens = list(self._tokens(data, parse_special))
        ends = [token.end for token in tokens[: max(room, 0)]]
        ends = [len(data)] if len(tokens) <= room else ends
        if isinstance(text, str):  # never half a character
            ends = [end for end in ends if end == len(data) or data[end] & 0xC0 != 0x80]

        def fits(end: int) -> bool:
            return sum(1 for _ in self._tokens(data[:end], parse_special)) <= room

        steps = (1 << i for i in range(len(ends).bit_length()))  # back by 1, 2, 4, ... tokens
        end = next((ends[-step] for step in steps if fits(ends[-step])), 0)
        return data[:end].decode() if isinstance(text, str) else data[:end]

    def stream_encoder(
        self, *, add_special: bool = True, parse_special: bool = False
    ) -> StreamEncoder:
        """Encode a text that comes in parts: the same ids as `encode` of the whole."""
        return StreamEncoder(
            lambda text: self.encode(text, add_special=add_special, parse_special=parse_special)
        )

    def explain(self, text: Text, *, parse_special: bool = False) -> Explanation:
        """Every symbol, merge, score and tie on the way to the ids, without BOS and EOS."""
        return explain(self._dialect, _bytes(text), parse_special)

    # ---- ids -> text

    def decode(self, ids: Iterable[SupportsIndex], *, skip_special: bool = True) -> str:
        """The text of ids, with U+FFFD for what is not UTF-8.

        In the llama.cpp dialect the text behind a BOS keeps the space that encoding put in front,
        as there: decode(encode("a")) is " a" if the vocabulary adds BOS, and "a" if it does not.
        Raises DecodeError for what is no id of the vocabulary.
        """
        if self._fast_decoder:
            return self._fast_decoder.decode(ids, skip_special)
        return self.decode_bytes(ids, skip_special=skip_special).decode("utf-8", "replace")

    def decode_bytes(self, ids: Iterable[SupportsIndex], *, skip_special: bool = True) -> bytes:
        """The text of ids as bytes. `skip_special` leaves CONTROL pieces out."""
        if self._fast_decoder:
            return self._fast_decoder.decode_bytes(ids, skip_special)
        decoder = self._dialect.decoder(skip_special)
        return b"".join(map(decoder.push, checked_ids(self.vocab, ids))) + decoder.flush()

    def stream_decoder(self, *, skip_special: bool = True) -> StreamDecoder:
        """Decode ids as they come: the text of `decode`, never half a character."""
        fast = self._fast_decoder
        decoder = fast.stream(skip_special) if fast else CharactersOf(self._dialect, skip_special)
        return StreamDecoder(self.vocab, decoder)

    # ---- inside

    def _tokens(self, text: bytes, parse_special: bool) -> Iterator[Token]:
        return encode(self._dialect, text, parse_special)

    def _with_special(self, ids: NDArray[np.int32]) -> NDArray[np.int32]:
        vocab = self.vocab
        bos = [vocab.special_ids["bos"]] if vocab.add_bos else []
        eos = [vocab.special_ids["eos"]] if vocab.add_eos else []
        if bos and ids[:1].tolist() == bos:
            message = "the text begins with BOS and the vocabulary adds one: there are two now"
            warnings.warn(message, DoubleBOSWarning, stacklevel=_depth_of_caller())
        return np.concatenate([bos, ids, eos], dtype=np.int32, casting="unsafe")


def _depth_of_caller() -> int:
    """How many frames up the code stands that called into this package: the one to blame."""
    depth, frame = 1, sys._getframe(1)
    while frame.f_globals.get("__name__", "").startswith("spm.") and frame.f_back:
        depth, frame = depth + 1, frame.f_back
    return depth


def _bytes(text: Text) -> bytes:
    if isinstance(text, bytes):
        return text
    if not isinstance(text, str):
        raise TypeError(f"text is {type(text).__name__}, expected str or bytes")
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        lone = f"U+{ord(text[error.start]):04X}"
        raise EncodeError(
            f"text: lone surrogate {lone} at character {error.start},"
            " expected Unicode text or bytes"
        ) from None


def _characters_before(data: bytes) -> NDArray[np.int64]:
    """How many characters begin before each byte of a text and its end: int64 (len + 1,)."""
    try:
        data.decode()
    except UnicodeDecodeError as error:
        raise EncodeError(
            f"text: byte {error.start} is no valid UTF-8, expected unit='byte' for such a text"
        ) from None
    begins = (np.frombuffer(data, np.uint8) & 0xC0) != 0x80
    return np.concatenate([[0], np.cumsum(begins)])  # a character has begun before its second byte
