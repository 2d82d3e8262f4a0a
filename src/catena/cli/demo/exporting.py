"""``--otlp``: an SDK that sends spans and metrics of this process, the demo or a worker of it.

It needs an extra, so it is imported when it is asked for. Its one rule: exporting never holds up
the end of a run for longer than it is given.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from catena import telemetry
from catena.errors import install_command

try:
    from opentelemetry import context, metrics, trace
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        f"{missing.name} is not installed: {install_command('otel')}", name=missing.name
    ) from None

__all__ = ["Unreachable", "export", "export_run", "reach"]

_QUEUE = 1 << 16
"""Spans that wait to be sent: a run makes thousands in a moment."""


class Unreachable(OSError):
    """Nobody takes telemetry at the endpoint that was named."""


def reach(endpoint: str) -> None:
    """Make sure that somebody listens there; raises Unreachable."""
    parts = urlsplit(endpoint if "://" in endpoint else f"//{endpoint}")
    try:
        with socket.create_connection((parts.hostname or "", parts.port or 4317), timeout=5):
            return
    except (OSError, ValueError) as error:
        raise Unreachable(f"nobody takes telemetry at {endpoint}: {error}") from None


def export(endpoint: str, instance: str) -> Callable[[float], None]:
    """Send the spans and metrics of this process over gRPC; return what sends the rest in time."""
    resource = Resource.create({"service.name": "catena-demo", "service.instance.id": instance})
    insecure = not endpoint.startswith("https://")
    tracers = TracerProvider(resource=resource)
    sending = OTLPSpanExporter(endpoint=endpoint, insecure=insecure)
    tracers.add_span_processor(BatchSpanProcessor(sending, _QUEUE, schedule_delay_millis=500))
    counting = OTLPMetricExporter(endpoint=endpoint, insecure=insecure)
    meters = MeterProvider([PeriodicExportingMetricReader(counting)], resource=resource)
    trace.set_tracer_provider(tracers)
    metrics.set_meter_provider(meters)
    telemetry.install()

    def flush(seconds: float) -> None:
        end = time.monotonic() + seconds
        tracers.force_flush(int(seconds * 1000))
        meters.shutdown(max(end - time.monotonic(), 0.1) * 1000)

    return flush


def export_run(endpoint: str) -> Callable[[float], None]:
    """Do the same in the process of the demo, in a span that all calls of the run are below."""
    flush = export(endpoint, "caller")
    span = trace.get_tracer("catena.demo").start_span("catena demo")
    token = context.attach(trace.set_span_in_context(span))

    def end(seconds: float) -> None:
        context.detach(token)
        span.end()
        flush(seconds)

    return end
