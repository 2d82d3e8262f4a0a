"""Calls frame by frame: a hand plays the worker, or the caller."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

import catena
from catena.context.proxy import PROXY_KEY
from catena.dispatch.statistics import statistics
from catena.errors import (
    ChainSerializationError,
    ProtocolError,
    SerializationError,
    WorkerLost,
)
from catena.events import CallNacked, FrameDropped
from catena.link import congestion
from catena.pickling import pickler
from catena.remote_exceptions.pickled import pickle_exception, unpickle_exception
from catena.testing import recording
from catena.transfer.manifest import ChainManifest, Entry, EntryKind
from catena.wire import codec
from catena.wire.frames import (
    Ack,
    Cancel,
    ExceptionFrame,
    Frame,
    Goodbye,
    Nack,
    NackCode,
    Next,
    Result,
    Send,
    Task,
    Throw,
)
from catena.wire.manifests import pack_entries
from tests.dispatch.ends import caller_and_hand, connected, declared, hand_and_sessions, opening
from tests.link.ends import Hand, settle
from tests.support import isolated, run

log: list[str] = []
ONE = pickler.dumps(1)


@pytest.fixture(autouse=True)
def _fresh_log() -> None:
    log.clear()


@catena.routine
async def one() -> int:
    """Return a number."""
    return 1


@catena.routine
async def waits() -> None:
    """Wait until cancelled."""
    try:
        await asyncio.Event().wait()
    finally:
        log.append("cancelled")


@catena.routine
async def numbers() -> Any:
    """Yield numbers."""
    try:
        for n in range(100):
            yield n
    finally:
        log.append("closed")


async def _refused(hand: Hand, task: asyncio.Future[Any]) -> ProtocolError:
    with pytest.raises(ProtocolError) as refused:
        await task
    return refused.value


# ---- what leaves


def test_two_frames_one_trip() -> None:
    """M7: a Task brings its first drive along, which carries the chain."""

    async def main() -> None:
        async with caller_and_hand() as (_, hand):
            task = asyncio.create_task(one())
            batch = codec.decode_message(await hand.transport.read()).frames
            assert [type(frame) for frame in batch] == [Task]
            (opened,) = batch
            assert opened.routine == declared(one).name
            assert (opened.proxy, opened.proxy_id) == (b"", b"")
            assert pickler.loads(opened.payload) == ((), {})
            entry = Entry(PROXY_KEY, EntryKind.VALUE, b"proxy", forward=True)
            assert opened.drive == Next(1, ChainManifest(b"", b"", pack_entries([entry]), base=1))
            await hand.send(Ack(1), Result(1, ONE))
            assert await task == 1

    run(main())


def test_a_callable_and_a_proxy_are_sent_once() -> None:
    """D3, P1: the second call names its routine and its proxy by their numbers."""

    async def main() -> None:
        async with caller_and_hand() as (_, hand):
            tasks: list[Any] = []
            drives: list[Any] = []
            for call in (1, 2):
                work = asyncio.create_task(one())
                tasks.append(await hand.frame())
                drives.append(await hand.frame())
                await hand.send(Ack(call), Result(call, ONE))
                await work
            first, second = tasks
            assert first.callable
            assert not second.callable
            assert first.function == second.function
            assert [bool(drive.manifest.entries) for drive in drives] == [True, False]
            assert [drive.manifest.base for drive in drives] == [1, 1]
            assert len(pickler.dumps(one)) < 100

    run(main())


def test_a_collected_stream_sends_cancel_and_nothing_else() -> None:
    """D2: a stream closed by garbage collection sends Cancel only; one that ended sends nothing."""

    async def main() -> None:
        async with caller_and_hand() as (_, hand):
            stream = numbers()
            step = asyncio.create_task(anext(stream))
            await hand.symbols(2)
            await hand.send(Ack(1), Result(1, ONE, None, "yield"))
            await step
            del stream, step
            gc.collect()
            assert await hand.frame() == Cancel(1)
            assert await hand.nothing()
            assert statistics().streams == 0
            never = numbers()
            del never
            gc.collect()
            assert await hand.nothing()

    run(main())


# ---- illegal frames, at the caller


@pytest.mark.parametrize(
    ("frames", "names"),
    [
        ([Result(1, ONE)], ("return", "next")),
        ([Ack(1), Ack(1)], ("ack", "ack")),
        ([Ack(1), Nack(1, NackCode.BUSY)], ("nack", "ack")),
        ([Ack(1), Result(1, ONE, None, "yield")], ("yield", "ack")),
        ([Ack(1), Cancel(1)], ("cancel", "ack")),
        ([Ack(1), Result(1, ONE, None, "return+")], ("return+", "ack")),
        ([Ack(1), Goodbye(1, "")], ("goodbye", "ack")),
    ],
    ids=lambda value: "-".join(value) if isinstance(value[0], str) else "",
)
def test_an_illegal_frame_ends_its_call_at_the_caller(
    frames: list[Frame], names: tuple[str, str]
) -> None:
    """M7: the error names both frames, the worker is told to stop, other calls go on."""

    async def main() -> None:
        async with caller_and_hand() as (caller, hand):
            bad, good = asyncio.create_task(waits()), asyncio.create_task(one())
            await hand.symbols(4)
            await hand.send(*frames)
            assert await hand.frame() == Cancel(1)
            error = await _refused(hand, bad)
            assert (error.frame, error.after) == names
            await hand.send(Ack(2), Result(2, ONE))
            assert await good == 1
            assert caller.link.up
            assert caller.open_calls == 0

    run(main())


async def _suspended(hand: Hand) -> Any:
    """Return a stream that has yielded once."""
    stream = numbers()
    step = asyncio.create_task(anext(stream))
    await hand.symbols(2)
    await hand.send(Ack(1), Result(1, ONE, None, "yield"))
    await step
    return stream


def test_a_yield_that_nobody_asked_for_ends_the_stream() -> None:
    """M7: an illegal frame between two steps is what the next step raises, with both names."""

    async def main() -> None:
        async with caller_and_hand() as (caller, hand):
            stream = await _suspended(hand)
            await hand.send(Result(1, ONE, None, "yield"))
            assert await hand.frame() == Cancel(1)
            error = await _refused(hand, asyncio.ensure_future(anext(stream)))
            assert (error.frame, error.after) == ("yield", "yield")
            with pytest.raises(StopAsyncIteration):
                await anext(stream)
            assert caller.link.up
            assert await hand.nothing()
            assert statistics().streams == 0

    run(main())


def test_an_illegal_frame_while_a_stream_closes_ends_the_call_alone() -> None:
    """M7: whatever the state, an illegal frame of a call is no reason to end the link."""

    async def main() -> None:
        async with caller_and_hand() as (caller, hand):
            stream = await _suspended(hand)
            step = asyncio.ensure_future(anext(stream))
            assert await hand.frame() == Next(1)
            step.cancel()
            assert await hand.frame() == Cancel(1)
            await hand.send(Result(1, ONE, None, "yield"))
            await hand.send(Ack(1))
            await asyncio.wait([step], timeout=5)
            assert caller.link.up
            assert caller.open_calls == 0

    run(main())


def test_a_frame_for_a_call_that_ended_is_dropped_and_told() -> None:
    """M7: what crossed the end is dropped and counted; what was never opened ends the link."""

    async def main() -> None:
        async with caller_and_hand() as (caller, hand):
            task = asyncio.create_task(one())
            await hand.symbols(2)
            await hand.send(Ack(1), Result(1, ONE))
            await task
            with recording(FrameDropped) as recorded:
                await hand.send(Result(1, ONE))
            assert recorded.events == [FrameDropped(1, "return")]
            assert caller.link.up
            await hand.send(Ack(2))
            assert not caller.link.up

    run(main())


# ---- illegal frames, at the worker


@pytest.mark.parametrize(
    ("frames", "names"),
    [
        ([Next(1)], ("next", "ack")),
        ([Send(1, ONE)], ("send", "ack")),
        ([Throw(1, ONE)], ("throw", "ack")),
        ([Cancel(1), Cancel(1)], ("cancel", "cancel")),
        ([Ack(1)], ("ack", "ack")),
        ([Task(1, 1, ONE)], ("task", "ack")),
        ([Goodbye(1, "")], ("goodbye", "ack")),
        ([Result(1, ONE)], ("return", "ack")),
        ([ExceptionFrame(1, ONE)], ("exception", "ack")),
    ],
    ids=lambda value: "-".join(value) if isinstance(value[0], str) else "",
)
def test_an_illegal_frame_ends_its_call_at_the_worker(
    frames: list[Frame], names: tuple[str, str]
) -> None:
    """M7: the caller is told both frames, the routine is cancelled, other calls go on."""

    async def main() -> None:
        async with hand_and_sessions() as (hand, sessions):
            await hand.send(*opening(1, waits))
            assert await hand.frame() == Ack(1)
            await hand.send(*frames)
            answer: Any = await hand.frame()
            assert type(answer) is ExceptionFrame
            error: Any = unpickle_exception(answer.payload)
            assert type(error) is ProtocolError
            assert (error.frame, error.after) == names
            assert declared(waits).name in "".join(error.__notes__)
            await settle()
            assert log == ["cancelled"]
            assert sessions.open_calls == 0
            await hand.send(*opening(2, one))
            assert await hand.symbols(2) == ["ack", "return"]

    run(main())


def test_an_illegal_drive_closes_a_suspended_generator() -> None:
    """M7: a stream that is broken off between steps is closed."""

    async def main() -> None:
        async with hand_and_sessions() as (hand, sessions):
            await hand.send(*opening(1, numbers))
            assert await hand.symbols(2) == ["ack", "yield"]
            await hand.send(Ack(1))
            assert (await hand.frame()).symbol == "exception"
            await settle()
            assert log == ["closed"]
            assert sessions.open_calls == 0

    run(main())


def test_a_used_id_ends_the_link() -> None:
    """M7: a call id that was open is never used again."""

    async def main() -> None:
        async with hand_and_sessions() as (hand, sessions):
            await hand.send(*opening(5, one))
            assert await hand.symbols(2) == ["ack", "return"]
            for frame in (Cancel(5), Next(5)):
                with recording(FrameDropped) as recorded:
                    await hand.send(frame)
                assert recorded.events == [FrameDropped(frame.call, frame.symbol)]
            assert sessions.link.up
            await hand.send(*opening(5, one))
            assert not sessions.link.up

    run(main())


@pytest.mark.parametrize("frame", [Next(9), Cancel(9), Send(9, ONE)], ids=lambda one: one.symbol)
def test_a_frame_for_a_call_that_was_never_opened_ends_the_link(frame: Frame) -> None:
    """M7: only what was open can have been crossed."""

    async def main() -> None:
        async with hand_and_sessions() as (hand, sessions):
            await hand.send(frame)
            assert not sessions.link.up

    run(main())


def test_a_drive_whose_chain_is_malformed_ends_its_call_alone() -> None:
    """M2: a malformed chain id is a ChainSerializationError of that call."""

    async def main() -> None:
        async with hand_and_sessions() as (hand, sessions):
            await hand.send(*opening(1, one, manifest=ChainManifest(b"short")))
            assert (await hand.frame()).symbol == "ack"
            answer: Any = await hand.frame()
            assert type(unpickle_exception(answer.payload)) is ChainSerializationError
            assert sessions.link.up

    run(main())


@isolated
def test_an_unreadable_chain_never_hides_an_exception() -> None:
    """M6: on an exception frame it joins the tail of the context; the class stays."""

    async def main() -> None:
        async with caller_and_hand() as (_, hand):
            task = asyncio.create_task(one())
            await hand.symbols(2)
            data = pickle_exception(KeyError("k"), worker="w", routine="r")
            await hand.send(Ack(1), ExceptionFrame(1, data, ChainManifest(b"short")))
            with pytest.raises(KeyError) as raised:
                await task
            assert type(raised.value.__context__) is ChainSerializationError

    run(main())


# ---- nacks


def test_unknown_resends_the_whole() -> None:
    """D7: what a worker has forgotten is sent again with its body, and the call succeeds."""

    async def main() -> None:
        async with connected() as ends:
            assert await one() == 1
            ends.sessions.functions.clear()
            with recording(CallNacked) as recorded:
                assert await one() == 1
            assert recorded.events == [CallNacked(declared(one).name, "far", "UNKNOWN")]
            ends.sessions._states.clear()
            assert await one() == 1
            assert len(ends.sessions._states.roots) == 1
            assert ends.caller.open_calls == ends.sessions.open_calls == 0

    run(main())


class _Unloadable:
    def __init__(self, error: type[BaseException]) -> None:
        self.error = error

    def __reduce__(self) -> Any:
        return _explode, (self.error,)


def _explode(error: type[BaseException]) -> None:
    raise error("no module named elsewhere")


def _unloadable(error: type[BaseException]) -> Any:
    held = _Unloadable(error)

    @catena.routine
    async def held_back() -> Any:
        return held

    return held_back


def test_unloadable_names_worker_and_cause() -> None:
    """D5: a callable that does not load is a SerializationError with the worker and the reason."""

    async def main() -> None:
        async with connected() as ends:
            for _ in range(2):
                with pytest.raises(SerializationError) as refused:
                    await _unloadable(ImportError)()
                error = refused.value
                assert (error.what, error.worker, error.doing) == ("the code", "far", "loaded")
                assert "held_back" in error.routine
                assert error.cause == "ImportError: no module named elsewhere"
            assert await one() == 1
            assert ends.caller.open_calls == ends.sessions.open_calls == 0

    run(main())


def test_a_module_that_exits_when_imported_is_a_refusal() -> None:
    """D5: code that calls sys.exit() while it is loaded is refused; the worker lives on."""

    async def main() -> None:
        async with hand_and_sessions() as (_, sessions):
            answer = sessions.admit_call(opening(1, _unloadable(SystemExit))[0], None)
            assert isinstance(answer, Nack)
            assert answer.code is NackCode.UNLOADABLE
            assert "SystemExit" in answer.text

    run(main())


def test_a_callable_that_is_no_routine_is_a_refusal() -> None:
    """D5: whatever else is in the callable's place is refused by name."""

    async def main() -> None:
        async with hand_and_sessions() as (hand, _):
            await hand.send(Task(1, 1, ONE, "x", False, pickler.dumps(len)), Next(1))
            nack: Any = await hand.frame()
            assert nack.code is NackCode.UNLOADABLE
            assert "is not a routine" in nack.text

    run(main())


