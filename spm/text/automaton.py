"""All pieces that begin at each symbol of a text, found in one pass from its end to its beginning.

Greedy matching and Viterbi ask the same of a text: which pieces begin here? Looking ahead from each
place takes the size of the text times that of the longest piece, so one long piece in a vocabulary
makes a long text of its letters endless. The automaton of Aho and Corasick answers for the whole
text in one pass, and since the question is where pieces begin, it reads backwards.

A state is a string that some piece ends with; the present one is the longest of those that begin at
the present place. To read one more symbol in front, symbols are dropped at its end until what is
left, with the new symbol, is the end of a piece again. Where dropping leads is known beforehand:
the `shorter` of a state is its longest proper beginning that is a state too.

    pieces  he  she  hers         states   "" e he she s rs ers hers: the pieces and all their ends
                                  shorter  of hers he, of ers e, of she s, of the others ""

    usher, read from its end      r    e    h    s    u
    state                         ""   e    he   she  ""
    pieces that begin there                 he   she

Each symbol read makes the state at most one symbol longer, and each step to `shorter` makes it
shorter, so there are no more such steps than symbols: a text takes linear time, whatever it is and
whatever the pieces are. Making the automaton takes linear time in the bytes of the pieces.

A. V. Aho, M. J. Corasick, "Efficient string matching: an aid to bibliographic search", 1975.
"""

from __future__ import annotations

from array import array
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import Final

_SYMBOL_BITS: Final = 21  # a symbol is a byte, or a code point, which four bytes of UTF-8 can spell
NO_STATE: Final = -1


class Automaton:
    """The states of some pieces, by number; 0 is the empty string."""

    def __init__(self, pieces: Iterable[Sequence[int]]) -> None:
        self.longer: dict[int, int] = {}  # a state and the symbol in front of it -> a state
        self.sizes = array("i", [0])  # in symbols
        self.firsts = array("i", [0])  # the first symbol of each state
        self.behind = array("i", [NO_STATE])  # what is left of a state without its first symbol
        for piece in pieces:
            self._add(piece)
        self.shorter = array("i", [NO_STATE]) * len(self.sizes)
        self.by_size = sorted(range(1, len(self.sizes)), key=self.sizes.__getitem__)
        for state in self.by_size:  # the answer for a state rests on those for smaller ones
            start = self.shorter[self.behind[state]]
            self.shorter[state] = self._step(start, self.firsts[state])

    def _add(self, piece: Sequence[int]) -> None:
        state = 0
        for symbol in reversed(piece):
            key = state << _SYMBOL_BITS | symbol
            if key not in self.longer:
                self.longer[key] = len(self.sizes)
                self.sizes.append(self.sizes[state] + 1)
                self.firsts.append(symbol)
                self.behind.append(state)
            state = self.longer[key]

    def _step(self, state: int, symbol: int) -> int:
        """The longest of a state and its beginnings that is a state with `symbol` in front."""
        while state != NO_STATE:
            found = self.longer.get(state << _SYMBOL_BITS | symbol)
            if found is not None:
                return found
            state = self.shorter[state]
        return 0

    def state_of(self, piece: Sequence[int]) -> int:
        """The state that is one of the pieces."""
        state = 0
        for symbol in reversed(piece):
            state = self.longer[state << _SYMBOL_BITS | symbol]
        return state

    def nearest(self, marked: Container[int]) -> Sequence[int]:
        """By state: the longest of itself and its beginnings that is marked, or NO_STATE."""
        nearest = array("i", [0 if 0 in marked else NO_STATE]) * len(self.sizes)
        for state in self.by_size:
            shorter = self.shorter[state]
            if state in marked:
                nearest[state] = state
            else:
                nearest[state] = nearest[shorter] if shorter != NO_STATE else NO_STATE
        return nearest

    def states(self, text: Sequence[int]) -> Iterator[int]:
        """The longest state that begins at each symbol of a text, from the last to the first."""
        state = 0
        for symbol in reversed(text):
            state = self._step(state, symbol)
            yield state


class LongestMatch:
    """The longest piece that begins at each byte of a text."""

    def __init__(self, ids: Mapping[bytes, int]) -> None:
        automaton = Automaton(ids)
        id_of = {automaton.state_of(piece): i for piece, i in ids.items() if piece}
        self.states = automaton.states
        self.found = [  # by state
            (0, 0) if state == NO_STATE else (id_of[state], automaton.sizes[state])
            for state in automaton.nearest(id_of)
        ]

    def at_each_byte(self, text: bytes) -> list[tuple[int, int]]:
        """The id and the size of the longest piece, or (0, 0), byte by byte."""
        found = [self.found[state] for state in self.states(text)]
        found.reverse()
        return found
