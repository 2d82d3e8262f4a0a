"""Routines in an importable module, for the tests beside it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any

import catena

color: catena.ContextVar[str] = catena.ContextVar("color", default="none")
steps: catena.ContextVar[int] = catena.ContextVar("steps", default=0)


class Missing(LookupError):
    """An error with facts of its own."""

    def __init__(self, *, key: str, tried: int) -> None:
        super().__init__(key, tried)
        self.key, self.tried = key, tried


class Carrying(Exception):
    """An exception with a token for an attribute."""

    def __init__(self, token: catena.Token[Any]) -> None:
        super().__init__("look inside")
        self.token = token

    def __reduce__(self) -> Any:
        return Carrying, (self.token,)


@catena.routine
async def pid() -> int:
    """Return the process it runs in."""
    return os.getpid()


@catena.routine
async def echo(value: Any) -> Any:
    """Return what was given."""
    return value


@catena.routine
async def measured(value: bytes) -> int:
    """Return the size of what was given."""
    return len(value)


@catena.routine
async def zeros(size: int) -> bytes:
    """Return so many bytes."""
    return bytes(size)


@catena.routine
async def fail(key: str) -> None:
    """Raise an error with facts of its own."""
    raise Missing(key=key, tried=3)


@catena.routine
async def outer_fail(key: str) -> None:
    """Let a nested routine raise."""
    await fail(key)


@catena.routine
async def leave(kind: str) -> None:
    """Raise what ends a process, or a task."""
    match kind:
        case "SystemExit":
            raise SystemExit(7)
        case "KeyboardInterrupt":
            raise KeyboardInterrupt
        case _:
            raise asyncio.CancelledError("on its own")


@catena.routine
async def nested(depth: int) -> list[int]:
    """Return the processes of so many calls, each made by the one before."""
    return [os.getpid(), *([] if depth == 1 else await nested(depth - 1))]


@catena.routine
async def paint(new: str) -> tuple[str, str]:
    """Set the color; return the one before and the one that a nested routine sees."""
    before = color.get()
    color.set(new)
    return before, await look()


@catena.routine
async def look() -> str:
    """Return the color."""
    return color.get()


@catena.routine
async def paint_deep(new: str, depth: int) -> None:
    """Set the color so many calls away."""
    if depth:
        await paint_deep(new, depth - 1)
    else:
        color.set(new)


@catena.routine
async def count_steps(to: int) -> AsyncGenerator[tuple[int, str], str]:
    """Yield the steps and the color at each, and count the steps in a variable."""
    for _ in range(to):
        steps.set(steps.get() + 1)
        yield steps.get(), color.get()


@catena.routine
async def relay_steps(to: int) -> AsyncGenerator[tuple[int, str], None]:
    """Yield what a nested stream yields."""
    async for step in count_steps(to):
        yield step


@catena.routine
async def clean_up(note: str, log: str) -> None:
    """Wait to be cancelled, and write a note when it is."""
    try:
        await asyncio.sleep(60)
    finally:
        color.set(f"cleaned {note}")
        await asyncio.sleep(0.05)
        await asyncio.to_thread(_write, log, note)


def _write(log: str, note: str) -> None:
    with open(log, "a", encoding="utf-8") as file:  # noqa: PTH123
        file.write(note)


@catena.routine
async def counts() -> catena.Statistics:
    """Return the counts of the worker; this very call is one of them."""
    return catena.statistics()


@catena.routine
async def resident() -> int:
    """Return the bytes of memory that the worker holds."""
    return resident_here()


def resident_here() -> int:
    """Return the bytes of memory that this process holds, after a collection."""
    import gc

    gc.collect()
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@catena.routine
async def tick(number: int) -> tuple[int, int]:
    """Wait a moment and return the number and the process."""
    await asyncio.sleep(0.01)
    return number, os.getpid()


@catena.routine
async def hold(seconds: float) -> int:
    """Wait; return the process."""
    await asyncio.sleep(seconds)
    return os.getpid()


@catena.routine
async def apply(function: Callable[..., Coroutine[Any, Any, Any]], *args: Any) -> Any:
    """Await a function, which may be a routine, with arguments."""
    return await function(*args)


class Counter:
    """An object whose methods are routines; it travels as an argument."""

    def __init__(self, start: int) -> None:
        self.start = start

    @catena.routine
    async def plus(self, more: int) -> tuple[int, int]:
        """Return the sum and the process."""
        return self.start + more, os.getpid()

    @catena.routine
    async def upto(self, end: int) -> AsyncGenerator[int, None]:
        """Yield the numbers."""
        for number in range(self.start, end):
            yield number

    @classmethod
    @catena.routine
    async def named(cls, suffix: str) -> tuple[str, int]:
        """Return the name of the class it was called on."""
        return cls.__name__ + suffix, os.getpid()

    @staticmethod
    @catena.routine
    async def twice(value: int) -> tuple[int, int]:
        """Return the double."""
        return 2 * value, os.getpid()


class Child(Counter):
    """Inherits the routines."""
