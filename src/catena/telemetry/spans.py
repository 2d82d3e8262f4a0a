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
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
)

from catena import events
from catena.observe import Event, Outcome
from catena.telemetry.carrier import SPAN, Carriers, Dropped, inside
from catena.telemetry.catalog import BY_EVENT
from catena.telemetry.facts import Facts, begun, facts_of, outcome_of, sent, served
from catena.telemetry.hooks import Hook
from catena.telemetry.pending import Pending
from catena.telemetry.tally import dropped
from catena.telemetry.underway import underway

__all__ = ["Spans", "sampled"]

_Call = events.Dispatch | events.Execution

_CLIENT, _SERVER = SpanKind.CLIENT, SpanKind.SERVER
_SAMPLED = trace.TraceFlags.SAMPLED
_KINDS = {
    "client": SpanKind.CLIENT,
    "server": SpanKind.SERVER,
    "internal": SpanKind.INTERNAL,
}


class Spans:
    """Makes the spans of events, over the tracers of one provider.

    ``messages`` tells whether the texts of errors are recorded, ``full`` whether there are spans of
    mounts, resets and leases. ``hooks`` are called with the span of a call when it begins, one at
    its caller and one at its worker; ``pending`` tells of calls before they end.
    """

    def __init__(  # noqa: PLR0913 - each has its default and is given by name
        self,
        provider: trace.TracerProvider,
        carriers: Carriers,
        version: str,
        *,
        messages: bool = False,
        full: bool = True,
        hooks: tuple[Hook | None, Hook | None] = (None, None),
        pending: Pending | None = None,
    ) -> None:
        self.provider = provider
        self.full = full
        self._carriers = carriers
        self._messages = messages
        self._dispatched, self._executed = hooks
        self._pending = pending
        self._tells = pending is not None or hooks != (None, None)
        rows = {row.event: row.span for row in BY_EVENT.values() if row.span is not None}
        tracers = {
            scope: provider.get_tracer(scope, version)
            for scope in sorted({span.scope for span in rows.values()})
        }
        self._leaves = {
            event: (tracers[span.scope], span.name, _KINDS[span.kind])
            for event, span in rows.items()
        }
        self._calls = tracers["catena.dispatch"]
        self._follows = _follows(self._calls)
        # Reads the header of a trace that its caller dropped, where that settles it here, too.
        self.dropped = carriers.dropped if self._follows else None

    def dispatch(self, event: events.Dispatch) -> Span | None:
        """Begin the span of a call on its caller, and send its context along.

        Returns None where nobody is to be told of its end.
        """
        if event.span is None:
            passed = self.passes(event)
            if passed is not None:
                event.context = inside(passed, get_current())
                return None
        span: Any = event.span
        if span.is_recording():
            event.sampled = _is_sampled(span)
            event.enter = partial(_enter, event, event.context)
            underway.began(event)
            if self._tells:
                self._tell(event, span, get_current(), self._dispatched)
        return span

    def passes(self, event: events.Dispatch) -> Span | None:
        """Decide on a call on its caller, and send its context along; return what is not recorded.

        Returns None where its span has begun, and somebody is to be told of its end.
        """
        current = get_current()
        outer: Any = current.get(SPAN)
        if outer is not None and self._follows and _is_dropped(outer):
            event.carrier = self._carriers.write(outer)
            return outer
        span = self._calls.start_span(event.routine, current, _CLIENT, begun(event))
        event.carrier = carrier = self._carriers.write(span)
        if carrier is None:
            dropped.add(("traces", "oversized"))
        if type(span) is NonRecordingSpan:
            return span
        event.context = inside(span, current)
        event.span = span
        return None

    def execution(self, event: events.Execution) -> Span | None:
        """Begin the span of a call on its worker, as a child of its dispatch.

        Returns None where nobody is to be told of its end.
        """
        parent, state = self._carriers.read(event.told.carrier)
        outer: Any = parent.get(SPAN)
        if self._follows and (
            type(outer) is Dropped or (state == "present" and _is_dropped(outer))
        ):
            event.context = parent
            event.enter = partial(_attach, event, parent)
            underway.began(event)
            return None
        attributes = served(event)
        if state != "present":
            attributes["catena.carrier"] = state
            if state != "absent":
                dropped.add(("traces", state))
        span = self._calls.start_span(event.routine, parent, _SERVER, attributes)
        event.context = context = inside(span, parent)
        event.enter = partial(_attach, event, context)
        if span.is_recording():
            event.span, event.sampled, event.origin = span, _is_sampled(span), outer
            event.reply = partial(self._carriers.write, span)
            if self._tells:
                self._tell(event, span, parent, self._executed)
        underway.began(event)
        return None if type(span) is NonRecordingSpan else span

    def lease(self, event: events.Execution) -> Span | None:
        """Begin the span of the lease that serves an execution, None where there is none."""
        lease = event.lease if event.sampled else None
        return lease and self._leaf(lease, facts_of(lease), context=event.context)

    def mount(self, event: events.Mount) -> Span:
        """Begin the span of a mount, linked to the span that captured the manifest."""
        if event.to_worker:
            call = underway.here()
            origin = call.origin if isinstance(call, events.Execution) else None
            captured = origin and origin.get_span_context()
        else:
            captured = self._carriers.link(event.told.carrier)
        return self._leaf(event, None, () if captured is None else (captured,))

    def fact(self, event: Event) -> None:
        """Tell of what takes no time."""
        self._leaf(event, facts_of(event, messages=self._messages)).end()

    def contention(self, event: events.ContentionRefused) -> Context | None:
        """Tell of a contention, linked to the owner's span; return the context of the span.

        None where the trace is not sampled.
        """
        if trace.get_current_span().get_span_context().is_valid and not sampled():
            return None
        owner = underway.of(event.error.chain_id)
        linked = () if owner is None or owner.span is None else (owner.span.get_span_context(),)
        span = self._leaf(event, facts_of(event, messages=self._messages), linked)
        span.set_status(self._status(event.error))
        context = trace.set_span_in_context(span)
        span.end()
        return context if span.get_span_context().trace_flags.sampled else None

    def mounted(self, event: events.Mount, span: Span, end: Outcome) -> None:
        """End the span of a mount."""
        span.set_attributes(facts_of(event, messages=self._messages))
        if end.end == "failed" and end.error is not None:
            span.set_status(self._status(end.error))
        span.end()

    def called(self, event: _Call, span: Span, end: Outcome) -> None:
        """End the span of a call."""
        if span.is_recording():
            facts = outcome_of(end, messages=self._messages)
            span.set_attributes(sent(event) | facts if type(event) is events.Dispatch else facts)
            if end[1] == "failed" and end.error is not None:
                span.set_status(self._status(end.error))
        span.end()

    def _tell(self, event: _Call, span: Span, parent: Context, hook: Hook | None) -> None:
        """Tell of a recorded call that begins."""
        if hook is not None:
            hook(span, event)
        if self._pending is not None:
            self._pending.tell(self._calls, span, event.routine, parent, facts_of(event))

    def _leaf(
        self,
        event: Event,
        attributes: Facts | None,
        linked: Sequence[SpanContext] = (),
        context: Context | None = None,
    ) -> Span:
        links = [Link(one) for one in linked] if linked else None
        tracer, name, kind = self._leaves[type(event)]
        return tracer.start_span(name, context, kind, attributes, links)

    def _status(self, error: BaseException) -> Status:
        return Status(StatusCode.ERROR, str(error) if self._messages else None)


