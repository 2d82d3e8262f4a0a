"""The SDK of one process of the telemetry section, and the same spans and records by hand.

What the SDK batches is serialised as OTLP has it, in this process, and dropped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    MetricExporter,
    MetricExportResult,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, TraceFlags

from catena import telemetry
from tests.benchmarks.plan import (
    AT_DISPATCH,
    AT_FULL,
    HAND_DISPATCH,
    HAND_FULL,
    HAND_ROOT,
    ROOT,
    WITHIN,
)

KEPT: Final = 512
QUEUE: Final = 1 << 17
CALLS: Final = "catena.dispatch"


class Spans(SpanExporter):
    """Serialises and drops; keeps the last spans as they were, and counts all."""

    def __init__(self) -> None:
        self.count = 0
        self.kept: deque[ReadableSpan] = deque(maxlen=KEPT)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        encode_spans(spans).SerializeToString()
        self.count += len(spans)
        self.kept.extend(spans)
        return SpanExportResult.SUCCESS


class Metrics(MetricExporter):
    """Serialises and drops."""

    def export(self, metrics_data: Any, timeout_millis: float = 0, **_: Any) -> MetricExportResult:
        encode_metrics(metrics_data).SerializeToString()
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 0) -> bool:
        return True

    def shutdown(self, timeout_millis: float = 0, **_: Any) -> None:
        return None


@dataclass(frozen=True, slots=True)
class Shape:
    """What a span was made of."""

    tracer: trace.Tracer
    name: str
    kind: trace.SpanKind
    attributes: dict[str, Any]
    linked: tuple[SpanContext, ...]
    scope: str


class Sdk:
    """Providers for every mode; ``hand`` is what a call does by hand in the current one."""

    def __init__(self) -> None:
        self.exporter = Spans()
        self.on = TracerProvider(sampler=ParentBased(ALWAYS_ON))
        self.off = TracerProvider(sampler=ParentBased(ALWAYS_OFF))
        batching = BatchSpanProcessor(self.exporter, max_queue_size=QUEUE)
        self.on.add_span_processor(batching)
        self.off.add_span_processor(batching)
        reader = PeriodicExportingMetricReader(Metrics(), export_interval_millis=1000)
        self.meters = MeterProvider([reader])
        self.duration = self.meters.get_meter("by hand").create_histogram("duration", "s")
        self.dropping = self.off.get_tracer(CALLS)
        self.hand: Callable[[], None] | None = None
        self.shapes: list[Shape] = []
        self.parent = Context()

    def switch(self, mode: str) -> None:
        """Let this process tell as the mode says."""
        self.hand = None
        telemetry.uninstall()
        if mode in (ROOT, WITHIN):
            telemetry.install(tracer_provider=self.off, meter_provider=self.meters)
        elif mode in (AT_DISPATCH, AT_FULL):
            detail = "full" if mode == AT_FULL else "dispatch"
            telemetry.install(tracer_provider=self.on, meter_provider=self.meters, detail=detail)
        elif mode in (HAND_DISPATCH, HAND_FULL):
            self.hand = partial(self._by_hand, self.of(full=mode == HAND_FULL))
        elif mode == HAND_ROOT:
            self.hand = partial(self._dropped_by_hand, self.shapes[0])

    def of(self, *, full: bool) -> list[Shape]:
        """Return the spans of a call on this side, at a detail."""
        return self.shapes if full else [one for one in self.shapes if one.scope == CALLS]

    def flush(self) -> int:
        """Export what waits; return how many spans there were so far."""
        self.on.force_flush()
        return self.exporter.count

    def learn(self, routine: str) -> None:
        """Take the spans of the last call of a routine, that of the call first, as the model."""
        self.flush()
        kept = list(self.exporter.kept)
        calls = [one for one in kept if one.name.endswith(routine)]
        if not calls:
            raise RuntimeError(f"no span of {routine} was exported")
        whole = calls[-1]
        others = [one for one in kept if one is not whole and _trace(one) == _trace(whole)]
        self.shapes = [self._shape(one) for one in (whole, *others)]
        remote = SpanContext(1, 1, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
        if whole.parent is not None:
            self.parent = trace.set_span_in_context(trace.NonRecordingSpan(remote), Context())

    def _shape(self, span: ReadableSpan) -> Shape:
        scope = span.instrumentation_scope
        name = "" if scope is None else scope.name
        linked = tuple(one.context for one in span.links)
        attributes = dict(span.attributes or {})
        return Shape(self.on.get_tracer(name), span.name, span.kind, attributes, linked, name)

    def _by_hand(self, shapes: Sequence[Shape]) -> None:
        """Make the spans of a call on this side, and record its duration."""
        context = self.parent
        call: trace.Span | None = None
        for one in shapes:
            links = [Link(each) for each in one.linked]
            span = one.tracer.start_span(one.name, context, kind=one.kind, links=links)
            span.set_attributes(one.attributes)
            if call is None:
                call, context = span, trace.set_span_in_context(span, context)
            else:
                span.end()
        self._record(shapes[0], context)
        if call is not None:
            call.end()

    def _dropped_by_hand(self, call: Shape) -> None:
        """Have the sampler drop a trace that begins on this side, and record a duration."""
        context = self.parent
        if not context:
            facts = {"rpc.system.name": "catena", "rpc.method": call.name}
            span = self.dropping.start_span(call.name, context, call.kind, facts)
            context = trace.set_span_in_context(span, context)
        self._record(call, context)

    def _record(self, call: Shape, context: Context) -> None:
        labels = {"rpc.method": call.name, "rpc.status_code": "OK"}
        self.duration.record(0.001, labels, context)


def outer() -> trace.Span:
    """Return somebody's span that is not sampled."""
    known = SpanContext(2, 2, is_remote=False, trace_flags=TraceFlags(TraceFlags.DEFAULT))
    return NonRecordingSpan(known)


def _trace(span: ReadableSpan) -> int:
    return 0 if span.context is None else span.context.trace_id
