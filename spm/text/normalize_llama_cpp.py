"""llama.cpp's normaliser for Unigram: a text as typed -> the text to encode, with the way back.

`llm_tokenizer_ugm_session::normalize` of src/llama-vocab.cpp is sentencepiece's (normalize.py) with
these differences:

1. What is kept as it is is not a user-defined piece but whatever begins like one, were it half a
   character: `naive_trie::get_longest_prefix` does not ask whether a piece ends. The pieces
   themselves have been cut out of the text before.
2. A character is well-formed by the number of its bytes alone: surrogates and overlong forms are.
3. With `remove_extra_whitespaces` every word begins with one ▁, the first one too, whatever
   `add_space_prefix` says, and spaces at the end are dropped; a typed ▁ is no space.
4. Without it, the space prefix stands behind the spaces that the text begins with, and a text of
   spaces has none.

No key of a GGUF asks for spaces that are kept or for ▁ at the end (`escape_whitespaces` and
`treat_whitespace_as_suffix` keep their defaults in `llama_vocab::impl::load`).
"""

from __future__ import annotations

from spm.text.charsmap import Charsmap
from spm.text.normalize import check_growth
from spm.text.trie import Trie
from spm.text.utf8 import REPLACEMENT, structural_size
from spm.vocab import SPACE, Normalization


class LlamaCppNormalizer:
    """One vocabulary's normaliser. Raises VocabError if its charsmap is malformed."""

    def __init__(self, rules: Normalization, user_defined: Trie, source: str) -> None:
        self.rules = rules
        self.user_defined = user_defined
        self.charsmap = Charsmap(rules.charsmap, source) if rules.charsmap else None

    def normalize(self, text: bytes) -> tuple[bytes, list[int]]:
        """Normalise; also tell, for each byte of the result and its end, where it came from."""
        collapse = self.rules.remove_extra_whitespaces
        prefix = self.rules.add_dummy_prefix
        out, origin = bytearray(), []
        pos = 0
        spaces_at: int | None = None  # where the spaces began that a ▁ will stand for
        in_word = False

        def write(data: bytes, at: int) -> None:
            out.extend(data)
            origin.extend([at] * len(data))

        while pos < len(text):
            found, size = self._prefix(text, pos)
            for i, part in enumerate(found.split(b" ")):
                if i:
                    if collapse and in_word:
                        spaces_at = pos
                    in_word = False
                    if not collapse:
                        write(SPACE, pos)
                if part and not in_word:
                    in_word = True
                    if collapse or prefix:
                        write(SPACE, pos if spaces_at is None else spaces_at)
                    prefix, spaces_at = False, None
                write(part, pos)
            pos += size
            check_growth(out, pos)
        return bytes(out), [*origin, pos if spaces_at is None else spaces_at]

    def _prefix(self, text: bytes, pos: int) -> tuple[bytes, int]:
        """What stands at `pos`, normalised, and how many bytes of the text that is."""
        if size := self.user_defined.reach(text, pos):
            return text[pos : pos + size], size
        if self.charsmap and (replaced := self.charsmap.longest_prefix(text, pos)):
            return replaced
        if size := structural_size(text, pos):
            return text[pos : pos + size], size
        return REPLACEMENT, 1