def test_draining_goes_to_another_worker() -> None:
    """D7: a Nack proves that the call did not begin, so another worker takes it."""

    async def main() -> None:
        async with caller_and_hand(2) as (first, hand, second, other):
            task = asyncio.create_task(one())
            assert await hand.symbols(2) == ["task", "next"]
            await hand.send(Nack(1, NackCode.DRAINING))
            assert await other.symbols(2) == ["task", "next"]
            await other.send(Ack(1), Result(1, ONE))
            assert await task == 1
            assert not first.usable
            assert second.usable
            again = asyncio.create_task(one())
            assert await other.symbols(2) == ["task", "next"]
            await other.send(Ack(2), Result(2, ONE))
            await again

    run(main())


def test_a_draining_worker_finishes_what_it_has() -> None:
    """P11: a draining worker refuses new tasks and goes on with old calls."""

    async def main() -> None:
        async with hand_and_sessions() as (hand, sessions):
            await hand.send(*opening(1, numbers))
            assert await hand.symbols(2) == ["ack", "yield"]
            sessions.draining = True
            await hand.send(*opening(2, one))
            assert await hand.frame() == Nack(2, NackCode.DRAINING)
            await hand.send(Next(1))
            assert (await hand.frame()).symbol == "yield"

    run(main())


def test_a_worker_that_said_goodbye_gets_no_more_calls() -> None:
    """D7: after Goodbye calls under way go on, and new ones go elsewhere."""

    async def main() -> None:
        async with caller_and_hand(2) as (_, hand, _second, other):
            task = asyncio.create_task(one())
            await hand.symbols(2)
            await hand.send(Goodbye(0, "stopping"))
            for n in (1, 2):
                work = asyncio.create_task(one())
                assert await other.symbols(2) == ["task", "next"]
                await other.send(Ack(n), Result(n, ONE))
                await work
            await hand.send(Ack(1), Result(1, ONE))
            assert await task == 1

    run(main())


