"""Routines of a worker that disagrees with its parent, and what makes it so."""

from __future__ import annotations

import asyncio
import contextvars
import os

import pytest

import catena
from catena.standing import worker_id
from catena.wire import versions

__all__ = [
    "ahead",
    "contended",
    "contended_by_a_thread",
    "counted",
    "given_up",
    "of_another_version",
    "sends",
]

counted: catena.ContextVar[int] = catena.ContextVar("counted", namespace="tests.telling", default=0)

# To the worker it is a variable like any other, so it sends back what its caller will not have.
ahead: catena.ContextVar[int] = catena.ContextVar(
    "ahead",
    namespace="tests.telling",
    default=0,
    propagate="both" if worker_id() else "forward",
)


@catena.routine
async def sends() -> int:
    """Set the variable that its caller only sends."""
    ahead.set(os.getpid())
    return ahead.get()


@catena.routine
async def contended() -> str:
    """Let two tasks run in one Context; the kind of the refusal."""
    counted.set(1)
    shared = contextvars.copy_context()
    inside = asyncio.Event()

    async def hold() -> None:
        counted.set(2)
        inside.set()
        await asyncio.Event().wait()

    async def touch() -> None:
        counted.set(3)

    holding = asyncio.Task(hold(), context=shared, name="the owner")
    await inside.wait()
    try:
        with pytest.raises(catena.ChainContention) as caught:
            await asyncio.Task(touch(), context=shared, name="the intruder")
    finally:
        holding.cancel()
        await asyncio.gather(holding, return_exceptions=True)
    return caught.value.kind


@catena.routine
async def contended_by_a_thread() -> str:
    """Let a thread touch the chain of the call; the kind of the refusal."""
    counted.set(1)
    context = contextvars.copy_context()
    with pytest.raises(catena.ChainContention) as caught:
        await asyncio.get_running_loop().run_in_executor(None, context.run, counted.set, 2)
    return caught.value.kind


@catena.routine
async def given_up() -> None:
    """Let a thread touch the chain of the call, and end of the refusal."""
    counted.set(1)
    await asyncio.to_thread(contextvars.copy_context().run, counted.set, 2)


def of_another_version() -> None:
    """A bootstrap that has its worker speak the next major version."""
    versions.MAJOR = versions.MAJOR + 1
