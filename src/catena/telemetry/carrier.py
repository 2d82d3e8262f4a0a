"""The carrier: trace context on its way to the other end of a call, through any propagator.

Whatever arrives, a call goes on: what cannot be read is noted and counts as absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, cast

from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import TextMapPropagator

from catena.observe import CARRIER_LIMIT, OVERSIZED, Carrier

__all__ = ["SENT", "Carriers", "State"]

SENT = "catena-sent"
"""When the call was sent: nanoseconds since 1970, by the caller's clock."""

State = Literal["present", "absent", "malformed", "oversized"]

_ROOM = 64


class Carriers:
    """Writes and reads carriers; ``baggage`` tells whether baggage travels.

    Without a propagator the one that the application has configured is asked, each time.
    """

    def __init__(
        self, propagator: TextMapPropagator | None = None, *, baggage: bool = False
    ) -> None:
        self._propagator = propagator
        self._baggage = baggage

    def write(self, span: trace.Span) -> dict[str, str] | None:
        """Return a span's trace as a carrier, None when it would exceed the limit."""
        # Nothing but the span: what else the current context holds is not for others.
        context = trace.set_span_in_context(span, None if self._baggage else Context())
        carrier: dict[str, str] = {}
        self._asked().inject(cast("Any", carrier), context)
        size = sum(map(len, carrier)) + sum(map(len, carrier.values()))
        return carrier if size <= CARRIER_LIMIT - _ROOM else None

    def read(self, carrier: Carrier | None) -> tuple[Context, State]:
        """Return the context that a carrier tells of, and whether it told of one."""
        if carrier is OVERSIZED:
            return Context(), "oversized"
        fields = self._fields(carrier or {})
        if not fields:
            return Context(), "absent"
        try:
            context = self._asked().extract(fields, Context())
        except Exception:
            # A propagator of somebody's that a header of somebody's made stumble.
            return Context(), "malformed"
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
        return self._propagator or propagate.get_global_textmap()

    @staticmethod
    def _fields(carrier: Mapping[str, str]) -> dict[str, str]:
        return {name: value for name, value in carrier.items() if name != SENT}
