"""The counters of calls and mounts: what is done for those whose trace is not sampled.

Most calls are of that kind. They take a header along and are measured, and nobody is told of them:
no operation is entered and left, no closer is made. Who wants more than that takes the long way,
through the listeners in ``calls``, which a counter stands for.
"""

from __future__ import annotations

from time import perf_counter_ns

from opentelemetry.context import attach

from catena import events
from catena.observe import Outcome, ending
from catena.operations import Told
from catena.telemetry.carrier import SENT
from catena.telemetry.metrics import Metrics
from catena.telemetry.spans import Spans, sampled
from catena.telemetry.underway import underway

__all__ = ["Dispatches", "Executions", "Mounts"]

_TO_WORKER, _TO_CALLER = ("to_worker",), ("to_caller",)


class Dispatches:
    """Counts calls at their caller."""

    def __init__(self, spans: Spans | None, metrics: Metrics | None) -> None:
        self._passes = None if spans is None else spans.passes
        self._metrics = metrics

    def begin(self, event: events.Dispatch) -> bool:
        """Say whether a call is only counted; its carrier goes along."""
        metrics = self._metrics
        if metrics is not None:
            event.measured = metrics.measured()
            if event.measured:
                return False
        try:
            if self._passes is not None and not self._passes(event):
                return False
        except Exception:
            # The listener will meet it as well, and is detached for it.
            event.span = None
            return False
        event.started = perf_counter_ns()
        return True

    def end(self, event: events.Dispatch, error: BaseException | None, at: int = 0) -> None:
        """Count how a call ended."""
        metrics = self._metrics
        if metrics is not None:
            elapsed = (at or perf_counter_ns()) - event.started
            outcome = None if error is None else Outcome(elapsed, ending(error), error)
            metrics.note(metrics.client, event, elapsed, outcome)


class Executions:
    """Counts calls at their worker."""

    def __init__(self, spans: Spans | None, metrics: Metrics | None) -> None:
        self._spans = spans
        self._dropped = None if spans is None else spans.dropped
        self._metrics = metrics

    def begin(self, event: events.Execution) -> bool:
        """Say whether a call is only counted; its trace goes on in this Context."""
        if event.stream:
            return False
        carrier = event.told.carrier
        if self._dropped is not None:
            context = self._dropped(carrier)
            if context is None:
                return False
            event.context = context
            underway.enter(event)
            # As ``began`` does it for what may never tell its end.
            underway.calls[id(event)] = event
            attach(context)
        elif self._spans is not None or SENT in carrier:
            return False
        if self._metrics is not None:
            self._metrics.begun(event.leased or ())
        event.started = perf_counter_ns()
        return True

    def end(self, event: events.Execution, error: BaseException | None, at: int = 0) -> None:
        """Count how a call ended."""
        underway.calls.pop(id(event), None)
        metrics = self._metrics
        if metrics is not None:
            elapsed = (at or perf_counter_ns()) - event.started
            outcome = None if error is None else Outcome(elapsed, ending(error), error)
            metrics.over(event.leased or ())
            metrics.note(metrics.server, event, elapsed, outcome)
            if event.leased is not None and metrics.held():
                metrics.released(event.leased, elapsed)


class Mounts:
    """Counts mounts; those of a sampled call are told besides where there are spans of them."""

    def __init__(self, metrics: Metrics | None, *, leaves: bool) -> None:
        self._metrics = metrics
        self._leaves = leaves

    def counts(self, told: Told, to_worker: bool) -> bool:  # noqa: FBT001 - of each call
        """Say whether a mount is only counted, and count it."""
        if self._leaves:
            call = underway.here()
            if sampled() if call is None else call.sampled:
                return False
        if self._metrics is not None:
            self._metrics.mounted(told, to_worker)
        return True
