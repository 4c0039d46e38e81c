"""The automaton against its definition: look at every piece at every place."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from spm.text.automaton import NO_STATE, Automaton, LongestMatch

words = st.text("abc", min_size=1, max_size=5).map(str.encode)
pieces = st.lists(words, max_size=8, unique=True)
texts = st.text("abcd", max_size=20).map(str.encode)


def string_of(automaton: Automaton, state: int) -> bytes:
    out = bytearray()
    while state:
        out.append(automaton.firsts[state])
        state = automaton.behind[state]
    return bytes(out)


def test_the_example_of_its_file() -> None:
    automaton = Automaton([b"he", b"she", b"hers"])
    strings = [string_of(automaton, i) for i in range(len(automaton.sizes))]
    shorter = {s: strings[n] for s, n in zip(strings, automaton.shorter) if n > 0}

    assert sorted(strings) == sorted([b"", b"e", b"he", b"she", b"s", b"rs", b"ers", b"hers"])
    assert shorter == {b"she": b"s", b"hers": b"he", b"ers": b"e"}
    states = [string_of(automaton, state) for state in automaton.states(b"usher")]
    assert states == [b"", b"e", b"he", b"she", b""]


@given(pieces, texts)
def test_a_state_is_the_longest_end_of_a_piece_that_begins_here(
    some: list[bytes], text: bytes
) -> None:
    automaton = Automaton(some)
    ends = {piece[at:] for piece in some for at in range(len(piece) + 1)} | {b""}
    expected = [
        max((end for end in ends if text.startswith(end, at)), key=len) for at in range(len(text))
    ]

    assert expected == [string_of(automaton, s) for s in automaton.states(text)][::-1]


@given(pieces, st.sets(st.integers(0, 20)))
def test_nearest_is_the_longest_beginning_that_is_marked(
    some: list[bytes], marked: set[int]
) -> None:
    automaton = Automaton(some)
    strings = [string_of(automaton, i) for i in range(len(automaton.sizes))]
    for state, nearest in enumerate(automaton.nearest(marked)):
        beginnings = [
            i for i, s in enumerate(strings) if i in marked and strings[state].startswith(s)
        ]
        assert nearest == max(beginnings, key=lambda i: len(strings[i]), default=NO_STATE)


@given(pieces, texts)
def test_the_longest_piece_at_each_byte(some: list[bytes], text: bytes) -> None:
    ids = {piece: i for i, piece in enumerate(some)}
    expected = []
    for at in range(len(text)):
        found = max((p for p in some if text.startswith(p, at)), key=len, default=b"")
        expected.append((ids.get(found, 0), len(found)))

    assert expected == LongestMatch(ids).at_each_byte(text)


def test_one_long_piece_makes_no_text_slow() -> None:
    n = 50_000
    found = LongestMatch({b"a" * n + b"b": 0, b"a": 1}).at_each_byte(b"a" * n)
    assert found == [(1, 1)] * n
