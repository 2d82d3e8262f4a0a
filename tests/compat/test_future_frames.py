"""A later release speaks to this one: what later releases may rely on from 0.1.0 on."""

from __future__ import annotations

import asyncio
import time
import warnings
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from typing import Any

import pytest

import catena
from catena.errors import SerializationWarning, VersionRefused
from catena.events import Dispatch, Execution, FrameDropped
from catena.events.kept import Refusal
from catena.link.link import Link
from catena.link.memory import make_pair
from catena.pickling import pickler
from catena.remote_exceptions.pickled import unpickle_exception
from catena.testing import recording
from catena.transfer.manifest import NO_CHAIN, ChainManifest, Entry, EntryKind
from catena.wire import codec, frames, status, versions
from catena.wire.frames import Ack, Frame, Hello, Next, Result, Task
from catena.wire.manifests import unpack_entries
from catena.wire.v1 import catena_pb2 as pb
from tests.compat.future import (
    CANCEL,
    DECLINE,
    EXCEPTION,
    GOODBYE,
    HELLO,
    MADE,
    MEMBERS,
    NACK,
    NEXT,
    OFFER,
    PIECE,
    PING,
    PONG,
    RESULT,
    SEND,
    STREAM,
    TASK,
    THROW,
    WANT,
    data,
    frame,
    later,
    message,
    number,
)
from tests.dispatch.ends import Through, caller_and_hand, hand_and_sessions
from tests.link.ends import Hand, Listener, link_and_hand, settle
from tests.support import run

SECOND = 1_000_000_000
ID, PARENT, POOL = b"i" * 16, b"p" * 16, b"o" * 16
color = catena.ContextVar[str]("color", namespace="tests.future", default="none")
shape = catena.ContextVar[str]("shape", namespace="tests.future", default="none")
tenant = catena.ContextVar[str](
    "tenant", namespace="tests.future", default="none", propagate="forward"
)
log: list[str] = []


@pytest.fixture(autouse=True)
def _fresh_log() -> None:
    log.clear()


@catena.routine
async def look() -> tuple[str, str, str]:
    """Return what the three variables are."""
    log.append("look")
    return color.get(), shape.get(), tenant.get()


@catena.routine
async def look_further() -> tuple[str, str, str]:
    """Ask another worker."""
    return await look()


@catena.routine
async def paint() -> None:
    """Set the color."""
    color.set("painted")


@catena.routine
async def looks() -> AsyncGenerator[tuple[str, str, str], None]:
    """Yield what the variables are, at each step."""
    while True:
        yield color.get(), shape.get(), tenant.get()


@catena.routine
async def sleeps() -> None:
    """Sleep until cancelled, and note with what."""
    log.append("sleeps")
    try:
        await asyncio.sleep(30)
    except asyncio.CancelledError as cancelled:
        log.append(repr(cancelled.args))
        raise


def hello_of(major: int = 1, *, secret: bytes = b"", boot: str = "") -> bytes:
    """Return a message with the Hello of a later release."""
    fields = (
        number(1, major),
        number(2, 99),
        data(3, "9.9.9"),
        *(data(4, one) for one in ("teleport", "delta")),
        data(5, "later"),
        number(6, 4711),
        data(7, boot),
        *(data(8, one) for one in ("gpu", "")),
        data(9, secret),
    )
    return message(frame(0, HELLO, data(11, later("Hello", *fields))))


def entry(
    name: str,
    value: object,
    kind: int = 1,
    policy: int = 0,
    raw: bytes = b"",
    default: bytes = b"",
) -> bytes:
    """Return an Entry of a variable of this module."""
    fields = (
        data(1, "tests.future"),
        data(2, name),
        number(3, kind),
        data(4, raw or pickler.dumps(value)),
        number(5, policy),
        data(6, default) if default else b"",
    )
    return data(1, later("Entry", *fields))


