"""Fleets of 0.1.0 that are upgraded process by process, and partly rolled back, while calls run.

Who is replaced, by what and how, follows from the seed. Workers keep their addresses. After each
replacement of a worker the callers open their proxies anew, since 0.1.0 makes no link anew: until
then a call may be lost, and after that none may. A file that every routine writes to when it begins
is the witness of how often each call ran.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import catena
from tests.compat.peers import (
    SECRET,
    Release,
    Worker,
    environment_of,
    find_release,
    this_source,
)
from tests.release.kept import COMPAT

__all__ = ["LONG_FLOORS", "Step", "UpgradeFailed", "pairs_of", "plan_steps", "take_long", "upgrade"]

OLD = "0.1.0"
WORKERS, CALLERS = 3, 2
PAUSE = 0.5
"""Seconds for which a fleet works between two replacements."""

LOAD = """
import asyncio, json, sys
import skew_process
skew_process.prepare()
import skew_load
asyncio.run(skew_load.main(json.loads(sys.argv[1])))
"""
SECONDS = 30.0
SHARE_LOST = 0.2
"""The most of all calls that may be lost: the others say something of the rest."""


class UpgradeFailed(AssertionError):
    """A fleet did what it should not."""


class Step(NamedTuple):
    """One process is replaced: its name, whether by this source, and whether it is killed."""

    who: str
    is_new: bool
    killed: bool


def draw(seed: int, *what: object) -> int:
    """Return a number that follows from these."""
    text = repr((seed, *what)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest())


def plan_steps(seed: int, count: int) -> list[Step]:
    """Return so many replacements, from a fleet that is old; each round of upgrades ends.

    About every fourth step rolls back a process that was upgraded. Once all are new, the next round
    begins by rolling one of them back, and goes on with the old ones that there are then.
    """
    names = [*(f"w{at}" for at in range(WORKERS)), *(f"c{at}" for at in range(CALLERS))]
    new: set[str] = set()
    steps: list[Step] = []
    for at in range(count):
        old = [one for one in names if one not in new]
        back = not old or (bool(new) and draw(seed, at, "back") % 4 == 0)
        some = sorted(new) if back else old
        who = some[draw(seed, at, "who") % len(some)]
        new.symmetric_difference_update({who})
        steps.append(Step(who, who in new, who[0] == "w" and draw(seed, at, "how") % 4 == 0))
    return steps


def pairs_of(steps: Sequence[Step]) -> set[str]:
    """Return which versions can call which, and which those, in the states of a plan."""
    new: set[str] = set()
    found: set[str] = set()
    for step in (None, *steps):
        if step is not None:
            new.symmetric_difference_update({step.who})
        callers = {f"c{at}" in new for at in range(CALLERS)}
        workers = [f"w{at}" in new for at in range(WORKERS)]
        both = set(itertools.permutations(workers, 2))
        versions = {True: "new", False: "old"}
        for caller in callers:
            for path in (*((one,) for one in workers), *both):
                found.add(" calls ".join(versions[one] for one in (caller, *path)))
    return found


_BOTH = ("old", "new")
LONG_FLOORS = {
    **{" calls ".join(path): 1_000 for path in itertools.product(_BOTH, _BOTH)},
    **{" calls ".join(path): 50 for path in itertools.product(_BOTH, _BOTH, _BOTH)},
    "upgraded": 50,
    "rolled back": 30,
    "killed": 15,
}
"""How often a full run meets each pair and the rest."""


def take_long(count: int, seed: int, progress: Callable[[int], object]) -> Counter[str]:
    """Take a long plan."""
    return upgrade(plan_steps(seed, count), progress=progress)


@dataclass
class Caller:
    """A process that makes calls."""

    release: Release
    process: subprocess.Popen[str]
    reopened: list[float] = field(default_factory=list[float])

    def say(self, line: str) -> Any:
        """Say a line, and return the answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.hear()

    def hear(self) -> Any:
        """Return the next line that it says."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise UpgradeFailed(f"a caller of {self.release.version} has ended")
        return json.loads(line)


@dataclass
class Fleet:
    """The processes, and what has come of them."""

    folder: Path
    stack: ExitStack
    new: Release
    old: Release
    workers: dict[str, Worker] = field(default_factory=dict[str, Worker])
    callers: dict[str, Caller] = field(default_factory=dict[str, Caller])
    stops: list[float] = field(default_factory=list[float])
    met: Counter[str] = field(default_factory=Counter[str])
    wrong: list[str] = field(default_factory=list[str])
    names: int = 0

    def release_of(self, *, is_new: bool) -> Release:
        """Return one of both."""
        return self.new if is_new else self.old

    def start_workers(self, releases: Mapping[str, Release]) -> None:
        """Start workers, and wait until all of them serve."""
        for name, release in releases.items():
            worker = Worker(release, name, self.folder, {"SKEW_RAN": str(self.folder / "ran")})
            self.workers[name] = worker
            self.stack.callback(worker.stop)
        for name in releases:
            self.workers[name].await_ready()

    def start_caller(self, name: str, release: Release) -> None:
        """Start a caller of all workers."""
        self.names += 1
        members = [(f"w{at}", f"unix:{self.folder / f'w{at}'}.sock") for at in range(WORKERS)]
        asked = {"name": f"{name}.{self.names}", "members": members, "secret": SECRET.hex()}
        process = subprocess.Popen(
            [release.python, "-P", "-c", LOAD, json.dumps(asked)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment_of(release, SKEW_RAN=str(self.folder / "ran")),
        )
        self.stack.callback(_end, process)
        self.callers[name] = Caller(release, process)
        assert self.callers[name].hear() == "ready"

    def stop_caller(self, name: str) -> None:
        """Have a caller finish, and take what it has to say."""
        caller = self.callers.pop(name)
        said = caller.say("stop")
        caller.process.wait(SECONDS)
        for what, many in said["met"].items():
            self.met[what.replace(OLD, "old").replace(catena.__version__, "new")] += many
        self.wrong += said["wrong"]
        for began, ended, text in said["lost"]:
            self.met["lost"] += 1
            if not self._may_be_lost(began, ended, caller.reopened):
                self.wrong.append(f"{caller.release.version} lost without reason: {text}")

    def _may_be_lost(self, began: float, ended: float, reopened: Sequence[float]) -> bool:
        """Say whether a worker was stopped before a call ended, and not replaced when it began."""
        return any(
            stopped <= ended and began <= next((one for one in reopened if one > stopped), ended)
            for stopped in self.stops
        )

    def take_step(self, step: Step) -> None:
        """Replace a process."""
        release = self.release_of(is_new=step.is_new)
        self.met["upgraded" if step.is_new else "rolled back"] += 1
        if step.who in self.callers:
            self.stop_caller(step.who)
            self.start_caller(step.who, release)
            return
        worker = self.workers[step.who]
        self.stops.append(time.monotonic())
        if step.killed:
            self.met["killed"] += 1
            worker.process.kill()
        else:
            worker.drain()
            time.sleep(0.1)
        worker.stop()
        self.start_workers({step.who: release})
        for caller in self.callers.values():
            caller.reopened.append(caller.say("reopen"))

    def check(self) -> None:
        """Raise UpgradeFailed where something was not as it should be."""
        ran = Counter((self.folder / "ran").read_text().split())
        wrong = [*self.wrong, *(f"{one} ran {n} times" for one, n in ran.items() if n > 1)]
        newer = self.folder / "newer"
        wrong += newer.read_text().splitlines() if newer.exists() else []
        calls = sum(many for what, many in self.met.items() if " calls " in what)
        if self.met["lost"] > SHARE_LOST * calls:
            wrong.append(f"{self.met['lost']} calls were lost, and {calls} were not")
        self.met["calls"] = calls
        if wrong:
            raise UpgradeFailed(f"{len(wrong)} wrong, the first: " + "\n".join(wrong[:10]))


def upgrade(
    steps: Sequence[Step],
    *,
    fault: str = "",
    new: Sequence[str] = (),
    progress: Callable[[int], object] = lambda _: None,
) -> Counter[str]:
    """Take the steps with a fleet whose processes are old but for the ``new`` ones.

    Returns what it met: how many calls each pair of versions made, and nested ones three of them.
    Raises UpgradeFailed when a call came to a wrong result, ran twice, or was lost without reason,
    or a process of this source said to one of 0.1.0 what that does not know.
    """
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        here = {
            "SKEW_FUTURE": "1",
            "SKEW_NEWER": str(folder / "newer"),
            "SKEW_IMAGE": str(COMPAT / OLD / "catena.binpb"),
            "SKEW_FAULT": fault,
        }
        fleet = Fleet(folder, stack, this_source(**here), find_release(OLD))
        names = [f"w{at}" for at in range(WORKERS)]
        fleet.start_workers({one: fleet.release_of(is_new=one in new) for one in names})
        for one in (f"c{at}" for at in range(CALLERS)):
            fleet.start_caller(one, fleet.release_of(is_new=one in new))
        time.sleep(PAUSE)
        for at, step in enumerate(steps, 1):
            fleet.take_step(step)
            time.sleep(PAUSE)
            progress(at)
        for one in tuple(fleet.callers):
            fleet.stop_caller(one)
        fleet.check()
        return fleet.met


def _end(process: subprocess.Popen[str]) -> None:
    """End a caller that has not ended by itself."""
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()
