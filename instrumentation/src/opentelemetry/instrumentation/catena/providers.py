"""Providers of an SDK, as the OTEL_* variables or the file of OTEL_CONFIG_FILE describe them.

The SDK and the exporters themselves read limits, intervals and endpoints; read here is which
exporters, samplers and generators of ids there are. The rule: what cannot be set up is reported in
one warning and left out, and the trace of a call goes on through this process all the same.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from importlib import import_module
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
    """Set global providers up: of traces always, of metrics and logs where there is an exporter.

    Returns the logger provider if there is one: handing it records is left to the caller.
    """
    path = os.environ.get("OTEL_CONFIG_FILE", "").strip()
    if _is_disabled():
        _trace_on(resource, [])
        return None
    if path:
        return _configure_from(path, resource)
    _trace_on(resource, [BatchSpanProcessor(one) for one in _exporters("traces")])
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


def _is_disabled() -> bool:
    return os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"


def _trace_on(resource: Resource, processors: Iterable[BatchSpanProcessor]) -> None:
    """Set a tracer provider up: without any processor, it still has traces go on."""
    tracers = TracerProvider(
        sampler=_named("opentelemetry_traces_sampler", "OTEL_TRACES_SAMPLER", _sampler),
        id_generator=_named("opentelemetry_id_generator", "OTEL_PYTHON_ID_GENERATOR", _called),
        resource=resource,
    )
    for one in processors:
        tracers.add_span_processor(one)
    trace.set_tracer_provider(tracers)


def _configure_from(path: str, resource: Resource) -> LoggerProvider | None:
    """Set up what a file of declarative configuration describes; no variable counts beside it."""
    try:
        declared: Any = import_module("opentelemetry.configuration")
        declared.configure_sdk(declared.load_config_file(path))
    except ModuleNotFoundError:
        text = (
            "OTEL_CONFIG_FILE names %s, and this worker exports nothing: it takes `pip install %s`"
        )
        _log.warning(text, path, "opentelemetry-configuration")
    except Exception as error:
        text = "OTEL_CONFIG_FILE names %s, which could not be applied: %s: %s"
        _log.warning(text, path, type(error).__name__, error)
    if type(trace.get_tracer_provider()).__module__.startswith(_API):
        _trace_on(resource, [])
    loggers = _logs.get_logger_provider()
    return loggers if isinstance(loggers, LoggerProvider) else None


def _named(group: str, variable: str, make: Callable[[Any], Any]) -> Any:
    """Return what somebody else's package offers by a name; None where the SDK knows the name."""
    name = os.environ.get(variable, "").strip()
    for one in entry_points(group=group, name=name) if name else ():
        if one.value.startswith("opentelemetry.sdk."):
            return None
        try:
            return make(one.load())
        except Exception as error:
            text = "%s names %s, which could not be made: %s: %s"
            _log.warning(text, variable, name, type(error).__name__, error)
    return None


def _sampler(factory: Any) -> Any:
    return factory(os.environ.get("OTEL_TRACES_SAMPLER_ARG"))


def _called(factory: Any) -> Any:
    return factory()


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
