"""What callgrind runs: so many calls over a link inside one process, then so many guard tests.

Both sides of a call are in it and gRPC is not, so a call is smaller than a real one, and the share
of its guard tests greater.
"""

from __future__ import annotations

import asyncio
import sys

from catena.events import Dispatch
from tests.dispatch.ends import connected

from .catena_routines import echo, mark
from .common import MARK


async def calls(number: int) -> None:
    """Make so many calls, one by one."""
    mark.set(MARK)
    async with connected():
        for value in range(number):
            await echo(value)


def guards(number: int) -> None:
    """Make so many guard tests; the loop around them is made in any case."""
    for _ in range(number):
        if Dispatch.listeners:
            raise RuntimeError("somebody listens")


def loop(number: int) -> None:
    """Make the loop without the guard tests."""
    for _ in range(number):
        pass


if __name__ == "__main__":
    asyncio.run(calls(int(sys.argv[1])))
    guards(int(sys.argv[2]))
    loop(int(sys.argv[3]))
