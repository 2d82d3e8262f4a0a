"""What happens to the workers of a pool that is in use: joins, leaves, kills and lies, drawn.

The first steps are the same each time, so that a short plan has some of everything. Each other one
is drawn from those that are possible. One worker stays all the time, so that there is always a
healthy one.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable

from tests.joining.fleet import POOL, Fleet, Worker
from tests.laws.law import Random

__all__ = ["LIES", "STEADY", "Plan"]

STEADY = "steady"
MOST, LEAST = 5, 2
"""How many workers there are at most, the steady one included, and at least before one is ended."""

NAMES = tuple(f"w{number}" for number in range(1, 8))
HANGS_UP = "a listener that hangs up"
FIRST = ("stop", HANGS_UP, "kill", "hide", "join", "show")
STARTING = 2
"""How many start at the same time, at most."""

LIES = (
    "a dead address",
    HANGS_UP,
    "another one's address",
    "a worker of another pool",
    "a worker of another authority",
    "a second record of a worker",
    "no record",
)
_WEIGHTS = {"join": 6, "stop": 3, "kill": 2, "hide": 3, "show": 3, "lie": 4, "tell the truth": 3}


class Plan:
    """Draws what happens, and lets it happen; ``met`` counts it."""

    def __init__(self, fleet: Fleet, random: Random, met: Counter[str]) -> None:
        self._fleet = fleet
        self._random = random
        self._met = met
        self._starting: dict[str, asyncio.Task[None]] = {}
        self._lies: dict[str, str] = {}
        self._first = [*FIRST]
        self._listener: asyncio.Server | None = None
        self.attempts = 0
        """How often somebody has connected to the listener that hangs up."""

    async def begin(self) -> None:
        """Start the worker that stays, those that are no members, and the listener."""
        self._listener = await asyncio.start_server(self._hang_up, "127.0.0.1", 0)
        await self._fleet.start(STEADY)
        await asyncio.gather(*map(self._start, NAMES[:3]), self._fleet.start_others())

    async def _hang_up(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.attempts += 1
        writer.close()

    async def step(self) -> None:
        """Let one thing happen; a worker that joins takes its time after that."""
        for name, task in [*self._starting.items()]:
            if task.done():
                del self._starting[name]
                await task
        possible = self._list_possible()
        chosen = self._random.choices([*possible], [_WEIGHTS[one] for one in possible])[0]
        wanted = self._first.pop(0) if self._first else chosen
        if wanted == HANGS_UP:
            self._lie(wanted)
        else:
            possible.get(wanted, possible[chosen])()

    async def settle(self) -> None:
        """Wait until those that start have joined."""
        await asyncio.gather(*self._starting.values())
        self._starting.clear()

    def _list_possible(self) -> dict[str, Callable[[], None]]:
        fleet = self._fleet
        alive = [one for one in fleet.list_alive() if one.id != STEADY]
        seen = [one for one in alive if not one.hidden]
        hidden = [one for one in alive if one.hidden]
        possible: dict[str, Callable[[], None]] = {}
        if len(alive) + len(self._starting) < MOST - 1 and len(self._starting) < STARTING:
            possible["join"] = self._join
        if len(alive) >= LEAST - 1 and seen:
            possible["stop"] = lambda: self._end(self._random.choice(alive), "stop")
            possible["kill"] = lambda: self._end(self._random.choice(alive), "kill")
            possible["hide"] = lambda: self._hide(self._random.choice(seen))
        if hidden:
            possible["show"] = lambda: self._show(self._random.choice(hidden))
        if len(self._lies) < len(LIES):
            possible["lie"] = self._lie
        if self._lies:
            possible["tell the truth"] = self._tell_truth
        return possible

    # ---- workers

    def _join(self) -> None:
        taken = {one.id for one in self._fleet.list_alive()} | {*self._starting}
        name = self._random.choice([one for one in NAMES if one not in taken])
        came_back = any(one.id == name for one in self._fleet.workers)
        self._met.update(["joined", *(["a name came back"] if came_back else [])])
        self._starting[name] = asyncio.create_task(self._start(name))

    async def _start(self, name: str) -> None:
        await self._fleet.start(name)

    def _end(self, worker: Worker, how: str) -> None:
        if how == "stop":
            self._fleet.stop(worker)
        else:
            self._fleet.kill(worker)
        self._met["stopped" if how == "stop" else "killed"] += 1

    def _hide(self, worker: Worker) -> None:
        self._fleet.hide(worker)
        self._met["record removed"] += 1

    def _show(self, worker: Worker) -> None:
        self._fleet.show(worker)
        self._met["record put back"] += 1

    # ---- lies

    def _lie(self, kind: str = "") -> None:
        kind = kind or self._random.choice([one for one in LIES if one not in self._lies])
        name, text = self._make_lie(kind)
        self._fleet.write(name, text)
        self._lies[kind] = name
        self._met[kind] += 1

    def _tell_truth(self) -> None:
        kind = self._random.choice([*self._lies])
        (self._fleet.folder / f"{self._lies.pop(kind)}.json").unlink(missing_ok=True)
        self._met["lie removed"] += 1

    def _make_lie(self, kind: str) -> tuple[str, str]:
        """Return the name and the text of a record that lies."""
        others, someone = self._fleet.others, self._random.choice(self._fleet.list_alive())
        assert self._listener is not None
        port = self._listener.sockets[0].getsockname()[1]
        made = {
            "a dead address": ("dead", "127.0.0.1:9"),
            HANGS_UP: ("silent", f"127.0.0.1:{port}"),
            "another one's address": ("shadow", someone.target),
            "a worker of another pool": ("banker", others["banker"].target),
            "a worker of another authority": ("rogue", others["rogue"].target),
            "a second record of a worker": (someone.id, someone.target),
        }
        if kind == "no record":
            return "broken", "{"
        id, target = made[kind]
        name = "copy" if id == someone.id else id
        return name, json.dumps({"id": id, "target": target, "name": f"{id}.{POOL}.catena"})

    async def close(self) -> None:
        """Start no more workers, and listen no more."""
        for task in self._starting.values():
            task.cancel()
        await asyncio.gather(*self._starting.values(), return_exceptions=True)
        if self._listener is not None:
            self._listener.close()
