"""A program of streams: what is current beside them, and every way in which they end."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import json
import os
from collections.abc import AsyncGenerator
from typing import Any

from opentelemetry import trace

import catena

__all__ = ["main"]

number: catena.ContextVar[int] = catena.ContextVar("number", namespace="tests.flow", default=0)

ENDS = (
    "exhausted",
    "closed",
    "closed elsewhere",
    "collected",
    "cancelled",
    "thrown into",
    "failed",
)


@catena.routine
async def count(end: str) -> AsyncGenerator[tuple[str, int], None]:
    """Count for long; yield the current span and the process, each time after a nested call."""
    trace.get_current_span().set_attribute("end", end)
    for value in range(1000):
        number.set(value)
        await leaf()
        yield _current(), os.getpid()
        if end == "failed" and value == 1:
            raise LookupError("of no interest")
        if end == "exhausted" and value == 2:
            return


@catena.routine
async def relayed(end: str) -> AsyncGenerator[tuple[str, int], None]:
    """Hand on what another stream says, from within this one."""
    async for step in count(end):
        yield step


@catena.routine
async def leaf() -> None:
    """Be called."""


@catena.routine
async def current() -> tuple[str, str]:
    """Return the span and the trace that are current in a call without a trace of its own."""
    context = trace.get_current_span().get_span_context()
    return _current(), format(context.trace_id, "032x")


def _current() -> str:
    return format(trace.get_current_span().get_span_context().span_id, "016x")


async def _end(stream: Any, end: str) -> None:
    """End a stream that has been begun."""
    match end:
        case "exhausted":
            async for _ in stream:
                pass
        case "closed":
            await stream.aclose()
        case "closed elsewhere":
            await asyncio.create_task(stream.aclose())
        case "cancelled":
            waiting = asyncio.create_task(_last(stream))
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
        case "thrown into":
            with contextlib.suppress(ZeroDivisionError):
                await stream.athrow(ZeroDivisionError())
        case "failed":
            with contextlib.suppress(LookupError):
                await _last(stream)
        case _:
            raise ValueError(end)


async def _last(stream: Any) -> None:
    async for _ in stream:
        pass


async def _collected(routine: Any) -> str:
    """Begin a stream and forget it; return the span of its steps."""
    stream = routine("collected")
    said = await anext(stream)
    del stream
    gc.collect()
    # The loop closes what was collected in a task of its own; a call shows that links go on.
    await leaf()
    return said[0]


async def _streamed(routine: Any, end: str) -> dict[str, Any]:
    """Begin a stream, look around between its steps, and end it."""
    stream = routine(end)
    before = _current()
    first = await anext(stream)
    between = [_current()]
    # In a context without a trace: what is current on the worker while the stream is suspended.
    outside = await asyncio.create_task(current(), context=_untraced())
    second = await anext(stream)
    between.append(_current())
    await _end(stream, end)
    return {
        "steps": [first[0], second[0]],
        "outside": outside,
        "between": between,
        "before": before,
        "after": _current(),
    }


def _untraced() -> contextvars.Context:
    """Return a copy of the current Context in which no span is current."""
    context = contextvars.copy_context()
    span = trace.set_span_in_context(trace.INVALID_SPAN)
    from opentelemetry.context import attach

    context.run(attach, span)
    return context


async def main() -> None:
    """Stream every way, directly and relayed; then leave with streams open."""
    told: dict[str, Any] = {}
    asyncio.get_running_loop().set_debug(True)
    async with catena.WorkerPool(spawn=2) as pool:
        number.set(1)
        for name, routine in (("count", count), ("relayed", relayed)):
            with trace.get_tracer("app").start_as_current_span(name):
                for end in ENDS:
                    if end == "collected":
                        told[f"{name} {end}"] = {"steps": [await _collected(routine)]}
                    else:
                        told[f"{name} {end}"] = await _streamed(routine, end)
        left = count("left open")
        await anext(left)
        pids = sorted(pool.pids.values())
    print(json.dumps({"caller": os.getpid(), "workers": pids, "told": told}), flush=True)
