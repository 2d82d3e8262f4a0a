"""Spans of background tasks, named as OpenTelemetry's messaging conventions say.

A submission has a span of its own. A run is recorded on the span that the engine has made for it,
which gets a link to the submission: the engine itself loses that for tasks that are delayed, tried
again later, or repeated. On request the run has a span of its own instead, which continues the
trace of the submission and is linked to that of the engine.
"""

from __future__ import annotations

from opentelemetry import trace
from opentelemetry.context import attach, detach
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode

from catena import events
from catena.events.bus import end_of
from catena.telemetry.carrier import Carriers, add_span
from catena.telemetry.facts import facts_of
from catena.telemetry.tally import losses
from catena.telemetry.texts import text


class TaskSpans:
    """Makes the spans of tasks, over one tracer."""

    def __init__(self, tracer: trace.Tracer, carriers: Carriers, *, messages: bool) -> None:
        self._tracer = tracer
        self._carriers = carriers
        self._messages = messages

    def begin_submission(self, event: events.TaskSubmission) -> None:
        """Begin the span of a submission, make it current, and store its trace with the task."""
        name = text(f"{event.operation} {event.function}")
        event.span = span = self._tracer.start_span(name, kind=SpanKind.PRODUCER)
        event.context = attach(trace.set_span_in_context(span))
        event.carrier = self._carriers.write(span) or event.carrier

    def end_submission(self, event: events.TaskSubmission, error: BaseException | None) -> None:
        """End the span of a submission."""
        detach(event.context)
        self._end(event.span, event, error)

    def begin_run(self, event: events.TaskRun) -> None:
        """Link the engine's span to the submission, or begin one that continues its trace."""
        context, state = self._carriers.read(event.carrier)
        if state in ("malformed", "oversized"):
            losses.add(("traces", state))
        engines, name = trace.get_current_span(), text(f"{event.operation} {event.function}")
        if not event.is_child:
            origin = trace.get_current_span(context).get_span_context()
            if origin.is_valid:
                engines.add_link(origin)
            engines.update_name(name)
            engines.set_attributes(facts_of(event))
            return
        links = [Link(engines.get_span_context())]
        event.span = self._tracer.start_span(name, context, SpanKind.CONSUMER, links=links)
        attach(add_span(event.span, context))

    def end_run(self, event: events.TaskRun, error: BaseException | None) -> None:
        """End the span of a run where it has one of its own; the engine ends the other one."""
        if event.span is not None:
            self._end(event.span, event, error)
        else:
            trace.get_current_span().set_attribute("catena.outcome", event.outcome)

    def _end(
        self,
        span: Span,
        event: events.TaskSubmission | events.TaskRun,
        error: BaseException | None,
    ) -> None:
        if span.is_recording():
            span.set_attributes(facts_of(event))
        if error is not None and end_of(error) == "failed":
            span.set_status(Status(StatusCode.ERROR, text(error) if self._messages else None))
        span.end()
