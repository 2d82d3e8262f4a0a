"""A caller of any release that makes calls until it is told to stop, and says how each one ended.

It reads lines from its standard input: ``reopen`` has calls that are made from then on go through
a new proxy, as where an application is restarted, and ``stop`` ends it. It answers each with a line
of JSON. A call that comes to a wrong result, or to none, is told in full.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import skew_routines as there

import catena
from catena.dispatch.dispatcher import dispatcher
from catena.ids import new_id
from catena.proxy.balance import Proxy

LOOPS = 3
SECONDS = 20.0
"""After so many a call counts as hanging."""

HERE = catena.__version__
OPERATIONS: list[Callable[[str], Awaitable[list[str]]]] = []
"""Each returns the versions of the workers that its call has visited."""


def operation(run: Any) -> Any:
    """Have the decorated function done in turn with the others."""
    OPERATIONS.append(run)
    return run


def expect(found: Any, expected: Any) -> None:
    """Raise AssertionError unless both are the same."""
    assert found == expected, f"{found!r} instead of {expected!r}"


@operation
async def call(ticket: str) -> list[str]:
    """A variable goes there, and comes back."""
    there.color.set("red")
    versions, seen = await there.visit(ticket, 0, ticket)
    expect((seen, there.color.get()), ("red", ticket))
    return versions


@operation
async def nest(ticket: str) -> list[str]:
    """It does so over two workers."""
    there.color.set("red")
    versions, seen = await there.visit(ticket, 1, ticket)
    expect((seen, there.color.get()), ("red", ticket))
    return versions


@operation
async def stream(ticket: str) -> list[str]:
    """A stream sees what is set between its steps."""
    there.color.set("red")
    found = []
    async for step in there.visit_stream(ticket, 4):
        found.append(step)
        there.color.set(str(step[1]))
    version = found[0][0]
    expect(found, [(version, *one) for one in ((0, "red"), (1, "0"), (2, "1"), (3, "2"))])
    return [version]


@operation
async def token(ticket: str) -> list[str]:
    """Tokens are used up on the other side, both ways."""
    there.color.set("red")
    version, seen, theirs = await there.visit_token(ticket, there.color.set("green"))
    expect((seen, there.color.get()), ("red", "of the worker"))
    there.color.reset(theirs)
    expect(there.color.get(), "red")
    return [version]


@operation
async def fail(ticket: str) -> list[str]:
    """An exception arrives as its own class."""
    try:
        await there.visit_failing(ticket)
    except there.Refused as error:
        return list(error.args)
    raise AssertionError("nothing was raised")


@operation
async def time_out(ticket: str) -> list[str]:
    """A call that takes too long is ended there, and what it set then is here."""
    there.color.set("")
    try:
        with catena.RuntimeContext(timeout=0.2):
            await there.visit_slowly(ticket)
    except TimeoutError:
        # Empty where the call waited so long that it did not begin.
        return [one for one in (there.color.get(),) if one]
    raise AssertionError("it did not end")


def make_slotted() -> Any:
    """Return a routine that takes a slot, where they are counted; it goes by value."""

    @catena.routine(slots=1)
    async def slotted(ticket: str) -> str:
        there._note_run(ticket)
        return catena.__version__

    return slotted


OPERATIONS.insert(4, nest)

if hasattr(catena, "PlainRoutine"):
    slotted = make_slotted()

    @operation
    async def take_slot(ticket: str) -> list[str]:
        """It runs, also where nobody counts them."""
        return [await slotted(ticket)]


class Load:
    """Loops of calls through one proxy, which is replaced when it is asked for."""

    def __init__(self, name: str, members: list[list[str]], secret: str) -> None:
        self.name = name
        self.members = tuple((worker, address) for worker, address in members)
        self.secret = bytes.fromhex(secret)
        self.met: Counter[str] = Counter()
        self.lost: list[tuple[float, float, str]] = []
        self.wrong: list[str] = []
        self.stopping = False
        self.closing: set[asyncio.Task[None]] = set()
        self.proxy = self.open_proxy()

    def open_proxy(self) -> Proxy:
        """Return a new proxy to the workers."""
        return Proxy(new_id(), self.members, self.name, secret=self.secret)

    def reopen(self) -> float:
        """Have calls go through a new proxy; return from when on."""
        old, self.proxy = self.proxy, self.open_proxy()
        task = asyncio.get_running_loop().create_task(self._close_later(old))
        self.closing.add(task)
        task.add_done_callback(self.closing.discard)
        return time.monotonic()

    async def _close_later(self, proxy: Proxy) -> None:
        while any(one.caller is not None and one.caller.calls for one in proxy.members):
            await asyncio.sleep(0.05)
        await proxy.close()

    async def run_loop(self, number: int) -> None:
        """Do one thing after the other."""
        at = number
        while not self.stopping:
            at += 1
            run = OPERATIONS[at % len(OPERATIONS)]
            ticket = f"{self.name}.{number}.{at}"
            context = contextvars.copy_context()
            context.run(dispatcher.set, self.proxy)
            doing = asyncio.get_running_loop().create_task(run(ticket), context=context)
            await self._note(run.__name__, doing)

    async def _note(self, name: str, doing: asyncio.Task[list[str]]) -> None:
        began = time.monotonic()
        try:
            versions = await asyncio.wait_for(doing, SECONDS)
        except catena.WorkerLost as error:
            self.lost.append((began, time.monotonic(), f"{name}: {error}"[:300]))
        except Exception as error:
            self.wrong.append(f"{HERE} {name}: {type(error).__name__}: {error}"[:600])
        else:
            self.met[" calls ".join((HERE, *versions)) if versions else "never begun"] += 1
            self.met[name] += 1


async def main(asked: dict[str, Any]) -> None:
    """Work, and do as is said."""
    load = Load(asked["name"], asked["members"], asked["secret"])
    loops = [asyncio.ensure_future(load.run_loop(number)) for number in range(LOOPS)]
    print(json.dumps("ready"), flush=True)
    while (await asyncio.to_thread(sys.stdin.readline)).strip() == "reopen":
        print(json.dumps(load.reopen()), flush=True)
    load.stopping = True
    await asyncio.gather(*loops)
    await load.proxy.close()
    print(json.dumps({"met": load.met, "lost": load.lost, "wrong": load.wrong}), flush=True)
