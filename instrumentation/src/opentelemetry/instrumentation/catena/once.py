"""One warning: an exporter that does not get through says so once, not once for each batch."""

from __future__ import annotations

import logging

__all__ = ["EXPORTING", "once"]

EXPORTING = (
    "opentelemetry.exporter.otlp.proto.grpc.exporter",
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "opentelemetry.exporter.otlp.proto.http.metric_exporter",
    "opentelemetry.exporter.otlp.proto.http._log_exporter",
    "opentelemetry.sdk._shared_internal",
    "opentelemetry.sdk.metrics._internal.export",
)
"""The loggers through which exporters, and what hands them batches, report failures."""


class _Once(logging.Filter):
    """Lets one warning or error through in all; what is less is not looked at."""

    def __init__(self) -> None:
        super().__init__()
        self._reported = False

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        first, self._reported = not self._reported, True
        if first:
            record.msg = f"{record.msg} (reported once)"
        return first


def once() -> None:
    """Have the exporters of this process report failures once; a second call changes nothing."""
    if not any(isinstance(one, _Once) for one in logging.getLogger(EXPORTING[0]).filters):
        shared = _Once()
        for name in EXPORTING:
            logging.getLogger(name).addFilter(shared)
