"""Conversions that keep the ids: what was written is read again and held against the original.

A format may lack a word for something that a vocabulary does. So nothing is taken on trust: every
piece that is text, rows of pieces and some hard texts must come out as the same ids, or there is
no file.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from spm.errors import GGUFError, SpmError, VocabError, one_line
from spm.gguf import GGUF
from spm.text.utf8 import is_utf8
from spm.vocab import SPACE, TokenType, Vocab

_ROW: Final = 8  # pieces that are glued to one text
_SPECIAL: Final = (TokenType.CONTROL, TokenType.UNKNOWN, TokenType.USER_DEFINED)
_HARD: Final = (
    *(" ", "   ", "\n", "\t", "\r\n", "\u3000", "\u00a0", "▁", "\0", "\u200b", "\ufeff"),
    "Hello world",
    "  two  spaces  and   three   ",
    "a\n\n\nb \n c\t\td\ve\ff\x85g\u2028h\u3000i",
    "aaaaaaaaaaaaaaaaaaaaaaaaa =========== ---------",
    "I'll we've DON'T it's '90s 'tis 'ſ İSTANBUL",
    "3.14159 1234567 1,000,000 ½ ² ٣٤٥",
    "naïve café cafe\u0301 ﬁne ｆｕｌｌ Ⅷ",
    "日本語の文章を分割する。你好，世界！안녕하세요",
    "Привет, мир! Καλημέρα שלום مرحبا สวัสดี नमस्ते",
    "😀👍🏽👨\u200d👩\u200d👧🇫🇷",
    "def f(x):\n    return {'a': [x ** 2, x != 3]}\n",
    "<s></s><unk><pad><|im_start|>user<|im_end|><0x0A>[MASK]</s> <s>",
)


class Encoder(Protocol):
    """What a tokenizer is asked here."""

    @property
    def vocab(self) -> Vocab:
        """The vocabulary."""

    def encode_batch(self, texts: list[str], *, add_special: bool, parse_special: bool) -> Any:
        """The ids of many texts, with `ids` and `offsets`."""


def write_checked(
    path: str | os.PathLike[str],
    original: Encoder,
    write: Callable[[Path], object],
    reopen: Callable[[Path], Encoder],
    parse_special: tuple[bool, ...] = (False, True),
) -> None:
    """Let `write` make a file, which appears under its name only if it gives the original's ids.

    Raises VocabError naming the first text that does not, if the file would take the place of a
    model, or if it cannot be written.
    """
    target = Path(path)
    _check_no_weights(target)
    draft = target.with_name(f".{target.stem}.{secrets.token_hex(4)}{target.suffix}")
    try:
        write(draft)
        copy = reopen(draft)
        if copy.vocab.fingerprint != original.vocab.fingerprint:  # else it is the same vocabulary
            for parse in parse_special:
                _check(target, original, copy, parse)
        os.replace(draft, target)
    except OSError as error:
        raise VocabError(f"{one_line(target)}: cannot be written: {error.strerror}") from error
    except SpmError as error:  # nobody knows the draft's name
        said = str(error).replace(one_line(draft), one_line(target))
        raise VocabError(said) from error
    finally:
        draft.unlink(missing_ok=True)


def _check_no_weights(target: Path) -> None:
    """A vocabulary alone takes nobody's weights away: least of all those it was read beside."""
    try:
        with GGUF.open(target) as gguf:
            n = len(gguf.tensors)
    except GGUFError:
        return  # there is none, or it is no GGUF
    if n:
        raise VocabError(f"{one_line(target)}: a GGUF with {n} tensors, expected none or no file")


def _check(target: Path, original: Encoder, copy: Encoder, parse_special: bool) -> None:
    texts = list(_probes(original.vocab, parse_special))
    expected = original.encode_batch(texts, add_special=False, parse_special=parse_special)
    found = copy.encode_batch(texts, add_special=False, parse_special=parse_special)
    i = _first_difference(expected, found)
    if i is None:
        return
    at = _common(expected[i].tolist(), found[i].tolist())  # ids that are equal tell nothing
    raise VocabError(
        f"{one_line(target)}: not written, since {texts[i][:40]!r} would have ids"
        f" {found[i].tolist()[at:][:8]}, expected {expected[i].tolist()[at:][:8]}"
    )


def _common(expected: list[int], found: list[int]) -> int:
    """How many ids are equal before the first that is not."""
    return next((i for i, (a, b) in enumerate(zip(expected, found)) if a != b), 0)


def _probes(vocab: Vocab, parse_special: bool) -> Iterator[str]:
    """Hard texts, every piece, and rows of pieces that stand apart in the vocabulary.

    To parse special pieces is of no concern to the others alone.
    """
    yield from _HARD
    texts = [piece.replace(SPACE, b" ").decode() for piece in vocab.pieces if is_utf8(piece)]
    if parse_special:
        special = (vocab.pieces[i] for i in vocab.ids_of_type(*_SPECIAL))
        yield from (piece.decode() for piece in special if is_utf8(piece))
    else:
        yield from texts
    step = -(-len(texts) // _ROW)
    for i in range(step):
        yield "".join(texts[i::step])


def _first_difference(expected: Any, found: Any) -> int | None:
    """The index of the first text with other ids."""
    if np.array_equal(expected.ids, found.ids) and np.array_equal(expected.offsets, found.offsets):
        return None
    rows: Iterator[tuple[NDArray[np.int32], NDArray[np.int32]]] = zip(expected, found)
    return next((i for i, pair in enumerate(rows) if not np.array_equal(*pair)), None)
