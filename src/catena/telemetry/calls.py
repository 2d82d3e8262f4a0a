"""The two ends of calls as they are told: one object each, for spans and metrics together.

A call pays for everybody who hears of it, so what both signals want to know of it is told them at
once; either may be absent. As long as nobody else listens, an end's object is the seam's counter:
it is asked when a call begins, and when it is over. Most calls are not sampled, and it wants to
know no more of those; nobody is told of them. Where others listen, too, it is a listener.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import perf_counter_ns

from opentelemetry.context import get_current
from opentelemetry.trace import Span

from catena import events
from catena.observe import Outcome
from catena.telemetry.attempts import attempt, lost
from catena.telemetry.carrier import SENT, UNTRACED, inside
from catena.telemetry.facts import left_with
from catena.telemetry.metrics import Metrics
from catena.telemetry.spans import Spans, enter
from catena.telemetry.underway import underway

__all__ = ["Dispatches", "Executions"]

Closer = Callable[[Outcome], None]


class Dispatches:
    """Tells of calls at their caller."""

    def __init__(self, spans: Spans | None, metrics: Metrics | None) -> None:
        self._spans = spans
        self._metrics = metrics

    def begin(self, event: events.Dispatch) -> bool:
        """Begin to tell of a call, and send its trace along; say whether only its end is wanted."""
        event.started = perf_counter_ns()
        self._begin(event)
        return event.span is None and not event.measured

    def _begin(self, event: events.Dispatch) -> Span | None:
        span = None
        if self._spans is not None:
            try:
                span = self._spans.dispatch(event)
            except BaseException:
                lost("traces")
        metrics = self._metrics
        if metrics is not None and metrics.measured():
            metrics.sending(event)
        return span

    def end(self, event: events.Dispatch, error: BaseException | None, at: int = 0) -> None:
        """Tell how a call ended."""
        elapsed = (at or perf_counter_ns()) - event.started
        spans, metrics = self._spans, self._metrics
        if event.span is not None and spans is not None:
            attempt("traces", spans.dispatched, event, error, elapsed)
        if metrics is None:
            return
        try:
            how = None if error is None else metrics.labels_of(event.routine, error)
            context = event.context or (get_current() if spans is None else UNTRACED)
            metrics.note((metrics.client, elapsed, event.routine, how, context))
            if event.measured:
                metrics.sent(event)
        except BaseException:
            lost("metrics")

    def tell(self, event: events.Dispatch) -> Closer | None:
        """Begin to tell of a stream, or of a call that others hear of, too."""
        span = self._begin(event)
        if event.context is None and span is not None:
            # For listeners that come after this one.
            event.context = inside(span, get_current())
        if self._metrics is None and event.span is None:
            return None
        return partial(self._told, event)

    def _told(self, event: events.Dispatch, outcome: Outcome) -> None:
        self.end(event, left_with(outcome), event.started + outcome.elapsed_ns)


class Executions:
    """Tells of calls at their worker."""

    def __init__(self, spans: Spans | None, metrics: Metrics | None) -> None:
        self._spans = spans
        self._dropped = None if spans is None else spans.dropped
        self._metrics = metrics

    def begin(self, event: events.Execution) -> bool:
        """Begin to tell of a call in the Context that it runs in, where its trace goes on."""
        event.started = perf_counter_ns()
        self._begin(event)
        return event.span is None

    def _begin(self, event: events.Execution) -> None:
        spans, metrics, carrier = self._spans, self._metrics, event.told.carrier
        if metrics is not None and event.leased is not None:
            metrics.leased(event.leased)
        # All that is to be done for most, as ``Spans.execution`` does it for the others.
        event.context = context = None if self._dropped is None else self._dropped(carrier)
        if context is None and spans is not None:
            attempt("traces", spans.execution, event)
        if event.context is not None:
            underway.began(event)
            enter(event)
        if event.span is not None and spans is not None:
            attempt("traces", spans.executing, event)
        if metrics is not None and context is None and SENT in carrier:
            attempt("metrics", metrics.waited, event)

    def end(self, event: events.Execution, error: BaseException | None, at: int = 0) -> None:
        """Tell how a call ended."""
        elapsed = (at or perf_counter_ns()) - event.started
        spans, metrics, leased = self._spans, self._metrics, event.leased
        underway.calls.pop(id(event), None)
        context = UNTRACED
        if spans is None:
            context = get_current()
        elif event.span is not None:
            context = event.context
            attempt("traces", spans.executed, event, error, elapsed)
        if metrics is None:
            return
        try:
            how = None if error is None else metrics.labels_of(event.routine, error)
            metrics.note((metrics.server, elapsed, event.routine, how, context))
            if leased is not None and metrics.held():
                metrics.released(leased, elapsed)
        except BaseException:
            lost("metrics")

    def tell(self, event: events.Execution) -> Closer:
        """Begin to tell of a stream, or of a call that others hear of, too."""
        self._begin(event)
        if event.context is not None:
            event.enter = partial(enter, event)
        return partial(self._told, event)

    def _told(self, event: events.Execution, outcome: Outcome) -> None:
        # The two refer to each other: whoever is done lets go, and the collector has no work.
        event.enter = None
        self.end(event, left_with(outcome), event.started + outcome.elapsed_ns)
