"""Providers of an SDK, as the OTEL_* variables describe them.

The SDK and the exporters themselves read samplers, limits, intervals and endpoints; read here is
which exporters there are. The rule: what cannot be set up is told in one warning and left out.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from importlib.metadata import entry_points
from typing import Any

from opentelemetry import _logs, metrics, trace
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

__all__ = ["configure", "configured"]

_log = logging.getLogger(__name__)
_API = ("opentelemetry.trace", "opentelemetry.metrics", "opentelemetry._logs")
_PROTOCOLS = {"grpc": "otlp_proto_grpc", "http/protobuf": "otlp_proto_http"}


def configured() -> list[Any]:
    """Return the global providers that somebody has configured."""
    found = (trace.get_tracer_provider(), metrics.get_meter_provider(), _logs.get_logger_provider())
    return [one for one in found if not type(one).__module__.startswith(_API)]


def configure(resource: Resource) -> LoggerProvider | None:
    """Set global providers up, one for each signal that has an exporter.

    Returns the logger provider if there is one: handing it records is left to the caller.
    """
    spans = [BatchSpanProcessor(one) for one in _exporters("traces")]
    if spans:
        tracers = TracerProvider(resource=resource)
        for processor in spans:
            tracers.add_span_processor(processor)
        trace.set_tracer_provider(tracers)
    readers = [_reader(one) for one in _exporters("metrics")]
    if readers:
        metrics.set_meter_provider(MeterProvider(readers, resource=resource))
    records = [BatchLogRecordProcessor(one) for one in _exporters("logs")]
    if not records:
        return None
    loggers = LoggerProvider(resource=resource)
    for one in records:
        loggers.add_log_record_processor(one)
    _logs.set_logger_provider(loggers)
    return loggers


def _reader(made: Any) -> MetricReader:
    return made if isinstance(made, MetricReader) else PeriodicExportingMetricReader(made)


def _exporters(signal: str) -> Iterable[Any]:
    """Yield the exporters that OTEL_<SIGNAL>_EXPORTER names; by default OTLP, as specified."""
    asked = os.environ.get(f"OTEL_{signal.upper()}_EXPORTER", "").strip() or "otlp"
    for name in (one.strip() for one in asked.split(",")):
        if name in ("none", ""):
            continue
        try:
            yield _exporter(signal, name)
        except Exception as error:
            text = "no %s are exported by %s: %s: %s"
            _log.warning(text, signal, name, type(error).__name__, error)


def _exporter(signal: str, name: str) -> Any:
    if name == "otlp":
        generic = os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "").strip() or "grpc"
        own = os.environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL", "").strip()
        name = _PROTOCOLS.get(own or generic, own or generic)
    found = entry_points(group=f"opentelemetry_{signal}_exporter", name=name)
    for one in found:
        return one.load()()
    raise LookupError("no such exporter is installed")
