"""Routines of a process that configures an SDK of its own, and hands out the spans that ended.

A worker configures it when a routine asks for that: as late as an application may.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator
from typing import Any

import catena

number: catena.ContextVar[int] = catena.ContextVar("number", namespace="tests.traced", default=0)

_exporters: list[Any] = []


def configure() -> None:
    """Configure an SDK for this process, once; Catena finds it within a second."""
    if _exporters:
        return
    from opentelemetry import metrics, trace
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    metrics.set_meter_provider(MeterProvider([InMemoryMetricReader()]))
    _exporters.append(exporter)


def finished() -> list[dict[str, Any]]:
    """Return the spans that have ended in this process, and forget them."""
    spans: list[dict[str, Any]] = []
    for exporter in _exporters:
        spans += [_plain(one) for one in exporter.get_finished_spans()]
        exporter.clear()
    return spans


def _plain(span: Any) -> dict[str, Any]:
    return {
        "name": span.name,
        "kind": span.kind.name,
        "trace": format(span.context.trace_id, "032x"),
        "id": format(span.context.span_id, "016x"),
        "parent": format(span.parent.span_id, "016x") if span.parent else "",
        "links": [format(one.context.span_id, "016x") for one in span.links],
        "status": span.status.status_code.name,
        "attributes": dict(span.attributes),
        "pid": os.getpid(),
    }


@catena.routine
async def prepared() -> int:
    """Configure the SDK of a worker, and return its process when Catena has found it."""
    configure()
    from catena import telemetry

    async with asyncio.timeout(10):
        while "traces" not in telemetry.installed():
            await asyncio.sleep(0.05)
    return os.getpid()


@catena.routine
async def collected() -> list[dict[str, Any]]:
    """Return the spans that have ended on a worker."""
    return finished()


@catena.routine
async def leaf(value: int) -> int:
    """Set the variable."""
    number.reset(number.set(value))
    number.set(value)
    return os.getpid()


@catena.routine
async def steps(to: int) -> AsyncGenerator[int, None]:
    """Call on at each step."""
    for value in range(to):
        await leaf(value)
        yield os.getpid()


@catena.routine
async def middle() -> list[int]:
    """Call on directly, through a stream, and from a forked task."""
    direct = await leaf(1)
    _ = [value async for value in steps(2)]
    forked = await asyncio.create_task(leaf(2))
    return [os.getpid(), direct, forked]


@catena.routine
async def failing(why: str) -> dict[str, Any]:
    """Fail on this worker in a call of its own; return the baggage that came."""
    from opentelemetry import baggage

    carried = dict(baggage.get_all())
    with contextlib.suppress(LookupError):
        await raising(why)
    return carried


@catena.routine
async def raising(why: str) -> None:
    """Raise an error with a text."""
    raise LookupError(why)
