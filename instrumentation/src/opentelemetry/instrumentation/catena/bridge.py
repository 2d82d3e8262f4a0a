"""Log records as span events, for backends that store traces and nothing else, such as Jaeger.

Catena makes no span events: what happens within a span is a named log record. Where nobody stores
logs, this puts the records back into the span that was current when they were written.
"""

from __future__ import annotations

import logging

from opentelemetry import trace
from opentelemetry.instrumentation.catena.records import attributes_of

from catena.telemetry.logs import NAME
from catena.telemetry.texts import text

__all__ = ["SpanEventHandler"]


class SpanEventHandler(logging.Handler):
    """Adds each named record to the current span as an event, if that is recorded.

    Catena's records have their name in the field ``event.name``; any other record is named when its
    message is one dotted word, such as ``shop.order.paid``. ``prefix`` is how the name begins. Put
    it on any logger.
    """

    def __init__(self, prefix: str = "catena.", level: int = logging.NOTSET) -> None:
        super().__init__(level)
        self._prefix = prefix

    def emit(self, record: logging.LogRecord) -> None:
        """Add a record to the current span; whatever comes, it raises nothing."""
        name = vars(record).get(NAME, record.msg)
        if not isinstance(name, str) or not name.startswith(self._prefix) or " " in name:
            return
        span = trace.get_current_span()
        if not span.is_recording():
            return
        try:
            attributes = attributes_of(record)
            attributes.pop(NAME, None)
            span.add_event(text(name), attributes, int(record.created * 1e9))
        except Exception:
            self.handleError(record)
