"""``recording()``: what the core announced while a block ran."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from catena import events
from catena.events.bus import Event, Operation, Outcome, end_of, observe, subscribe

E = TypeVar("E", bound=Event)


@dataclass(slots=True)
class Recording:
    """Events in the order in which they were announced, and the outcomes of operations."""

    events: list[Event] = field(default_factory=list[Event])
    outcomes: list[tuple[Event, Outcome]] = field(default_factory=list[tuple[Event, Outcome]])

    def of(self, kind: type[E]) -> list[E]:
        """Return the recorded events of one class."""
        return [one for one in self.events if isinstance(one, kind)]

    def outcome(self, event: Event) -> Outcome | None:
        """Return how an operation ended, None while it lasts."""
        return next((ended for one, ended in self.outcomes if one is event), None)

    def begin(self, operation: Operation) -> None:
        """Record that an operation begins, as an observer."""
        self.events.append(operation)

    def end(self, operation: Operation, error: BaseException | None, at: int) -> None:
        """Record how an operation ended, as an observer."""
        outcome = Outcome(at - operation.started, end_of(error), error)
        self.outcomes.append((operation, outcome))


@contextmanager
def recording(*kinds: type[Event]) -> Generator[Recording]:
    """Record events of the given classes, by default of every class, while the block runs."""
    recorded, kinds = Recording(), kinds or _every_event()
    facts = [one for one in kinds if not issubclass(one, Operation)]
    operations = [one for one in kinds if issubclass(one, Operation)]
    with subscribe(recorded.events.append, *facts), observe(recorded, *operations):
        yield recorded


def _every_event() -> tuple[type[Event], ...]:
    found = (getattr(events, name) for name in events.__all__)
    return tuple(one for one in found if isinstance(one, type) and issubclass(one, Event))
