"""What runs on workers that come and go: each call notes where it runs, and when it began.

The worker imports this, and plants the fault that stands in its environment, if there is one.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable
from time import monotonic

import catena
from catena.pool.worker_server import WorkerServer
from catena.standing import worker_id

__all__ = ["FAULT", "color", "count_up", "work"]

FAULT = "CATENA_TESTS_JOINING_FAULT"

color: catena.ContextVar[str] = catena.ContextVar("joining.color", namespace="tests", default="-")


def _note(number: int, witness: str) -> None:
    """Note that a call runs here."""
    fd = os.open(witness, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, f"{number} {os.getpid()} {monotonic()}\n".encode())
    os.close(fd)


@catena.routine
async def work(number: int, seconds: float, witness: str) -> tuple[int, str, str]:
    """Note that this call runs, take so long, and return its number, the color and the worker."""
    _note(number, witness)
    found = color.get()
    await asyncio.sleep(seconds)
    color.set(f"{found}, seen")
    return number, found, worker_id()


@catena.routine
async def count_up(number: int, seconds: float, witness: str) -> AsyncGenerator[int, None]:
    """Note that this stream runs, and yield five numbers in so long."""
    _note(number, witness)
    for one in range(5):
        yield number + one
        await asyncio.sleep(seconds / 5)


async def _finish_nothing(*_: object) -> None:
    return


def _leave_calls() -> None:
    WorkerServer._finish_calls = _finish_nothing


_FAULTS: dict[str, Callable[[], None]] = {"a worker that is stopped ends its calls": _leave_calls}

if FAULT in os.environ:
    _FAULTS[os.environ[FAULT]]()
