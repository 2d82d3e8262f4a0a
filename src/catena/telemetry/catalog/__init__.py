"""The catalog: one table with a row for each event of the core, and what each signal records of it.

Spans, metrics and logs are made from it; documentation, boards and tests are checked against it.
It is data and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator

from catena.events.bus import Event
from catena.telemetry.catalog.calls import CALLS
from catena.telemetry.catalog.common import AUDIT, AUDITED
from catena.telemetry.catalog.context import CHAINS
from catena.telemetry.catalog.processes import PROCESSES
from catena.telemetry.rows import Metric, Row

__all__ = ["AUDIT", "AUDITED", "BY_EVENT", "CATALOG", "DROPPED", "LOGS", "metrics_of"]

DROPPED = Metric(
    "catena.telemetry.dropped",
    "counter",
    "{item}",
    "Telemetry items that were lost, or recorded outside of their trace.",
    ("catena.signal", "catena.reason"),
    zero=(
        *(("traces", "malformed"), ("traces", "oversized"), ("traces", "raised")),
        *(("metrics", "names"), ("metrics", "samples"), ("metrics", "raised")),
        ("logs", "raised"),
    ),
)
"""Belongs to no event: telemetry counts its own losses."""

CATALOG: tuple[Row, ...] = (*CALLS, *CHAINS, *PROCESSES)

BY_EVENT: dict[type[Event], Row] = {one.event: one for one in CATALOG}
LOGS = {(log.logger, log.name) for one in CATALOG for log in one.logs}
"""Which logger writes which events."""


def metrics_of(rows: tuple[Row, ...] = CATALOG) -> Iterator[Metric]:
    """Yield every metric once, that of telemetry itself at the end."""
    seen: dict[str, Metric] = {}
    for one in rows:
        for metric in one.metrics:
            seen.setdefault(metric.name, metric)
    yield from seen.values()
    yield DROPPED
