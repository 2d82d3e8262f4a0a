"""A life of calls with hostile objects: one worker, one call after the other, and what is left.

Both processes run without the collector. After each call the plain one is answered, no object of a
call is left on either side, and what a collection finds has nothing of ours in it, nor anything
that the call has brought.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import catena
from catena.context.chain import Chain
from catena.context.home import Home
from catena.context.var import Token
from catena.dispatch.caller.call import Call
from catena.dispatch.caller.stream import Stream
from catena.dispatch.caller.timeouts import Bounds
from catena.dispatch.worker.deadline import TimeLeft
from catena.dispatch.worker.run_coroutine import RunningCall
from catena.dispatch.worker.run_generator import ChainDriver, RunningStream
from catena.dispatch.worker.session import Session
from catena.errors import RemoteError, SerializationWarning
from catena.wording import class_name, reason
from tests.laws.endings_hostile import Hostile, Spec, name_of
from tests.laws.endings_run import Plan, echo, is_heavy, outcome_of, was_cancelled
from tests.laws.law import Seen

__all__ = ["Life", "alive", "living"]

SECONDS = 10.0
"""How long one call may take, and how long what is left of it may need to go."""

NOTHING = Spec("value", "", "", by_value=False)

OPENED = ("argument", "keyword", "closure", "result", "yielded", "sent")
"""Places of values that are opened by nothing but the call itself."""

FROZEN_EVERY = 50
"""After so many calls that left nothing, what there is then is looked at no more."""

HEAVY_SECONDS = 300.0
"""How much longer a call with a gigabyte may take."""

KINDS: tuple[type, ...] = (
    *(Call, Bounds, Stream, Session, RunningCall, RunningStream, ChainDriver, TimeLeft),
    *(Chain, Home, Token, asyncio.Task),
)
WARMING = [Plan(depth > 2, depth % 3, "", NOTHING, "ended") for depth in range(6)] * 2
"""Calls after which every link is there that calls will need."""

_NAMES = {id(kind): kind.__name__ for kind in KINDS}
_bases: Any = type.__dict__["__mro__"].__get__


class Left(NamedTuple):
    """What is there: live objects by kind, and what only a collection could free."""

    alive: Counter[str]
    garbage: Counter[str]


def left() -> Left:
    """Count what is alive, and what is dead and was not freed by counting references."""
    gc.set_debug(gc.DEBUG_SAVEALL)
    gc.collect()
    gc.set_debug(0)
    garbage = _counted(gc.garbage)
    gc.garbage.clear()
    # What was saved to be counted is free only now.
    gc.collect()
    return Left(_counted(gc.get_objects()), garbage)


def _counted(objects: list[Any]) -> Counter[str]:
    """Count objects of ours and hostile ones; no code of theirs runs."""
    found: Counter[str] = Counter()
    for one in objects:
        kind = type(one)
        name = _NAMES.get(id(kind))
        if name is not None:
            found[name] += not _reads_a_link(one)
        elif _is_hostile(one):
            found["hostile"] += 1
    return found


def _reads_a_link(one: Any) -> bool:
    """Say whether it is the task in which a link, not a call, waits for its next message.

    A link has one after it has read on behind an old message, until the next message comes.
    """
    return type(one) is asyncio.Task and "Transport.read" in repr(one.get_coro())


def _is_hostile(thing: object) -> bool:
    return any(base is Hostile for base in _bases(type(thing)))


def settle_in() -> None:
    """Let this process do without a collector, and mind only what is made from now on."""
    gc.collect()
    gc.freeze()
    gc.disable()
    # Where a __del__ raises, Python says so here.
    sys.unraisablehook = lambda _: None
    # What cannot travel is warned of, once for each line: this is about what comes of it.
    warnings.simplefilter("ignore", SerializationWarning)


@catena.routine
async def settle_in_there() -> None:
    """Do the same on the worker."""
    settle_in()


@catena.routine
async def freeze_there() -> None:
    """Let the worker mind only what is made from now on."""
    gc.freeze()


@catena.routine
async def left_there() -> Left:
    """Count on the worker."""
    return left()


async def prepare() -> None:
    """Run in the pool before anything else; planted faults stand in its place."""


class Life:
    """Keeps one pool open, and another one after a call that broke a promise."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._pool: catena.WorkerPool | None = None
        self._before: tuple[Left, Left] | None = None
        self._calls = 0

    def live(self, seen: Seen, plan: Plan) -> None:
        """Make one call and look at what is left. Raises AssertionError for a broken promise."""
        try:
            if self._pool is None:
                self._enter()
            self._runner.run(self._live(seen, plan))
            self._calls += 1
            if self._calls % FROZEN_EVERY == 0:
                self._runner.run(self._freeze())
                self._before = self._runner.run(_left())
        except BaseException as error:
            self.leave()
            if isinstance(error, AssertionError):
                raise
            raise AssertionError(f"{plan}: {reason(error)}") from None

    def weigh(self, seen: Seen, place: str) -> None:
        """Make a call with a gigabyte. Raises AssertionError for a broken promise."""
        self.live(seen, Plan(stream=False, depth=0, place=place, spec=NOTHING, ending="ended"))

    def leave(self) -> None:
        """Leave the pool."""
        pool, self._pool = self._pool, None
        if pool is not None:
            self._runner.run(pool.__aexit__(None, None, None))

    def close(self) -> None:
        """Leave the pool and close the loop."""
        try:
            self.leave()
        finally:
            self._runner.close()

    def _enter(self) -> None:
        self._pool = catena.WorkerPool(spawn=1, stop_timeout=1.0)
        self._runner.run(self._pool.__aenter__())
        self._runner.run(self._begin())
        settle_in()
        # In another task than the one that is minded no more.
        self._before = self._runner.run(_left())

    async def _begin(self) -> None:
        await settle_in_there()
        await prepare()
        for plan in WARMING:
            await _run_plan(plan)
        await left_there()
        await asyncio.sleep(0.05)

    async def _freeze(self) -> None:
        """Let both processes mind only what is made from now on.

        Nothing of a call is left at this moment. What the law itself keeps of its examples would
        make each further count slower.
        """
        gc.freeze()
        await asyncio.wait_for(freeze_there(), SECONDS)
        await asyncio.sleep(0.01)

    async def _live(self, seen: Seen, plan: Plan) -> None:
        seen[await self._outcome(plan)] += 1
        assert await asyncio.wait_for(echo(7), SECONDS) == 7, f"after {plan}"
        await self._nothing_is_left(plan)

    async def _outcome(self, plan: Plan) -> str:
        """Make the call in a task and a Context of its own; return what came of it, in words."""
        work = asyncio.create_task(_run_plan(plan), context=contextvars.copy_context())
        if was_cancelled(plan):
            await asyncio.sleep(0.01)
            work.cancel()
        done, _ = await asyncio.wait([work], timeout=SECONDS + HEAVY_SECONDS * is_heavy(plan))
        assert done, f"never ended: {plan}"
        return work.result()

    async def _nothing_is_left(self, plan: Plan) -> None:
        """Wait until nothing of the call is alive, and see that no collector is needed."""
        assert self._before is not None
        here, there = self._before
        wasted: Counter[str] = Counter()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + SECONDS
        while True:
            now = await _left()
            wasted += now[0].garbage + now[1].garbage
            if (now[0].alive, now[1].alive) == (here.alive, there.alive):
                break
            assert loop.time() < deadline, (
                f"left here {now[0].alive - here.alive}, there {now[1].alive - there.alive}: {plan}"
            )
            await asyncio.sleep(0.005)
        assert not wasted, f"left to the collector {dict(wasted)}: {plan}"


