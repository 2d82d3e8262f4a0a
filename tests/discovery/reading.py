"""What tests of sources share: records, a medium that is a script, and time that does not pass."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

from catena.ids import MemberRecord

Members = frozenset[MemberRecord]

NOBODY: Members = frozenset()


def member(number: int = 1, **facts: object) -> MemberRecord:
    """Return the record of a worker by its number."""
    record = MemberRecord(f"w{number}", f"10.0.0.{number}:7800")
    return record._replace(**facts)  # type: ignore[arg-type]


def members(*numbers: int) -> Members:
    """Return the records of some workers."""
    return frozenset(map(member, numbers))


async def read_until(
    found: AsyncIterator[Members], wanted: Members | Callable[[Members], bool], seconds: float = 15
) -> list[Members]:
    """Read sets until the wanted one comes, and return all that came. Raises TimeoutError."""
    came: list[Members] = []
    async with asyncio.timeout(seconds):
        async for one in found:
            came.append(one)
            if wanted(one) if callable(wanted) else one == wanted:
                return came
    raise AssertionError(f"the source ended after {came}")


async def settle(turns: int = 50) -> None:
    """Let everything go on that needs no time."""
    for _ in range(turns):
        await asyncio.sleep(0)


class Script:
    """A medium that finds what it is set to; an exception is raised instead."""

    title = "the script"

    def __init__(self, now: Members | BaseException = NOBODY) -> None:
        self.now = now
        self.looks = 0
        self.closed = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self._changed = asyncio.Event()

    def change(self, now: Members | BaseException) -> None:
        """Find something else from now on, and say that it changed."""
        self.now = now
        self._changed.set()

    async def look(self) -> Members:
        self.looks += 1
        self._changed.clear()
        await self.gate.wait()
        if isinstance(self.now, BaseException):
            raise self.now
        return self.now

    async def wait(self) -> None:
        await self._changed.wait()

    async def close(self) -> None:
        self.closed += 1


class Clock:
    """A ``sleep`` that takes one turn of the loop, whatever it is asked for, and remembers that."""

    def __init__(self, meanwhile: Callable[[float], object] = lambda _: None) -> None:
        self.slept: list[float] = []
        self._meanwhile = meanwhile

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self._meanwhile(seconds)
        await asyncio.sleep(0)


@contextmanager
def logged(level: int = logging.INFO) -> Iterator[list[str]]:
    """Collect the sentences that Catena logs."""
    said: list[str] = []

    class Keeping(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    log, handler = logging.getLogger("catena"), Keeping()
    before = log.level
    log.addHandler(handler)
    log.setLevel(level)
    try:
        yield said
    finally:
        log.removeHandler(handler)
        log.setLevel(before)
