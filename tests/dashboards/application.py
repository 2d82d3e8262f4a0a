"""An application that does whatever the catalog counts, and contends for a chain when told to.

``main`` exports to OTEL_EXPORTER_OTLP_ENDPOINT. It prints "ready", waits for a line, prints what it
knows of the contention, works once more, prints "done", and ends with its standard input. Workers
find its routines by the name of this module, so it is imported and not run as a program.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import os
import sys
from collections.abc import AsyncGenerator, Callable
from typing import Any

import catena
from catena import events, telemetry
from catena.background import BackgroundQueue, BackgroundWorker
from catena.events.bus import announce
from catena.wire import versions
from catena.wire.frames import Hello

EVERY = 500
"""Milliseconds between two exports of metrics."""

number: catena.ContextVar[int] = catena.ContextVar(
    "number", namespace="tests.dashboards", default=0
)


def bootstrap(instance: str = "") -> Callable[[float], None]:
    """Configure an SDK that exports, here or on a worker; return what flushes it."""
    from opentelemetry import metrics, trace
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource(
        {"service.name": "dashboards", "service.instance.id": instance or f"worker-{os.getpid()}"}
    )
    tracers = TracerProvider(resource=resource)
    tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(), schedule_delay_millis=EVERY))
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(), export_interval_millis=EVERY)
    meters = MeterProvider([reader], resource=resource)
    trace.set_tracer_provider(tracers)
    metrics.set_meter_provider(meters)
    telemetry.install()

    def flush(seconds: float) -> None:
        tracers.force_flush(int(seconds * 1000))
        meters.shutdown(seconds * 1000)

    return flush


@catena.routine
async def add(to: int) -> int:
    """Set the variable, reset it, and set it again."""
    number.reset(number.set(to))
    number.set(number.get() + to)
    return os.getpid()


@catena.routine
async def nest(to: int) -> int:
    """Call on from a task of its own."""
    return await asyncio.create_task(add(to))


@catena.routine
async def count_up(to: int) -> AsyncGenerator[int, None]:
    """Count."""
    for value in range(to):
        number.set(value)
        yield value


@catena.routine
async def fail() -> None:
    """Raise."""
    raise LookupError("nothing there")


@catena.routine
async def hold() -> AsyncGenerator[int, None]:
    """Begin, and go on for as long as anybody waits."""
    yield os.getpid()
    await asyncio.sleep(60)


@catena.routine
async def contend() -> dict[str, Any]:
    """Let a second task touch the chain of one that waits for a call; return the refusal."""
    began = asyncio.Event()
    shared = contextvars.copy_context()

    async def own() -> None:
        number.set(2)
        async for _ in hold():
            began.set()

    async def intrude() -> None:
        number.set(3)

    owner = asyncio.Task(own(), context=shared, name="the owner")
    await began.wait()
    try:
        await asyncio.Task(intrude(), context=shared, name="the intruder")
    except catena.ChainContention as error:
        return {"chain": error.chain_id, "kind": error.kind, "process": os.getpid()}
    finally:
        owner.cancel()
        await asyncio.gather(owner, return_exceptions=True)
    raise RuntimeError("nothing was refused")


async def work() -> None:
    """Do everything once, or a little more often: rates want two points."""
    for value in range(20):
        await asyncio.gather(add(value), nest(value))
        async for _ in count_up(2):
            pass
        for refused in (fail, lambda: add(sys._getframe())):
            try:
                await refused()
            except (LookupError, catena.SerializationError):
                continue
            raise RuntimeError("nothing was refused")
        await asyncio.sleep(0.1)


async def run_tasks() -> None:
    """Have tasks run, in this process."""
    async with BackgroundQueue("memory://", name="dashboards") as queue:
        for value in range(3):
            await add.submit(value)
        await BackgroundWorker(queue).run_until_finished()


def refuse() -> None:
    """Have refused and dropped what an own pool never sends."""
    try:
        versions.agree_on_capabilities(Hello(0, 99, 1, "9.9", (), "them", 1))
    except catena.VersionRefused:
        announce(events.FrameDropped(1, "result"))


async def main() -> None:
    """Work, say so, wait, contend, say so, and wait for the end."""
    flush = bootstrap("caller")
    loop = asyncio.get_running_loop()
    async with catena.WorkerPool(spawn=2, bootstrap="tests.dashboards.application:bootstrap"):
        number.set(1)
        refuse()
        await work()
        await run_tasks()
        print("ready", flush=True)
        if await loop.run_in_executor(None, sys.stdin.readline):
            print(json.dumps(await contend()), flush=True)
            await work()
            await run_tasks()
            print("done", flush=True)
            await loop.run_in_executor(None, sys.stdin.readline)
    flush(5)
