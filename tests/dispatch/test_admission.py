"""Refusals by the worker: a function of the application, and a limit for its calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

import catena
from catena.dispatch.caller.connection import WorkerConnection
from catena.dispatch.dispatcher import dispatcher
from catena.dispatch.worker.admission import Admission
from catena.dispatch.worker.sessions import Sessions
from catena.errors import Busy
from catena.events import CallNacked
from catena.testing import recording
from tests.dispatch.ends import PROXY, Through
from tests.link.ends import linked, settle
from tests.support import run

color: catena.ContextVar[str] = catena.ContextVar("admission.color", default="none")


@catena.routine
async def where() -> str:
    """Say which worker this is, by its task's Context."""
    return color.get()


@catena.routine
async def wait(seconds: float) -> None:
    """Be active for a while."""
    await asyncio.sleep(seconds)


@catena.routine
def plain() -> str:
    """A plain function."""
    return color.get()


@asynccontextmanager
async def workers(*admissions: Admission | None) -> AsyncIterator[Through]:
    """Dispatch to a worker for each admission."""
    through, links = Through(), []
    for number, admission in enumerate(admissions):
        near, far = await linked()
        assert near.peer is not None
        near.peer = near.peer._replace(peer=f"w{number}")
        through.callers.append(caller := WorkerConnection(near, PROXY))
        sessions = Sessions(far, f"w{number}", lambda *_: through, admission=admission)
        near.start(caller)
        far.start(sessions)
        links += [near, far]
    token = dispatcher.set(through)
    try:
        yield through
    finally:
        dispatcher.reset(token)
        for link in links:
            await link.close()
        await settle()


def test_a_refusal_sends_the_call_to_the_next_worker() -> None:
    """P11: the function is given the active calls and the routine, and not the call's variables."""
    asked: list[Any] = []

    def refuse(active: int, routine: str) -> bool:
        asked.append((active, routine.rpartition(".")[2], color.get()))
        return True

    async def main() -> None:
        color.set("mine")
        async with workers(Admission(None, refuse), None):
            with recording(CallNacked) as recorded:
                assert await asyncio.gather(where(), where(), plain()) == ["mine"] * 3
            assert {one.worker for one in recorded.of(CallNacked)} == {"w0"}
            assert {one.code for one in recorded.of(CallNacked)} == {"BUSY"}

    run(main())
    assert asked
    assert {one[2] for one in asked} == {"none"}
    assert {one[1] for one in asked} <= {"where", "plain"}


@pytest.mark.parametrize("routine", [where, plain])
def test_where_all_refuse_the_error_says_why(routine: Any) -> None:
    """P11: Busy has the reason that the function gave."""

    async def main() -> None:
        admission = Admission(None, lambda *_: "the cache is cold")
        async with workers(admission, admission):
            with pytest.raises(Busy, match=r"w0, w1|w1, w0") as refused:
                await routine()
            assert refused.value.reason == "the cache is cold"

    run(main())


def test_a_function_that_raises_refuses_and_says_so() -> None:
    """P11: a hook that raises is a Nack that names what it raised; no call has begun."""

    def refuse(active: int, routine: str) -> bool:
        raise LookupError("no such gauge")

    async def main() -> None:
        async with workers(Admission(None, refuse)):
            with pytest.raises(Busy, match=r"raised LookupError: no such gauge"):
                await where()

    run(main())


def test_so_many_calls_are_in_flight_and_no_more() -> None:
    """P11: the limit counts the calls of a worker, and leaves plain functions to its slots."""

    async def main() -> None:
        async with workers(Admission(2)):
            held = [asyncio.ensure_future(wait(0.2)) for _ in range(2)]
            await settle()
            with pytest.raises(Busy, match="runs 2 calls, as many as max_calls_in_flight allows"):
                await where()
            assert await plain() == "none"
            await asyncio.gather(*held)
            assert await where() == "none"

    run(main())
