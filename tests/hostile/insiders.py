"""Peers that may call and have said hello, and what they send besides: the link goes on.

Each visit of ``VISITS`` is given its link, sends what it sends, takes the answers that it has to
get, and says which events the worker has to announce. Raises AssertionError where that is not so.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from catena.pickling import pickler
from catena.transfer.manifest import ChainManifest, Entry, EntryKind
from catena.wire import codec, manifests
from catena.wire.frames import (
    Cancel,
    Decline,
    ExceptionFrame,
    Nack,
    NackCode,
    Offer,
    Ping,
    Result,
    Send,
    Task,
)
from catena.wire.v1 import catena_pb2 as pb
from tests.hostile.limits import limit
from tests.hostile.peer import Peer
from tests.hostile.routines import INSIDER

__all__ = ["VISITS", "Visit"]

Visit = Callable[[Peer], Awaitable[None]]

VISITS: dict[str, Visit] = {}
"""What each does, by its name."""

_SESSIONS = "dispatch.worker.sessions"
_CALLS: int = limit(_SESSIONS, "CALL_LIMIT")
_FUNCTIONS: int = limit("dispatch.worker.session", "FUNCTIONS")[0]
_ENTRIES: int = limit("transfer.decode", "ENTRY_LIMIT")
_STUBS: int = limit("transfer.decode", "STUB_LIMIT")
_VALUE: int = limit("transfer.decode", "VALUE_LIMIT")
_PROXY: int = limit("dispatch.worker.restoring", "PROXY_LIMIT")
_UNKNOWN_KIND = 99


def _visit(title: str) -> Callable[[Visit], Visit]:
    def keep(visit: Visit) -> Visit:
        VISITS[title] = visit
        return visit

    return keep


async def _be_nacked(peer: Peer, task: Task, code: NackCode) -> None:
    """Send a call, and have it refused before it begins."""
    await peer.send(task)
    (nack,) = await peer.symbols("nack")
    assert isinstance(nack, Nack)
    assert nack.code is code, f"{peer.name}: {nack}"
    peer.expect(f"CallRefused {code.name}")


async def _fail_begun(peer: Peer, task: Task) -> None:
    """Send a call that begins, and fails."""
    await peer.send(task)
    await peer.symbols("ack", "exception")


def _chain(peer: Peer, *entries: Entry) -> ChainManifest:
    return ChainManifest(peer.random.randbytes(16), entries=manifests.pack_entries(entries))


def _entries(peer: Peer, many: int, value: bytes = INSIDER) -> list[Entry]:
    """Return so many entries of variables that nobody declares, new ones each time."""
    first = peer.random.randrange(1 << 40)
    return [
        Entry(("tests.hostile", f"v{first + number}"), EntryKind.VALUE, value)
        for number in range(many)
    ]


# ---- calls that are refused


@_visit("a routine that cannot be loaded")
async def _unloadable(peer: Peer) -> None:
    await _be_nacked(peer, peer.call(callable=INSIDER), NackCode.UNLOADABLE)


@_visit("a routine that is no pickle")
async def _no_routine(peer: Peer) -> None:
    noise = peer.random.randbytes(peer.random.randint(1, 200))
    await _be_nacked(peer, peer.call(callable=b"\x80\x05" + noise + b"\xff"), NackCode.UNLOADABLE)


@_visit("a routine that nobody has sent")
async def _unknown(peer: Peer) -> None:
    number = peer.random.randint(1 << 20, 1 << 31)
    await _be_nacked(peer, peer.call(callable=b"", function=number), NackCode.UNKNOWN)


@_visit("a coroutine that is called a stream")
async def _other_kind(peer: Peer) -> None:
    await _be_nacked(peer, peer.call(stream=True), NackCode.UNLOADABLE)


@_visit("a proxy that is too long")
async def _long_proxy(peer: Peer) -> None:
    id = peer.random.randbytes(16)
    task = peer.call(proxy=b"\x0a\x02" * _PROXY, proxy_id=id)
    await _be_nacked(peer, task, NackCode.UNLOADABLE)


@_visit("the id of a proxy that is too long")
async def _long_id(peer: Peer) -> None:
    task = peer.call(proxy=b"", proxy_id=peer.random.randbytes(99))
    await _be_nacked(peer, task, NackCode.UNLOADABLE)


@_visit("a flood of calls")
async def _flood(peer: Peer) -> None:
    """Those beyond the limit are refused, the others go on until they are cancelled."""
    calls = [peer.call("wait_long") for _ in range(_CALLS + 4)]
    await peer.send(*calls)
    found = [(await peer.frame()).symbol for _ in calls]
    assert found.count("nack") == 4, f"{peer.name}: {found}"
    peer.expect("CallRefused BUSY", 4)
    running = calls[:_CALLS]
    await peer.send(*(Cancel(one.call) for one in running))
    await peer.symbols(*["exception"] * len(running))


@_visit("a flood of routines")
async def _functions(peer: Peer) -> None:
    """The worker keeps so many, and asks again for one that it has forgotten."""
    calls = [peer.call() for _ in range(_FUNCTIONS + 1)]
    for one in calls:
        await peer.send(one)
        await peer.symbols("ack", "return")
    first = peer.call(callable=b"", function=calls[0].function)
    await _be_nacked(peer, first, NackCode.UNKNOWN)


@_visit("a flood of ways to pools")
async def _pools(peer: Peer) -> None:
    for _ in range(8):
        id = peer.random.randbytes(16)
        await peer.send(peer.call(proxy=codec.encode_proxy(id, ()), proxy_id=id))
        await peer.symbols("ack", "return")


# ---- calls that begin and fail, or go on with less


@_visit("arguments that do not open")
async def _no_arguments(peer: Peer) -> None:
    await _fail_begun(peer, peer.call(payload=b"\x80" + peer.random.randbytes(20)))
    peer.expected["SerializationFailed"] += 1


@_visit("arguments that are no call")
async def _other_arguments(peer: Peer) -> None:
    await _fail_begun(peer, peer.call(payload=pickler.dumps(peer.random.random())))
    peer.expected["SerializationFailed"] += 1


@_visit("too many keys")
async def _keys(peer: Peer) -> None:
    chain = _chain(peer, *_entries(peer, _ENTRIES + 1))
    await _fail_begun(peer, peer.call(manifest=chain))
    peer.expected["SerializationFailed"] += 1


@_visit("keys that nobody declares")
async def _undeclared(peer: Peer) -> None:
    """Those beyond the limit are lost, one by one; the call goes on."""
    chain = _chain(peer, *_entries(peer, _STUBS + 2))
    await peer.send(peer.call(manifest=chain))
    await peer.symbols("ack", "return")
    peer.expected["EntryLost"] += 2


@_visit("a value that is too long")
async def _long_value(peer: Peer) -> None:
    chain = _chain(peer, *_entries(peer, 1, INSIDER + b"x" * _VALUE))
    await peer.send(peer.call(manifest=chain))
    await peer.symbols("ack", "return")
    peer.expected["EntryLost"] += 1


@_visit("entries that do not parse")
async def _no_entries(peer: Peer) -> None:
    chain = ChainManifest(peer.random.randbytes(16), entries=b"\xff" + peer.random.randbytes(30))
    await _fail_begun(peer, peer.call(manifest=chain))
    peer.expected["SerializationFailed"] += 1


# ---- frames that end their call


async def _end_call(peer: Peer) -> None:
    (error,) = await peer.symbols("exception")
    assert isinstance(error, ExceptionFrame)
    peer.expect("ProtocolBroken call")


@_visit("a number that is in use")
async def _colliding(peer: Peer) -> None:
    task = peer.call("wait_long")
    await peer.send(task)
    await peer.symbols("ack")
    await peer.send(task)
    await _end_call(peer)


@_visit("a frame out of its turn")
async def _out_of_turn(peer: Peer) -> None:
    task = peer.call("wait_long")
    await peer.send(task)
    await peer.symbols("ack")
    await peer.send(peer.random.choice([Send(task.call, INSIDER), Result(task.call, INSIDER)]))
    await _end_call(peer)


@_visit("a value for a stream that has not begun")
async def _not_begun(peer: Peer) -> None:
    task = peer.call("count_up", drive=None)
    await peer.send(task, Send(task.call, INSIDER))
    await _end_call(peer)


# ---- frames that are passed over


@_visit("a frame for a call that has ended")
async def _late(peer: Peer) -> None:
    await peer.is_served()
    await peer.send(Cancel(peer.last_call))
    peer.expected["FrameDropped cancel"] += 1


@_visit("slots that nobody asked for")
async def _unasked(peer: Peer) -> None:
    many = peer.random.randint(0, 1 << 31)
    await peer.send(Offer(0, many), Decline(0, many))
    peer.expected["FrameDropped offer"] += 1


@_visit("a frame of a kind that nobody knows")
async def _no_kind(peer: Peer) -> None:
    message = pb.Batch()
    message.frames.add(kind=_UNKNOWN_KIND, payload=INSIDER)
    await peer.send_bytes(message.SerializeToString())
    peer.expected["FrameDropped unknown"] += 1


@_visit("pings")
async def _pings(peer: Peer) -> None:
    await peer.send(*(Ping(0, number) for number in range(16)))
    await peer.symbols(*["pong"] * 16)
