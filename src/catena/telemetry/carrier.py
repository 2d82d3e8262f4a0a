"""The carrier: trace context on its way to the other end of a call, through any propagator.

Whatever arrives, a call goes on: what cannot be read is noted and counts as absent.
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

from catena.observe import CARRIER_LIMIT, OVERSIZED, Carrier

__all__ = ["SENT", "Carriers", "State", "inside", "span_in"]

SENT = "catena-sent"
"""When the call was sent: nanoseconds since 1970, by the caller's clock."""

State = Literal["present", "absent", "malformed", "oversized"]

_ROOM = 64
_PARENT = "traceparent"
_KNOWN = re.compile("00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})").fullmatch
_NOWHERE = Context()
_STANDARD: set[Any] = {TraceContextTextMapPropagator, W3CBaggagePropagator}
_FLAGS = {f"{flags:02x}": trace.TraceFlags(flags) for flags in range(256)}
# The name under which a context holds its span; nothing public but this tells it.
(_SPAN,) = trace.set_span_in_context(trace.INVALID_SPAN, Context())


def inside(span: trace.Span, context: Context) -> Context:
    """Return ``context`` with a span in it, as ``trace.set_span_in_context`` does, but quicker."""
    return Context({**context, _SPAN: span})


def span_in(context: Context) -> trace.Span | None:
    """Return the span that a context holds, None without one."""
    return cast("trace.Span | None", context.get(_SPAN))


class Carriers:
    """Writes and reads carriers; ``baggage`` tells whether baggage travels.

    Without a propagator the one that the application has configured is asked, each time.
    """

    def __init__(
        self, propagator: TextMapPropagator | None = None, *, baggage: bool = False
    ) -> None:
        self._propagator = propagator
        self._baggage = baggage
        # The propagator that was looked at last, and whether it writes the standard's header alone.
        self._seen: TextMapPropagator | None = None
        self._plain = False

    def write(self, span: trace.Span) -> dict[str, str] | None:
        """Return a span's trace as a carrier, None when it would exceed the limit.

        Raises what the propagator raises, and UnicodeEncodeError for a text that cannot travel.
        """
        asked = self._asked()
        if self._plain and not self._baggage:
            found = span.get_span_context()
            state = found.trace_state
            if found.is_valid and (state is trace.DEFAULT_TRACE_STATE or not state):
                ids = f"{found.trace_id:032x}-{found.span_id:016x}"
                return {_PARENT: f"00-{ids}-{found.trace_flags:02x}"}
        # Nothing but the span: what else the current context holds is not for others.
        context = trace.set_span_in_context(span, None if self._baggage else Context())
        carrier: dict[str, str] = {}
        asked.inject(cast("Any", carrier), context)
        size = len("".join((*carrier, *carrier.values())).encode())
        return carrier if size <= CARRIER_LIMIT - _ROOM else None

    def read(self, carrier: Carrier | None) -> tuple[Context, State]:
        """Return the context that a carrier tells of, and whether it told of one."""
        if not carrier:
            return _NOWHERE, "oversized" if carrier is OVERSIZED else "absent"
        asked = self._asked()
        if self._plain and len(carrier) == (2 if SENT in carrier else 1):
            known = _KNOWN(carrier.get(_PARENT, ""))
            span = known and _span(*known.groups())
            if span:
                return Context({_SPAN: span}), "present"
        fields = {name: value for name, value in carrier.items() if name != SENT}
        if not fields:
            return _NOWHERE, "absent"
        try:
            context = asked.extract(fields, Context())
        except Exception:
            # A propagator of somebody's that a header of somebody's made stumble.
            return _NOWHERE, "malformed"
        found = trace.get_current_span(context).get_span_context()
        return context, "present" if found.is_valid else "malformed"

    def link(self, carrier: Carrier | None) -> trace.SpanContext | None:
        """Return the span that a carrier tells of, None without one."""
        if not carrier:
            return None
        context, state = self.read(carrier)
        found = trace.get_current_span(context).get_span_context()
        return found if state == "present" else None

    def _asked(self) -> TextMapPropagator:
        asked = self._propagator or propagate.get_global_textmap()
        if asked is not self._seen:
            self._seen, self._plain = asked, _is_plain(asked)
        return asked


def _is_plain(propagator: TextMapPropagator) -> bool:
    """Say whether it writes what the W3C describes, and without baggage nothing but the trace."""
    if type(propagator) is CompositePropagator:
        # Nothing public tells what it is made of; without that it is asked, which is slower.
        parts: tuple[object, ...] = tuple(getattr(propagator, "_propagators", ()))
        kinds: set[Any] = {type(one) for one in parts}
        return TraceContextTextMapPropagator in kinds and kinds <= _STANDARD
    return type(propagator) is TraceContextTextMapPropagator


def _span(trace_id: str, span_id: str, flags: str) -> trace.Span | None:
    """Return the span that a header of the standard tells of, None for one that is none."""
    found = trace.SpanContext(int(trace_id, 16), int(span_id, 16), True, _FLAGS[flags])
    return trace.NonRecordingSpan(found) if found.is_valid else None
