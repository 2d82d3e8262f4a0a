"""``--otlp``: an OpenTelemetry SDK in this process and in each worker, set up by an application.

Catena makes spans and metrics as soon as there is an SDK. This module needs an extra, so it is
imported only when somebody asks for it. Its one rule: exporting never holds up the end of a run for
longer than it is given.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from urllib.parse import urlsplit

from opentelemetry import context, metrics, trace
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

BOOTSTRAP = f"{__name__}:export_process"
"""What each worker calls before it serves."""

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
"""Exporters read this variable, and workers inherit it."""

_QUEUE = 1 << 16
"""Spans that wait to be sent: a run makes thousands in a moment."""


def check_endpoint(endpoint: str) -> None:
    """Make sure that somebody listens there; raises OSError."""
    parts = urlsplit(endpoint if "://" in endpoint else f"//{endpoint}")
    try:
        with socket.create_connection((parts.hostname or "", parts.port or 4317), timeout=5):
            return
    except (OSError, ValueError) as error:
        raise OSError(f"nobody receives telemetry at {endpoint}: {error}") from None


def export_process() -> Callable[[float], bool]:
    """Send the spans and metrics of this process; return what sends the rest.

    That takes so many seconds at most, and returns whether they were enough.
    """
    names = {"service.name": "catena-demo", "service.instance.id": str(os.getpid())}
    resource = Resource.create(names)
    tracers = TracerProvider(resource=resource, shutdown_on_exit=False)
    sending = BatchSpanProcessor(OTLPSpanExporter(), _QUEUE, schedule_delay_millis=500)
    tracers.add_span_processor(sending)
    reader = PeriodicExportingMetricReader(OTLPMetricExporter())
    meters = MeterProvider([reader], resource=resource, shutdown_on_exit=False)
    trace.set_tracer_provider(tracers)
    metrics.set_meter_provider(meters)

    def flush(seconds: float) -> bool:
        # The SDK's own limits do not hold where an endpoint accepts connections and is silent.
        ending = threading.Thread(
            target=lambda: (tracers.shutdown(), meters.shutdown()), daemon=True
        )
        ending.start()
        ending.join(seconds)
        return not ending.is_alive()

    return flush


def export_run(endpoint: str) -> Callable[[float], bool]:
    """Export from this process and the workers that it starts, all calls below one span."""
    check_endpoint(endpoint)
    os.environ[ENDPOINT] = endpoint
    flush = export_process()
    span = trace.get_tracer("catena.demo").start_span("catena demo")
    token = context.attach(trace.set_span_in_context(span))

    def end(seconds: float) -> bool:
        context.detach(token)
        span.end()
        return flush(seconds)

    return end
