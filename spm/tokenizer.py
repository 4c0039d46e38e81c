"""The Tokenizer that people import: a vocabulary, read in one oracle's dialect."""

from __future__ import annotations

import json
import operator
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from types import MappingProxyType
from typing import Any, Final, Literal, SupportsIndex, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from spm.batch import Batch
from spm.chat import ChatTemplate, Message, Rendered
from spm.chat.template import chosen, special_tokens, templates_from_gguf
from spm.chat.text import byte_spans, own_spans
from spm.conversion import write_checked
from spm.errors import ChatError, DoubleBOSWarning, EncodeError, VocabError, brief
from spm.gguf import GGUF, write_gguf
from spm.text.alternatives import nbest, sample
from spm.text.dialect import Dialect, dialect_of, encode
from spm.text.dialect_llama_cpp import LlamaCpp
from spm.text.explain import Explanation, explain
from spm.text.fast import CACHE_BYTES, fast_decoder, fast_encoder
from spm.text.ids import checked_ids
from spm.text.stream import CharactersOf, StreamDecoder, StreamEncoder
from spm.text.trust import encode_trusted
from spm.text.unusual import unusual
from spm.text.utf8 import utf8
from spm.vocab import (
    Vocab,
    as_converted,
    gguf_metadata,
    hf_json,
    model_bytes,
    vocab_from_gguf,
    vocab_from_hf,
    vocab_from_sentencepiece,
)

Text: TypeAlias = str | bytes
T = TypeVar("T", str, bytes)
Unit: TypeAlias = Literal["char", "byte"]


