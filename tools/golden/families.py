"""Vocabularies of the families that only llama.cpp reads: WordPiece, RWKV, PLaMo-2."""

from __future__ import annotations

from collections.abc import Iterable

from tools.golden.crafted import (
    CONTROL,
    NORMAL,
    UNKNOWN,
    UNUSED,
    USER_DEFINED,
    Piece,
    byte_pieces,
    normal,
)

_WORDS = """the quick brown fox jumps over a lazy dog hello world naive cafe naïve Hello World 12
 3 4 2024 привет мир 日本語 你好 😀 straße École"""
_ENDS = "s ed ing er lo ld ab bc \u0301 é ï ир 👍"


def wordpiece() -> list[Piece]:
    """BERT's five at 0 to 4, words with ▁, ends without; half a ▁, half an é."""
    special = pieces(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], CONTROL)
    alone = [f"▁{char}" for char in "abcdeh0123,.!?'()<>|[]$+=-/#日本。€"]
    texts = [*alone, *"abcdehlor01", *(f"▁{word}" for word in _WORDS.split()), *_ENDS.split()]
    odd = [*pieces(["<|user|>"], USER_DEFINED), *pieces(["[unused0]", "▁abcab"], UNUSED)]
    return [*special, *pieces(texts), *odd, *pieces(["\udce2\udc96", "\udc81x", "\udcc3"])]


def rwkv() -> list[Piece]:
    r"""Every byte but 0xFF, words with a space, and escapes as in `b'\xe4\n'`, good and broken."""
    escaped = [repr(bytes([byte]))[2:-1] for byte in range(255)]
    words = [repr(f" {word}".encode())[2:-1] for word in _WORDS.split()]
    runs = [r"\n\n", r"\r\n", r"\t\t", "  ", "    ", "aaaa", "ab", "abcab", "bcd", "llo", r"\\n"]
    broken = [r"b\x4", r"c\xZZ", r"d\xAb", "d\\xé", r"\q!", "e\\", r"ab\x63", r"a\x62c", r"\x4"]
    named = [*pieces(["<s>"], CONTROL), *pieces(["<unk>"], UNKNOWN)]
    odd = [*pieces(["<|user|>"], USER_DEFINED), *pieces(["[PAD0]"], UNUSED)]
    return [*named, *pieces([*escaped, *words, *runs, *broken]), *odd]


def plamo2() -> list[Piece]:
    """Scores that tie, that round, that are never used, and -1000, which ends a row of a table."""
    special = pieces(["<|plamo:bos|>", "<|plamo:eos|>", "<|plamo:pad|>"], CONTROL)
    named = [*pieces(["<|plamo:unk|>"], UNKNOWN), *special, *pieces(["<|user|>"], USER_DEFINED)]
    scores = {word: -4.0 - i / 8 for i, word in enumerate(_WORDS.split())}
    scores |= dict.fromkeys("abcdehlo 01", -2.0)
    scores |= {"ab": -4.0, "bc": -4.0, "abc": -6.0, "cd": -3.99995, "bcd": -5.99985}
    scores |= {"de": -4.00005, "eh": 3.0, "\u0301": -6.0, "\n": -1.0, "\n\n": -1.5, "▁": -1.0}
    scores |= {"aa": float("nan"), "aaa": float("-inf"), "aaaa": -2000.0, "aaaaa": -1999.9999}
    scores |= {"hel": -1000.0, "ell": -1000.00004, "ello": -999.99996, "ol": -1000.0}
    scores |= {"\ufeff": -3.0, "d\ufeff": -2.5, "\ufffd": -9.0}  # a byte order mark, a bad byte
    scores |= {"\udcff": -1.0, "a\udcff": -1.0, "\udcc1\udc81": -0.5}  # no UTF-8: found nowhere
    return [*named, *byte_pieces(), *normal(scores), ("[unused]", -1.0, UNUSED)]


def pieces(texts: Iterable[str], kind: int = NORMAL) -> list[Piece]:
    """Each text once, with a score of 0."""
    return [(text, 0.0, kind) for text in dict.fromkeys(texts)]
