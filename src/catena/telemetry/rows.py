"""The parts of a row of the catalog."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import product
from types import MappingProxyType
from typing import Literal

from catena.events.bus import Event

AUDIT = "catena.audit"
"""The logger of every mount, reset, lease and call; one switch turns it on."""

AUDITED = ("process.pid", "catena.worker.id")
"""What each record of that logger says beside the facts of its row: who writes.

In a record that names the worker of a call, as that of a dispatch does, the id is that one's.
"""

CONTEXT, LINK, POOL = "catena.context", "catena.link", "catena.pool"
BACKGROUND = "catena.background"
DEBUG, INFO, WARNING, ERROR = 10, 20, 30, 40

Kind = Literal["client", "server", "internal", "producer", "consumer"]
Instrument = Literal["counter", "updown", "gauge", "histogram"]
Keeping = Literal["plain", "sampled", "direct"]

BOUNDARIES: Mapping[str, tuple[float, ...]] = {
    "s": (
        *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
        *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
    ),
    "By": tuple(float(4**power) for power in range(3, 14)),
}
"""Those of histograms, by their unit."""


@dataclass(frozen=True, slots=True)
class Span:
    """A span: its tracer, its name (empty for the routine's own) and its kind.

    ``detail`` is the least detail at which it is made; ``verb`` stands before the routine's name.
    """

    scope: str
    name: str
    kind: Kind = "internal"
    detail: Literal["dispatch", "full"] = "full"
    verb: str = ""


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


def _make_counting(
    kind: Instrument,
    name: str,
    unit: str,
    description: str,
    labels: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
    keeping: Keeping = "plain",
) -> Metric:
    """Return a metric that begins at 0 for each combination of the values given for its labels."""
    zero = tuple(product(*labels.values()))
    return Metric(name, kind, unit, description, tuple(labels), keeping, zero)


counter = partial(_make_counting, "counter")
updown = partial(_make_counting, "updown")
gauge = partial(_make_counting, "gauge")


def histogram(
    name: str, unit: str, description: str, *labels: str, keeping: Keeping = "sampled"
) -> Metric:
    """Return a metric of how values are distributed."""
    return Metric(name, "histogram", unit, description, labels, keeping)


@dataclass(frozen=True, slots=True)
class Log:
    """A log record: its event name, its sentence, its level and its logger, by default the audit's.

    The sentence is filled as the standard library does it, ``%(catena.var)s``, with the attributes
    of its row and with the phrases of ``catena.telemetry.sentences``. Where an event says that it
    is ``unexpected``, its record has that level, where there is one. Where ``always`` is set,
    nothing else reports what happened: warnings and errors are then written with telemetry off as
    well, and on standard error where no handler is.
    """

    name: str
    sentence: str
    level: int = DEBUG
    logger: str = AUDIT
    unexpected: int = 0
    always: bool = False

    @property
    def highest(self) -> int:
        """The level that it has at most."""
        return max(self.level, self.unexpected)

    def choose_level(self, event: Event) -> int:
        """Return the level of the record of an event."""
        is_unexpected = self.unexpected and getattr(event, "unexpected", False)
        return self.unexpected if is_unexpected else self.level


@dataclass(frozen=True, slots=True)
class Row:
    """What is recorded of one event; ``attributes`` are those of its span and its log records.

    Of a plain event ``fields`` says for each attribute which field of the event it shows.
    """

    event: type[Event]
    span: Span | None
    metrics: tuple[Metric, ...]
    logs: tuple[Log, ...]
    attributes: tuple[str, ...]
    fields: Mapping[str, str]


def make_row(
    event: type[Event],
    *parts: Span | Metric | Log,
    attributes: tuple[str, ...] = (),
    fields: Mapping[str, str] = MappingProxyType({}),
) -> Row:
    """Return the row of an event, of what is recorded of it in whatever order.

    With ``fields`` they are its attributes, and what is known of the event's error.
    """
    spans = [one for one in parts if isinstance(one, Span)]
    error = ("error.type", "exception.message") if hasattr(event, "error") else ()
    return Row(
        event,
        spans[0] if spans else None,
        tuple(one for one in parts if isinstance(one, Metric)),
        tuple(one for one in parts if isinstance(one, Log)),
        attributes or (*fields, *error),
        fields,
    )