def test_refusals_without_end_are_worker_lost() -> None:
    """D7: a worker that refuses every attempt is an error, never a loop without end."""

    async def main() -> None:
        async with caller_and_hand() as (_, hand):
            task = asyncio.create_task(one())
            attempts = 0
            while not task.done():
                if not await hand.nothing():
                    assert await hand.symbols(2) == ["task", "next"]
                    attempts += 1
                    await hand.send(Nack(attempts, NackCode.UNKNOWN))
            with pytest.raises(WorkerLost) as lost:
                await task
            assert lost.value.begun is False
            assert 1 < attempts < 1000

    run(main())


# ---- a lost link


@pytest.mark.parametrize(("acked", "begun"), [(False, None), (True, True)])
def test_a_lost_link_fails_its_calls_at_once(acked: bool, begun: bool | None) -> None:
    """D7: WorkerLost names worker and routine, and says whether the call had begun."""

    async def main() -> None:
        async with caller_and_hand() as (caller, hand):
            task = asyncio.create_task(one())
            await hand.symbols(2)
            if acked:
                await hand.send(Ack(1))
            await hand.transport.close()
            with pytest.raises(WorkerLost) as lost:
                await task
            assert lost.value.begun is begun
            assert (lost.value.worker, lost.value.routine) == ("w1", declared(one).name)
            assert caller.open_calls == 0
            assert not caller.usable

    run(main())


def test_a_link_that_ends_while_a_call_waits_for_room_fails_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """D7: a call that waited for a congested link is not sent into a dead one, to wait for ever."""
    monkeypatch.setattr(congestion, "HIGH_WATER", 10)

    async def main() -> None:
        async with caller_and_hand(2) as (caller, _, _other, other_hand):
            caller.link.send(Result(0, b"x" * 1000))
            work = asyncio.ensure_future(one())
            while not caller.link._congestion.waiting:
                await asyncio.sleep(0)
            caller.link.fail(ConnectionError("gone"))
            assert await other_hand.symbols(2) == ["task", "next"]
            await other_hand.send(Ack(1), Result(1, ONE))
            assert await work == 1

    run(main())
