"""Logs: the catalog's records, over the standard library's loggers.

Nothing global is configured. A record's message is a sentence of the catalog, made when a handler
asks for it. The event's dotted name and the facts are extra fields, and the record names the span
that it belongs to, sampled or not.
"""

from __future__ import annotations

import logging
import os
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context

from catena import events
from catena.events.bus import Event
from catena.standing import worker_id
from catena.telemetry.catalog import LOGS
from catena.telemetry.facts import facts_of, outcome_of
from catena.telemetry.options import Options
from catena.telemetry.rows import AUDIT, Log
from catena.telemetry.sentences import Shown

NAME = "event.name"
"""The field of a record with the event's dotted name, as OpenTelemetry calls it."""


def record_event(
    log: Log,
    event: Event,
    error: BaseException | None,
    context: Context | None,
    options: Options,
) -> None:
    """Write what is known of an event.

    ``error`` is what ended an operation; ``context`` is that of the event's span, without one the
    current context.
    """
    messages = options.record_messages
    logger = logging.getLogger(log.logger)
    facts = _describe_writer() if log.logger == AUDIT else {}
    facts |= facts_of(event, messages=messages)
    if isinstance(event, events.Dispatch | events.Execution):
        facts |= outcome_of(error, messages=messages)
        context = event.context
    path, line, function, _ = logger.findCaller()
    record = logger.makeRecord(
        *(log.logger, log.choose_level(event), path, line, log.sentence),
        *((Shown(facts),), None, function),
    )
    record.__dict__[NAME] = log.name
    for name, value in (facts | read_span_ids(context)).items():
        # The logger's own way refuses a record on which the application's record factory has set a
        # name of ours, such as ``trace_id``; what others have set is left alone.
        record.__dict__.setdefault(name, value)
    logger.handle(record)


def name_of(record: logging.LogRecord) -> str | None:
    """Return the event's dotted name if the record is of the catalog, None for all others."""
    name = vars(record).get(NAME)
    return name if isinstance(name, str) and (record.name, name) in LOGS else None


def read_span_ids(context: Context | None = None) -> dict[str, str]:
    """Return as texts which span is current, in a context or here; empty without one."""
    found = trace.get_current_span(context).get_span_context()
    if not found.is_valid:
        return {}
    return {
        "trace_id": trace.format_trace_id(found.trace_id),
        "span_id": trace.format_span_id(found.span_id),
    }


def _describe_writer() -> dict[str, Any]:
    """Return the process id and, in a worker, its id, so that many can share one file."""
    worker = worker_id()
    return {"process.pid": os.getpid()} | ({"catena.worker.id": worker} if worker else {})
