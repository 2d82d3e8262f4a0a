"""The counters of calls and mounts: what is done for those whose trace is not sampled.

Most calls are of that kind. They take a header along and are measured, and nobody is told of them:
no operation is entered and left, no closer is made. Who wants more than that takes the long way,
through the listeners in ``calls``, which a counter stands for.
"""

from __future__ import annotations

from catena import events
from catena.observe import Outcome
from catena.telemetry.carrier import SENT
from catena.telemetry.metrics import Metrics
from catena.telemetry.spans import Spans, sampled
from catena.telemetry.underway import underway

__all__ = ["Dispatches", "Executions", "Mounts"]


class Dispatches:
    """Counts calls at their caller."""

    def __init__(self, spans: Spans | None, metrics: Metrics | None) -> None:
        self._spans = spans
        self._metrics = metrics

    def begin(self, event: events.Dispatch) -> bool:
        """Say whether a call is only counted; its carrier goes along."""
        metrics = self._metrics
        if metrics is not None:
            if metrics.measured():
                event.measured = True
            event.asked = True
            if event.measured:
                return False
        try:
            return self._spans is None or self._spans.passes(event)
        except Exception:
            # The listener will meet it as well, and is detached for it.
            event.span = None
            return False

    def end(self, event: events.Dispatch, elapsed_ns: int, outcome: Outcome | None) -> None:
        """Count how a call ended."""
        metrics = self._metrics
        if metrics is not None:
            metrics.note(metrics.client, event, elapsed_ns, outcome)


class Executions:
    """Counts calls at their worker."""

    def __init__(self, spans: Spans | None, metrics: Metrics | None) -> None:
        self._spans = spans
        self._metrics = metrics

    def begin(self, event: events.Execution) -> bool:
        """Say whether a call is only counted; its trace goes on in this Context."""
        if event.stream or SENT in event.told.carrier:
            return False
        if self._spans is not None and not self._spans.serves(event):
            return False
        if self._metrics is not None:
            self._metrics.begun(event.leased or ())
        return True

    def end(self, event: events.Execution, elapsed_ns: int, outcome: Outcome | None) -> None:
        """Count how a call ended."""
        underway.calls.pop(id(event), None)
        metrics = self._metrics
        if metrics is not None:
            metrics.over(event.leased or ())
            metrics.note(metrics.server, event, elapsed_ns, outcome)
            if event.leased is not None and metrics.held():
                metrics.released(event.leased, elapsed_ns)


class Mounts:
    """Counts mounts; those of a sampled call are told besides where there are spans of them."""

    def __init__(self, metrics: Metrics | None, *, leaves: bool) -> None:
        self._metrics = metrics
        self._leaves = leaves

    def begin(self, event: events.Mount) -> bool:
        """Say whether a mount is only counted."""
        if self._leaves:
            call = underway.here()
            if sampled() if call is None else call.sampled:
                return False
        if self._metrics is not None:
            self._metrics.mounted(event)
        return True

    def end(self, event: events.Mount, elapsed_ns: int, outcome: Outcome | None) -> None:
        """Do nothing: a mount counts when it begins, for what may fail comes before."""
