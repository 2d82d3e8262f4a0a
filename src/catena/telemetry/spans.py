"""Spans: one for each call at either end, and leaf spans for what happens to its chain.

The span of an execution is current in every Context that its routine runs in; it is attached once
and never detached, for those Contexts end with the call. The span of a dispatch is made current
only while an answer is mounted, which takes no ``await``. Where the trace is not sampled the
tracer is asked once for each end of a call, and for nothing that happens in between.
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
from catena.telemetry.carrier import Carriers
from catena.telemetry.catalog import BY_EVENT
from catena.telemetry.facts import facts_of, outcome_of
from catena.telemetry.hooks import Hook
from catena.telemetry.pending import Pending
from catena.telemetry.tally import dropped
from catena.telemetry.underway import underway

__all__ = ["Spans"]

Closer = Callable[[Outcome], None]
_Call = events.Dispatch | events.Execution

_NO_HOOK = Hook(None)
_KINDS = {
    "client": SpanKind.CLIENT,
    "server": SpanKind.SERVER,
    "internal": SpanKind.INTERNAL,
}


class Spans:
    """The listeners that make spans, over the tracers of one provider.

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
        hooks: tuple[Hook, Hook] = (_NO_HOOK, _NO_HOOK),
        pending: Pending | None = None,
    ) -> None:
        self.provider = provider
        self._carriers = carriers
        self._messages = messages
        self._full = full
        self._dispatched, self._executed = hooks
        self._pending = pending
        scopes = {row.span.scope for row in BY_EVENT.values() if row.span is not None}
        self._tracers = {scope: provider.get_tracer(scope, version) for scope in sorted(scopes)}
        self._calls = self._tracers["catena.dispatch"]

    def listeners(self) -> dict[type[Event], Callable[[Any], object]]:
        """Return what is to be subscribed; contentions are told by hand."""
        calls: dict[type[Event], Callable[[Any], object]] = {
            events.Dispatch: self.dispatch,
            events.Execution: self.execution,
        }
        if not self._full:
            return calls
        return {
            **calls,
            events.Mount: self.mount,
            events.TokenReset: self.fact,
            events.Unmounted: self.fact,
        }

    def dispatch(self, event: events.Dispatch) -> Closer | None:
        """Begin the span of a call on its caller, and send its context along."""
        attributes = {"rpc.system.name": "catena", "rpc.method": event.routine}
        span = self._calls.start_span(event.routine, kind=SpanKind.CLIENT, attributes=attributes)
        event.carrier = self._carriers.write(span)
        if event.carrier is None:
            dropped.add(("traces", "oversized"))
        if type(span) is NonRecordingSpan:
            return None
        if span.is_recording():
            event.context = context = trace.set_span_in_context(span)
            event.enter = partial(_enter, event, context)
            self._dispatched(span, event)
            self._tell_pending(event, span, get_current())
            underway.began(event, span.get_span_context())
        return partial(self._called, event, span)

    def execution(self, event: events.Execution) -> Closer:
        """Begin the span of a call on its worker, as a child of its dispatch."""
        parent, state = self._carriers.read(event.carrier)
        attributes = {"rpc.system.name": "catena", "rpc.method": event.routine}
        span = self._calls.start_span(
            event.routine, parent, kind=SpanKind.SERVER, attributes=attributes
        )
        context = trace.set_span_in_context(span, parent)
        if state != "present":
            span.set_attribute("catena.carrier", state)
            if state != "absent":
                dropped.add(("traces", state))
        if type(span) is NonRecordingSpan:
            event.enter = partial(_attach, event, context, None)
            underway.began(event)
            return partial(_let_go, event)
        caller: SpanContext | None = None
        if span.is_recording():
            found = trace.get_current_span(parent).get_span_context()
            caller = found if found.is_valid else None
            event.context = context
            event.reply_carrier = self._carriers.write(span)
            self._executed(span, event)
            self._tell_pending(event, span, parent)
        event.enter = partial(_attach, event, context, caller)
        underway.began(event, span.get_span_context() if event.context else None)
        if self._full and event.lease is not None and span.get_span_context().trace_flags.sampled:
            lease = self._leaf(event.lease, context=context)
            return partial(self._served, event, span, event.lease, lease)
        return partial(self._called, event, span)

    def mount(self, event: events.Mount) -> Closer | None:
        """Begin the span of a mount, linked to the span that captured the manifest."""
        if not _sampled():
            return None
        captured = underway.note_here() if event.to_worker else self._carriers.link(event.carrier)
        span = self._leaf(event, [captured] if captured is not None else [])
        return partial(self._ended, event, span)

    def fact(self, event: Event) -> None:
        """Tell of what takes no time."""
        if _sampled():
            self._finish(event, self._leaf(event))

    def contention(self, event: events.ContentionRefused) -> Context | None:
        """Tell of a contention, linked to the owner's span; return the context of the span.

        None where the trace is not sampled.
        """
        if trace.get_current_span().get_span_context().is_valid and not _sampled():
            return None
        owner = underway.note_of(event.error.chain_id)
        span = self._leaf(event, [owner] if isinstance(owner, SpanContext) else [])
        span.set_status(self._status(event.error))
        context = trace.set_span_in_context(span)
        self._finish(event, span)
        return context if span.get_span_context().trace_flags.sampled else None

    def _tell_pending(self, event: _Call, span: Span, parent: Context) -> None:
        if self._pending is not None:
            self._pending.tell(self._calls, span, event.routine, parent, facts_of(event))

    def _leaf(
        self,
        event: Event,
        linked: Sequence[SpanContext] = (),
        context: Context | None = None,
    ) -> Span:
        row = BY_EVENT[type(event)].span
        if row is None:
            raise KeyError(f"{type(event).__name__} has no span in the catalog")
        links = [Link(one) for one in linked]
        tracer = self._tracers[row.scope]
        return tracer.start_span(row.name, context, kind=_KINDS[row.kind], links=links)

    def _ended(self, event: Event, span: Span, outcome: Outcome) -> None:
        if outcome.end == "failed" and outcome.error is not None:
            span.set_status(self._status(outcome.error))
        self._finish(event, span)

    def _finish(self, event: Event, span: Span) -> None:
        if span.is_recording():
            span.set_attributes(facts_of(event, messages=self._messages))
        span.end()

    def _served(
        self, event: events.Execution, span: Span, lease: events.Lease, leased: Span, end: Outcome
    ) -> None:
        """End the span of a lease, and that of the execution that it served."""
        self._finish(lease, leased)
        self._called(event, span, end)

    def _called(self, event: _Call, span: Span, end: Outcome) -> None:
        _let_go(event, end)
        if span.is_recording():
            span.set_attributes(facts_of(event) | outcome_of(end, messages=self._messages))
            if end.end == "failed" and end.error is not None:
                span.set_status(self._status(end.error))
        span.end()

    def _status(self, error: BaseException) -> Status:
        return Status(StatusCode.ERROR, str(error) if self._messages else None)


def _sampled() -> bool:
    return trace.get_current_span().get_span_context().trace_flags.sampled


def _let_go(event: _Call, _: Outcome) -> None:
    underway.ended(event)
    # The two refer to each other: whoever is done lets go, and the collector has no work.
    event.enter = None


def _enter(event: events.Dispatch, context: Context) -> Callable[[], None]:
    """Make a dispatch current; return what undoes it."""
    call, token = underway.enter(event), attach(context)

    def leave() -> None:
        detach(token)
        underway.leave(call)

    return leave


def _attach(event: events.Execution, context: Context, caller: SpanContext | None) -> None:
    """Make an execution current in a Context that is its own."""
    underway.enter(event, caller)
    attach(context)
