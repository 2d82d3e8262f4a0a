"""The counters of calls and mounts: what is done for those whose trace is not sampled.

Most calls are of that kind. They take a header along and are measured, and nobody is told of them:
no operation is entered and left, no closer is made. Who wants more than that takes the long way,
through the listeners in ``calls``, which a counter stands for.
"""

from __future__ import annotations

from time import perf_counter_ns

from opentelemetry.context import attach, get_current

from catena import events
from catena.observe import ending
from catena.operations import Told
from catena.telemetry.carrier import SENT, UNTRACED
from catena.telemetry.metrics import Metrics
from catena.telemetry.spans import Spans, sampled
from catena.telemetry.underway import underway

__all__ = ["Dispatches", "Executions", "Mounts", "is_told"]


class Dispatches:
    """Counts calls at their caller."""

    def __init__(self, spans: Spans | None, metrics: Metrics | None) -> None:
        self._passes = None if spans is None else spans.passes
        self._metrics = metrics

    def begin(self, event: events.Dispatch) -> bool:
        """Say whether a call is only counted; its carrier goes along."""
        metrics = self._metrics
        if metrics is not None:
            event.measured = measured = metrics.measured()
            if measured:
                return False
        try:
            if self._passes is not None and self._passes(event) is None:
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
            how = None if error is None else metrics.labels_of(event.routine, ending(error), error)
            context = get_current() if self._passes is None else UNTRACED
            metrics.note((metrics.client, elapsed, event.routine, how, context))


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
            leased = event.leased
            metrics.over(leased or ())
            how = None if error is None else metrics.labels_of(event.routine, ending(error), error)
            context = get_current() if self._dropped is None else UNTRACED
            metrics.note((metrics.server, elapsed, event.routine, how, context))
            if leased is not None and metrics.held():
                metrics.released(leased, elapsed)


class Mounts:
    """Counts chains that come and go; those of a sampled call are told where there are spans."""

    def __init__(self, metrics: Metrics | None, *, leaves: bool) -> None:
        self._metrics = metrics
        self._leaves = leaves

    def counts(self, told: Told, to_worker: bool) -> bool:  # noqa: FBT001 - of each call
        """Say whether a mount is only counted, and count it."""
        if self._leaves and is_told():
            return False
        if self._metrics is not None:
            self._metrics.mounted(told, to_worker)
        return True

    def counts_out(self) -> bool:
        """Say whether a chain that is taken out is only counted, and count it."""
        if self._leaves and is_told():
            return False
        if self._metrics is not None:
            self._metrics.unmounted(())
        return True


def is_told() -> bool:
    """Say whether a chain that comes or goes is told of: where the call that moves it is."""
    call = underway.here()
    return sampled() if call is None else call.sampled
