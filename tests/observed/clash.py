"""A program in which tasks and threads contend for chains, on a worker and on the caller."""

from __future__ import annotations

import asyncio
import contextvars
import json
import os
from collections.abc import AsyncGenerator
from threading import get_ident
from typing import Any

from opentelemetry import trace

import catena

__all__ = ["main"]

number: catena.ContextVar[int] = catena.ContextVar("number", namespace="tests.clash", default=0)

Facts = dict[str, Any]

_open: list[tuple[contextvars.Context, asyncio.Event]] = []


@catena.routine
async def by_thread() -> Facts:
    """Have another thread touch the chain of this call; tell who did."""
    return await touched_by_a_thread()


@catena.routine
async def by_task() -> Facts:
    """Have a second task touch a chain that a task runs; tell who did."""
    return await touched_by_a_task()


@catena.routine
async def left_open() -> None:
    """Leave this call's Context where other calls find it, until one of them has been there."""
    number.set(1)
    owner = asyncio.current_task()
    assert owner is not None
    owner.set_name("the owner")
    over = asyncio.Event()
    _open.append((contextvars.copy_context(), over))
    await over.wait()


@catena.routine
async def by_another_call() -> Facts:
    """Have a thread touch the chain of the call above, and be refused."""
    number.set(2)
    while not _open:
        await asyncio.sleep(0.01)
    context, over = _open.pop()
    refused = await asyncio.to_thread(context.run, _touch)
    over.set()
    return _here("thread") | {"owner_task": "the owner", "owner_thread": get_ident()} | refused


@catena.routine
async def given_up() -> None:
    """Have another thread touch the chain of this call, and end of the refusal."""
    number.set(1)
    await asyncio.to_thread(contextvars.copy_context().run, number.set, 3)


async def touched_by_a_thread() -> Facts:
    """Have a thread touch the chain of the running task, and be refused."""
    number.set(1)
    owner = asyncio.current_task()
    assert owner is not None
    owner.set_name("the owner")
    facts = {**_here("thread"), "owner_task": "the owner", "owner_thread": get_ident()}
    context = contextvars.copy_context()
    refused = asyncio.to_thread(context.run, _touch)
    return facts | await refused


async def touched_by_a_task() -> Facts:
    """Have a task touch a chain that another task of the same Context runs, and be refused."""
    inside, over = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        number.set(2)
        inside.set()
        await over.wait()

    async def intrude() -> Facts:
        return _touch()

    shared = contextvars.copy_context()
    holding = asyncio.Task(hold(), context=shared, name="the owner")
    await inside.wait()
    refused = await asyncio.Task(intrude(), context=shared, name="the intruder")
    over.set()
    await holding
    return _here("task") | {"owner_task": "the owner", "owner_thread": get_ident()} | refused


async def _given_up() -> Facts:
    try:
        await given_up()
    except catena.ChainContention as error:
        return {"kind": error.kind, "chain": error.chain_id}
    raise AssertionError("nobody refused it")


def _here(kind: str) -> Facts:
    return {"kind": kind, "process": os.getpid()}


def _touch() -> Facts:
    """Be refused; tell who was, and what the refusal says of the chain."""
    try:
        number.set(3)
    except catena.ChainContention as error:
        return {"intruder_thread": get_ident(), "chain": error.chain_id}
    raise AssertionError("nobody refused it")


async def main() -> None:
    """Have everything refused at either end, in one span of the application."""
    tracer = trace.get_tracer("app")
    async with catena.WorkerPool(spawn=1) as pool:
        number.set(1)
        with tracer.start_as_current_span("app"):
            told = {"worker thread": await by_thread(), "worker task": await by_task()}
            told["two calls"] = (await asyncio.gather(left_open(), by_another_call()))[1]
            told["caller thread"] = await asyncio.create_task(touched_by_a_thread())
            told["caller task"] = await touched_by_a_task()
            told["calling caller"] = await _while_a_call_runs()
            # In a task of its own it has a chain of its own.
            told["given up"] = await asyncio.create_task(_given_up())
            told["given up"]["process"] = next(iter(pool.pids.values()))
        workers = list(pool.pids.values())
    print(json.dumps({"caller": os.getpid(), "workers": workers, "told": told}), flush=True)


@catena.routine
async def ticks() -> AsyncGenerator[int, None]:
    """Count."""
    yield 1
    yield 2


async def _while_a_call_runs() -> Facts:
    """Have a thread touch the chain of a task that has a call under way."""
    inside, over = asyncio.Event(), asyncio.Event()
    context = contextvars.copy_context()

    async def calling() -> None:
        number.set(5)
        async for _ in ticks():
            inside.set()
            await over.wait()

    owner = asyncio.Task(calling(), context=context, name="the owner")
    await inside.wait()
    refused = await asyncio.to_thread(context.copy().run, _touch)
    over.set()
    await owner
    return _here("thread") | {"owner_task": "the owner", "owner_thread": get_ident()} | refused
