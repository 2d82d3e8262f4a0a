"""Counts the guard tests: how often somebody asks whether anybody listens or observes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from catena import events
from catena.events.bus import Event, Operation
from tests.telemetry.always import ALWAYS

__all__ = ["KINDS", "counted", "total"]

KINDS = [
    kind
    for kind in (getattr(events, name) for name in events.__all__)
    if isinstance(kind, type) and issubclass(kind, Event)
]


class _Counting:
    """Stands in a class for who is subscribed: each look at it is counted, and finds nobody."""

    def __init__(self, counts: Counter[str]) -> None:
        self._counts = counts

    def __get__(self, instance: object, owner: type[Event]) -> tuple[()]:
        self._counts[owner.__name__] += 1
        return ()


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """Count, by class of event, while the block runs. Nobody may subscribe meanwhile.

    Nobody may be subscribed but for the log records that are written always, who are set aside.
    Raises RuntimeError when somebody does.
    """
    heard = {kind: getattr(kind, _name_of(kind)) for kind in KINDS}
    if others := [kind.__name__ for kind, who in heard.items() if who and kind not in ALWAYS]:
        raise RuntimeError(f"somebody listens to {others}")
    counts: Counter[str] = Counter()
    plain: Any = heard
    for kind in plain:
        setattr(kind, _name_of(kind), _Counting(counts))
    try:
        yield counts
    finally:
        for kind, who in plain.items():
            setattr(kind, _name_of(kind), who)


def _name_of(kind: type[Event]) -> str:
    """Return the name under which a class has whoever is subscribed to it."""
    return "observers" if issubclass(kind, Operation) else "listeners"


def total(counts: Counter[str]) -> int:
    """Return how many guard tests there were."""
    return counts.total()
