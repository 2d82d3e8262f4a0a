"""Which numbers of calls a link has used: the highest, and those below it that have yet to come."""

from __future__ import annotations

from bisect import bisect_right

AHEAD = 65536
"""How far a call's number may be ahead of the highest so far."""

_MOST = 65536


class Overtaken:
    """Numbers that were left out, because smaller calls overtook those whose arguments are long.

    They are kept as ranges, so that what a peer leaves out takes no memory.
    """

    __slots__ = ("_starts", "_stops")

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._stops: list[int] = []

    def __bool__(self) -> bool:
        return bool(self._starts)

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self._starts, number) - 1
        return at >= 0 and number < self._stops[at]

    def add(self, start: int, stop: int) -> bool:
        """Note numbers above all others so far; say whether there was room for them."""
        if len(self._starts) >= _MOST:
            return False
        self._starts.append(start)
        self._stops.append(stop)
        return True

    def remove(self, number: int) -> bool:
        """Note that a number has come; say whether it had been left out."""
        at = bisect_right(self._starts, number) - 1
        if at < 0 or number >= self._stops[at]:
            return False
        start, stop = self._starts[at], self._stops[at]
        rest = [(start, number), (number + 1, stop)]
        rest = [(first, end) for first, end in rest if first < end]
        self._starts[at : at + 1] = [first for first, _ in rest]
        self._stops[at : at + 1] = [end for _, end in rest]
        return True