async def _left() -> tuple[Left, Left]:
    """Count on both sides."""
    there = await asyncio.wait_for(left_there(), SECONDS)
    return left(), there


async def _run_plan(plan: Plan) -> str:
    """Return what a call came to, in words; what it brought is let go of here."""
    try:
        await outcome_of(plan)
    except BaseException as error:
        return _word(error, plan)
    return "outcome: a value"


def _word(error: BaseException, plan: Plan) -> str:
    """Return what came out of a call, in words. Raises AssertionError for what may not."""
    cancelled = was_cancelled(plan) and type(error) is asyncio.CancelledError
    assert cancelled or issubclass(type(error), Exception), f"{reason(error)} came out of {plan}"
    lost = issubclass(type(error), catena.WorkerLost | catena.ProtocolError)
    assert not lost, f"{reason(error)} came out of {plan}"
    if plan.place == "raised" and plan.ending == "ended":
        assert _says(error, name_of(plan.spec)), f"{reason(error)} hides what was raised: {plan}"
    kind = "its own class" if _is_hostile(error) else class_name(error)
    assert kind == "SerializationError" or not _resists_opening(plan), f"{kind} of {plan}"
    return f"outcome: {kind}"


def _resists_opening(plan: Plan) -> bool:
    """Say whether a value of the call cannot be opened where it arrives."""
    hostile = plan.spec.kind == "value" and plan.spec.hook == "opening"
    return hostile and plan.ending == "ended" and plan.place in OPENED


def _says(error: BaseException, name: str) -> bool:
    """Say whether an exception is of a class of this name, or stands for one and says so."""
    if class_name(error) == name:
        return True
    notes: list[str] = vars(error).get("__notes__", [])
    return name in (error.type_name if type(error) is RemoteError else " ".join(notes))


_open: list[Life] = []


def alive() -> Life:
    """Return the one that is open."""
    return _open[-1]


@contextmanager
def living(_: bool) -> Iterator[None]:
    """Keep one life open for all calls of a run, and the collector out of it."""
    hook, enabled = sys.unraisablehook, gc.isenabled()
    with warnings.catch_warnings():
        _open.append(contextvars.Context().run(Life))
        try:
            yield
        finally:
            try:
                _open.pop().close()
            finally:
                sys.unraisablehook = hook
                gc.unfreeze()
                if enabled:
                    gc.enable()
