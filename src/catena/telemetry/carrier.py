"""The carrier: trace context on its way to the other end of a call, through any propagator.

Whatever arrives, a call goes on: a context that cannot be read is recorded and treated as absent.
"""

from __future__ import annotations

import re
from typing import Any, Literal, cast

from opentelemetry import propagate, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from catena.events.bus import raise_interrupt, run_observing
from catena.events.carrier import CARRIER_LIMIT, OVERSIZED, Carrier
from catena.telemetry.attempts import count_loss
from catena.telemetry.tally import losses

SENT = "catena-sent"
"""When the call was sent: nanoseconds since 1970, by the caller's clock."""

State = Literal["present", "absent", "malformed", "oversized"]

_ROOM, _FIELD = 64, 12
"""Bytes left for the time of sending, and what each field takes on the wire beside its texts."""
_PARENT = "traceparent"
_KNOWN = re.compile("00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})").fullmatch
# The last digit of flags without that of a sampled trace, which is 1.
_EVEN = "02468ace"
_NOWHERE = Context()
_STANDARD: set[Any] = {TraceContextTextMapPropagator, W3CBaggagePropagator}
_FLAGS = {f"{flags:02x}": trace.TraceFlags(flags) for flags in range(256)}
(SPAN,) = trace.set_span_in_context(trace.INVALID_SPAN, Context())
"""The name under which a context holds its span; nothing public but this gives it."""
UNTRACED = Context({SPAN: trace.INVALID_SPAN})
"""Stands for the context of a call whose trace nobody keeps; an empty one would count as none."""


def add_span(span: trace.Span, context: Context) -> Context:
    """Return ``context`` with a span in it, as ``trace.set_span_in_context`` does, but quicker."""
    return Context({**context, SPAN: span})


class UnsampledSpan(trace.NonRecordingSpan):
    """The span of a caller whose trace is not sampled: what its header says, if somebody asks."""

    def __init__(self, header: str) -> None:
        self._header = header

    def get_span_context(self) -> trace.SpanContext:
        """Return the ids of the header."""
        return _parse_header(self._header)

    def __repr__(self) -> str:
        return f"UnsampledSpan({self._header!r})"


