"""When dead workers are replaced: a rule that only counts, and starts nothing itself."""

from __future__ import annotations

_FIRST = 0.1
"""Seconds before the replacement of the first worker that died and had answered nothing."""


class Restarts:
    """Decides about replacements: ``limit`` deaths in a row are too many, 0 replaces nobody.

    A row is one of deaths without any answer between them. ``longest`` is how many seconds a
    replacement is put off at most.
    """

    def __init__(self, limit: int, longest: float) -> None:
        self._limit = limit
        self._longest = longest
        self._row = 0

    @property
    def replaces(self) -> bool:
        """Whether dead workers are replaced at all."""
        return self._limit > 0

    @property
    def exhausted(self) -> bool:
        """Whether so many died in a row that nobody is replaced any more."""
        return self._row >= self._limit

    def note_death(self, *, answered: bool) -> float | None:
        """Return how many seconds to wait before the replacement, None where there is to be none.

        ``answered`` says whether workers of the pool have answered calls since the death before.
        """
        if answered:
            self._row = 0
            return 0.0 if self._limit else None
        self._row += 1
        if self.exhausted:
            return None
        return min(_FIRST * 2.0 ** (self._row - 1), self._longest)

    def begin_again(self) -> None:
        """Forget the deaths that there were."""
        self._row = 0
