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

from opentelemetry.context import attach, get_current

from catena import events
from catena.observe import Outcome, fell
from catena.telemetry.carrier import SENT, UNTRACED
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
        counted = True
        try:
            if self._spans is not None:
                counted = self._spans.dispatch(event)
            metrics = self._metrics
            if metrics is not None and metrics.measured():
                metrics.sending(event)
                counted = False
        except Exception:
            counted = event.span is None
            fell(events.Dispatch, self.tell)
        event.started = perf_counter_ns()
        return counted

    def end(self, event: events.Dispatch, error: BaseException | None, at: int = 0) -> None:
        """Tell how a call ended."""
        elapsed = (at or perf_counter_ns()) - event.started
        try:
            spans, metrics = self._spans, self._metrics
            if event.span is not None and spans is not None:
                spans.dispatched(event, error)
            if metrics is not None:
                how = None if error is None else metrics.labels_of(event.routine, error)
                context = event.context or (get_current() if spans is None else UNTRACED)
                metrics.note((metrics.client, elapsed, event.routine, how, context))
                if event.measured:
                    metrics.sent(event)
        except Exception:
            fell(events.Dispatch, self.tell)

    def tell(self, event: events.Dispatch) -> Closer | None:
        """Begin to tell of a stream, or of a call that others hear of, too."""
        self.begin(event)
        if self._spans is not None:
            self._spans.known(event)
        if self._metrics is None and event.span is None:
            return None
        return partial(self._told, event)

    def _told(self, event: events.Dispatch, outcome: Outcome) -> None:
        self.end(event, left_with(outcome), event.started + outcome.elapsed_ns)


class Executions:
    """Tells of calls at their worker, and of the leases that serve them."""

    def __init__(self, spans: Spans | None, metrics: Metrics | None) -> None:
        self._spans = spans
        self._dropped = None if spans is None else spans.dropped
        self._metrics = metrics

    def begin(self, event: events.Execution) -> bool:
        """Begin to tell of a call in the Context that it runs in, where its trace goes on."""
        counted, metrics = True, self._metrics
        if metrics is not None:
            # First of all: it will be over, whatever comes of the rest.
            metrics.begun(event.leased or ())
        try:
            carrier = event.told.carrier
            context = None if self._dropped is None else self._dropped(carrier)
            if context is not None:
                # All that is to be done for most, as ``Spans.execution`` does it for the others.
                event.context = context
                underway.calls[id(event)] = event
                underway.enter(event)
                attach(context)
            elif self._spans is not None:
                counted = self._spans.execution(event)
            if metrics is not None and context is None and SENT in carrier:
                metrics.waited(event)
        except Exception:
            fell(events.Execution, self.tell)
        event.started = perf_counter_ns()
        return counted

    def end(self, event: events.Execution, error: BaseException | None, at: int = 0) -> None:
        """Tell how a call ended."""
        elapsed = (at or perf_counter_ns()) - event.started
        metrics, leased = self._metrics, event.leased
        if metrics is not None:
            metrics.over(leased or ())
        underway.calls.pop(id(event), None)
        try:
            context = UNTRACED
            if self._spans is None:
                context = get_current()
            elif event.span is not None:
                context = event.context
                self._spans.executed(event, error)
            if metrics is not None:
                how = None if error is None else metrics.labels_of(event.routine, error)
                metrics.note((metrics.server, elapsed, event.routine, how, context))
                if leased is not None and metrics.held():
                    metrics.released(leased, elapsed)
        except Exception:
            fell(events.Execution, self.tell)

    def tell(self, event: events.Execution) -> Closer:
        """Begin to tell of a stream, or of a call that others hear of, too."""
        self.begin(event)
        if event.context is not None:
            event.enter = partial(enter, event)
        return partial(self._told, event)

    def _told(self, event: events.Execution, outcome: Outcome) -> None:
        # The two refer to each other: whoever is done lets go, and the collector has no work.
        event.enter = None
        self.end(event, left_with(outcome), event.started + outcome.elapsed_ns)