class Carriers:
    """Writes and reads carriers; ``baggage`` says whether baggage travels.

    Without a propagator the one that the application has configured is asked, each time.
    """

    def __init__(
        self, propagator: TextMapPropagator | None = None, *, baggage: bool = False
    ) -> None:
        self._propagator = propagator
        self._baggage = baggage
        # The propagator that was looked at last, and whether it writes the standard's header alone.
        self._seen: TextMapPropagator | None = None
        self._plain = self._bare = False
        # All calls of one request mostly come with the same header.
        self._last: tuple[str | None, Context] = None, Context()

    def write(self, span: trace.Span) -> dict[str, str] | None:
        """Return a span's trace as a carrier, None when nothing of it can travel.

        Where it would exceed the limit, or holds a text that cannot be written, it goes without
        baggage, and then without the trace's state: the parent arrives.
        """
        asked = self._propagator or propagate.get_global_textmap()
        if asked is not self._seen:
            self._look_at(asked)
        if self._bare:
            # A SpanContext is a tuple, and unpacking it takes less time than its properties.
            trace_id, span_id, _, flags, state, is_valid = span.get_span_context()
            if is_valid and (state is trace.DEFAULT_TRACE_STATE or not state):
                return {_PARENT: f"00-{trace_id:032x}-{span_id:016x}-{flags:02x}"}
        return run_observing(self._inject_within_limit, asked, span)

    def _inject_within_limit(
        self, asked: TextMapPropagator, span: trace.Span
    ) -> dict[str, str] | None:
        # Nothing but the span: what else the current context holds is not for others.
        contexts = [trace.set_span_in_context(span, Context())]
        if self._baggage:
            contexts.insert(0, trace.set_span_in_context(span))
        trace_id, span_id, is_remote, flags, *_ = span.get_span_context()
        bare = trace.NonRecordingSpan(trace.SpanContext(trace_id, span_id, is_remote, flags))
        contexts.append(trace.set_span_in_context(bare, Context()))
        for number, context in enumerate(contexts):
            carrier: dict[str, str] = {}
            try:
                asked.inject(cast("Any", carrier), context)
            except BaseException:
                raise_interrupt()
                # The next context holds less; the propagator may get along with that.
                if number == 0:
                    count_loss("traces")
                continue
            if _is_within_limit(carrier):
                return carrier
            if number == 0:
                losses.add(("traces", "oversized"))
        return None

    def read(self, carrier: Carrier | None) -> tuple[Context, State]:
        """Return the context that a carrier describes, and whether it described one."""
        if not carrier:
            return _NOWHERE, "oversized" if carrier is OVERSIZED else "absent"
        asked = self._propagator or propagate.get_global_textmap()
        if asked is not self._seen:
            self._look_at(asked)
        if self._plain and len(carrier) == (2 if SENT in carrier else 1):
            header = carrier.get(_PARENT, "")
            if _KNOWN(header) is not None:
                if header[-1] in _EVEN:
                    return Context({SPAN: UnsampledSpan(header)}), "present"
                return Context({SPAN: trace.NonRecordingSpan(_parse_header(header))}), "present"
        fields = {name: value for name, value in carrier.items() if name != SENT}
        if not fields:
            return _NOWHERE, "absent"
        try:
            context = run_observing(asked.extract, fields, Context())
        except BaseException:
            raise_interrupt()
            # The caller's header made the application's propagator fail.
            return _NOWHERE, "malformed"
        found = trace.get_current_span(context).get_span_context()
        return context, "present" if found.is_valid else "malformed"

    def read_unsampled(self, carrier: Carrier) -> Context | None:
        """Return the context that a plain header describes, where that is of an unsampled trace."""
        header = carrier.get(_PARENT)
        if header is None or header[-1:] not in _EVEN or len(carrier) != 1:
            return None
        asked = self._propagator or propagate.get_global_textmap()
        if asked is not self._seen:
            self._look_at(asked)
        if not self._plain:
            return None
        known, context = self._last
        if header != known:
            if _KNOWN(header) is None:
                return None
            context = Context({SPAN: UnsampledSpan(header)})
            self._last = header, context
        return context

    def read_link(self, carrier: Carrier | None) -> trace.SpanContext | None:
        """Return the span that a carrier describes, None without one."""
        if not carrier:
            return None
        context, state = self.read(carrier)
        found = trace.get_current_span(context).get_span_context()
        return found if state == "present" else None

    def _look_at(self, propagator: TextMapPropagator) -> None:
        self._seen, self._plain = propagator, _is_plain(propagator)
        self._bare = self._plain and not self._baggage


def _is_within_limit(carrier: dict[str, str]) -> bool:
    """Say whether a carrier keeps within the limit, and can be written at all."""
    try:
        size = sum(len(f"{name}{value}".encode()) + _FIELD for name, value in carrier.items())
    except UnicodeEncodeError:
        return False
    return size <= CARRIER_LIMIT - _ROOM


def _is_plain(propagator: TextMapPropagator) -> bool:
    """Say whether it writes what the W3C describes, and without baggage nothing but the trace."""
    if type(propagator) is CompositePropagator:
        # Nothing public says what it is made of; without that it is asked, which is slower.
        parts: tuple[object, ...] = tuple(getattr(propagator, "_propagators", ()))
        kinds: set[Any] = {type(one) for one in parts}
        return TraceContextTextMapPropagator in kinds and kinds <= _STANDARD
    return type(propagator) is TraceContextTextMapPropagator


def _parse_header(header: str) -> trace.SpanContext:
    """Return the ids of a header of the standard."""
    _, trace_id, span_id, flags = header.split("-")
    return trace.SpanContext(int(trace_id, 16), int(span_id, 16), True, _FLAGS[flags])