def manifest(
    *some: bytes, chain_id: bytes = ID, delta: bool = False, base: int = 0, name: int = 0
) -> bytes:
    """Return the field of a frame that holds a manifest with these entries."""
    fields = (
        data(1, chain_id),
        number(3, delta),
        data(4, later("Entries", *some)),
        data(5, later("Ledgers", data(1, b"s" * 18), data(2, b"l" * 18))) if chain_id else b"",
        number(7, base),
        number(8, name),
    )
    return data(4, later("Manifest", *fields))


def opening(call: int, routine: Any, *fields: bytes, times: bytes = b"", kind: int = TASK) -> bytes:
    """Return the frame that opens a call of a routine without arguments, and drives it."""
    task = later(
        "Task",
        data(1, pickler.dumps(routine)),
        data(2, "a routine"),
        data(3, b"how to reach the pool"),
        data(4, POOL),
        number(6, 5),
        times,
    )
    payload = pickler.dumps(((), {}))
    return frame(
        call,
        kind,
        data(3, payload),
        number(7, call),
        data(8, POOL),
        data(9, task),
        number(14, 1),
        *fields,
    )


# ---- Hello


def test_hello_is_answered_by_what_both_are_capable_of() -> None:
    """V1: a later minor version may be capable of more, and say more of itself."""

    async def main() -> None:
        near, far = make_pair()
        await far.write(hello_of(secret=b"of the pool", boot=versions.read_boot()))
        link = Link(near, "near", secret=b"of the pool")
        await link.exchange_hello(first=False)
        answer = await Hand(far).frame()
        assert isinstance(answer, Hello)
        assert answer.capabilities == ("delta",)
        assert link.capabilities == {"delta"}
        assert link.peer is not None
        assert (link.peer.peer, link.peer.pid, link.peer.tags) == ("later", 4711, ("gpu", ""))
        assert link.protocol == "1.99"
        assert link.same_boot == bool(versions.read_boot())

    run(main())


def test_another_boot_is_another_clock() -> None:
    """V1, P14: two processes share a clock only where both name the same boot."""

    async def main() -> None:
        near, far = make_pair()
        await far.write(hello_of(boot="of another machine"))
        link = Link(near, "near")
        await link.exchange_hello(first=False)
        assert not link.same_boot

    run(main())


def test_another_major_is_refused_before_anything_else_is_read() -> None:
    """V1: what comes behind its Hello stays in the stream, whatever it is."""

    async def main() -> None:
        near, far = make_pair()
        await far.write(hello_of(2))
        await far.write(message(opening(1, look)))
        with pytest.raises(VersionRefused, match=r"2\.99"):
            await Link(near, "near").exchange_hello(first=False)
        assert near.messages.qsize() == 1

    run(main())


# ---- unknown fields and kinds

CHAIN = ChainManifest(
    ID,
    entries=later("Entries", entry("color", "red")),
    spent=(b"s" * 18,),
    live=(b"l" * 18,),
    carrier={"a": "1", "": ""},
)
_CARRIER = later("Carrier", data(1, data(1, "a") + data(2, "1")), data(1, data(1, "")))
_CHAINED = (data(3, b"value"), manifest(entry("color", "red")), data(15, _CARRIER))

