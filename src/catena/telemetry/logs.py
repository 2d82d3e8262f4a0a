"""Logs: structlog over the standard library's loggers, with a processor chain of our own.

Nothing global is configured. A record's message is the event's dotted name, its facts are extra
fields, and it names the span that it belongs to, sampled or not. Importing structlog takes a while,
so this is imported by the first record.
"""

from __future__ import annotations

import logging
from functools import cache, partial
from typing import Any, cast

import structlog
from opentelemetry import trace
from opentelemetry.context import Context

from catena import events
from catena.events.bus import Event, Operation
from catena.telemetry.catalog import AUDIT, BY_EVENT
from catena.telemetry.facts import facts_of, outcome_of
from catena.telemetry.origin import describe_origin
from catena.telemetry.rows import Log

CONTEXT = "catena_context"
"""Under this name a record may bring the context it belongs to; it is not written."""


class Records:
    """Logs events; with ``messages`` the texts of errors as well."""

    def __init__(self, *, messages: bool) -> None:
        self._messages = messages

    def record_fact(self, event: Event, context: Context | None = None) -> None:
        """Log a fact; ``context`` is that of its span, without one the current context."""
        for log in BY_EVENT[type(event)].logs:
            write(log, facts_of(event, messages=self._messages), context)

    def record_begin(self, operation: Operation) -> None:
        """Log that a lease begins; all other operations are logged when they end."""
        if isinstance(operation, events.Lease):
            write(BY_EVENT[events.Lease].logs[0], facts_of(operation))

    def record_end(self, operation: Operation, error: BaseException | None) -> None:
        """Log that an operation has ended."""
        log, facts = BY_EVENT[type(operation)].logs[-1], facts_of(operation)
        if isinstance(operation, events.Dispatch | events.Execution):
            facts |= outcome_of(error, messages=self._messages)
            write(log, facts, cast("Context | None", operation.context))
        else:
            write(log, facts)


def write(log: Log, facts: dict[str, Any], context: Context | None = None) -> None:
    """Write one record, if its logger is enabled for it; one of the audit says who writes."""
    logger = logging.getLogger(log.logger)
    if logger.isEnabledFor(log.level):
        if log.logger == AUDIT:
            facts = describe_origin() | facts
        _bind_logger(log.logger).log(log.level, log.name, **facts, **{CONTEXT: context})


class _Writer:
    """What structlog writes to: a logger, whose record gets the facts that it has not yet.

    The logger's own way refuses a record on which the application's record factory has set a name
    of ours, such as ``trace_id``; what others have set is left alone.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self.debug = partial(self._write, logging.DEBUG)
        self.info = partial(self._write, logging.INFO)
        self.warning = partial(self._write, logging.WARNING)
        self.error = partial(self._write, logging.ERROR)

    def _write(self, level: int, *, msg: str, extra: dict[str, Any]) -> None:
        logger = self._logger
        path, line, function, _ = logger.findCaller()
        record = logger.makeRecord(logger.name, level, path, line, msg, (), None, function)
        for name, value in extra.items():
            record.__dict__.setdefault(name, value)
        logger.handle(record)


@cache
def _bind_logger(name: str) -> structlog.stdlib.BoundLogger:
    logger = structlog.wrap_logger(
        _Writer(logging.getLogger(name)),
        processors=[_with_span, structlog.stdlib.render_to_log_kwargs],
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    return cast("structlog.stdlib.BoundLogger", logger.bind())


def _with_span(_: Any, __: str, facts: Any) -> Any:
    """Add the ids of the span that a record belongs to, as text."""
    context = facts.pop(CONTEXT, None)
    found = trace.get_current_span(context).get_span_context()
    if found.is_valid:
        facts["trace_id"] = trace.format_trace_id(found.trace_id)
        facts["span_id"] = trace.format_span_id(found.span_id)
    return facts
