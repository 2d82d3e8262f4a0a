"""A process that calls: it opens pools and makes calls as it is told, one line of JSON each.

``Caller`` is its other end, in the process of the test. The process has a host of the test's
network for itself, which the test's process could not enter without taking its threads along.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from itertools import count
from pathlib import Path
from typing import Any

import catena
from catena.events import LinkOpened, PeerAccessRefused
from catena.testing import recording
from tests.network import routines
from tests.network.hosts import DEADLINE, Network

ROOT = Path(__file__).parents[2]


class CallFailed(Exception):
    """What a call raised there: the name of its class, its text, and the facts of a WorkerLost."""

    def __init__(self, kind: str, worker: str, begun: bool | None, text: str) -> None:
        super().__init__(f"{kind}: {text}")
        self.kind = kind
        self.worker = worker
        self.begun = begun


class Caller:
    """A process on a host that opens pools; also a context manager, which ends it."""

    def __init__(self, network: Network, host: str) -> None:
        command = [sys.executable, "-m", "tests.network.caller"]
        self._process = network.start(
            host, *command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._numbers = count(1)
        self._waiting: dict[int, Future[Any]] = {}
        self._lock = threading.Lock()
        threading.Thread(target=self._read, daemon=True).start()

    def open(self, options: dict[str, Any]) -> Pool:
        """Open a pool there."""
        number = next(self._numbers)
        self.begin("open", number, options).result(DEADLINE)
        return Pool(self, number)

    def begin(self, what: str, *arguments: Any) -> Future[Any]:
        """Have it do something, and return its answer to come."""
        number = next(self._numbers)
        answer = self._waiting[number] = Future[Any]()
        with self._lock:
            self._process.stdin.write(json.dumps([number, what, arguments]) + "\n")
            self._process.stdin.flush()
        return answer

    def list_refusals(self) -> list[str]:
        """Return which peers have been refused there, or have refused it, and why."""
        return self.begin("list_refusals").result(DEADLINE)

    def count_links(self) -> int:
        """Return how many links it has made since it was started."""
        return self.begin("count_links").result(DEADLINE)

    def end(self) -> None:
        """Have it close its pools and end; it leaves nothing behind."""
        self._process.stdin.close()
        assert self._process.wait(DEADLINE) == 0

    def _read(self) -> None:
        for line in self._process.stdout:
            number, value, failure = json.loads(line)
            answer = self._waiting.pop(number)
            if failure is None:
                answer.set_result(value)
            else:
                answer.set_exception(CallFailed(*failure))


class Pool:
    """A pool of a caller's."""

    def __init__(self, caller: Caller, number: int) -> None:
        self._caller = caller
        self._number = number

    def call(self, routine: str, *arguments: Any) -> Any:
        """Make a call, and return what it returns. Raises CallFailed."""
        return self.begin(routine, *arguments).result(DEADLINE)

    def call_often(self, many: int = 6) -> set[int]:
        """Return which processes answer so many calls, one after the other."""
        return {self.call("identify") for _ in range(many)}

    def begin(self, routine: str, *arguments: Any) -> Future[Any]:
        """Make a call, and return its answer to come."""
        return self._caller.begin("call", self._number, routine, arguments)

    @property
    def workers(self) -> set[str]:
        """The ids of its workers."""
        return set(self._caller.begin("list_workers", self._number).result(DEADLINE))

    def close(self) -> None:
        """Close it."""
        self._caller.begin("close", self._number).result(DEADLINE)


class _Program:
    """The process itself: each thing that it can be told is a method."""

    def __init__(self, recorded: Any) -> None:
        self._recorded = recorded
        self.pools: dict[int, catena.WorkerPool] = {}

    async def open(self, pool: int, options: dict[str, Any]) -> None:
        """Open a pool."""
        self.pools[pool] = await catena.WorkerPool(**options).open()

    async def close(self, pool: int) -> None:
        """Close a pool."""
        await self.pools.pop(pool).close()

    async def call(self, pool: int, routine: str, arguments: list[Any]) -> Any:
        """Call a routine by its name."""
        return await getattr(routines, routine).on(self.pools[pool])(*arguments)

    async def list_workers(self, pool: int) -> list[str]:
        """Return the ids of a pool's workers."""
        return [*self.pools[pool].workers]

    async def list_refusals(self) -> list[str]:
        """Return the texts of all refusals."""
        return [one.error.text() for one in self._recorded.of(PeerAccessRefused)]

    async def count_links(self) -> int:
        """Return how many links were made."""
        return len(self._recorded.of(LinkOpened))

    async def block(self, seconds: float) -> None:
        """Keep the loop busy."""
        time.sleep(seconds)  # noqa: ASYNC251 - that is what it is for


async def _answer(number: int, doing: Any) -> None:
    value, failure = None, None
    try:
        value = await doing
    except Exception as error:
        facts = getattr(error, "worker", ""), getattr(error, "begun", None)
        failure = [type(error).__name__, *facts, str(error)]
    print(json.dumps([number, value, failure]), flush=True)


async def _main(recorded: Any) -> None:
    program, loop = _Program(recorded), asyncio.get_running_loop()
    lines: asyncio.Queue[str] = asyncio.Queue()
    threading.Thread(target=_feed, args=(loop, lines.put_nowait), daemon=True).start()
    doing: set[asyncio.Task[None]] = set()
    while line := await lines.get():
        number, what, arguments = json.loads(line)
        task = loop.create_task(_answer(number, getattr(program, what)(*arguments)))
        doing.add(task)
        task.add_done_callback(doing.discard)
    for pool in program.pools.values():
        await pool.close()
    await asyncio.gather(*doing)
    left = catena.statistics()
    assert (left.calls, left.links) == (0, 0), left


def _feed(loop: asyncio.AbstractEventLoop, take: Callable[[str], object]) -> None:
    while line := sys.stdin.readline():
        loop.call_soon_threadsafe(take, line)
    loop.call_soon_threadsafe(take, "")


if __name__ == "__main__":
    with recording(PeerAccessRefused, LinkOpened) as all_of_it:
        asyncio.run(_main(all_of_it))
