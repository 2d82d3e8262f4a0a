"""A story in which everything happens that the catalog lists, in one process."""

from __future__ import annotations

import asyncio
import contextvars
import os
import sys
from collections.abc import AsyncGenerator
from typing import Any

import pytest

import catena
from catena import events
from catena.engines.dask_tasks import with_context
from catena.events.bus import announce
from catena.pool.heartbeat import Heartbeat
from catena.wire import versions
from catena.wire.frames import Hello, Nack, NackCode, Result
from tests.dispatch.ends import caller_and_hand, connected, hand_and_sessions, opening
from tests.link.ends import settle

__all__ = ["add", "contend", "count_up", "fail", "give_up", "nest", "number", "story"]

number: catena.ContextVar[int] = catena.ContextVar("number", namespace="tests.story", default=0)
brief: catena.ContextVar[int] = catena.ContextVar("brief", namespace="tests.story", default=0)
ahead: catena.ContextVar[str] = catena.ContextVar(
    "ahead", namespace="tests.story", default="", propagate="forward"
)


@catena.routine
async def add(to: int) -> int:
    """Set the variable, reset it, and set it again."""
    number.reset(number.set(to))
    number.set(number.get() + to)
    return number.get()


@catena.routine
async def nest(to: int) -> int:
    """Call on, in a task of its own."""
    return await asyncio.create_task(add(to))


@catena.routine
async def count_up(to: int) -> AsyncGenerator[int, None]:
    """Count."""
    for value in range(to):
        number.set(value)
        yield value


@catena.routine
async def come_and_go() -> AsyncGenerator[None, None]:
    """Bind a variable in the first step, and unbind it in the second."""
    token = brief.set(1)
    yield
    brief.reset(token)
    yield


@catena.routine
async def fail(text: str) -> None:
    """Raise an error whose text says something."""
    raise LookupError(text)


@catena.routine
async def give_up() -> None:
    """Raise what a second task was refused with."""
    raise await contend()


async def contend(shared: contextvars.Context | None = None) -> catena.ChainContention:
    """Have a second task touch the chain of a running one; return the refusal.

    Both run in ``shared``, by default in an empty Context.
    """
    inside = asyncio.Event()

    async def hold() -> None:
        number.set(2)
        inside.set()
        await asyncio.sleep(30)

    shared = contextvars.Context() if shared is None else shared
    holding = asyncio.Task(hold(), context=shared, name="the owner")
    await inside.wait()
    try:
        intruding = asyncio.Task(touch(), context=shared, name="the intruder")
        with pytest.raises(catena.ChainContention) as caught:
            await intruding
        return caught.value
    finally:
        holding.cancel()
        await asyncio.gather(holding, return_exceptions=True)


async def touch() -> None:
    """Touch the variable."""
    number.set(3)


