"""V1, P3, P6: peers of another major version, and such that lie, come to typed errors at once."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

import catena
from catena.dispatch.caller.connection import WorkerConnection
from catena.dispatch.dispatcher import dispatcher
from catena.dispatch.worker.sessions import Sessions
from catena.errors import Busy, SerializationError, VersionRefused, WorkerLost
from catena.events import FrameDropped
from catena.ids import new_id
from catena.link.link import Link
from catena.link.memory import make_pair
from catena.pickling import pickler
from catena.proxy.balance import Proxy
from catena.proxy.table import ProxyTable
from catena.remote_exceptions.pickled import unpickle_exception
from catena.testing import recording
from catena.wire import codec, versions
from catena.wire.codec import MemberFacts
from catena.wire.frames import Ack, Decline, Nack, NackCode, Offer, Result, Task, Want
from tests.compat.peers import (
    SECRET,
    Member,
    find_release,
    run_caller,
    this_source,
    workers_of,
)
from tests.dispatch.ends import PROXY, Through, hand_and_sessions, opening
from tests.link.ends import Hand, settle
from tests.support import run

AT_ONCE = 5.0
"""Seconds in which a call ends that can come to nothing, on a slow machine."""

AHEAD = this_source(SKEW_FAULT="speak_the_next_major")
NEXT = f"{versions.MAJOR + 1}.{versions.MINOR}"


@catena.routine
async def one() -> int:
    """Return 1."""
    return 1


@catena.routine(slots=1)
async def slotted() -> int:
    """Return 1."""
    return 1


def make_routines() -> tuple[Any, Any]:
    """Return a routine that returns 1, and one that calls it; both go by value."""

    @catena.routine
    async def leaf() -> int:
        return 1

    @catena.routine
    async def nested() -> int:
        return await leaf()

    return leaf, nested


async def _call_through(
    member: Member, call: Callable[[], Awaitable[Any]], leading_to: Member | None = None
) -> Any:
    """Return what a call through a worker comes to, an error it may be, and in what time."""
    proxy = Proxy(new_id(), (member,), "caller", secret=SECRET)
    if leading_to is not None:
        proxy.encoded = codec.encode_proxy(proxy.id, [MemberFacts(*leading_to)])
    dispatcher.set(proxy)
    began = monotonic()
    try:
        return await call()
    except Exception as error:
        return error
    finally:
        assert monotonic() - began < AT_ONCE
        await proxy.close()


def call_through(*given: Any) -> Any:
    """Do that in a loop and a Context of its own."""
    return contextvars.Context().run(run, _call_through(*given))


# ---- another major version


def test_a_worker_of_the_next_major_version_is_refused(tmp_path: Path) -> None:
    """V1: the error names both versions and the side to upgrade, also where 0.1.0 calls."""
    with workers_of([AHEAD], tmp_path) as (ahead,):
        error = call_through(ahead, one)
        asked = {"path": [ahead], "spare": None, "secret": SECRET.hex(), "probes": ["call"]}
        with pytest.raises(AssertionError) as old:
            run_caller(find_release("0.1.0"), "import skew_caller; skew_caller.main()", asked)

    assert isinstance(error, VersionRefused)
    assert (error.local, error.remote) == (versions.PROTOCOL, NEXT)
    assert "upgrade the local side" in str(error)
    assert f"protocol 1.0 here and {NEXT} there do not work together" in str(old.value)


def test_a_caller_of_the_next_major_version_is_refused(tmp_path: Path) -> None:
    """V1: by workers of this source and of 0.1.0; it learns the same."""
    with workers_of([this_source(), find_release("0.1.0")], tmp_path) as members:
        for member, local in zip(members, (versions.PROTOCOL, "1.0"), strict=True):
            asked = {"path": [member], "spare": None, "secret": SECRET.hex(), "probes": ["call"]}
            with pytest.raises(AssertionError) as caught:
                run_caller(AHEAD, "import skew_caller; skew_caller.main()", asked)
            text = f"protocol {NEXT} here and {local} there do not work together"
            assert f"{text}; upgrade the remote side" in str(caught.value)


def test_a_proxy_that_leads_to_the_next_major_version(tmp_path: Path) -> None:
    """V1, P6: the nested call fails with the refusal; a leaf routine does not mind."""
    leaf, nested = make_routines()
    workers = [this_source(), find_release("0.1.0"), AHEAD]
    with workers_of(workers, tmp_path) as (new, old, ahead):
        assert call_through(new, leaf, ahead) == 1
        assert call_through(old, leaf, ahead) == 1
        error = call_through(new, nested, ahead)
        of_old = call_through(old, nested, ahead)

    assert isinstance(error, VersionRefused)
    assert (error.local, error.remote) == (versions.PROTOCOL, NEXT)
    assert isinstance(of_old, WorkerLost)
    assert f"protocol 1.0 here and {NEXT} there" in str(of_old)


def test_a_proxy_whose_pool_is_gone(tmp_path: Path) -> None:
    """P6: the nested call fails at once, and says that it did not begin."""
    leaf, nested = make_routines()
    gone = ("gone", f"unix:{tmp_path / 'gone'}")
    with workers_of([this_source(), find_release("0.1.0")], tmp_path) as members:
        for member in members:
            assert call_through(member, leaf, gone) == 1
            error = call_through(member, nested, gone)
            assert isinstance(error, WorkerLost)
            assert error.begun is False
            assert "gone" in error.worker


# ---- proxies that are forged


def _send(task: Task, drive: Any, **more: Any) -> Task:
    return task._replace(drive=drive, **more)


@pytest.mark.parametrize(
    ("name", "id", "form", "code", "text"),
    [
        ("an id that nobody has", b"f" * 16, b"", NackCode.UNKNOWN, ""),
        ("bytes that are no proxy", b"f" * 16, b"\xff" * 9, NackCode.UNLOADABLE, "does not parse"),
        (
            "the id of another pool",
            b"f" * 16,
            codec.encode_proxy(b"i" * 16, [MemberFacts("w", "unix:/w")]),
            NackCode.UNLOADABLE,
            "names another pool",
        ),
        ("an id that is too long", b"f" * 65, b"", NackCode.UNLOADABLE, "65 bytes"),
    ],
)
def test_a_forged_proxy_is_refused(
    name: str, id: bytes, form: bytes, code: NackCode, text: str
) -> None:
    """P3: the call does not begin, and the next one on the link is served."""

    async def main() -> None:
        table = ProxyTable("w1")
        async with hand_and_sessions(proxies=table.get) as (hand, _):
            task, drive = opening(1, one)
            await hand.send(_send(task, drive, proxy=form, proxy_id=id))
            nack = await hand.frame()
            assert isinstance(nack, Nack)
            assert (nack.code, text in nack.text) == (code, True)
            assert table.list_members() == []
            task, drive = opening(2, one)
            await hand.send(_send(task, drive))
            assert await hand.symbols(2) == ["ack", "return"]

    run(main())


# ---- workers that lie


async def _meet(*capabilities: str, slots: int = 1) -> tuple[Hand, WorkerConnection]:
    """Return a hand that plays a worker with these capabilities, and the way to it."""
    near, far = make_pair()
    link, hand = Link(near, "near"), Hand(far)
    hello = versions.make_hello("liar")._replace(capabilities=capabilities, slots=slots, minor=99)
    await far.write(codec.encode_message([hello]))
    await link.exchange_hello(first=True)
    await hand.frame()
    caller = WorkerConnection(link, PROXY)
    link.start(caller)
    dispatcher.set(Through(caller))
    return hand, caller


async def _answer(hand: Hand, calling: asyncio.Future[Any], answer: Callable[[int], Any]) -> int:
    """Answer each Task until the call is over; return how often it was sent."""
    sent = 0
    while not calling.done():
        with suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                frame = await hand.frame()
                if isinstance(frame, Task):
                    sent += 1
                    await hand.send(answer(frame.call))
    return sent


def test_a_worker_that_never_knows_what_it_was_told() -> None:
    """V1, D7: it says that it keeps names and knows none; the call fails after a few attempts."""

    async def main() -> None:
        hand, caller = await _meet(versions.DELTA, versions.NAMES)
        calling = asyncio.ensure_future(one())
        sent = await _answer(hand, calling, lambda call: Nack(call, NackCode.UNKNOWN))
        with pytest.raises(WorkerLost, match="every attempt was refused"):
            await calling
        assert sent < 100
        await caller.link.close()

    run(main())


@pytest.mark.parametrize("routine", [one, slotted])
def test_a_worker_that_counts_no_slots_and_says_that_they_are_taken(routine: Any) -> None:
    """V1, P13: nobody waits for an offer that cannot come; the worker is busy."""

    async def main() -> None:
        hand, caller = await _meet(versions.DELTA)
        calling = asyncio.ensure_future(routine())
        await _answer(hand, calling, lambda call: Nack(call, NackCode.BUSY, "full", 3))
        with pytest.raises(Busy, match="full"):
            await calling
        assert caller.wanted == set()
        await caller.link.close()

    run(main())


def test_a_worker_that_counts_slots_and_never_offers_any() -> None:
    """P13, D6: the call waits as long as it may, and no longer."""

    async def main() -> None:
        hand, caller = await _meet(versions.DELTA, versions.SLOTS)

        async def bounded() -> int:
            with catena.RuntimeContext(timeout=0.4):
                return await slotted()

        calling = asyncio.ensure_future(bounded())
        await _answer(hand, calling, lambda call: Nack(call, NackCode.BUSY, "full", 1))
        with pytest.raises(TimeoutError):
            await calling
        await caller.link.close()

    run(main())


def test_offers_of_a_worker_that_counts_no_slots_are_dropped() -> None:
    """V1: nothing is sent that the worker has not said it knows."""

    async def main() -> None:
        hand, caller = await _meet(versions.DELTA)
        with recording(FrameDropped) as recorded:
            await hand.send(Offer(0, 1))
        assert recorded.events == [FrameDropped(0, "offer")]
        assert await hand.nothing()
        await caller.link.close()

    run(main())


def test_wants_of_a_caller_that_knows_no_slots_are_dropped() -> None:
    """V1: nor does a worker offer any; the calls of the link go on."""

    async def main() -> None:
        near, far = make_pair()
        hand = Hand(far)
        hello = versions.make_hello("liar")._replace(capabilities=(versions.DELTA,))
        await far.write(codec.encode_message([hello]))
        link = Link(near, "w1")
        await link.exchange_hello(first=False)
        await hand.frame()
        link.start(Sessions(link, "w1", lambda *_: None))
        with recording(FrameDropped) as recorded:
            await hand.send(Want(0, 1), Decline(0, 1))
        assert recorded.events == [FrameDropped(0, "want"), FrameDropped(0, "decline")]
        task, drive = opening(1, one)
        await hand.send(_send(task, drive))
        assert await hand.symbols(2) == ["ack", "return"]
        assert await hand.nothing()
        await link.close()
        await settle()

    run(main())


@pytest.mark.parametrize("claimed", [(), ("delta",), ("delta", "names", "teleport", "", "delta")])
def test_what_a_worker_claims_beyond_what_is_known_changes_nothing(
    claimed: tuple[str, ...],
) -> None:
    """V1: a version far ahead, and capabilities that nobody has, are no error."""

    async def main() -> None:
        hand, caller = await _meet(*claimed)
        assert caller.link.capabilities == set(claimed) & set(versions.CAPABILITIES)
        calling = asyncio.ensure_future(one())
        task: Any = await hand.frame()
        await hand.send(Ack(task.call), Result(task.call, pickler.dumps(7)))
        assert await calling == 7
        await caller.link.close()

    run(main())


def test_a_worker_that_answers_without_having_accepted() -> None:
    """M7: its answer is illegal; the call fails with an error that names both frames."""

    async def main() -> None:
        hand, caller = await _meet(versions.DELTA)
        calling = asyncio.ensure_future(one())
        task: Any = await hand.frame()
        await hand.send(Result(task.call, pickler.dumps(7)))
        with pytest.raises(catena.ProtocolError, match="return"):
            await calling
        await caller.link.close()

    run(main())


def test_arguments_of_a_caller_of_another_release_that_do_not_open() -> None:
    """D5: the call has begun, and fails with an error that names its routine."""

    async def main() -> None:
        async with hand_and_sessions(Through()) as (hand, _):
            task, drive = opening(1, one)
            await hand.send(_send(task, drive, payload=b"ccatena.of_a_later_release\nX\n."))
            assert (await hand.frame()).symbol == "ack"
            answer: Any = await hand.frame()
            error = unpickle_exception(answer.payload)
            assert isinstance(error, SerializationError)
            assert "one" in error.routine

    run(main())
