"""An SDK in memory for tests: what was exported, as plain values."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased, Sampler

from catena import telemetry
from catena.telemetry import attempts, switch
from catena.telemetry.logs import name_of
from catena.telemetry.tally import losses

__all__ = ["Told", "telling"]

Labels = tuple[tuple[str, Any], ...]


@dataclass
class Told:
    """What was told while a block ran."""

    tracer_provider: TracerProvider
    meter_provider: MeterProvider
    exporter: InMemorySpanExporter
    reader: InMemoryMetricReader
    records: list[logging.LogRecord] = field(default_factory=list[logging.LogRecord])
    before: dict[tuple[str, ...], int] = field(default_factory=lambda: dict(losses.read()))

    @property
    def spans(self) -> list[ReadableSpan]:
        """The spans that have ended, in the order of their ends."""
        return list(self.exporter.get_finished_spans())

    def named(self, name: str) -> list[ReadableSpan]:
        """Return the spans whose name ends so."""
        return [one for one in self.spans if one.name.endswith(name)]

    def metrics(self) -> dict[str, list[Any]]:
        """Collect; return the points of each metric."""
        data = self.reader.get_metrics_data()
        found: dict[str, list[Any]] = {}
        for resource in data.resource_metrics if data is not None else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    found.setdefault(metric.name, []).extend(metric.data.data_points)
        return found

    def numbers(self, name: str) -> dict[Labels, Any]:
        """Collect; return the values of a counter or gauge by their labels."""
        return {labels(one): one.value for one in self.metrics().get(name, ())}

    def dropped(self, signal: str, reason: str = "raised") -> int:
        """Collect; return how often telemetry was dropped since the block began."""
        name = (("catena.reason", reason), ("catena.signal", signal))
        found = self.numbers("catena.telemetry.dropped").get(name, 0)
        return found - self.before.get((signal, reason), 0)

    def logged(self, name: str) -> list[dict[str, Any]]:
        """Return the records of an event, as dictionaries."""
        return [vars(one) for one in self.records if name_of(one) == name]


def labels(point: Any) -> Labels:
    """Return the labels of a point."""
    return tuple(sorted(point.attributes.items()))


class _Keep(logging.Handler):
    def __init__(self, records: list[logging.LogRecord]) -> None:
        super().__init__()
        self.records = records

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@contextmanager
def telling(
    *, sampled: bool = True, audit: bool = False, sampler: Sampler | None = None, **options: Any
) -> Iterator[Told]:
    """Tell spans, metrics and logs to memory while the block runs; options are those of install.

    Without a ``sampler``, one that follows the parent and decides as ``sampled`` says without one.
    """
    exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracers = TracerProvider(sampler=sampler or ParentBased(ALWAYS_ON if sampled else ALWAYS_OFF))
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    meters = MeterProvider([reader])
    told = Told(tracers, meters, exporter, reader)
    attempts._said.clear()
    handler, logger = _Keep(told.records), logging.getLogger("catena")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    telemetry.install(tracer_provider=tracers, meter_provider=meters, **options)
    switch.audit(audit)
    try:
        yield told
    finally:
        switch.audit(False)
        telemetry.uninstall()
        logger.removeHandler(handler)
        logger.setLevel(level)
        tracers.shutdown()
        meters.shutdown()