KINDS: dict[str, tuple[bytes, Frame]] = {
    "task": (
        frame(
            5,
            TASK,
            data(3, b"arguments"),
            number(7, 2),
            data(8, POOL),
            number(14, 1),
            data(9, later("Task", data(1, b"c"), data(2, "r"), data(3, b"p"), number(5, 9))),
        ),
        frames.Task(5, 2, b"arguments", "r", False, b"c", b"p", POOL, Next(5), 9),
    ),
    "stream": (frame(5, STREAM), frames.Task(5, 0, b"", stream=True)),
    "next": (frame(5, NEXT, *_CHAINED[1:]), Next(5, CHAIN)),
    "send": (frame(5, SEND, *_CHAINED), frames.Send(5, b"value", CHAIN)),
    "throw": (frame(5, THROW, *_CHAINED), frames.Throw(5, b"value", CHAIN)),
    "cancel": (
        frame(5, CANCEL, data(17, later("Cancel", data(1, "why")))),
        frames.Cancel(5, "why"),
    ),
    "nack": (
        frame(5, NACK, data(10, later("Nack", number(1, 99), data(2, "why")))),
        frames.Nack(5, frames.NackCode.UNSPECIFIED, "why"),
    ),
    "result": (
        frame(5, RESULT, *_CHAINED, number(5, 1), number(6, 1)),
        Result(5, b"value", CHAIN, "yield+"),
    ),
    "exception": (frame(5, EXCEPTION, *_CHAINED), frames.ExceptionFrame(5, b"value", CHAIN)),
    "goodbye": (
        frame(0, GOODBYE, data(12, later("Goodbye", data(1, "tired")))),
        frames.Goodbye(0, "tired"),
    ),
    "piece": (
        frame(5, PIECE, data(13, later("Piece", number(1, 3), data(2, b"x"), number(4, 9)))),
        frames.Piece(5, 3, b"x", False, 9),
    ),
    "ping": (frame(0, PING, data(18, later("Ping", number(1, 7)))), frames.Ping(0, 7)),
    "pong": (frame(0, PONG, data(18, later("Ping", number(1, 7)))), frames.Pong(0, 7)),
    "want": (frame(0, WANT, data(19, later("Slots", number(1, 2)))), frames.Want(0, 2)),
    "offer": (frame(0, OFFER, data(19, later("Slots", number(1, 2)))), frames.Offer(0, 2)),
    "decline": (frame(0, DECLINE, data(19, later("Slots", number(1, 2)))), frames.Decline(0, 2)),
    "members": (frame(0, MEMBERS, data(3, b"proxy")), frames.Members(0, b"proxy")),
    "unknown": (frame(5, 99, data(3, b"value")), frames.Unknown(5)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_unknown_fields_change_nothing_in_any_frame(kind: str) -> None:
    """V2: a frame of a later release is read as far as it is understood."""
    raw, expected = KINDS[kind]
    assert codec.decode_message(message(raw, acks=b"\x03")).frames == [Ack(3), expected]
    assert codec.decode_frame(raw) == expected


def test_unknown_fields_change_nothing_in_a_proxy() -> None:
    """V2: how to reach a pool is read by workers of another release."""
    tags = (data(4, one) for one in ("gpu", "", "bell\a"))
    member = later("Proxy.Member", data(1, "w1"), data(2, "unix:/w1"), *tags)
    proxy = later("Proxy", data(1, POOL), data(2, member))
    read = codec.MemberFacts("w1", "unix:/w1", tags=frozenset({"gpu"}))
    assert codec.decode_proxy(proxy) == (POOL, (read,), 0, 0)


def test_unknown_fields_change_nothing_in_what_operators_ask() -> None:
    """V2: an operator and a worker may be of different releases."""
    asked = status.encode_ask()
    assert pb.AskRequest.FromString(later("AskRequest")).ByteSize() >= len(asked)
    assert status.decode_stop(later("StopRequest", number(1, 1)))
    fields = (
        data(1, "w1"),
        data(2, "/w1.sock"),
        number(3, 99),
        number(4, 4711),
        number(6, 1),
        number(7, 9),
        data(8, "9.9.9"),
        data(9, "teleport"),
        data(10, "gpu"),
        *(number(field, field) for field in range(11, 16)),
        data(16, later("Refusal", *map(data, range(1, 5), ("Cursed", "w1", "bob", "why")))),
        data(17, later("Peer", data(1, "bob"), number(2, 7), number(4, 9), data(5, "9.9.8"))),
    )
    read = status.WorkerStatus(
        *("w1", "/w1.sock", "unknown", 4711, 0.0, (1, 9), "9.9.9"),
        *(("teleport",), ("gpu",), 11, 12, 13, 14, 15),
        (Refusal("Cursed", "w1", "bob", "why", 0, 0.0),),
        (status.LinkedPeer("bob", 7, (0, 9), "9.9.8"),),
    )
    message = later("Status", *fields)
    assert status.decode_status(message) == read
    answer = status.decode_answer(later("StopReply", data(1, "not now"), data(2, message)))
    assert answer == ("not now", read)


def test_no_message_of_the_proto_is_left_out() -> None:
    """V2: a message that the proto gets later has to be made here, too."""
    hello_of()
    test_unknown_fields_change_nothing_in_a_proxy()
    test_unknown_fields_change_nothing_in_what_operators_ask()
    names = {*pb.DESCRIPTOR.message_types_by_name, "Proxy.Member"}
    assert names == MADE


def test_an_unknown_frame_of_the_link_is_dropped_and_announced() -> None:
    """V2: what a later release says beside its calls ends nothing."""

    async def main() -> None:
        link, hand = await link_and_hand()
        listener = Listener()
        link.start(listener)
        with recording(FrameDropped) as recorded:
            hand.message(message(frame(0, 99, data(3, b"value")), frame(4, NEXT)))
            await settle()
        assert recorded.events == [FrameDropped(0, "unknown")]
        assert listener.frames == [Next(4)]
        await link.close()

    run(main())


def test_a_ping_is_answered_by_its_number() -> None:
    """V2: who asks whether the link is there is answered; an answer counts by its coming."""

    async def main() -> None:
        link, hand = await link_and_hand()
        link.start(Listener())
        for n in (7, 2**64 - 1):
            hand.message(message(frame(0, PING, data(18, later("Ping", number(1, n))))))
            assert await hand.frame() == frames.Pong(0, n)
        before = link.heard_at
        with recording(FrameDropped) as recorded:
            hand.message(message(KINDS["pong"][0]))
            await settle()
        assert link.heard_at > before
        assert recorded.events == []
        assert await hand.nothing()
        await link.close()

    run(main())


# ---- calls


async def _answers(hand: Hand, count: int = 2) -> list[Any]:
    """Return the next frames, the first of which is the Ack."""
    some = [await hand.frame() for _ in range(count)]
    assert isinstance(some[0], Ack)
    return some


def test_a_call_of_a_later_release_is_answered() -> None:
    """V2: its Task, its chain and its carrier bring fields that nobody knows, and it runs."""

    async def main() -> None:
        async with hand_and_sessions(Through()) as (hand, _):
            hand.message(message(opening(1, look, manifest(entry("color", "red")))))
            _, answer = await _answers(hand)
            assert pickler.loads(answer.payload) == ("red", "none", "none")

    run(main())


def test_a_cancel_says_why() -> None:
    """V2: the text of a Cancel is what the routine is cancelled with."""

    async def main() -> None:
        async with hand_and_sessions(Through()) as (hand, _):
            hand.message(message(opening(1, sleeps)))
            assert await hand.symbols(1) == ["ack"]
            while not log:
                await asyncio.sleep(0)
            hand.message(message(frame(1, CANCEL, data(17, later("Cancel", data(1, "too late"))))))
            answer: Any = await hand.frame()
            assert unpickle_exception(answer.payload).args == ("too late",)
            assert log == ["sleeps", "('too late',)"]

    run(main())


def test_the_time_since_a_call_was_made_counts() -> None:
    """V2, P14: a Task that lay in the socket for longer than it may run does not start."""

    async def main() -> None:
        async with hand_and_sessions(Through()) as (hand, _):
            made = time.monotonic_ns() - 2 * SECOND
            hand.message(message(opening(1, look, times=number(5, SECOND) + number(8, made))))
            _, answer = await _answers(hand)
            assert isinstance(unpickle_exception(answer.payload), TimeoutError)
            assert log == []

    run(main())


# ---- chains


VALUES = {
    "a value": pickler.dumps("of a later release"),
    "a list": pickler.dumps(["of a later release"]),
    # A module that is not here, which only a later release has.
    "of a class that is not here": b"ccatena_of_a_later_release\nValue\n.",
    "no pickle": b"\xff\x00 another serializer",
}


@asynccontextmanager
async def middle() -> AsyncIterator[tuple[Hand, Hand]]:
    """Yield the hands of a caller and of a worker, between which a worker calls on."""
    async with (
        caller_and_hand() as (caller, next_hand),
        hand_and_sessions(Through(caller)) as (hand, _),
    ):
        yield hand, next_hand


def _sent_of(drive: Any) -> dict[str, Entry]:
    return {one.key[1]: one for one in unpack_entries(drive.manifest.entries)}


@pytest.mark.parametrize("kind", VALUES)
def test_variables_that_nobody_declared_go_on_to_nested_calls(kind: str) -> None:
    """V2: a worker that does not know a key keeps its value, and hands it on as it came."""
    value = VALUES[kind]
    some = (entry("color", "red"), entry(f"later {kind}", None, raw=value, default=value))

    async def main() -> None:
        async with middle() as (hand, next_hand):
            # As a state that gets a number, which the next call builds on.
            for call, chain in enumerate((manifest(*some, name=1), manifest(base=1)), 1):
                hand.message(message(opening(call, look_further, chain)))
                task = await next_hand.frame()
                if not isinstance(task, Task):
                    task = await next_hand.frame()
                drive: Any = await next_hand.frame()
                sent = _sent_of(drive).get(f"later {kind}")
                if sent is not None or call == 1:
                    assert sent is not None
                    assert (sent.kind, sent.value, sent.default) == (EntryKind.VALUE, value, value)
                else:
                    assert drive.manifest.base
                answer = Result(task.call, pickler.dumps(("a", "b", "c")))
                await next_hand.send(Ack(task.call), answer)
                _, last = await _answers(hand)
                assert pickler.loads(last.payload) == ("a", "b", "c")
                assert last.manifest is None or last.manifest.entries == b""

    with warnings.catch_warnings():
        warnings.simplefilter("error", SerializationWarning)
        run(main())


@pytest.mark.parametrize("kind", VALUES)
def test_variables_that_nobody_declared_come_back_from_nested_calls(kind: str) -> None:
    """V2: what a worker of a later release sets reaches the caller that knows it."""
    value = VALUES[kind]

    async def main() -> None:
        async with middle() as (hand, next_hand):
            hand.message(message(opening(1, look_further, manifest(entry("color", "red")))))
            task: Any = await next_hand.frame()
            drive: Any = await next_hand.frame()
            brought = later("Entries", entry(f"set {kind}", None, raw=value))
            chain = ChainManifest(drive.manifest.chain_id, entries=brought, whole=False)
            answer = Result(task.call, pickler.dumps(("a", "b", "c")), chain)
            await next_hand.send(Ack(task.call), answer)
            _, last = await _answers(hand)
            assert _sent_of(last)[f"set {kind}"].value == value

    with warnings.catch_warnings():
        warnings.simplefilter("error", SerializationWarning)
        run(main())


@pytest.mark.parametrize("observed", [False, True])
def test_a_carrier_goes_on_to_nested_calls(observed: bool) -> None:
    """V2: also where nobody observes, or somebody who knows nothing of carriers."""

    async def main() -> None:
        async with middle() as (hand, next_hand):
            with recording(Dispatch) if observed else nullcontext():
                for call, chain in ((1, manifest(entry("color", "red"))), (2, data(4, b""))):
                    hand.message(message(opening(call, look_further, chain, data(15, _CARRIER))))
                    await _answer_nested(next_hand, {"a": "1", "": ""})
                    await _answers(hand)
                hand.message(message(opening(3, look_further)))
                await _answer_nested(next_hand, {})

    run(main())


async def _answer_nested(hand: Hand, carrier: dict[str, str]) -> None:
    """Answer the next call, which came with a carrier."""
    task: Any = await hand.frame()
    if not isinstance(task, Task):
        task = await hand.frame()
    drive: Any = await hand.frame()
    assert dict((drive.manifest or NO_CHAIN).carrier) == carrier
    await hand.send(Ack(task.call), Result(task.call, pickler.dumps(("a", "b", "c"))))


def test_a_carrier_arrives_as_it_was_sent() -> None:
    """V2: whatever a propagator of a later release writes, the listener there reads."""
    carrier = {"a": "1", "": ""}

    async def main() -> None:
        async with hand_and_sessions(Through()) as (hand, _):
            with recording(Execution) as recorded:
                hand.message(message(opening(1, look, manifest(), data(15, _CARRIER))))
                await _answers(hand)
            assert [dict(one.served.carrier) for one in recorded.of(Execution)] == [carrier]

    run(main())


def test_a_manifest_is_whole_or_says_what_changed() -> None:
    """V2: what a whole manifest does not mention is unbound, and what a delta does not stays."""

    async def main() -> None:
        async with hand_and_sessions(Through()) as (hand, _):
            both = manifest(entry("color", "red"), entry("shape", "round"))
            changed = manifest(entry("color", "blue"), delta=True)
            whole = manifest(entry("color", "green"))
            hand.message(message(opening(1, looks, both, kind=STREAM)))
            seen = [(await _answers(hand))[1]]
            for one in (changed, whole):
                hand.message(message(frame(1, NEXT, one)))
                seen.append(await hand.frame())
            assert [pickler.loads(one.payload)[:2] for one in seen] == [
                ("red", "round"),
                ("blue", "round"),
                ("green", "none"),
            ]
            hand.message(message(frame(1, CANCEL)))
            await hand.frame()

    run(main())


def test_the_kinds_of_entries_that_are_known_and_one_that_is_not() -> None:
    """V2: what a later kind of entry says of a variable is lost here; the others are not."""
    block = later("Entries", *(entry("color", "red", kind) for kind in (1, 2, 3, 0, 99)))
    kinds = [one.kind for one in unpack_entries(block)]
    lost = EntryKind.LOST
    assert kinds == [EntryKind.VALUE, EntryKind.RESET, lost, lost, lost]

    async def main() -> None:
        async with hand_and_sessions(Through()) as (hand, _):
            some = manifest(entry("color", "red"), entry("shape", "round", kind=99))
            hand.message(message(opening(1, look, some)))
            _, answer = await _answers(hand)
            assert pickler.loads(answer.payload) == ("red", "none", "none")

    run(main())


def test_an_unknown_policy_is_that_of_a_plain_variable() -> None:
    """V2: a variable whose policy nobody knows goes there and comes back."""
    block = later("Entries", *(entry("color", "red", policy=one) for one in (0, 1, 77)))
    assert [one.forward for one in unpack_entries(block)] == [False, True, False]

    async def main() -> None:
        async with hand_and_sessions(Through()) as (hand, _):
            hand.message(message(opening(1, paint, manifest(entry("color", "red", policy=77)))))
            _, answer = await _answers(hand)
            (back,) = unpack_entries(answer.manifest.entries)
            assert back.key == color.key
            assert pickler.loads(back.value) == "painted"

    run(main())


def test_a_call_without_a_chain_may_bring_a_value_that_only_goes_there() -> None:
    """V2: an empty chain id arms nothing, and binds the entries of policy forward alone."""

    async def main() -> None:
        async with hand_and_sessions(Through()) as (hand, _):
            some = (entry("tenant", "acme", policy=1), entry("color", "red"))
            hand.message(message(opening(1, look, manifest(*some, chain_id=b""))))
            _, answer = await _answers(hand)
            assert pickler.loads(answer.payload) == ("none", "none", "acme")
            assert answer.manifest is None

    run(main())
