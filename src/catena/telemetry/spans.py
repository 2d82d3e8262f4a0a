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
from catena.observe import Event, Outcome, ending
from catena.telemetry.carrier import SPAN, Carriers, Dropped, inside
from catena.telemetry.catalog import BY_EVENT
from catena.telemetry.facts import (
    Facts,
    begun,
    facts_of,
    of_lease,
    of_mount,
    outcome_of,
    sent,
    served,
)
from catena.telemetry.hooks import Hook
from catena.telemetry.pending import Pending
from catena.telemetry.tally import dropped
from catena.telemetry.texts import text
from catena.telemetry.underway import underway

__all__ = ["Spans", "enter", "sampled"]

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
        self._hooks = hooks
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

    def dispatch(self, event: events.Dispatch) -> bool:
        """Begin the span of a call on its caller, and send its trace along.

        Returns whether that is all: its trace is not sampled, and there is no span to be ended.
        """
        current = get_current()
        outer: Any = current.get(SPAN)
        if outer is not None and self._follows and _is_dropped(outer):
            event.carrier = self._carriers.write(outer)
            return True
        span = self._calls.start_span(text(event.routine), current, _CLIENT, begun(event))
        event.carrier = carrier = self._carriers.write(span)
        if carrier is None:
            dropped.add(("traces", "oversized"))
        if type(span) is NonRecordingSpan:
            return True
        event.span = span
        event.context = context = inside(span, current)
        if span.is_recording():
            event.sampled = _is_sampled(span)
            event.enter = partial(_enter, event, context)
            underway.began(event)
            if self._tells:
                self._tell(event, span, current, self._hooks[0])
        return False

    def known(self, event: events.Dispatch) -> None:
        """Leave the context of a call whose trace is not sampled for listeners that come after."""
        if event.context is None:
            sent_along, _ = self._carriers.read(event.carrier)
            event.context = Context({**get_current(), **sent_along})

    def execution(self, event: events.Execution) -> bool:
        """Begin the span of a call on its worker, as a child of its dispatch, and make it current.

        Returns whether that is all, as ``dispatch`` does.
        """
        parent, state = self._carriers.read(event.told.carrier)
        outer: Any = parent.get(SPAN)
        if self._follows and (
            type(outer) is Dropped or (state == "present" and _is_dropped(outer))
        ):
            event.context = parent
        else:
            attributes = served(event)
            if state != "present":
                attributes["catena.carrier"] = state
                if state != "absent":
                    dropped.add(("traces", state))
            span = self._calls.start_span(text(event.routine), parent, _SERVER, attributes)
            event.context = inside(span, parent)
            if type(span) is not NonRecordingSpan:
                event.span, event.origin = span, outer
                if span.is_recording():
                    self._records(event, span, parent)
        underway.began(event)
        enter(event)
        return event.span is None

    def _records(self, event: events.Execution, span: Span, parent: Context) -> None:
        """Tell of an execution whose span is recorded, and of the lease that serves it."""
        event.sampled = _is_sampled(span)
        event.reply = partial(self._carriers.write, span)
        if self._tells:
            self._tell(event, span, parent, self._hooks[1])
        if self.full and event.sampled and event.leased is not None:
            lease = event.lease
            event.leasing = lease and self._leaf(lease, of_lease(lease), context=event.context)

    def dispatched(self, event: events.Dispatch, error: BaseException | None) -> None:
        """End the span of a call on its caller."""
        underway.calls.pop(id(event), None)
        span = event.span
        if span.is_recording():
            span.set_attributes(sent(event) | outcome_of(error, messages=self._messages))
        self._end(event, error)

    def executed(self, event: events.Execution, error: BaseException | None) -> None:
        """End the span of a call on its worker, and that of its lease."""
        if event.leasing is not None:
            event.leasing.end()
        span = event.span
        if span.is_recording():
            span.set_attributes(outcome_of(error, messages=self._messages))
        self._end(event, error)

    def _end(self, event: _Call, error: BaseException | None) -> None:
        # The two refer to each other: whoever is done lets go, and the collector has no work.
        event.enter = None
        if error is not None and ending(error) == "failed":
            event.span.set_status(self._status(error))
        event.span.end()

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
        span.set_attributes(of_mount(event))
        if end.end == "failed" and end.error is not None:
            span.set_status(self._status(end.error))
        span.end()

    def _tell(self, event: _Call, span: Span, parent: Context, hook: Hook | None) -> None:
        """Tell of a recorded call that begins."""
        if hook is not None:
            hook(span, event)
        if self._pending is not None:
            self._pending.tell(self._calls, span, text(event.routine), parent, facts_of(event))

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
        return Status(StatusCode.ERROR, text(error) if self._messages else None)


def sampled() -> bool:
    """Say whether the current trace is sampled."""
    span: Any = get_current().get(SPAN)
    if span is None or type(span) is Dropped:
        return False
    return _is_sampled(span)


def _is_sampled(span: Span) -> bool:
    # The tuple that it is: each of its properties is a function.
    return span.get_span_context()[3] & _SAMPLED != 0


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


def enter(event: events.Execution) -> None:
    """Make an execution current in a Context that is its own."""
    underway.enter(event)
    attach(event.context)
