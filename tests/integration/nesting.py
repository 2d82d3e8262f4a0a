"""Routines that make calls of their own from wherever code may run on a worker."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import catena
from catena.context.proxy import proxy
from catena.errors import ForkedPool, NoPool
from catena.leases import list_leases

SECONDS = 20.0


@catena.routine
async def where() -> tuple[str, int]:
    """Return which pool is bound, and in which process."""
    return _pool_here(), os.getpid()


def _pool_here() -> str:
    return proxy.get().id.hex()


@catena.routine
async def from_to_thread() -> list[str]:
    """Call from a thread that has the context, and by ``blocking``."""

    async def call() -> str:
        return (await where())[0]

    return [
        await catena.to_thread(lambda: where.blocking()[0]),
        await catena.to_thread(lambda: asyncio.run(call())),
    ]


@catena.routine
def from_a_plain_routine() -> str:
    """Call from the thread of a plain function."""
    return where.blocking()[0]


@catena.routine
async def from_a_bare_thread() -> str:
    """Return the text of what a thread without a context is told."""
    said: list[str] = []

    def call() -> None:
        try:
            said.append(where.blocking()[0])
        except NoPool as error:
            said.append(str(error))

    thread = threading.Thread(target=call)
    thread.start()
    await asyncio.to_thread(thread.join, SECONDS)
    return said[0]


@catena.routine
def from_a_fork() -> int:
    """Return how a forked child ends whose call is refused: 7."""
    child = os.fork()
    if child == 0:
        try:
            where.blocking()
        except ForkedPool:
            os._exit(7)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@catena.routine
async def hops(depth: int) -> list[tuple[str, int]]:
    """Return the pool and the process of each of some calls, one within the other."""
    inner = await hops(depth - 1) if depth else []
    return [(_pool_here(), os.getpid()), *inner]


@catena.routine
async def step_by_step(steps: int) -> AsyncIterator[str]:
    """Make a call at each step."""
    for _ in range(steps):
        yield (await where())[0]


@catena.routine
async def held() -> list[tuple[str, str]]:
    """Return the routines that hold a lease here, and by which path their proxy came."""
    return [(one.routine.rpartition(".")[2], one.source) for one in list_leases()]


@catena.routine
async def outlive(path: str) -> None:
    """Leave a task behind that makes a call when the routine has ended."""

    async def later() -> None:
        await asyncio.sleep(0.2)
        _write(path, (await where())[0])

    _kept.append(asyncio.create_task(later()))


def _write(path: str, text: str) -> None:
    Path(path).write_text(text, "utf-8")


_kept: list[asyncio.Task[None]] = []


@catena.routine
async def die() -> None:
    """Kill the worker."""
    os.kill(os.getpid(), signal.SIGKILL)
