"""What both ends of a call announce: attempts, leases, unmounts, and what observers leave there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

import catena
from catena.events import ContentionUnhandled, Dispatch, Execution, Lease, Mount, Unmounted
from catena.events.bus import end_of, observe, subscribe
from catena.events.carrier import CARRIER_LIMIT, OVERSIZED
from catena.testing import recording
from catena.transfer.manifest import ChainManifest
from catena.wire import manifests
from catena.wire.frames import Ack, Nack, NackCode, Result
from catena.wire.versions import PROTOCOL
from tests.dispatch.ends import PROXY, caller_and_hand, connected
from tests.dispatch.tapped import tapped
from tests.support import Looking, isolated, run

kept: catena.ContextVar[int] = catena.ContextVar("kept", namespace="tests.observing", default=0)


@catena.routine
async def keep(value: int) -> int:
    """Set the variable."""
    kept.set(value)
    return value


@catena.routine
async def look() -> int:
    """Return what is there."""
    return kept.get()


@catena.routine
async def keep_each(to: int) -> AsyncGenerator[int, None]:
    """Set the variable at each step."""
    for value in range(to):
        kept.set(value)
        yield value


@isolated
def test_an_execution_says_who_calls_and_for_which_chain() -> None:
    """D2: worker, caller, versions and chain are known when it begins."""

    def measure(event: Dispatch) -> None:
        event.measured = True

    async def main() -> None:
        kept.set(1)
        async with connected():
            with observe(Looking(measure), Dispatch), recording(Dispatch, Execution) as recorded:
                await keep(2)
        (dispatch,), (execution,) = recorded.of(Dispatch), recorded.of(Execution)
        ends = execution.served.endpoints
        assert (ends.worker, ends.caller) == ("w1", "near")
        assert execution.chain_id == dispatch.chain_id != b""
        assert execution.frame == ("next", 1)
        attempt = dispatch.attempt
        assert attempt is not None
        assert (dispatch.attempts, attempt.endpoints.protocol) == (1, PROTOCOL)
        assert attempt.endpoints.peer_version == ends.peer_version == catena.__version__
        assert dispatch.sent_bytes > 0
        assert dispatch.received_bytes > 0

    run(main())


@isolated
def test_every_attempt_is_counted_and_takes_the_carrier_along() -> None:
    """D7: a refused call is sent again, with what an observer wants to reach the other end."""

    def trace(event: Dispatch) -> None:
        event.carrier = {"mine": "yes"}

    async def main() -> None:
        async with caller_and_hand() as (_, hand):
            with observe(Looking(trace), Dispatch), recording(Dispatch) as recorded:
                calling = asyncio.create_task(look())
                carriers = []
                for _ in range(2):
                    task, drive = await hand.frame(), await hand.frame()
                    carriers.append(dict(drive.manifest.carrier))
                    if len(carriers) == 1:
                        await hand.send(Nack(task.call, NackCode.UNKNOWN))
                await hand.send(Ack(task.call), Result(task.call, b"I7\n."))
                assert await calling == 7
            assert carriers == [{"mine": "yes"}] * 2
            (dispatch,) = recorded.of(Dispatch)
            assert (dispatch.attempts, dispatch.call) == (2, task.call)

    run(main())


@isolated
def test_a_lease_lasts_from_mount_to_unmount() -> None:
    """Leases: one for each call that a proxy serves; the first finds it built, others cached."""
    order: list[str] = []

    def release(_: Lease, error: BaseException | None, __: int) -> None:
        order.append(f"released {end_of(error)}")

    async def main() -> None:
        kept.set(1)
        async with connected():
            with (
                observe(Looking(lambda _: order.append("leased"), release), Lease),
                observe(Looking(lambda one: order.append(f"mount {one.to_worker}")), Mount),
                subscribe(lambda _: order.append("unmounted"), Unmounted),
                recording(Lease) as recorded,
            ):
                await look()
                assert order == ["leased", "mount True", "unmounted", "released done"]
                assert [one async for one in keep_each(2)] == [0, 1]
                await look()
        leases = recorded.of(Lease)
        assert [one.cached for one in leases] == [False, True, True]
        assert {(one.source, one.proxy_id) for one in leases} == {("chain", PROXY[0])}
        assert len({one.lease_id for one in leases}) == 3
        assert order.count("leased") == sum(one.startswith("released") for one in order) == 3

    run(main())


@isolated
def test_each_manifest_is_one_mount() -> None:
    """M9: also one that names a state and changes it is told once, with all that is set then."""

    async def main() -> None:
        kept.set(1)
        async with tapped() as ends:
            with recording(Mount) as recorded:
                await look()
                await look()
                kept.set(2)
                await look()
            there = [one for one in recorded.of(Mount) if one.to_worker]
            assert len(there) == len(ends.told) == 3
            assert [one.keys_set for one in there] == [(kept.key,)] * 3
            assert [one.size for one in there] == [len(one.entries) for one in ends.manifests]

    run(main())


@isolated
def test_answers_carry_what_an_observer_left_when_they_carry_a_chain() -> None:
    """C4: an answer that changes nothing has no manifest, and no carrier."""

    def trace(event: Execution) -> None:
        event.reply = lambda: {"from": "there"}

    async def main() -> None:
        kept.set(1)
        async with tapped() as ends:
            with observe(Looking(trace), Execution), recording(Mount) as recorded:
                await look()
                await keep(2)
                assert [one async for one in keep_each(2)] == [0, 1]
            manifests = [one.manifest for one in ends.answers]
            assert manifests[0] is None
            assert [dict(one.carrier) for one in manifests[1:] if one] == [{"from": "there"}] * 3
            back = [one for one in recorded.of(Mount) if not one.to_worker]
            assert [dict(one.carrier or {}) for one in back] == [{"from": "there"}] * 3

    run(main())


@isolated
def test_what_an_observer_left_is_called_in_every_context_of_a_call() -> None:
    """The seam: once for each further Context of a stream; what it raises breaks no call."""
    entered: list[int] = []

    def trace(event: Execution) -> None:
        event.enter = lambda: entered.append(1) or 1 / 0

    def fail_on_entry(event: Dispatch) -> None:
        event.enter = lambda: 1 / 0

    async def main() -> None:
        kept.set(1)
        async with connected():
            with observe(Looking(trace), Execution), observe(Looking(fail_on_entry), Dispatch):
                stream = keep_each(5)
                assert await anext(stream) == 0
                assert await asyncio.create_task(anext(stream)) == 1
                assert await anext(stream) == 2
                await stream.aclose()
                assert await look() == 2

    run(main())
    assert len(entered) == 2


@pytest.mark.parametrize("size", [CARRIER_LIMIT - 100, CARRIER_LIMIT, 1 << 20])
def test_a_carrier_beyond_the_limit_is_left_out(size: int) -> None:
    """Trust: a carrier has a limit, and exceeding it costs the carrier alone."""
    manifest = ChainManifest(b"c" * 16, carrier={"long": "x" * size})

    read = manifests.decode_manifest(manifests.encode_manifest(manifest))

    assert read.chain_id == manifest.chain_id
    if size < CARRIER_LIMIT:
        assert read == manifest
    else:
        assert read.carrier is OVERSIZED


def contention(chain: str) -> catena.ChainContention:
    """Return a refusal."""
    return catena.ChainContention(chain_id=chain, kind="task")


RAISED: dict[str, tuple[BaseException, list[str]]] = {
    "alone": (contention("a"), ["a", "a"]),
    "in groups": (
        ExceptionGroup("", [KeyError(), ExceptionGroup("", [contention("b"), contention("c")])]),
        ["b", "b"],
    ),
    "not at all": (ExceptionGroup("", [KeyError()]), []),
}


@catena.routine
async def end_with(how: str) -> None:
    """Raise one of the above."""
    raise RAISED[how][0]


@catena.routine
async def step_and_end_with(how: str) -> AsyncGenerator[int, None]:
    """Raise one of the above in the second step."""
    yield 1
    raise RAISED[how][0]


@isolated
@pytest.mark.parametrize("how", RAISED)
def test_a_contention_that_ends_a_routine_is_told_at_either_end(how: str) -> None:
    """Levels: also one in a group, and of a stream; what is no contention is not told."""

    async def main() -> None:
        kept.set(1)
        async with connected():
            with pytest.raises(type(RAISED[how][0])):
                await end_with(how)
            with pytest.raises(type(RAISED[how][0])):
                _ = [value async for value in step_and_end_with(how)]

    with recording(ContentionUnhandled) as recorded:
        run(main())
    found = recorded.of(ContentionUnhandled)
    assert [one.error.chain_id for one in found] == RAISED[how][1] * 2
    assert [(one.at_caller, one.routine.rpartition(".")[2]) for one in found] == [
        (at_caller, name)
        for name in ("end_with", "step_and_end_with") * bool(found)
        for at_caller in (False, True)
    ]


@isolated
@pytest.mark.parametrize("when", ["at the begin", "at the end"])
@pytest.mark.parametrize("kind", [SystemExit, asyncio.CancelledError, GeneratorExit])
def test_what_observers_raise_comes_out_of_no_call(when: str, kind: type[BaseException]) -> None:
    """The seam: at either end, of coroutines and streams; the next call is as good as this one."""
    called: list[Any] = []

    def begin(event: Any) -> None:
        called.append(type(event))
        if when == "at the begin":
            raise kind

    def end(*_: Any) -> None:
        if when == "at the end":
            raise kind

    async def main() -> None:
        async with connected():
            for event in (Dispatch, Execution, Mount, Lease):
                for _ in range(2):
                    with observe(Looking(begin, end), event):
                        assert await keep(2) == 2
                        assert [value async for value in keep_each(2)] == [0, 1]

    kept.set(1)
    run(main())
    assert called == [kind for kind in (Dispatch, Execution, Mount, Lease) for _ in range(2)]
