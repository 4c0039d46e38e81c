"""Chosen ids -> the text that may be shown: never half a character, never part of a stop string."""

from __future__ import annotations

from collections.abc import Sequence

from spm.text.stream import StreamDecoder


class Showing:
    """One text on its way out: what `decoder` makes of its ids, up to a stop string.

    `decoder` has been given what precedes the text. Text that may yet become a stop string waits.
    """

    def __init__(self, decoder: StreamDecoder, stops: Sequence[str]) -> None:
        self.stopped = False
        self._decoder, self._stops, self._held = decoder, stops, ""

    def push(self, i: int) -> str:
        """The text that may be shown now and might not before."""
        return self._release(self._decoder.push(i))

    def flush(self) -> str:
        """What waited, now that no id follows; nothing behind a stop string."""
        if self.stopped:
            return ""
        ready = self._release(self._decoder.flush())
        ready, self._held = ready + self._held, ""
        return ready

    def _release(self, text: str) -> str:
        ready, self._held, self.stopped = release(self._held + text, self._stops)
        return ready


def release(text: str, stops: Sequence[str]) -> tuple[str, str, bool]:
    """text -> (what may be shown, what must wait, whether a stop string was reached).

    Of several stop strings the one that ends first counts, so that the answer does not depend on
    the pieces in which `text` arrived. What waits is the longest end of `text` with which a stop
    string begins.
    """
    found = [(text.find(stop) + len(stop), text.find(stop)) for stop in stops if stop in text]
    if found:
        return text[: min(found)[1]], "", True
    waits = len(text) - max((_begun(text, stop) for stop in stops), default=0)
    return text[:waits], text[waits:], False


def _begun(text: str, stop: str) -> int:
    """How long an end of `text` is that `stop` begins with, in time linear in both.

    Knuth, Morris and Pratt: `borders[n - 1]` is the longest proper end of stop[:n] that `stop`
    begins with, so that a mismatch never looks at a character of the text again.
    """
    stop = stop[: len(text) + 1]
    borders = [0] * len(stop)
    for n in range(1, len(stop)):
        k = borders[n - 1]
        while k and stop[n] != stop[k]:
            k = borders[k - 1]
        borders[n] = k + (stop[n] == stop[k])
    k = 0
    for character in text[-len(stop) :]:
        while k and (k == len(stop) or character != stop[k]):
            k = borders[k - 1]
        k += character == stop[k]
    return k
