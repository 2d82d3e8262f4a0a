"""The real exporters of OpenTelemetry, all three signals, by each protocol."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass
from typing import Any

import grpc
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcLogs
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import (
    OTLPMetricExporter as GrpcMetrics,
)
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpans
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpLogs
from opentelemetry.exporter.otlp.proto.http.metric_exporter import (
    OTLPMetricExporter as HttpMetrics,
)
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpans
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from catena.collect import Receiver

PROTOCOLS = ("grpc", "grpc+gzip", "http", "http+gzip")


def exporters(receiver: Receiver, protocol: str) -> tuple[Any, Any, Any]:
    """Exporters of spans, metrics and logs."""
    kind, _, packed = protocol.partition("+")
    if kind == "grpc":
        how: Any = {
            "endpoint": receiver.endpoint,
            "compression": grpc.Compression.Gzip if packed else grpc.Compression.NoCompression,
        }
        return GrpcSpans(**how), GrpcMetrics(**how), GrpcLogs(**how)
    made = [
        one(
            endpoint=f"{receiver.http_endpoint}/v1/{signal}",
            compression=Compression.Gzip if packed else Compression.NoCompression,
        )
        for one, signal in ((HttpSpans, "traces"), (HttpMetrics, "metrics"), (HttpLogs, "logs"))
    ]
    return made[0], made[1], made[2]


@dataclass(frozen=True, slots=True)
class Application:
    """An SDK with providers of its own; nothing global is set."""

    tracers: TracerProvider
    meters: MeterProvider
    loggers: LoggerProvider

    @classmethod
    def of(cls, receiver: Receiver, protocol: str, instance: str = "one") -> Application:
        spans, points, records = exporters(receiver, protocol)
        resource = Resource({"service.name": "shop", "service.instance.id": instance})
        tracers = TracerProvider(resource=resource)
        tracers.add_span_processor(BatchSpanProcessor(spans))
        meters = MeterProvider([PeriodicExportingMetricReader(points)], resource=resource)
        loggers = LoggerProvider(resource=resource)
        loggers.add_log_record_processor(BatchLogRecordProcessor(records))
        return cls(tracers, meters, loggers)

    def work(self, word: str) -> str:
        """Make a span with a counter, a duration and a log record in it; return its trace id."""
        meter = self.meters.get_meter("catena.context", "1")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            handler = LoggingHandler(logger_provider=self.loggers)
        log = logging.Logger("shop")  # noqa: LOG001 - nothing global is set
        log.addHandler(handler)
        with self.tracers.get_tracer("catena.dispatch", "1").start_as_current_span(word) as span:
            meter.create_counter("catena.chain.contentions", "{contention}").add(1)
            meter.create_histogram("rpc.server.call.duration", "s").record(0.25)
            log.error("said %s", word)
        return f"{span.get_span_context().trace_id:032x}"

    def shutdown(self) -> None:
        """Export what is left."""
        self.tracers.shutdown()
        self.meters.shutdown()
        self.loggers.shutdown()