def sampled() -> bool:
    """Say whether the current trace is sampled."""
    span: Any = get_current().get(SPAN)
    if span is None or type(span) is Dropped:
        return False
    return _is_sampled(span)


def _is_sampled(span: Span) -> bool:
    return span.get_span_context().trace_flags & _SAMPLED != 0


def _is_dropped(span: Span) -> bool:
    known = span.get_span_context()
    return known.is_valid and not known.trace_flags & _SAMPLED


def _follows(tracer: trace.Tracer) -> bool:
    """Say whether the tracer's sampler drops each child of a parent that is not sampled.

    That is what the SDK's parent-based sampler does unless it is told otherwise, and what it says
    of itself. It then need not be asked, and such a child needs no id of its own.
    """
    sampler: Any = getattr(tracer, "sampler", None)
    if not type(sampler).__module__.startswith("opentelemetry.sdk."):
        return False
    says = str(sampler.get_description())
    kinds = ("remoteParentNotSampled", "localParentNotSampled")
    return says.startswith("ParentBased{") and all(
        f"{one}:AlwaysOffSampler" in says for one in kinds
    )


def _enter(event: events.Dispatch, context: Context) -> Callable[[], None]:
    """Make a dispatch current; return what undoes it."""
    call, token = underway.enter(event), attach(context)

    def leave() -> None:
        detach(token)
        underway.leave(call)

    return leave


def _attach(event: events.Execution, context: Context) -> None:
    """Make an execution current in a Context that is its own."""
    underway.enter(event)
    attach(context)
