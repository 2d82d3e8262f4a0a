"""Counters of the seam: who stands for the one listener of calls, mounts and unmounts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest

import catena
from catena.events import Dispatch, Execution, Mount, Unmounted
from catena.events.bus import subscribe
from tests.dispatch.ends import connected
from tests.dispatch.test_observing import keep, kept, look
from tests.link.ends import settle
from tests.support import isolated, run


class Calls:
    """A counter of calls that takes them or does not, and notes what it hears."""

    def __init__(self, *, takes: bool) -> None:
        self.takes = takes
        self.begun: list[Any] = []
        self.ends: list[tuple[Any, BaseException | None]] = []
        self.told: list[Any] = []

    def begin(self, event: Any) -> bool:
        """Note a beginning."""
        self.begun.append(event)
        return self.takes

    def end(self, event: Any, error: BaseException | None, at: int = 0) -> None:
        """Note an end."""
        self.ends.append((event, error))

    def tell(self, event: Any) -> None:
        """Note what the listener is told."""
        self.told.append(event)


@catena.routine
async def fail() -> None:
    """Raise an error."""
    raise LookupError("mine")


@catena.routine
async def forever() -> None:
    """Run until it is cancelled."""
    await asyncio.sleep(60)


@catena.routine
async def twice() -> AsyncGenerator[int, None]:
    """Yield twice."""
    yield 1
    yield 2


async def cancelled() -> None:
    """Cancel a call when it runs."""
    call = asyncio.create_task(forever())
    await asyncio.sleep(0.05)
    call.cancel()
    await call


ENDS: dict[str, tuple[Callable[[], Any], type[BaseException] | None]] = {
    "done": (lambda: keep(2), None),
    "failed": (fail, LookupError),
    "cancelled": (cancelled, asyncio.CancelledError),
}


def counting(of: type[Dispatch | Execution], how: str, *, takes: bool = True) -> Calls:
    """Make a call that ends in some way while its events of a class have a counter."""
    calls = Calls(takes=takes)
    call, error = ENDS[how]

    async def main() -> None:
        kept.set(1)
        async with connected():
            with subscribe(calls.tell, of, counter=calls):
                if error is None:
                    await call()
                else:
                    with pytest.raises(error):
                        await call()
                # The worker tells its end when the answer has left.
                await settle()

    run(main())
    return calls


@isolated
@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize("of", [Dispatch, Execution])
def test_a_counter_hears_of_a_call_instead_of_its_listener(
    of: type[Dispatch | Execution], how: str
) -> None:
    """The seam: of its beginning and of its end, once, with the error that it was left with."""
    calls = counting(of, how)

    assert calls.told == []
    assert len(calls.begun) == 1
    ((event, error),) = calls.ends
    assert event is calls.begun[0]
    assert type(error) is (ENDS[how][1] or type(None))


@isolated
def test_a_counter_that_wants_more_finds_attempt_and_answer() -> None:
    """The seam: what it takes is not described any further, what it does not take is."""
    (taken,) = counting(Dispatch, "done").begun
    (wanted,) = counting(Dispatch, "done", takes=False).begun

    assert (taken.attempts, taken.answers, taken.worker) == (0, 0, "")
    assert (wanted.attempts, wanted.answers, wanted.worker) == (1, 1, "far")


@isolated
def test_streams_and_bounded_calls_are_told() -> None:
    """The seam: a counter stands for calls that run to their end, without bounds."""
    dispatches, executions = Calls(takes=True), Calls(takes=True)

    async def main() -> None:
        async with connected():
            with (
                subscribe(dispatches.tell, Dispatch, counter=dispatches),
                subscribe(executions.tell, Execution, counter=executions),
            ):
                assert [one async for one in twice()] == [1, 2]
                with catena.RuntimeContext(timeout=5):
                    assert await look() == 0
                await settle()

    run(main())
    assert [one.stream for one in dispatches.told] == [True, False]
    assert dispatches.begun == []
    assert [one.stream for one in executions.told] == [True]
    assert [one.stream for one in executions.begun] == [False]


@isolated
@pytest.mark.parametrize("takes", [True, False])
def test_no_event_is_made_of_a_chain_that_is_only_counted(takes: bool) -> None:
    """The seam: what comes and goes is told to its counter, in the order and as often as it is."""
    counted: list[str] = []
    told: list[str] = []

    def mounts(manifest: Any, to_worker: bool) -> bool:
        assert len(manifest.chain_id) == 16
        counted.append("to worker" if to_worker else "to caller")
        return takes

    def unmounts() -> bool:
        counted.append("out")
        return takes

    def mount(event: Mount) -> None:
        told.append("to worker" if event.to_worker else "to caller")

    async def main() -> None:
        kept.set(1)
        async with connected():
            await look()
            with (
                subscribe(mount, Mount, counter=mounts),
                subscribe(lambda _: told.append("out"), Unmounted, counter=unmounts),
            ):
                await look()
                await settle()
                await keep(3)
                await settle()

    run(main())
    assert sorted(counted) == sorted(["to worker", "out"] * 2 + ["to caller"])
    assert told == ([] if takes else counted)
