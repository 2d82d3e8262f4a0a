"""The faults of telemetry that a recorded run has to find; planted.py takes them in."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from unittest.mock import patch

from catena import events
from catena.dispatch.caller.connection import WorkerConnection
from catena.events.bus import Event
from catena.telemetry import facts, metrics
from catena.telemetry.catalog import BY_EVENT
from catena.telemetry.rows import Metric
from tests.laws.fault import keep, returning
from tests.telemetry.test_observed import (
    of_token_reset,
    test_what_is_told_fits_the_catalog_and_itself as a_story,
)

__all__ = ["CHECKS"]

CHECKS = (a_story,)


def _named(event: type[Event], name: str) -> Any:
    """Let the span of an event have another name than the catalog says."""
    row = BY_EVENT[event]
    assert row.span is not None
    return patch.dict(BY_EVENT, {event: replace(row, span=replace(row.span, name=name))})


def _astray(real: Any) -> Any:
    """Let calls name a parent that nobody has."""

    def opened(
        self: WorkerConnection, declared: Any, payload: Any, operation: Any, *rest: Any
    ) -> Any:
        trace = (operation.carrier or {}).get("traceparent", "")
        if trace:
            forged = f"{trace[:36]}{'1f' * 8}{trace[52:]}"
            operation.carrier = {**operation.carrier, "traceparent": forged}
        return real(self, declared, payload, operation, *rest)

    return opened


_MORE = Metric(
    "catena.more", "counter", "{one}", "Not in the catalog.", keeping="direct", zero=((),)
)
_reset = BY_EVENT[events.TokenReset]

keep("an attribute is missing", of_token_reset(catena__var=None), a_story)
keep("a span has a name that no row has", _named(events.TokenReset, "catena.token.put"), a_story)
keep(
    "the parent of an execution is nowhere",
    patch.object(WorkerConnection, "open_call", _astray(WorkerConnection.open_call)),
    a_story,
)
keep(
    "an attribute quotes an error",
    patch.object(facts, "error_type", lambda error: f"{type(error).__name__}: {error}"),
    a_story,
)
keep(
    "a metric is not in the catalog",
    returning(metrics, "metrics_of", lambda found: [*found, _MORE]),
    a_story,
)
keep(
    "a record has another level",
    patch.dict(
        BY_EVENT,
        {events.TokenReset: replace(_reset, logs=(replace(_reset.logs[0], level=20),))},
    ),
    a_story,
)
