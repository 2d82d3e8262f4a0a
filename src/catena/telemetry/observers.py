"""The observers of calls and of their chains, which record spans and metrics together.

Every observer makes a call slower, so one observer finds out once what both signals need; either
signal may be absent. Most calls are not sampled, and of those only the numbers are recorded.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from opentelemetry.context import get_current

from catena import events
from catena.events.bus import Subscription, observe, subscribe
from catena.telemetry import underway
from catena.telemetry.attempts import attempt
from catena.telemetry.carrier import SENT, UNTRACED, add_span
from catena.telemetry.metrics import Metrics
from catena.telemetry.spans import Spans, enter_execution, is_sampled_here, shows_refusals


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
        if metrics is not None:
            context = event.context or (get_current() if spans is None else UNTRACED)
            metrics.note_end(metrics.client, event, elapsed, error, context)
            if event.measured:
                attempt("metrics", metrics.keep_frame_sizes, event)


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
        if metrics is not None:
            metrics.note_end(metrics.server, event, elapsed, error, context)
            if event.leased is not None and metrics.held():
                attempt("metrics", metrics.keep_lease_time, event.leased, elapsed)


class Chains:
    """Records mounts, unmounts and resets; below ``full`` only refused resets have spans."""

    def __init__(self, spans: Spans | None, metrics: Metrics | None) -> None:
        self._spans = spans
        self._leaves = spans if spans is not None and spans.full else None
        self._metrics = metrics

    def begin(self, event: events.Mount) -> None:
        """Count a mount, and begin its span."""
        if self._metrics is not None:
            self._metrics.count_mount(event)
        if self._leaves is not None and _is_call_sampled():
            event.span = attempt("traces", self._leaves.begin_mount, event)

    def end(self, event: events.Mount, error: BaseException | None, at: int) -> None:
        """End the span of a mount."""
        if event.span is not None and self._leaves is not None:
            attempt("traces", self._leaves.end_mount, event)

    def record_unmounted(self, event: events.Unmounted) -> None:
        """Record that a chain was taken out."""
        if self._metrics is not None:
            self._metrics.unmounted(())
        if self._leaves is not None and _is_call_sampled():
            attempt("traces", self._leaves.record_unmounted, event)

    def record_reset(self, event: events.TokenReset) -> None:
        """Record a reset; one that is refused also where there is no trace, as a contention."""
        if self._metrics is not None:
            self._metrics.count_event("catena.token.resets", event.outcome)
        if event.outcome == "ok":
            spans, shows = self._leaves, is_sampled_here
        else:
            spans, shows = self._spans, shows_refusals
        if spans is not None and shows():
            attempt("traces", spans.record_reset, event)


class EngineTasks:
    """Sends traces along with tasks of other engines; spans of them are the application's."""

    def __init__(self, spans: Spans) -> None:
        self._spans = spans

    def begin(self, event: events.Submission | events.EngineTask) -> None:
        """Send the current trace along, or make the one current that came."""
        if isinstance(event, events.Submission):
            attempt("traces", self._spans.send_trace, event)
        else:
            attempt("traces", self._spans.enter_trace, event)

    def end(self, event: events.EngineTask, error: BaseException | None, at: int) -> None:
        """Leave it current: the Context ends with the task."""


class Tasks:
    """Records background tasks: where they are submitted, and where they run."""

    def __init__(self, spans: Spans | None, metrics: Metrics | None) -> None:
        self._spans = None if spans is None else spans.tasks
        self._metrics = metrics

    def begin(self, event: events.TaskSubmission | events.TaskRun) -> None:
        """Begin a span, and count what is known at the begin."""
        spans, metrics = self._spans, self._metrics
        if isinstance(event, events.TaskSubmission):
            if spans is not None:
                attempt("traces", spans.begin_submission, event)
            return
        if spans is not None:
            attempt("traces", spans.begin_run, event)
        if metrics is not None and event.age is not None:
            attempt("metrics", metrics.record_snapshot, event)

    def end(
        self, event: events.TaskSubmission | events.TaskRun, error: BaseException | None, at: int
    ) -> None:
        """End the span, and count how it ended."""
        spans, metrics = self._spans, self._metrics
        if isinstance(event, events.TaskRun):
            if metrics is not None:
                metrics.count_event("catena.background.runs", event.outcome, event.release)
            if spans is not None:
                attempt("traces", spans.end_run, event, error)
            return
        if metrics is not None and error is None:
            metrics.count_event("catena.background.submitted", event.outcome)
        if spans is not None and event.span is not None:
            attempt("traces", spans.end_submission, event, error)


def _is_call_sampled() -> bool:
    """Say whether the call is sampled that moves a chain here, or else the current trace."""
    call = underway.here()
    return is_sampled_here() if call is None else call.sampled


def subscribe_observers(spans: Spans | None, metrics: Metrics | None) -> Iterator[Subscription]:
    """Subscribe what spans and metrics are made of; a contention is recorded with its log."""
    yield observe(Dispatches(spans, metrics), events.Dispatch)
    yield observe(Executions(spans, metrics), events.Execution)
    chains = Chains(spans, metrics)
    yield subscribe(chains.record_reset, events.TokenReset)
    yield observe(Tasks(spans, metrics), events.TaskSubmission, events.TaskRun)
    if spans is not None:
        yield observe(EngineTasks(spans), events.Submission, events.EngineTask)
    if metrics is not None or (spans is not None and spans.full):
        yield observe(chains, events.Mount)
        yield subscribe(chains.record_unmounted, events.Unmounted)
    if metrics is not None:
        for event, listener in metrics.make_listeners().items():
            yield subscribe(listener, event)
