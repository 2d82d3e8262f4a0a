"""A program with many roots, of which the sampler takes some; in each, calls and refusals."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncGenerator
from typing import Any

from opentelemetry import trace

import catena
from catena.link.client import connect
from catena.wire import versions
from tests.observed.clash import touched_by_a_thread

__all__ = ["main"]

number: catena.ContextVar[int] = catena.ContextVar("number", namespace="tests.dark", default=0)

_MOST = 64


@catena.routine
async def outer() -> int:
    """Call on, through a stream as well."""
    number.set(number.get() + 1)
    async for _ in several():
        pass
    return await inner()


@catena.routine
async def several() -> AsyncGenerator[int, None]:
    """Count."""
    yield 1
    yield 2


@catena.routine
async def inner() -> int:
    """Be the last."""
    number.reset(number.set(7))
    return os.getpid()


@catena.routine
async def contended() -> dict[str, Any]:
    """Have a chain contended on a worker."""
    return await touched_by_a_thread()


@catena.routine
async def returning(what: object) -> object:
    """Return what cannot be written, whatever comes."""
    return (one for one in ())


async def _refusals() -> None:
    """Have a contention and a serialization failure at either end."""
    await contended()
    await asyncio.create_task(touched_by_a_thread())
    for argument in (None, (one for one in ())):
        try:
            await returning(argument)
        except catena.SerializationError:
            continue
        raise AssertionError("it was written")


async def _old_and_new(pool: Any) -> None:
    """Meet a worker of another version: both sides refuse."""
    major, versions.MAJOR = versions.MAJOR, 98
    try:
        await connect(pool._list_workers()[0].target, "new")
    except catena.VersionRefused:
        return
    finally:
        versions.MAJOR = major
    raise AssertionError("nobody refused it")


async def main() -> None:
    """Open roots until enough were sampled and enough were not, or as many as are asked for."""
    wanted = {flag == "1" for flag in os.environ["TESTS_OBSERVED_SAMPLED"].split(",")}
    roots: dict[str, bool] = {}
    tracer = trace.get_tracer("app")
    async with catena.WorkerPool(spawn=2) as pool:
        number.set(1)
        while len(roots) < 2 or set(roots.values()) != wanted:
            assert len(roots) < _MOST
            with tracer.start_as_current_span("app") as span:
                context = span.get_span_context()
                roots[format(context.trace_id, "032x")] = context.trace_flags.sampled
                await outer()
                await _refusals()
        with tracer.start_as_current_span("versions"):
            await _old_and_new(pool)
        pids = sorted(pool.pids.values())
    print(json.dumps({"caller": os.getpid(), "workers": pids, "roots": roots}), flush=True)
