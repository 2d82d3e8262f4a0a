"""Spans: one for each call at either end, and leaf spans for what happens to its chain.

The span of an execution is current in every Context that its routine runs in; it is attached once
and never detached, for those Contexts end with the call. The span of a dispatch is made current
only while a chain that came back is mounted, which takes no ``await``. Where the trace is not
sampled the tracer is asked at most once for each end of a call, and for nothing in between; where
its sampler would only repeat what the parent says, it is not asked at all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context, attach, detach, get_current
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanKind, Status, StatusCode

from catena import events
from catena.events.bus import Event, end_of
from catena.telemetry import underway
from catena.telemetry.attempts import attempt
from catena.telemetry.carrier import SPAN, Carriers, UnsampledSpan, add_span
from catena.telemetry.catalog import BY_EVENT
from catena.telemetry.clock import since_1970
from catena.telemetry.facts import (
    Facts,
    describe_answered,
    describe_begin,
    describe_execution,
    describe_mount,
    facts_of,
    outcome_of,
)
from catena.telemetry.options import Hooked, Options
from catena.telemetry.pending import Pending
from catena.telemetry.tally import losses
from catena.telemetry.task_spans import TaskSpans
from catena.telemetry.texts import text

_CLIENT, _SERVER = SpanKind.CLIENT, SpanKind.SERVER
_SAMPLED = trace.TraceFlags.SAMPLED


class Spans:
    """Makes the spans of events, over the tracers of one provider, as the options ask for it."""

    def __init__(self, provider: trace.TracerProvider, options: Options, version: str) -> None:
        self.provider = provider
        self.full = options.detail == "full"
        """Whether there are spans of mounts, resets and leases."""
        self._carriers = Carriers(options.propagator, baggage=options.baggage)
        self._messages = options.record_messages
        self._hooks = options.hooks
        self._pending = Pending(provider) if options.pending else None
        self._has_hooks = options.pending or options.hooks != (None, None)
        rows = {row.event: row.span for row in BY_EVENT.values() if row.span is not None}
        tracers = {
            scope: provider.get_tracer(scope, version)
            for scope in sorted({span.scope for span in rows.values()})
        }
        self._leaves = {
            event: (tracers[span.scope], span.name, SpanKind[span.kind.upper()])
            for event, span in rows.items()
        }
        self._calls = tracers["catena.dispatch"]
        self.tasks = TaskSpans(
            tracers["catena.background"], self._carriers, messages=self._messages
        )
        self._follows = _drops_unsampled(self._calls)
        # Reads the header of a trace that its caller dropped, where that settles it here, too.
        self.read_unsampled = self._carriers.read_unsampled if self._follows else None

    def begin_dispatch(self, event: events.Dispatch) -> Span | None:
        """Begin the span of a call on its caller, and send its trace along.

        Returns the span that the call belongs to; one that has to be ended is in the event as well.
        """
        current = get_current()
        outer: Any = current.get(SPAN)
        if outer is not None and self._follows and _is_unsampled(outer):
            event.carrier = self._carriers.write(outer)
            return outer
        span = self._begin_call(event, current, _CLIENT, describe_begin(event))
        if span is None:
            # It could not be begun: the trace that it was to be in goes on without it.
            event.carrier = None if outer is None else self._carriers.write(outer)
            return outer
        event.carrier = self._carriers.write(span)
        if type(span) is NonRecordingSpan:
            return span
        event.span = span
        event.context = context = add_span(span, current)
        if span.is_recording():
            event.sampled = _is_sampled(span)
            event.enter = partial(_enter_dispatch, event, context)
            underway.add_call(event)
            if self._has_hooks:
                self._call_hooks(event, outer, self._hooks[0])
        return span

    def begin_execution(self, event: events.Execution) -> None:
        """Begin the span of a call on its worker, as a child of its dispatch."""
        parent, state = self._carriers.read(event.served.carrier)
        outer: Any = parent.get(SPAN)
        event.context = parent
        if self._follows and (
            type(outer) is UnsampledSpan or (state == "present" and _is_unsampled(outer))
        ):
            return
        attributes = describe_execution(event)
        if state != "present":
            attributes["catena.carrier"] = state
            if state != "absent":
                losses.add(("traces", state))
        span = self._begin_call(event, parent, _SERVER, attributes)
        if span is not None:
            event.context = add_span(span, parent)
            if type(span) is not NonRecordingSpan:
                event.span, event.origin = span, outer

    def record_execution(self, event: events.Execution) -> None:
        """Record an execution that is current now, and the lease that serves it."""
        span: Span = event.span
        if not span.is_recording():
            return
        event.sampled = _is_sampled(span)
        event.reply = partial(self._carriers.write, span)
        if self._has_hooks:
            self._call_hooks(event, event.origin, self._hooks[1])
        lease = event.lease if self.full and event.sampled else None
        if lease is not None:
            event.leasing = attempt("traces", self._begin_lease, lease, event)

    def _begin_lease(self, lease: events.Lease, event: events.Execution) -> Span:
        return self._begin_leaf(lease, facts_of(lease), context=event.context, at=event.began)

    def _begin_call(
        self, event: underway.Call, context: Context, kind: SpanKind, attributes: Facts
    ) -> Span | None:
        """Begin a call's span when the call has; None where what observes that raises."""
        event.began = began = since_1970(event.started)
        begin = self._calls.start_span
        return attempt("traces", begin, text(event.routine), context, kind, attributes, (), began)

    def end_dispatch(
        self, event: events.Dispatch, error: BaseException | None, elapsed: int
    ) -> None:
        """End the span of a call on its caller, so many nanoseconds after its begin."""
        underway.calls.pop(id(event), None)
        self._end_call(event, describe_answered(event), error, elapsed)

    def end_execution(
        self, event: events.Execution, error: BaseException | None, elapsed: int
    ) -> None:
        """End the span of a call on its worker, and that of its lease, likewise."""
        if event.leasing is not None:
            attempt("traces", event.leasing.end, event.began + elapsed)
        self._end_call(event, {}, error, elapsed)

    def _end_call(
        self, event: underway.Call, facts: Facts, error: BaseException | None, elapsed: int
    ) -> None:
        # The event and this function refer to each other; without this only the garbage
        # collector could free them.
        event.enter = None
        span: Span = event.span
        if span.is_recording():
            span.set_attributes(facts | outcome_of(error, messages=self._messages))
        if error is not None and end_of(error) == "failed":
            span.set_status(self._make_status(error))
        span.end(event.began + elapsed)

    def begin_mount(self, event: events.Mount) -> Span:
        """Begin the span of a mount, linked to the span that captured the manifest."""
        if event.to_worker:
            call = underway.here()
            origin = call.origin if isinstance(call, events.Execution) else None
            captured = origin and origin.get_span_context()
        else:
            captured = self._carriers.read_link(event.carrier)
        return self._begin_leaf(event, None, () if captured is None else (captured,))

    def record_unmounted(self, event: events.Unmounted) -> None:
        """Record that a chain was taken out: where the call has its answer, at the end of it."""
        call, at = underway.here(), None
        if isinstance(call, events.Execution) and call.answered:
            at = call.began + call.answered - call.started
        self._begin_leaf(event, facts_of(event), at=at).end(at)

    def record_reset(self, event: events.TokenReset) -> None:
        """Record a reset; one that is refused is an error."""
        span = self._begin_leaf(event, facts_of(event))
        if event.outcome != "ok":
            span.set_status(Status(StatusCode.ERROR))
        span.end()

    def record_contention(self, event: events.ContentionRefused) -> Context | None:
        """Record a contention, linked to the owner's span; return the context of the span.

        None where the trace is not sampled.
        """
        if not shows_refusals():
            return None
        owner = underway.find_call(event.error.chain_id)
        linked = () if owner is None or owner.span is None else (owner.span.get_span_context(),)
        span = self._begin_leaf(event, facts_of(event, messages=self._messages), linked)
        span.set_status(self._make_status(event.error))
        context = trace.set_span_in_context(span)
        span.end()
        return context if span.get_span_context().trace_flags.sampled else None

    def send_trace(self, event: events.Submission) -> None:
        """Send the current trace along with a task of another engine, where there is one."""
        event.carrier = self._carriers.write(trace.get_current_span()) or event.carrier

    def enter_trace(self, event: events.EngineTask) -> None:
        """Make the trace current that came with a task of another engine, if one did."""
        context, state = self._carriers.read(event.carrier)
        if state in ("malformed", "oversized"):
            losses.add(("traces", state))
        if context:
            attach(context)

    def end_mount(self, event: events.Mount) -> None:
        """End the span of a mount."""
        event.span.set_attributes(describe_mount(event))
        event.span.end()

    def _call_hooks(self, event: underway.Call, outer: Span | None, hook: Hooked | None) -> None:
        """Call the hook of a recorded call that begins; ``outer`` is the parent of its span."""
        if hook is not None:
            attempt("traces", hook, event.span, event)
        if self._pending is not None and event.sampled:
            record, facts = self._pending.record_begin, facts_of(event)
            attempt("traces", record, self._calls, event, outer, facts)

    def _begin_leaf(
        self,
        event: Event,
        attributes: Facts | None,
        linked: Sequence[trace.SpanContext] = (),
        context: Context | None = None,
        at: int | None = None,
    ) -> Span:
        links = [Link(one) for one in linked] if linked else None
        tracer, name, kind = self._leaves[type(event)]
        return tracer.start_span(name, context, kind, attributes, links, at)

    def _make_status(self, error: BaseException) -> Status:
        return Status(StatusCode.ERROR, text(error) if self._messages else None)


