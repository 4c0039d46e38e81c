"""Oniguruma's patterns: what its library finds, recorded through tokenizers 0.23.3."""

from __future__ import annotations

import pytest

from spm import VocabError
from spm.text.hf.patterns import compiled
from spm.vocab.pipeline import Pattern


def isolated(pattern: str, text: str) -> list[str]:
    """What `Split(Regex(pattern), "isolated")` makes of a text."""
    found = compiled(Pattern(pattern, is_regex=True), "here")(text)
    return [text[begin:end] for begin, end, _ in found if begin < end]


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("^a", "a\na", ["a", "\n", "a"]),
        ("a$", "a\na", ["a", "\n", "a"]),
        ("a.", "a\nab", ["a\n", "ab"]),
        (r"\h", "aZ g", ["a", "Z g"]),
        ("a{1,2}+", "aaaaab", ["aaaaa", "b"]),
        ("a{,2}", "aaab", ["aa", "a", "b"]),
        ("a{2", "a{2", ["a{2"]),
        ("a{1,3}?", "aaa", ["a", "a", "a"]),
        ("(?i:'k|ts)", "a'\u212atS\ufb06T\u017f", ["a", "'\u212a", "tS", "\ufb06", "T\u017f"]),
        (
            "(?i:[a-k_])",
            "xK\u212a\u0130I_i\u017f",
            ["x", "K", "\u212a", "\u0130", "I", "_", "i", "\u017f"],
        ),
        ("a(?i)b|c(?-i:d)", "aBacdCDACd", ["aB", "acd", "CDACd"]),
        (r"\Z", "a\n", ["a", "\n"]),
        (r"\z", "a\n", ["a\n"]),
        ("", "ab", ["a", "b"]),
        ("a*", "baac", ["b", "aa", "c"]),
        ("a|", "ba", ["b", "a"]),
        (r"\p{^L}", "a1", ["a", "1"]),
        ("(?=b)", "ab", ["a", "b"]),
        ("a++b", "aab", ["aab"]),
        ("a?+", "aab", ["a", "a", "b"]),
        (r"[^\S]", "a b", ["a", " ", "b"]),
        (r"[\w-]", "a-b", ["a", "-", "b"]),
        (r"[a\-z]", "a-zb", ["a", "-", "z", "b"]),
        ("[]a]", "]a", ["]", "a"]),
        ("[a[b]]", "ab]", ["a", "b", "]"]),
        ("(?<=a)b", "ab", ["a", "b"]),
        ("(?<!a)b", "cb", ["c", "b"]),
        (r"\x{61}\u0062\x63", "abc", ["abc"]),
        ("(?i)a", "A", ["A"]),
        ("[é-ü]", "ö", ["ö"]),
        (r"\d", "१a", ["१", "a"]),
        (r"\w+", "a\xb2\u200db", ["a\xb2", "\u200d", "b"]),
        (r"\p{Ll}", "\u0295x", ["\u0295", "x"]),
        (r"\p{L}+", "a\U000323b0b", ["a", "\U000323b0", "b"]),
    ],
)
def test_matches_are_those_of_oniguruma(pattern: str, text: str, expected: list[str]) -> None:
    assert expected == isolated(pattern, text)


@pytest.mark.parametrize(
    ("pattern", "what"),
    [
        ("(a", "a parenthesis that is not closed"),
        ("a)", "a parenthesis that closes nothing"),
        ("[a", "the end of the pattern"),
        ("a\\", "the end of the pattern"),
        ("*a", r"\* with nothing to repeat"),
        (r"(a)\1", r"\\1,"),
        (r"\R", r"\\R,"),
        (r"\X", r"\\X,"),
        (r"\G", r"\\G,"),
        (r"\p{Foo}", r"\\p\{Foo\}"),
        (r"\pL", r"\\pL"),
        ("(?x: a)", r"\(\?x:"),
        ("(?m:a)", r"\(\?m:"),
        ("(?<name>a)", r"\(\?<n"),
        ("[[:alpha:]]", r"\[: in a set"),
        ("[a-c&&[^b]]", "&& in a set"),
        (r"[a-\w]", "a range that ends with a class"),
        ("[a-[b]]", "a range that ends with a set"),
        ("a{3,2}", "an interval that is too large or the wrong way round"),
        ("a{200000}", "an interval that is too large or the wrong way round"),
        ("a{2}?", r"\{n\}\?"),
        (r"\x{110000}", r"\\x\{110000\}"),
        (r"\ud800", r"\\ud800"),
        (r"\xff", "a byte that is no character"),
        ("(" * 51 + ")" * 51, "parentheses in more than 50 others"),
        ("[" * 51, "sets in more than 50 others"),
        ("[z-a]", "expected a regex"),
        ("(?i:st)", "st without regard to case"),
        ("(?i:x(?:F)l)", "fl without regard to case"),
        ("(?i:é)", "é without regard to case"),
        (r"(?i:\p{Lu})", r"\\p without regard to case"),
        (r"(?i:[a-\u00f7])", "a range beyond ASCII without regard to case"),
    ],
)
def test_what_is_not_read_is_refused(pattern: str, what: str) -> None:
    with pytest.raises(VocabError, match=rf"^here: pattern .*{what}"):
        isolated(pattern, "a")


def test_a_pattern_of_any_length_is_refused() -> None:
    with pytest.raises(VocabError, match=r"^here: a pattern of 20001 characters, expected at most"):
        isolated("a" * 20_001, "a")
