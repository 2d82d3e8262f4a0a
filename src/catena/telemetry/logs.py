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
from catena.observe import Event, Outcome
from catena.telemetry.catalog import AUDIT, BY_EVENT
from catena.telemetry.facts import facts_of, left_with, outcome_of
from catena.telemetry.origin import origin
from catena.telemetry.rows import Log

__all__ = ["CONTEXT", "record", "write"]

CONTEXT = "catena_context"
"""Under this name a record may bring the context it belongs to; it is not written."""


def record(event: Event, messages: bool = False, context: Context | None = None) -> Any:  # noqa: FBT001, FBT002
    """Log a fact; for an operation return what logs its end.

    ``context`` is that of the span which tells of the same, without one the current context.
    """
    logs = BY_EVENT[type(event)].logs
    if isinstance(event, events.Lease):
        leased, released = logs
        write(leased, facts_of(event))
        return partial(_ended, released, event)
    if isinstance(event, events.Dispatch | events.Execution):
        return partial(_called, logs[0], event, messages=messages)
    if isinstance(event, events.Mount):
        return partial(_ended, logs[0], event)
    for log in logs:
        write(log, facts_of(event, messages=messages), context)
    return None


def write(log: Log, facts: dict[str, Any], context: Context | None = None) -> None:
    """Write one record, if its logger is enabled for it; one of the audit says who writes."""
    logger = logging.getLogger(log.logger)
    if logger.isEnabledFor(log.level):
        if log.logger == AUDIT:
            facts = origin() | facts
        _bound(log.logger).log(log.level, log.name, **facts, **{CONTEXT: context})


def _ended(log: Log, event: Event, _: Outcome) -> None:
    write(log, facts_of(event))


def _called(
    log: Log, event: events.Dispatch | events.Execution, end: Outcome, *, messages: bool
) -> None:
    facts = facts_of(event) | outcome_of(left_with(end), messages=messages)
    write(log, facts, cast("Context | None", event.context))


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
def _bound(name: str) -> structlog.stdlib.BoundLogger:
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