def is_sampled_here() -> bool:
    """Say whether the current trace is sampled."""
    span: Any = get_current().get(SPAN)
    if span is None or type(span) is UnsampledSpan:
        return False
    return _is_sampled(span)


def shows_refusals() -> bool:
    """Say whether a refusal makes a span: where the trace is sampled, and where there is none."""
    return is_sampled_here() or not trace.get_current_span().get_span_context().is_valid


def _is_sampled(span: Span) -> bool:
    # A SpanContext is a tuple; its fourth item, the flags, is read faster than the property.
    return span.get_span_context()[3] & _SAMPLED != 0


def _is_unsampled(span: Span) -> bool:
    known = span.get_span_context()
    return known.is_valid and not known.trace_flags & _SAMPLED


def _drops_unsampled(tracer: trace.Tracer) -> bool:
    """Say whether the tracer's sampler drops each child of a parent that is not sampled.

    That is what the SDK's parent-based sampler does by default, and what it says of itself. It then
    need not be asked, and such a child needs no id of its own.
    """
    sampler: Any = getattr(tracer, "sampler", None)
    if not type(sampler).__module__.startswith("opentelemetry.sdk."):
        return False
    says = str(sampler.get_description())
    kinds = ("remoteParentNotSampled", "localParentNotSampled")
    return says.startswith("ParentBased{") and all(
        f"{one}:AlwaysOffSampler" in says for one in kinds
    )


def _enter_dispatch(event: events.Dispatch, context: Context) -> Callable[[], None]:
    """Make a dispatch current; return what undoes it."""
    call, token = underway.enter(event), attach(context)

    def leave() -> None:
        detach(token)
        underway.leave(call)

    return leave


def enter_execution(event: events.Execution) -> None:
    """Make an execution current in a Context that is its own."""
    underway.enter(event)
    attach(event.context)
