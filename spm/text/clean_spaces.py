"""`clean_spaces`: llama.cpp removes spaces that its authors think a tokenizer has put there.

The three passes at the end of `llama_vocab::impl::detokenize` (src/llama-vocab.cpp), in order:

    1. " ?" " !" " ." " ,"           lose the space
    2. " ' "                         becomes "'"
    3. " 's" " 'm" " 're" " 've"     lose the space

As a stream, each pass holds back the end of its text that may be the beginning of such a case, and
nothing else: a space, or a few characters behind one.
"""

from __future__ import annotations

import re
from typing import Final

from spm.text.family import Decoder

# What is replaced, or as `held` what may still become that.
_PASSES: Final = (
    (re.compile(rb" (?=[?!.,])|(?P<held> \Z)"), b""),
    (re.compile(rb" ' |(?P<held> '?\Z)"), b"'"),
    (re.compile(rb" (?='(?:[sm]|[rv]e))|(?P<held> (?:'[rv]?)?\Z)"), b""),
)


def clean(text: bytes) -> bytes:
    """A whole text, cleaned."""
    for pattern, instead in _PASSES:
        each = _Pass(pattern, instead)
        text = each.push(text) + each.flush()
    return text


class CleanedDecoder:
    """Another decoder's text, cleaned."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._passes = [_Pass(pattern, instead) for pattern, instead in _PASSES]

    def push(self, i: int) -> bytes:
        """The bytes that are certain now and were not before."""
        text = self._decoder.push(i)
        for each in self._passes:
            text = each.push(text)
        return text

    def flush(self) -> bytes:
        """The bytes that were held back; the text ends."""
        text = self._decoder.flush()
        for each in self._passes:
            text = each.push(text) + each.flush()
        return text


class _Pass:
    def __init__(self, pattern: re.Pattern[bytes], instead: bytes) -> None:
        self._pattern = pattern
        self._instead = instead
        self._held = b""

    def push(self, text: bytes) -> bytes:
        text, self._held = self._held + text, b""
        return self._pattern.sub(self._replacement, text)

    def _replacement(self, match: re.Match[bytes]) -> bytes:
        if match["held"] is None:
            return self._instead
        self._held = match["held"]
        return b""

    def flush(self) -> bytes:
        held, self._held = self._held, b""
        return held
