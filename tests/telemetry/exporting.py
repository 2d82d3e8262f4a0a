"""An SDK in this process that exports everything to a receiver."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.catena.records import RecordHandler
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from catena import telemetry
from catena.telemetry import switch

__all__ = ["exporting"]


@contextmanager
def exporting(endpoint: str) -> Iterator[TracerProvider]:
    """Tell everything there is to an OTLP endpoint over HTTP; all of it is there at the end."""
    tracers, loggers = TracerProvider(), LoggerProvider()
    tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{endpoint}/v1/traces")))
    metrics = OTLPMetricExporter(f"{endpoint}/v1/metrics")
    meters = MeterProvider([PeriodicExportingMetricReader(metrics)])
    loggers.add_log_record_processor(
        BatchLogRecordProcessor(OTLPLogExporter(f"{endpoint}/v1/logs"))
    )
    logger, handler = logging.getLogger("catena"), RecordHandler(loggers)
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    telemetry.install(tracer_provider=tracers, meter_provider=meters)
    switch.audit(True)
    try:
        yield tracers
    finally:
        # First, for once it is uninstalled there is nothing left to collect.
        for provider in (tracers, meters, loggers):
            provider.shutdown()
        switch.audit(False)
        telemetry.uninstall()
        logger.removeHandler(handler)
        logger.setLevel(level)
