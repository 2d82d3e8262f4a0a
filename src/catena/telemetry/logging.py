"""``catena.logging``: ready configurations for applications, and the audit switch.

The library itself configures no logging. These functions set the handler of the root logger,
because an application calls them for that purpose: its own records are then rendered in the same
way.
"""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import Any, TextIO

import structlog

from catena.telemetry.logs import NAME, name_of, read_span_ids
from catena.telemetry.switch import audit as switch_audit, ensure_recording
from catena.telemetry.texts import json_line, text

Level = int | str

_EXTRA = structlog.stdlib.ExtraAdder()
_SHOWN = {
    *("event", NAME, "timestamp", "level", "logger", "trace_id", "span_id"),
    *("exc_info", "exception", "stack_info", "stack", "_record", "_from_structlog"),
}
"""What the console shows of a record of ours; its facts are in the sentence."""


def configure_json(
    *, level: Level = logging.INFO, audit: bool | None = None, stream: TextIO | None = None
) -> None:
    """Write every record of the process as one line of JSON, by default to standard error.

    ``event`` is what was said. Of Catena's own records it is the event's dotted name, and
    ``message`` the sentence.

    ``audit`` turns the records of every mount, reset, lease and call on or off; None leaves that to
    CATENA_AUDIT_LOG. Calling it again replaces what it did before.
    """
    _replace_handler(json_handler(stream), level, audit=audit)


def configure_console(
    *, level: Level = logging.INFO, audit: bool | None = None, stream: TextIO | None = None
) -> None:
    """Write every record of the process as a line for people; options as for JSON.

    Of Catena's own records it shows the sentence, the event's dotted name and the span.
    """
    _replace_handler(console_handler(stream), level, audit=audit)


def audit(on: bool = True) -> None:  # noqa: FBT001, FBT002 - reads as a switch
    """Turn the records of every mount, reset, lease and call on, or off."""
    switch_audit(on)


def json_handler(stream: TextIO | None = None) -> logging.Handler:
    """Return a handler that writes lines of JSON, for a logging configuration of one's own."""
    return _make_handler(stream, _put_name_first, _render_json)


def console_handler(stream: TextIO | None = None) -> logging.Handler:
    """Return a handler that writes lines for people, in colour where they are on a terminal."""
    target = stream or sys.stderr
    renderer = structlog.dev.ConsoleRenderer(colors=target.isatty())
    return _make_handler(stream, _leave_facts_out, renderer)


def _replace_handler(handler: logging.Handler, level: Level, *, audit: bool | None) -> None:
    root = logging.getLogger()
    for one in root.handlers[:]:
        if isinstance(one.formatter, _Formatter):
            root.removeHandler(one)
    root.addHandler(handler)
    root.setLevel(level)
    if audit is not None:
        switch_audit(audit)
    ensure_recording()


class _Formatter(structlog.stdlib.ProcessorFormatter):
    """Marks our handlers, and writes every record, if need be with less in it."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record, of the standard library's loggers or of structlog's."""
        try:
            return super().format(record)
        except Exception as error:
            facts = {
                "event": name_of(record) or text(record.msg),
                "not_rendered": f"{type(error).__name__}: {text(error)}",
            }
            return str(self.processors[-1](None, "", _describe_record(record, facts)))


def _make_handler(stream: TextIO | None, choose: Any, renderer: Any) -> logging.Handler:
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        _Formatter(
            foreign_pre_chain=[_with_extra],
            # Records that structlog has made come here without having been through that chain.
            processors=[
                _with_record,
                _with_span,
                choose,
                structlog.processors.format_exc_info,
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                renderer,
            ],
        )
    )
    return handler


def _with_extra(logger: Any, name: str, facts: Any) -> Any:
    """Add a record's extra fields; one of them called ``event`` does not hide what was said."""
    said = facts["event"]
    facts = _EXTRA(logger, name, facts)
    for left in ("message", "asctime"):
        # Another handler's formatter has put it on the record.
        facts.pop(left, None)
    if facts["event"] is not said:
        facts["event'"], facts["event"] = facts["event"], said
    return facts


def _put_name_first(_: Any, __: str, facts: Any) -> Any:
    """Let the event of a record of ours be its name; what was said is its message."""
    if name_of(facts["_record"]) is not None:
        facts["message"], facts["event"] = facts["event"], facts.pop(NAME)
    return facts


def _leave_facts_out(_: Any, __: str, facts: Any) -> Any:
    """Leave out of a record of ours what its sentence says."""
    if name_of(facts["_record"]) is None:
        return facts
    return {name: value for name, value in facts.items() if name in _SHOWN}


def _render_json(_: Any, __: str, facts: Any) -> str:
    return json_line(facts)


def _with_record(_: Any, __: str, facts: Any) -> Any:
    return _describe_record(facts["_record"], facts)


def _describe_record(record: logging.LogRecord, facts: dict[str, Any]) -> dict[str, Any]:
    """Add what every record has, unless structlog's own processors have."""
    at = datetime.fromtimestamp(record.created, UTC)
    facts.setdefault("timestamp", at.isoformat(timespec="microseconds").replace("+00:00", "Z"))
    facts.setdefault("level", record.levelname.lower())
    facts.setdefault("logger", record.name)
    return facts


def _with_span(_: Any, __: str, facts: Any) -> Any:
    """Add the current span to a record that does not name one yet."""
    return facts if "trace_id" in facts else facts | read_span_ids()
