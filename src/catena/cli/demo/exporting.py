"""``--otlp``: an SDK that sends spans and metrics of this process, the demo or a worker of it.

It needs an extra, so it is imported when it is asked for. Its one rule: exporting never holds up
the end of a run for longer than it is given.
"""

from __future__ import annotations

import socket
import threading
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


def export(endpoint: str, instance: str) -> Callable[[float], bool]:
    """Send the spans and metrics of this process over gRPC; return what sends the rest.

    That takes so many seconds at most, and returns whether it was enough.
    """
    resource = Resource.create({"service.name": "catena-demo", "service.instance.id": instance})
    insecure = not endpoint.startswith("https://")
    tracers = TracerProvider(resource=resource, shutdown_on_exit=False)
    sending = OTLPSpanExporter(endpoint=endpoint, insecure=insecure)
    tracers.add_span_processor(BatchSpanProcessor(sending, _QUEUE, schedule_delay_millis=500))
    counting = OTLPMetricExporter(endpoint=endpoint, insecure=insecure)
    reader = PeriodicExportingMetricReader(counting)
    meters = MeterProvider([reader], resource=resource, shutdown_on_exit=False)
    trace.set_tracer_provider(tracers)
    metrics.set_meter_provider(meters)
    telemetry.install()

    def flush(seconds: float) -> bool:
        # The SDK's own bounds do not hold where an endpoint takes connections and does not answer.
        ending = threading.Thread(target=_end, args=(tracers, meters), daemon=True)
        ending.start()
        ending.join(seconds)
        return not ending.is_alive()

    return flush


def _end(tracers: TracerProvider, meters: MeterProvider) -> None:
    tracers.shutdown()
    meters.shutdown()


def export_run(endpoint: str) -> Callable[[float], bool]:
    """Do the same in the process of the demo, in a span that all calls of the run are below."""
    flush = export(endpoint, "caller")
    span = trace.get_tracer("catena.demo").start_span("catena demo")
    token = context.attach(trace.set_span_in_context(span))

    def end(seconds: float) -> bool:
        context.detach(token)
        span.end()
        return flush(seconds)

    return end
