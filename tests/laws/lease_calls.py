"""Calls that end in every way, and the leases that they take and release on their worker."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
import warnings
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from typing import Any, NamedTuple, NoReturn

import catena
from catena.context.proxy import PROXY_KEY
from catena.dispatch.caller.connection import WorkerConnection
from catena.dispatch.dispatcher import dispatcher
from catena.dispatch.worker.admission import Admission
from catena.dispatch.worker.sessions import Sessions
from catena.errors import CatenaError
from catena.events import Execution, Lease
from catena.events.bus import observe
from catena.leases import Leases, list_leases
from catena.link.link import Link
from catena.wire import codec, manifests as closed
from catena.wire.frames import Frame, Task
from catena.wire.versions import PROXY as ON_CHAIN
from tests.dispatch.ends import Through
from tests.link.ends import linked, settle
from tests.support import Looking, run

__all__ = ["CANARY", "ENDINGS", "KINDS", "PATHS", "REFUSED", "CountingLeases", "Plan", "check_call"]

SECONDS = 5.0
CANARY = (b"canary.of.the.id", b"canary of the payload")
"""The id of the proxy, and its encoded form; neither may be in an answer."""

KINDS = ("coroutine", "stream", "plain")
PATHS = ("chain", "fields", "both")
REFUSED = ("nacked", "busy")
"""Ways in which a call ends that has never begun."""

ENDINGS = (
    *("returned", "raised", "cancelled", "timed out", "link lost", "closed", "abandoned"),
    *("arguments unreadable", "chain refused", *REFUSED),
)

color: catena.ContextVar[Any] = catena.ContextVar("color", namespace="tests.leases", default="")


class Plan(NamedTuple):
    """One call: of what kind, how it ends, by which path its proxy goes, and who looks on.

    It is interrupted so many ``turns`` of the loop after it has begun.
    """

    kind: str
    ending: str
    path: str
    armed: bool
    observed: bool
    turns: int


class CountingLeases(Leases):
    """The leases of a proxy, how many have been taken, and the messages of their worker."""

    def __init__(self) -> None:
        super().__init__(CANARY[0])
        self.answers: list[bytes] = []
        self.taken: Counter[str] = Counter()
        self.plan: Plan | None = None

    def __setitem__(self, holder: Any, lease: tuple[str, int]) -> None:
        """Count one more."""
        self.taken[lease[0]] += 1
        super().__setitem__(holder, lease)


class Unreadable:
    """Cannot be read where it arrives."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _refuse, ()


def _refuse() -> NoReturn:
    raise LookupError("not here")