async def story() -> None:
    """Let everything happen."""
    number.set(1)
    ahead.set("there")
    async with connected():
        await add(2)
        await nest(3)
        async for _ in count_up(2):
            pass
        async for _ in come_and_go():
            pass
        with pytest.raises(LookupError):
            await fail("of no interest")
        with pytest.raises(catena.ChainContention):
            await give_up()
        with pytest.raises(catena.SerializationError):
            await add(sys._getframe())
    with_context(abs)(-1)
    async with caller_and_hand() as (_, hand):
        await _nacked(hand)
    async with hand_and_sessions() as (hand, _):
        await _break_rules(hand)
    await contend()
    if events.TaskSubmission.observers:
        _submit_and_run()
    with pytest.raises(catena.VersionRefused):
        versions.agree_on_capabilities(Hello(0, 99, 1, "9.9", (), "them", 1))
    for refused in (
        catena.PeerRefused(peer="them", pid=1, reason="their name is not on the list"),
        catena.CredentialsError(where="key.pem", cause="others may read it"),
    ):
        events.announced(refused)
    events.announced(catena.TaskFactoryDisplaced(loop="the loop", factory="theirs"))
    for fact in (
        events.CallRetried("app.job", "w1", 2),
        events.CallWaited("app.job", 60.5, 3, "no worker has the tag gpu"),
        events.ForwardDropped(ahead.key),
        events.KeysUndeclared(bytes(16), (("elsewhere", "undeclared"),)),
        events.EntryLost(number.key, True, "a cause that says something"),
        events.WorkerStarted("w1", os.getpid()),
        events.WorkerExited("w1", os.getpid(), 0, "ended when it had drained"),
        events.WorkerExited(
            *("w1", os.getpid(), -9, "killed by SIGKILL", "another one takes its place"),
            unexpected=True,
        ),
        events.WorkerReplaced("w1", "w2", "killed by SIGKILL"),
        events.LogRecordsDropped("w1", 3),
        events.HandshakeFailed("127.0.0.1:4000"),
        events.CredentialsFailed(
            catena.CredentialsError(where="ca.pem", cause="it is gone"), kept=True
        ),
        events.WorkerSuspected("w1", os.getpid(), 2.5, "its event loop is blocked", "in main"),
        events.WorkerRecovered("w1", os.getpid(), 3.5),
        events.WorkerGivenUp("w1", os.getpid(), 30.5),
        events.WorkerJoined("w1", "10.0.0.5:7800", "discovery"),
        events.WorkerLeft("w1", "10.0.0.5:7800", "discovery", "its record is gone"),
        events.WorkerLeft(
            "w1", "10.0.0.5:7800", "discovery", "its link has ended", unexpected=True
        ),
        events.RecordRefused("w2", "10.0.0.5:7800", "w1"),
        events.RoutineOverran("w1", os.getpid(), "app.parse", 2.0),
        *(
            events.SnapshotRefused(
                catena.SnapshotError(task="t1", fault="missing", cause="it has expired"),
                *("app.job", "catena", tolerated),
            )
            for tolerated in (True, False)
        ),
        events.QueueFailed(
            catena.QueueUnreachable(queue="catena", doing="add a task", cause="it is gone")
        ),
        events.ValueExpired(number.key, "t1", "app.job"),
        events.WorkerWithoutContext("catena", ("w1", "w2")),
    ):
        announce(fact)
    heartbeat = Heartbeat(0.001)
    heartbeat.start()
    await asyncio.sleep(0.02)
    heartbeat.stop()


def _submit_and_run() -> None:
    """Let a task be submitted, and run twice: linked to its submission, and as its child."""
    with events.TaskSubmission("app.job", "catena", "t1", is_delayed=False) as submission:
        submission.chain_id, submission.size = bytes(16), 500
    for is_child in (False, True):
        task = events.TaskRun(
            *("app.job", "catena", "t1", 2),
            chain_id=bytes(16),
            parent_id=bytes(16),
            carrier=submission.carrier or {},
            age=2.5,
            producer="0.3.0",
            is_child=is_child,
            nearly_lost=True,
        )
        with task:
            task.outcome = "done"


async def _break_rules(hand: Any) -> None:
    """Send a worker a routine that it cannot load, a frame out of its turn, and a used number."""
    task, drive = opening(1, add, 2)
    await hand.send(task._replace(callable=b"no pickle"), drive)
    task, drive = opening(2, add, 2)
    await hand.send(task, Result(2, b"N."))
    await hand.send(task, drive)


async def _nacked(hand: Any) -> None:
    calling = asyncio.create_task(add(1))
    first = await hand.frame()
    await hand.frame()
    await hand.send(Nack(first.call, NackCode.UNKNOWN))
    second = await hand.frame()
    await hand.frame()
    await hand.send(Nack(second.call, NackCode.UNLOADABLE, "gone"))
    with pytest.raises(catena.SerializationError):
        await calling
    await hand.send(Result(second.call, b"N."))
    await settle()
