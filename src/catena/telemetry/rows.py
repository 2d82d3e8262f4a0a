"""The parts of a row of the catalog."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from catena.events.bus import Event

Kind = Literal["client", "server", "internal"]
Instrument = Literal["counter", "updown", "gauge", "histogram"]
Keeping = Literal["plain", "sampled", "direct"]


@dataclass(frozen=True, slots=True)
class Span:
    """A span: its tracer, its name (empty for the routine's own) and its kind.

    ``detail`` is the least detail at which it is made.
    """

    scope: str
    name: str
    kind: Kind = "internal"
    detail: Literal["dispatch", "full"] = "full"


@dataclass(frozen=True, slots=True)
class Metric:
    """An instrument, and how its numbers get there.

    ``plain`` numbers are counted here and read when metrics are collected; ``direct`` ones go
    to the instrument as they come, and carry exemplars; of ``sampled`` ones every sixteenth is kept
    until metrics are collected. ``zero`` lists the label values that are there from the start.
    """

    name: str
    kind: Instrument
    unit: str
    description: str
    labels: tuple[str, ...] = ()
    keeping: Keeping = "plain"
    zero: tuple[tuple[str, ...], ...] = ()
    boundaries: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Log:
    """A log record: its event name, its level as a number, and its logger."""

    name: str
    level: int
    logger: str


@dataclass(frozen=True, slots=True)
class Row:
    """What is recorded of one event; ``attributes`` are those of its span and its log records."""

    event: type[Event]
    span: Span | None = None
    metrics: tuple[Metric, ...] = ()
    logs: tuple[Log, ...] = ()
    attributes: tuple[str, ...] = ()


def make_row(
    event: type[Event], *parts: Span | Metric | Log, attributes: tuple[str, ...] = ()
) -> Row:
    """Return the row of an event, of what is recorded of it in whatever order."""
    spans = [one for one in parts if isinstance(one, Span)]
    return Row(
        event,
        spans[0] if spans else None,
        tuple(one for one in parts if isinstance(one, Metric)),
        tuple(one for one in parts if isinstance(one, Log)),
        attributes,
    )