class _Signals:
    """What the routines of one call wait for, and by what one knows that they have begun."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.loop = asyncio.get_running_loop()
        self.go_on = threading.Event()


_signals: list[_Signals] = []


@catena.routine
async def work(ending: str, _: Any) -> str:
    """End as the plan says."""
    _signals[0].begun.set()
    await _go_on(ending)
    return ending


@catena.routine
async def steps(ending: str, _: Any) -> AsyncIterator[str]:
    """Yield, and end as the plan says."""
    yield ending
    _signals[0].begun.set()
    await _go_on(ending)
    yield ending


@catena.routine
def block(ending: str, _: Any) -> str:
    """Hold a thread, and end as the plan says."""
    signals = _signals[0]
    signals.loop.call_soon_threadsafe(signals.begun.set)
    if ending in ("cancelled", "timed out", "link lost"):
        signals.go_on.wait(SECONDS)
    if ending == "raised":
        raise ValueError(ending)
    return ending


async def _go_on(ending: str) -> None:
    if ending == "raised":
        raise ValueError(ending)
    if ending in ("cancelled", "timed out", "link lost"):
        await asyncio.Event().wait()


_ROUTINES: dict[str, Callable[..., Any]] = {"coroutine": work, "stream": steps, "plain": block}


def check_call(plan: Plan) -> Counter[str]:
    """Make the call of a plan; return how many leases were taken, by their path.

    Raises AssertionError for one that is not released, and for a call that takes more than one.
    """
    return contextvars.Context().run(run, _check_call(plan))


async def _check_call(plan: Plan) -> Counter[str]:
    leases = CountingLeases()
    leases.plan = plan
    _signals[:] = [_Signals()]
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        if plan.observed:
            stack.enter_context(observe(Looking(), Execution, Lease))
        async with _worker(plan, leases) as (near, sessions):
            if plan.armed or plan.ending == "chain refused":
                color.set(Unreadable() if plan.ending == "chain refused" else "red")
            try:
                await _make_call(plan, near, sessions)
            except (CatenaError, ValueError, LookupError, OSError, asyncio.CancelledError):
                # How it ends is looked at elsewhere.
                await settle()
            _signals[0].go_on.set()
            await _await_release(leases)
    taken = leases.taken.total()
    # Where the machine is slow, a call's time may be up before it begins.
    assert taken == (plan.ending not in REFUSED) or (plan.ending, taken) == ("timed out", 0)
    check_answers(leases.answers)
    return leases.taken


def check_answers(messages: list[bytes]) -> None:
    """Raise AssertionError where an answer says something of the proxy (P1)."""
    for message in messages:
        assert not any(canary in message for canary in CANARY), "the proxy is in an answer"
        for frame in codec.decode_message(message).frames:
            manifest = getattr(frame, "manifest", None)
            if manifest is not None:
                keys = {one.key for one in closed.unpack_entries(manifest.entries)}
                assert PROXY_KEY not in keys, f"{frame!r} names the proxy"
                assert (manifest.base, manifest.name) == (0, 0)


async def _await_release(leases: Leases) -> None:
    until = asyncio.get_running_loop().time() + 1.0
    while leases and asyncio.get_running_loop().time() < until:
        await asyncio.sleep(0.001)
    assert not leases, f"a lease was not released: {list_leases()}"


async def _make_call(plan: Plan, near: Link, sessions: Sessions) -> None:
    sessions.draining = plan.ending == "nacked"
    given = Unreadable() if plan.ending == "arguments unreadable" else None
    limit = 0.02 if plan.ending == "timed out" else SECONDS
    with catena.RuntimeContext(timeout=limit):
        made = _ROUTINES[plan.kind](plan.ending, given)
        if plan.kind == "stream":
            await _drive(plan, made, near)
        else:
            await _interrupt(plan, asyncio.ensure_future(made), near)


async def _drive(plan: Plan, stream: Any, near: Link) -> None:
    await anext(stream)
    if plan.ending == "closed":
        await stream.aclose()
    elif plan.ending == "abandoned":
        del stream
        gc.collect(0)
        await settle()
    else:
        await _interrupt(plan, asyncio.ensure_future(anext(stream)), near)
        assert [one async for one in stream] == []


async def _interrupt(plan: Plan, call: asyncio.Future[Any], near: Link) -> None:
    if plan.ending in ("cancelled", "link lost"):
        await _signals[0].begun.wait()
        for _ in range(plan.turns):
            await asyncio.sleep(0)
        if plan.ending == "cancelled":
            call.cancel()
        else:
            near.fail(ConnectionResetError("cut"))
    await call


@asynccontextmanager
async def _worker(plan: Plan, leases: Leases) -> AsyncIterator[tuple[Link, Sessions]]:
    near, far = await linked()
    if plan.path == "fields":
        for link in (near, far):
            link.capabilities = link.capabilities - {ON_CHAIN}
    _record(far, leases.answers)
    caller = WorkerConnection(near, CANARY)
    through = Through(caller)
    through.id, through.leases = CANARY[0], leases
    if plan.path == "both":
        near.send = _writing_both(near.send)
    sessions = Sessions(
        far,
        "w1",
        lambda encoded, _: through if encoded else None,
        strict=plan.ending == "chain refused",
        admission=Admission(None, lambda *_: plan.ending == "busy"),
    )
    near.start(caller)
    far.start(sessions)
    token = dispatcher.set(through)
    try:
        yield near, sessions
    finally:
        dispatcher.reset(token)
        await near.close()
        far.fail(None)
        await settle()


def _record(link: Link, messages: list[bytes]) -> None:
    """Keep what a link writes from now on."""
    transport = link._transport
    write = transport.write

    async def recorded(message: bytes) -> None:
        messages.append(message)
        await write(message)

    transport.write = recorded  # type: ignore[method-assign]


def _writing_both(send: Callable[[Frame], None]) -> Callable[[Frame], None]:
    """Have Tasks bring the proxy in their fields as well."""

    def write(frame: Frame) -> None:
        if isinstance(frame, Task):
            frame = frame._replace(proxy=CANARY[1], proxy_id=CANARY[0])
        send(frame)

    return write
