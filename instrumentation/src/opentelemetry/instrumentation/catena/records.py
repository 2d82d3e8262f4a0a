"""Records of the standard library's loggers as records of OpenTelemetry.

The SDK's own handler is deprecated, and what replaces it is a pre-release; this does what Catena
wants of either: a record keeps its name, its facts, and the span that it says it belongs to.
"""

from __future__ import annotations

import logging
import sys
import traceback
from importlib.util import find_spec
from typing import Any

from opentelemetry import trace
from opentelemetry._logs import LoggerProvider, LogRecord, SeverityNumber, get_logger_provider
from opentelemetry.context import Context, get_current

from catena.telemetry.facts import error_type
from catena.telemetry.logs import NAME, name_of
from catena.telemetry.texts import text, to_attribute

__all__ = ["RecordHandler", "attributes_of", "unhandled"]

_STANDARD = {
    *vars(logging.makeLogRecord({})),
    *("message", "asctime", "taskName"),
    *("_logger", "_name"),  # how structlog marks what it hands to a formatter of its own
}
_IDS = {"trace_id", "span_id", "catena_context"}
_SEVERITIES = (
    (logging.CRITICAL, SeverityNumber.FATAL),
    (logging.ERROR, SeverityNumber.ERROR),
    (logging.WARNING, SeverityNumber.WARN),
    (logging.INFO, SeverityNumber.INFO),
    (logging.DEBUG, SeverityNumber.DEBUG),
)


def attributes_of(record: logging.LogRecord) -> dict[str, Any]:
    """Return the facts that a record carries beside what every record has."""
    return {
        text(name): to_attribute(value)
        for name, value in vars(record).items()
        if name not in _STANDARD and name not in _IDS and value is not None
    }


def unhandled() -> LoggerProvider | None:
    """Return the global logger provider if it is configured and nothing hands it records yet."""
    provider = get_logger_provider()
    if type(provider).__module__.startswith("opentelemetry._logs"):
        return None
    if any(type(one).__name__ == "LoggingHandler" for one in logging.getLogger().handlers):
        return None
    try:
        elsewhere = find_spec("opentelemetry.instrumentation.logging")
    except ModuleNotFoundError:
        elsewhere = None
    return provider if elsewhere is None else None


class RecordHandler(logging.Handler):
    """Hands records to a logger provider; those of OpenTelemetry itself are left out.

    Catena's own records have an event name, and a sentence as their body. Where it is the only
    handler, warnings are on standard error as well, as without any.
    """

    def __init__(self, provider: LoggerProvider, level: int = logging.NOTSET) -> None:
        super().__init__(level)
        self._provider = provider

    def emit(self, record: logging.LogRecord) -> None:
        """Hand a record on; whatever comes, it raises nothing."""
        last = logging.lastResort
        if last is not None and record.levelno >= last.level and self._is_alone(record.name):
            # What would be on standard error without this handler is there with it.
            last.handle(record)
        if record.name.startswith("opentelemetry"):
            # An exporter that reported its failure by exporting would never come to an end.
            return
        if sys.is_finalizing():
            # What is collected with the interpreter may log; the SDK can import nothing any more.
            return
        try:
            self._provider.get_logger(text(record.name)).emit(_as_log_record(record))
        except Exception:
            self.handleError(record)

    def _is_alone(self, name: str) -> bool:
        """Say whether no other handler gets the records of a logger."""
        logger: logging.Logger | None = logging.getLogger(name)
        while logger is not None:
            if any(one is not self for one in logger.handlers):
                return False
            logger = logger.parent if logger.propagate else None
        return True


def _as_log_record(record: logging.LogRecord) -> LogRecord:
    attributes = attributes_of(record)
    name = name_of(record)
    if name is not None:
        del attributes[NAME]
    if record.exc_info and record.exc_info[0] is not None:
        attributes["exception.type"] = error_type(record.exc_info[0])
        attributes["exception.message"] = text(record.exc_info[1])
        lines = traceback.format_exception(*record.exc_info)
        attributes["exception.stacktrace"] = text("".join(lines))
    return LogRecord(
        timestamp=int(record.created * 1e9),
        severity_number=_severity(record.levelno),
        severity_text=text(record.levelname),
        body=text(record.getMessage()),
        attributes=attributes,
        event_name=name,
        context=_context(record),
    )


def _context(record: logging.LogRecord) -> Context:
    """Return the context of the span that a record names; without a name, the current one."""
    known: Any = vars(record)
    try:
        span = trace.SpanContext(
            int(known["trace_id"], 16),
            int(known["span_id"], 16),
            is_remote=False,
            trace_flags=trace.get_current_span().get_span_context().trace_flags,
        )
    except (KeyError, TypeError, ValueError):
        return get_current()
    if not span.is_valid:
        # Somebody else's ids, which are longer or empty.
        return get_current()
    return trace.set_span_in_context(trace.NonRecordingSpan(span))


def _severity(level: int) -> SeverityNumber:
    return next((number for least, number in _SEVERITIES if level >= least), SeverityNumber.TRACE)
