"""Text with a mask: every operation gives the characters of str, and never a 1 that was no 1."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spm.chat import text as texts
from spm.chat.budget import Budget, SpentError
from spm.chat.text import ASKING, MAKING, SafeText, Text, byte_spans, own, own_of, own_spans

LETTERS = "aA bß\n\r\u2028<"
words = st.text(LETTERS, max_size=6)


@st.composite
def masked(draw: st.DrawFn) -> Text:
    """Texts of a few parts, each own or not."""
    parts = draw(st.lists(st.tuples(words, st.booleans()), max_size=4))
    return Text("".join(w for w, _ in parts), b"".join(bytes([o]) * len(w) for w, o in parts))


def numbered(text: str) -> list[tuple[int, int]]:
    return list(zip(map(ord, text), own_of(text)))


ARGUMENTS: dict[str, Any] = {
    **dict.fromkeys(("strip", "lstrip", "rstrip"), st.tuples() | st.tuples(words)),
    **dict.fromkeys(("removeprefix", "removesuffix"), st.tuples(masked())),
    **dict.fromkeys(
        ("split", "rsplit"),
        st.tuples()
        | st.tuples(st.none() | words.filter(bool))
        | st.tuples(st.none() | words.filter(bool), st.integers(-1, 3)),
    ),
    "splitlines": st.tuples() | st.tuples(st.booleans()),
    "replace": st.tuples(words, masked()) | st.tuples(words, masked(), st.integers(-1, 3)),
    "join": st.tuples(st.lists(masked(), max_size=3)),
    **dict.fromkeys(("upper", "lower", "capitalize", "title"), st.tuples()),
}


@pytest.mark.parametrize("name", sorted(ARGUMENTS))
def test_an_operation_is_that_of_str(name: str) -> None:
    @given(masked(), ARGUMENTS[name])
    def check(text: Text, args: Any) -> None:
        expected = getattr(str(text), name)(*args)
        found = MAKING[name](Budget(), text, *args)

        assert expected == found
        for part in found if isinstance(found, list) else [found]:
            assert len(part) == len(own_of(part))

    check()


def tagged(text: Any) -> Any:
    """The same text, where each character tells by itself whether it is own: two alphabets."""
    if not isinstance(text, str):
        return text
    return "".join(chr(ord(c) + 0xF0000) if o else c for c, o in zip(text, own_of(text)))


@pytest.mark.parametrize("name", ["split", "rsplit", "replace", "join", "strip", "removeprefix"])
def test_the_mask_goes_with_the_characters(name: str) -> None:
    """What is own could have been written in another alphabet: the result is, too.

    Only for letters, which no operation treats as a separator unless told to.
    """

    @given(st.lists(st.tuples(st.sampled_from("ab"), st.booleans()), max_size=12))
    def check(parts: list[tuple[str, bool]]) -> None:
        text = Text("".join(c for c, _ in parts), bytes(o for _, o in parts))
        separated = {"split": ("x",), "rsplit": ("x", 2), "replace": ("x", own("y"))}
        args: Any = separated.get(name, ([text, "z", own("w")],) if name == "join" else ("z",))
        joined = texts.joined(Budget(), [text, "x", own("q"), "x", text])

        found = MAKING[name](Budget(), joined, *args)

        strange = [list(map(tagged, a)) if isinstance(a, list) else tagged(a) for a in args]
        expected = getattr(tagged(joined), name)(*strange)
        parts_of = found if isinstance(found, list) else [found]
        assert (expected if isinstance(expected, list) else [expected]) == list(
            map(tagged, parts_of)
        )

    check()


@given(masked(), st.slices(12))
def test_slices(text: Text, index: slice) -> None:
    found = texts.cut(Budget(), text, index)

    assert numbered(text)[index] == numbered(found)


@given(masked().filter(bool), st.data())
def test_single_characters(text: Text, data: st.DataObject) -> None:
    i = data.draw(st.integers(-len(text), len(text) - 1))

    assert [numbered(text)[i]] == numbered(texts.cut(Budget(), text, i))
    with pytest.raises(IndexError):
        texts.cut(Budget(), text, len(text))


def test_other_cases_of_other_characters_are_nobodys() -> None:
    assert b"\1\1" == own_of(texts.upper(Budget(), own("ab")))
    assert "SSA" == texts.upper(Budget(), own("ßa"))
    assert bytes(3) == own_of(texts.upper(Budget(), own("ßa")))


def test_what_no_operation_made_is_nobodys() -> None:
    text = own("ab")

    for made in (text.upper(), text + "c", f"{text}c", text[:1], "".join([text, "c"]), repr(text)):
        assert bytes(len(made)) == own_of(made)


def test_str_keeps_the_mask() -> None:
    assert b"\1\1" == own_of(str(own("ab")))


@pytest.mark.parametrize(
    ("pattern", "args", "named", "expected", "mask"),
    [
        ("<|{}|>", ("user",), {}, "<|user|>", "11000011"),
        ("{1}{0}", ("a", own("b")), {}, "ba", "10"),
        ("{{{x}}}", (), {"x": "y"}, "{y}", "101"),
    ],
)
def test_format(pattern: str, args: Any, named: Any, expected: str, mask: str) -> None:
    found = texts.format_(Budget(), own(pattern), *args, **named)

    assert (expected, mask) == (found, "".join(map(str, own_of(found))))
    assert 1 not in own_of(texts.format_(Budget(), pattern, *map(str.__str__, args), **named))


@pytest.mark.parametrize("pattern", ["{:9}", "{!r}", "{0.real}", "{0[0]}", "{:{}}"])
def test_formats_that_are_more_than_fields(pattern: str) -> None:
    with pytest.raises(TypeError, match="more than a number or a name"):
        texts.format_(Budget(), own(pattern), "a", "b")


@given(st.text("a<>&'\"", max_size=8))
def test_safe_texts_are_those_of_markupsafe(text: str) -> None:
    markupsafe = pytest.importorskip("markupsafe")

    assert str(markupsafe.escape(text)) == texts.escaped(Budget(), text)
    assert text == texts.escaped(Budget(), SafeText(text, bytes(len(text))))


@given(masked())
def test_spans(text: Text) -> None:
    spans = own_spans(text)
    inside = {i for begin, end in spans for i in range(begin, end)}

    assert inside == {i for i, o in enumerate(text.own) if o}
    assert all(a[1] < b[0] for a, b in pairwise(spans))
    assert [text[b:e].encode() for b, e in spans] == [
        text.encode()[b:e] for b, e in byte_spans(text, spans)
    ]


@pytest.mark.parametrize("name", sorted(MAKING))
def test_every_operation_pays(name: str) -> None:
    arguments: Any = {"join": (["b"],), "replace": ("a", "b")}
    spent = Budget()
    spent.left = 0

    with pytest.raises(SpentError):
        MAKING[name](spent, "a" * 100, *arguments.get(name, ("a",) if "remove" in name else ()))


def test_questions_are_methods_of_str() -> None:
    assert all(callable(getattr(str, name)) for name in ASKING | set(MAKING))