class Tokenizer:
    """Text -> ids -> text, exactly as `dialect` does it. Immutable and thread-safe."""

    def __init__(
        self,
        vocab: Vocab,
        dialect: str,
        *,
        cache_bytes: int = CACHE_BYTES,
        chat_templates: Mapping[str, ChatTemplate] | None = None,
    ) -> None:
        self._dialect: Dialect = dialect_of(vocab, dialect)
        self._chat_templates = dict(chat_templates or {})
        self._cache_bytes = operator.index(cache_bytes)
        if not 0 <= self._cache_bytes < 1 << 62:
            raise VocabError(f"cache_bytes is {brief(self._cache_bytes)}, expected 0 or more")
        self._begin()

    def _begin(self) -> None:
        """Make the core's tables, and let its own functions stand where the methods do.

        A Python frame in between would take as long as the ids of a short text.
        """
        self._fast = fast_encoder(self._dialect, self._cache_bytes)
        self._fast_decoder = fast_decoder(self._dialect)
        merging = self._dialect.score_merging
        self._never_leaves_core = self._fast is not None and not (merging and merging.taken_apart)
        if not self._never_leaves_core:
            return
        if any(getattr(type(self), name) is not own for name, own in _IN_THE_CORE.items()):
            return  # somebody has put another in its place, which the others may call
        for name in _IN_THE_CORE:
            setattr(self, name, getattr(self._fast, name))

    def __getstate__(self) -> dict[str, object]:
        kept = ("_dialect", "_cache_bytes", "_chat_templates")
        return {name: vars(self)[name] for name in kept}

    def __setstate__(self, state: dict[str, object]) -> None:
        vars(self).update(state)
        self._begin()

    @classmethod
    def from_gguf(
        cls,
        source: str | os.PathLike[str] | GGUF,
        *,
        dialect: str = "llama.cpp",
        cache_bytes: int = CACHE_BYTES,
    ) -> Tokenizer:
        """Read the vocabulary of a GGUF file. Raises GGUFError or VocabError.

        `cache_bytes` bounds what the compiled core keeps of the texts it has seen.
        """
        if not isinstance(source, GGUF):
            with GGUF.open(source) as gguf:
                return cls.from_gguf(gguf, dialect=dialect, cache_bytes=cache_bytes)
        return cls(
            vocab_from_gguf(source),
            dialect,
            cache_bytes=cache_bytes,
            chat_templates=templates_from_gguf(source),
        )

    @classmethod
    def from_sentencepiece(
        cls,
        path: str | os.PathLike[str],
        *,
        dialect: str = "sentencepiece",
        cache_bytes: int = CACHE_BYTES,
    ) -> Tokenizer:
        """Read a sentencepiece `.model` of any type. Raises VocabError.

        With dialect='llama.cpp' the ids are those of the model converted to GGUF: scores and types
        one to one, the model's own special ids, and those that llama.cpp adds by default: BOS to
        BPE, EOS to Unigram. It has no WORD and no CHAR.
        """
        vocab = vocab_from_sentencepiece(path)
        if dialect == "llama.cpp":
            vocab = as_converted(vocab)
        return cls(vocab, dialect, cache_bytes=cache_bytes)

    @classmethod
    def from_hf(cls, path: str | os.PathLike[str]) -> Tokenizer:
        """Read a Hugging Face `tokenizer.json`: the ids of tokenizers 0.23. Raises VocabError.

        `add_special` is the file's post-processor. `truncation` and `padding` in the file are not
        read: they are settings for a batch, which transformers too sets anew for every call.
        """
        return cls(vocab_from_hf(path), "huggingface")

    # ---- to a file

    def to_gguf(self, path: str | os.PathLike[str]) -> None:
        """Write a GGUF file that holds the vocabulary and nothing else; llama.cpp opens it.

        Out of a `.model`, which does not tell, it adds BOS, since that is llama.cpp's default.
        Raises VocabError, and leaves no file, if GGUF cannot say what gives these ids.
        """
        vocab = as_converted(self.vocab) if self.dialect == "sentencepiece" else self.vocab
        self._write(
            path,
            lambda draft: write_gguf(draft, gguf_metadata(vocab), {}),
            lambda draft: Tokenizer.from_gguf(draft, dialect=self.dialect),
        )

    def to_sentencepiece(self, path: str | os.PathLike[str]) -> None:
        """Write a sentencepiece `.model`.

        Raises VocabError, and leaves no file, if a `.model` cannot say what gives these ids.
        """
        self._write(
            path,
            lambda draft: draft.write_bytes(model_bytes(self.vocab)),
            lambda draft: Tokenizer.from_sentencepiece(draft, dialect=self.dialect),
        )

    def to_hf(self, path: str | os.PathLike[str]) -> None:
        """Write a Hugging Face `tokenizer.json`; tokenizers 0.23 gives these ids with it.

        CONTROL pieces are its special tokens, which a text becomes unless `encode_special_tokens`
        is set. Its decoder is the usual one of the family: spaces at the ends of a text may differ.
        Raises VocabError, and leaves no file, if a tokenizer.json cannot say what gives these ids.
        """
        before, behind = self._dialect.before, self._dialect.behind

        def write(draft: Path) -> None:
            content = hf_json(self.vocab, self.dialect, before, behind)
            draft.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")

        self._write(path, write, Tokenizer.from_hf)

    def _write(
        self,
        path: str | os.PathLike[str],
        write: Callable[[Path], object],
        reopen: Callable[[Path], Tokenizer],
    ) -> None:
        parses = (False,) if self.dialect == "sentencepiece" else (False, True)
        write_checked(path, self, write, reopen, parses)

    @property
    def vocab(self) -> Vocab:
        """The vocabulary as the dialect reads it."""
        return self._dialect.vocab

    @property
    def dialect(self) -> str:
        """The oracle whose ids these are: 'llama.cpp', 'sentencepiece' or 'huggingface'."""
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
        self,
        text: Text,
        *,
        add_special: bool = True,
        parse_special: bool = False,
        threads: int | None = None,
    ) -> NDArray[np.int32]:
        """As `encode`, int32 (n,).

        A long text is cut into parts for `threads`; None is as many as are worth it.
        """
        _check_threads(threads)
        options = {"add_special": add_special, "parse_special": parse_special, "threads": threads}
        ids: NDArray[np.int32] | None = self._in_core("encode_array", text, **options)
        if ids is not None:
            return ids
        tokens = encode(self._dialect, utf8(text), parse_special)
        return self._with_special([token.id for token in tokens], add_special, add_special)

    def encode_batch(
        self,
        texts: Iterable[Text],
        *,
        threads: int | None = None,
        add_special: bool = True,
        parse_special: bool = False,
    ) -> Batch:
        """The ids of many texts, on as many `threads` as are worth it unless it says how many."""
        _check_threads(threads)
        if isinstance(texts, (str, bytes)):
            raise TypeError(f"texts is {type(texts).__name__}, expected several texts")
        texts = tuple(texts)
        flags = bool(add_special), bool(parse_special)
        if (found := self._in_core("encode_batch", texts, threads, *flags)) is not None:
            batch = Batch(found[0], found[1], self.vocab.pad_id)
            if add_special and self._dialect.before:
                second = batch.offsets[:-1] + 1
                second = second[second < batch.offsets[1:]]
                if (batch.ids[second] == self._dialect.before[-1]).any():
                    _warn_of_double_bos()
            return batch
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
        data = utf8(text)
        if unit == "char":
            _check_valid(data)
        ids, spans = self._locate(data, parse_special, None, unit)
        if not add_special:
            return ids.tolist(), spans
        size = len(data.decode()) if unit == "char" else len(data)
        before = np.zeros((len(self._dialect.before), 2), np.int64)
        end = size if self._dialect.behind_at_end else 0
        behind = np.full((len(self._dialect.behind), 2), end, np.int64)
        return (
            self._with_special(ids.tolist(), True, True).tolist(),
            np.concatenate([before, spans, behind]),
        )

    def count(self, text: Text, *, add_special: bool = True, parse_special: bool = False) -> int:
        """How many ids `encode` gives. The core keeps none of them."""
        options = {"add_special": add_special, "parse_special": parse_special}
        n: int | None = self._in_core("count", text, **options)
        return len(self.encode_array(text, **options)) if n is None else n

    def truncate(
        self, text: T, max_tokens: int, *, add_special: bool = True, parse_special: bool = False
    ) -> T:
        """The longest beginning of `text` that ends with one of its tokens and fits.

        It has at most `max_tokens` ids, BOS and EOS included, and is empty if nothing fits. Where
        sentencepiece's normaliser does something else at the new end it may be a little shorter.
        The core encodes no more of the text than that.
        """
        data = utf8(text)
        around = (*self._dialect.before, *self._dialect.behind) if add_special else ()
        room = operator.index(max_tokens) - len(around)
        ids, spans = self._locate(data, parse_special, min(max(room, 0), sys.maxsize), "byte")
        if len(ids) <= room:
            return text
        ends = spans[: max(room, 0), 1].tolist()
        if isinstance(text, str):  # never half a character
            ends = [end for end in ends if end == len(data) or data[end] & 0xC0 != 0x80]

        def fits(end: int) -> bool:
            return self.count(data[:end], add_special=False, parse_special=parse_special) <= room

        steps = (1 << i for i in range(len(ends).bit_length()))  # back by 1, 2, 4, ... tokens
        end = next((ends[-step] for step in steps if fits(ends[-step])), 0)
        return data[:end].decode() if isinstance(text, str) else data[:end]

    def stream_encoder(
        self, *, add_special: bool = True, parse_special: bool = False
    ) -> StreamEncoder:
        """Encode a text that comes in parts: the same ids as `encode` of the whole."""
        return StreamEncoder(_StreamParts(self, bool(add_special), bool(parse_special)))

    def nbest_encode(
        self, text: Text, n: int, *, add_special: bool = True
    ) -> list[tuple[list[int], float]]:
        """The ids and the score of the `n` best encodings of a text, the best first.

        As sentencepiece's `nbest_encode`: fewer if there are not so many, the best alone if there
        are far too many to tell; `n` is at most 512, and what is below 1 is 1, whose score is 0.
        Raises EncodeError unless the vocabulary is Unigram in the sentencepiece dialect.
        """
        rows = nbest(self._dialect, utf8(text), operator.index(n))
        finished = [self._with_special(ids, add_special, add_special).tolist() for ids, _ in rows]
        return list(zip(finished, (score for _, score in rows)))

    def sample_encode(
        self,
        text: Text,
        *,
        alpha: float,
        nbest_size: int = -1,
        seed: int | None = None,
        add_special: bool = True,
    ) -> list[int]:
        """The ids of one encoding by chance, for training: as sentencepiece's `sample_encode`.

        Unigram: of all encodings, or of the best `nbest_size`, each as often as its probability
        raised to the power of `alpha`. SPM: BPE-dropout, `alpha` is the probability with which a
        merge is dropped. The same `seed` gives the same ids; None takes one from the system.
        Raises EncodeError for other families, and outside of the sentencepiece dialect.
        """
        ids = sample(
            self._dialect, utf8(text), float(alpha), operator.index(nbest_size), Random(seed)
        )
        return list(self._with_special(ids, add_special, add_special).tolist())

    def explain(self, text: Text, *, parse_special: bool = False) -> Explanation:
        """Every symbol, merge, score and tie on the way to the ids, without BOS and EOS."""
        return explain(self._dialect, utf8(text), parse_special)

    def unusual(self) -> list[str]:
        """What to know of this vocabulary: ties, improper scores, missing bytes; a line each."""
        return list(unusual(self._dialect))

    # ---- messages -> text -> ids

    @property
    def chat_templates(self) -> Mapping[str, ChatTemplate]:
        """The file's chat templates by name; the one without a name is 'default'."""
        return MappingProxyType(self._chat_templates)

    def apply_chat_template(
        self,
        messages: Iterable[Message],
        *,
        tools: Iterable[Mapping[str, Any]] | None = None,
        documents: Iterable[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = True,
        template: str | ChatTemplate | None = None,
        **variables: Any,
    ) -> list[int]:
        """The ids of `render_chat`."""
        return list(
            self.render_chat(
                messages,
                tools=tools,
                documents=documents,
                add_generation_prompt=add_generation_prompt,
                template=template,
                **variables,
            ).ids
        )

    def render_chat(
        self,
        messages: Iterable[Message],
        *,
        tools: Iterable[Mapping[str, Any]] | None = None,
        documents: Iterable[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = True,
        template: str | ChatTemplate | None = None,
        **variables: Any,
    ) -> Rendered:
        """A chat as its template writes it, and the ids of that, in the llama.cpp dialect.

        The text is that of transformers. Whatever the messages, tools, documents and `variables`
        contain, it spells no CONTROL piece: only what the template itself wrote is parsed for
        special pieces, and the ids are else those of `encode(text, parse_special=True,
        add_special=False)`. BOS and EOS are there if the template wrote them. `template` is a name
        in `chat_templates`; None is 'tool_use' where there are tools and such a template, and
        'default' otherwise. Raises ChatError, in bounded time and memory, for messages that the
        template refuses, or a template that does not come to an end.
        """
        if not isinstance(self._dialect, LlamaCpp):
            raise ChatError(
                f"{self.vocab.source}: the dialect is {self.dialect!r}, which has no special"
                " pieces in a text, expected 'llama.cpp'"
            )
        text = chosen(self._chat_templates, template, bool(tools), self.vocab.source).render(
            messages,
            tools=tools,
            documents=documents,
            add_generation_prompt=add_generation_prompt,
            special_tokens=special_tokens(self.vocab),
            variables=variables,
        )
        spans = own_spans(text)
        encode_part = partial(self._encode_part, parse_special=False, begins=True)
        ids = encode_trusted(self._dialect, utf8(text), byte_spans(text, spans), encode_part)
        return Rendered(str.__str__(text), spans, tuple(ids))

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
        decoder = fast.stream(skip_special) if fast else None
        return StreamDecoder(self.vocab, decoder or CharactersOf(self._dialect, skip_special))

    # ---- inside

    def _in_core(self, name: str, *args: object, **options: object) -> Any:
        """What the core answers to a call, or None where the specification has to.

        That is where there is no core for this vocabulary, or where a text came out as UNUSED
        pieces.
        """
        with suppress(NotImplementedError):
            return getattr(self._fast, name)(*args, **options) if self._fast is not None else None

    def _locate(
        self, data: bytes, parse_special: bool, limit: int | None, unit: Unit
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """The ids of a text, without BOS and EOS, and their spans: the first `limit`, or more."""
        most = sys.maxsize if limit is None else limit
        found: tuple[NDArray[np.int32], NDArray[np.int64]] | None
        found = self._in_core("locate", data, bool(parse_special), most, unit == "char")
        if found is not None:
            return found
        tokens = list(encode(self._dialect, data, parse_special))
        spans = np.array([(t.begin, t.end) for t in tokens], np.int64).reshape(-1, 2)
        if unit == "char":
            spans = _characters_before(data)[spans]
        return np.array([token.id for token in tokens], np.int32), spans

    def _encode_part(self, text: bytes, parse_special: bool, begins: bool) -> list[int]:
        """The ids of a part of a text, without what `add_special` puts around it."""
        ids = self._in_core("encode_part", text, parse_special, begins)
        if ids is not None:
            return list(ids.tolist())
        return [token.id for token in encode(self._dialect, text, parse_special, begins)]

    def _with_special(self, ids: list[int], before: bool, behind: bool) -> NDArray[np.int32]:
        first = self._dialect.before if before else ()
        last = self._dialect.behind if behind else ()
        if first and ids[:1] == [first[-1]]:
            _warn_of_double_bos()
        return np.array([*first, *ids, *last], np.int32)


_IN_THE_CORE: Final = {
    "encode": Tokenizer.encode,
    "encode_array": Tokenizer.encode_array,
    "count": Tokenizer.count,
}


def _warn_of_double_bos() -> None:
    """Blame the first frame up the stack that is not of this package."""
    depth, frame = 1, sys._getframe(0)
    while frame.f_globals.get("__name__", "").startswith("spm.") and frame.f_back:
        depth, frame = depth + 1, frame.f_back
    message = "the text begins with BOS and the vocabulary adds one: there are two now"
    warnings.warn(message, DoubleBOSWarning, stacklevel=depth)


@dataclass(frozen=True)
class _StreamParts:
    """What a stream of text needs: which part is settled, and its ids."""

    tok: Tokenizer
    add_special: bool
    parse_special: bool

    @property
    def unknown_id(self) -> int | None:
        """The id of which a whole run of unknown characters is one: sentencepiece's."""
        vocab = self.tok.vocab
        runs = self.tok.dialect == "sentencepiece" and not vocab.byte_fallback
        return vocab.special_ids["unk"] if runs else None

    def settled(self, text: bytes) -> tuple[int, bool]:
        """How much of a text encodes apart from what follows, by the core or the specification."""
        by: Any = self.tok._fast if self.tok._never_leaves_core else self.tok._dialect
        found: tuple[int, bool] = by.settled(text, self.parse_special)
        return found

    def encode_part(self, text: bytes, begins: bool) -> list[int]:
        """The ids of a part of a text."""
        return self.tok._encode_part(text, self.parse_special, begins)

    def finished(self, ids: list[int], first: bool, last: bool) -> list[int]:
        """With BOS in front of the first ids and EOS behind the last."""
        bos = self.add_special and first and bool(ids or last)
        finished: list[int] = self.tok._with_special(ids, bos, self.add_special and last).tolist()
        return finished


def _check_threads(threads: int | None) -> None:
    if threads is not None and operator.index(threads) < 1:
        raise EncodeError(f"threads is {brief(threads)}, expected 1 or more")


def _check_valid(data: bytes) -> None:
    try:
        data.decode()
    except UnicodeDecodeError as error:
        raise EncodeError(
            f"text: byte {error.start} is no valid UTF-8, expected unit='byte' for such a text"
        ) from None


def _characters_before(data: bytes) -> NDArray[np.int64]:
    """How many characters begin before each byte of a text and its end: int64 (len + 1,)."""
    begins = (np.frombuffer(data, np.uint8) & 0xC0) != 0x80
    return np.concatenate([[0], np.cumsum(begins)])  # a character has begun before its second byte
