"""``Retry``: that the calls of a routine are made again when their worker is lost."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Retry:
    """Makes a call again when its worker is lost, although the routine may have begun there.

    ``attempts`` is how many times a call is made at most, the first time included. ``pause`` is how
    many seconds pass before the second attempt; before each further one they are twice as many.

    Constructing raises TypeError and ValueError for a wrong value.
    """

    attempts: int = 3
    pause: float = 0.1

    def __post_init__(self) -> None:
        attempts, pause = self.attempts, self.pause
        # Whatever the annotations say, these come from users.
        if not isinstance(attempts, int) or isinstance(attempts, bool):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"attempts must be a whole number, it is {attempts!r}")
        if attempts < 1:
            raise ValueError(f"attempts must be at least 1, it is {attempts!r}")
        if not isinstance(pause, int | float) or isinstance(pause, bool):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"pause must be a number of seconds, it is {pause!r}")
        if not 0 <= pause < math.inf:
            raise ValueError(f"pause must be finite and not negative, it is {pause!r}")

    def pause_after(self, attempts: int) -> float:
        """Return how many seconds pass after so many attempts."""
        return self.pause * 2 ** (attempts - 1)


def checked_retry(value: object) -> Retry | None:
    """Return what a routine was given as ``retry``. Raises TypeError for anything else."""
    if value is None or isinstance(value, Retry):
        return value
    raise TypeError(f"retry must be a catena.Retry, such as Retry(attempts=3), it is {value!r}")
