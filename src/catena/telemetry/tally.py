"""Plain counts, samples and label values, kept here and read when metrics are collected.

A counter of OpenTelemetry takes as long to add to as an unsampled span takes to begin.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import cycle
from threading import Lock

from catena.telemetry.texts import text

MANY = 1024
"""So many samples are kept between two collections; further ones are dropped."""

OTHER = "_OTHER"
"""The label value of all that were too many."""

_EVERY = 16
_log = logging.getLogger("catena")

Labels = tuple[str, ...]


class Tally:
    """Numbers by their label values; safe from any thread.

    ``append`` counts one for the labels it is given, in a single call of C: that needs no lock.
    Whoever uses it calls ``add_up`` now and then, for until then the labels are kept.
    """

    def __init__(self, zero: Iterable[Labels] = ()) -> None:
        self._lock = Lock()
        self._numbers: Counter[Labels] = Counter(dict.fromkeys(zero, 0))
        self._came: list[Labels] = []
        self.append: Callable[[Labels], None] = self._came.append

    def add(self, labels: Labels, number: int = 1) -> None:
        """Add to the number of these labels."""
        with self._lock:
            self._numbers[labels] += number

    def add_up(self) -> None:
        """Add up what came."""
        came = self._came
        if came:
            with self._lock:
                # What other threads append meanwhile comes behind, and stays.
                count = len(came)
                self._numbers.update(came[:count])
                del came[:count]

    def read(self) -> list[tuple[Labels, int]]:
        """Return all numbers."""
        self.add_up()
        with self._lock:
            return list(self._numbers.items())


class Samples:
    """Every sixteenth of the values that come, the first included, until they are taken.

    ``next_is_kept`` counts a value that came, and says whether it is one to keep.
    """

    def __init__(self) -> None:
        # Nothing but C, which no other thread interrupts.
        self.next_is_kept: Callable[[], bool] = cycle([True] + [False] * (_EVERY - 1)).__next__
        self._kept: list[tuple[Labels, float]] = []

    def keep_value(self, labels: Labels, value: float) -> None:
        """Keep a value that was wanted, unless too many wait."""
        if len(self._kept) < MANY:
            self._kept.append((labels, value))
        else:
            losses.add(("metrics", "samples"))

    def take_all(self) -> list[tuple[Labels, float]]:
        """Return what was kept, and begin anew."""
        kept, self._kept = self._kept, []
        return kept


losses = Tally()
"""What telemetry could not record, by signal and reason."""


class Names:
    """Returns a name as it is, or ``_OTHER`` when ``most`` different ones came before it.

    The first that is not kept is logged in one warning, the others are counted.
    """

    def __init__(self, most: int, label: str) -> None:
        self._most = most
        self._label = label
        self._known: dict[str, str] = {}
        self._full = False

    def __call__(self, name: str) -> str:
        """Return what to put into the label: a text that exporters take."""
        known = self._known.get(name)
        if known is not None or not name:
            return name if known is None else known
        if len(self._known) < self._most:
            return self._known.setdefault(name, text(name))
        losses.add(("metrics", "names"))
        if not self._full:
            self._full = True
            said = "more than %d values of the metric label %s: the rest is %r"
            _log.warning(said, self._most, self._label, OTHER)
        return OTHER
