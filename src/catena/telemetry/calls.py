"""The observers of calls: one for each end, which records spans and metrics together.

Every observer makes a call slower, so one observer finds out once what both signals need; either
signal may be absent. Most calls are not sampled, and of those only the numbers are recorded.
"""

from __future__ import annotations

from functools import partial

from opentelemetry.context import get_current

from catena import events
from catena.telemetry.attempts import attempt, count_loss
from catena.telemetry.carrier import SENT, UNTRACED, add_span
from catena.telemetry.metrics import Metrics
from catena.telemetry.spans import Spans, enter_execution
from catena.telemetry.underway import underway


class Dispatches:
    """Records calls at their caller."""

    def __init__(self, spans: Spans | None, metrics: Metrics | None) -> None:
        self._spans = spans
        self._metrics = metrics

    def begin(self, event: events.Dispatch) -> None:
        """Begin the span of a call, and send its trace along."""
        spans, metrics = self._spans, self._metrics
        if spans is not None:
            span = attempt("traces", spans.begin_dispatch, event)
            if event.context is None and span is not None and len(event.observers) > 1:
                # For observers that come after this one.
                event.context = add_span(span, get_current())
        if metrics is not None and metrics.measured():
            metrics.prepare_sending(event)

    def end(self, event: events.Dispatch, error: BaseException | None, at: int) -> None:
        """End the span of a call, and note how long it took."""
        elapsed, spans, metrics = at - event.started, self._spans, self._metrics
        if event.span is not None and spans is not None:
            attempt("traces", spans.end_dispatch, event, error, elapsed)
        if metrics is None:
            return
        try:
            how = None if error is None else metrics.labels_of(event.routine, error)
            context = event.context or (get_current() if spans is None else UNTRACED)
            metrics.note_end((metrics.client, elapsed, event.routine, how, context))
            if event.measured:
                metrics.keep_frame_sizes(event)
        except BaseException:
            count_loss("metrics")


class Executions:
    """Records calls at their worker."""

    def __init__(self, spans: Spans | None, metrics: Metrics | None) -> None:
        self._spans = spans
        self._read_unsampled = None if spans is None else spans.read_unsampled
        self._metrics = metrics

    def begin(self, event: events.Execution) -> None:
        """Begin the span of a call in the Context that it runs in, where its trace goes on."""
        spans, metrics, carrier = self._spans, self._metrics, event.served.carrier
        if metrics is not None and event.leased is not None:
            metrics.leased(event.leased)
        # Most calls belong to an unsampled trace, for which nothing else is to be done.
        read = self._read_unsampled
        event.context = context = None if read is None else read(carrier)
        if context is None and spans is not None:
            attempt("traces", spans.begin_execution, event)
        if event.context is not None:
            underway.add_call(event)
            enter_execution(event)
            if event.stream:
                event.enter = partial(enter_execution, event)
        if event.span is not None and spans is not None:
            attempt("traces", spans.record_execution, event)
        if metrics is not None and context is None and SENT in carrier:
            attempt("metrics", metrics.keep_queue_time, event)

    def end(self, event: events.Execution, error: BaseException | None, at: int) -> None:
        """End the spans of a call and of its lease, and note how long they took."""
        elapsed, spans, metrics = at - event.started, self._spans, self._metrics
        # The event and this function refer to each other; without this only the garbage
        # collector could free them.
        event.enter = None
        underway.calls.pop(id(event), None)
        context = UNTRACED
        if spans is None:
            context = get_current()
        elif event.span is not None:
            context = event.context
            attempt("traces", spans.end_execution, event, error, elapsed)
        if metrics is None:
            return
        try:
            how = None if error is None else metrics.labels_of(event.routine, error)
            metrics.note_end((metrics.server, elapsed, event.routine, how, context))
            if event.leased is not None and metrics.held():
                metrics.keep_lease_time(event.leased, elapsed)
        except BaseException:
            count_loss("metrics")
