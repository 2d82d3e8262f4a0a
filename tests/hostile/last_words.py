"""What ends the link of a peer that may call: the last thing that it sends there.

Each of ``ENDINGS`` is given its link, whose name says the same as its title, and makes the worker
end it, or ends it itself in the middle of something.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from catena.wire import codec, versions
from catena.wire.frames import (
    Ack,
    Cancel,
    ExceptionFrame,
    Members,
    Nack,
    NackCode,
    Next,
    Piece,
    Ping,
    Result,
    Want,
)
from tests.hostile.limits import limit
from tests.hostile.peer import Peer
from tests.hostile.routines import INSIDER

__all__ = ["ENDINGS", "UNKNOWABLE", "Ending"]

Ending = Callable[[Peer], Awaitable[None]]

ENDINGS: dict[str, Ending] = {}
"""What each does, by its name, which is that of its peer."""

UNKNOWABLE = frozenset({"a message that was cut", "a message that was changed"})
"""Of these nobody can say what the worker makes of them; it goes on, and that is all."""

_SESSIONS, _OUTBOX = "dispatch.worker.sessions", "link.outbox"
_AHEAD: int = limit(_SESSIONS, "AHEAD")
_UNDRIVEN, _UNDRIVEN_BYTES = limit(_SESSIONS, "UNDRIVEN")
_PROXY: int = limit("dispatch.worker.restoring", "PROXY_LIMIT")
_FRAME: int = limit(_OUTBOX, "FRAME_LIMIT")
_LINK: int = limit(_OUTBOX, "LINK_LIMIT")
_TRANSFERS: int = limit(_OUTBOX, "TRANSFER_LIMIT")
_UNREAD: int = limit("link.congestion", "UNREAD")[0]


def _ending(title: str) -> Callable[[Ending], Ending]:
    def keep(ending: Ending) -> Ending:
        ENDINGS[title] = ending
        return ending

    return keep


async def _be_cut_off(peer: Peer, words: str) -> None:
    """Be cut off for a breach of the rules, which is announced."""
    await peer.farewell(words)
    peer.expect("ProtocolBroken link")


@_ending("a second hello")
async def _second_hello(peer: Peer) -> None:
    await peer.send(versions.make_hello(peer.name))
    await _be_cut_off(peer, "an illegal frame of the link: hello")


@_ending("an answer to a call that never was")
async def _no_call(peer: Peer) -> None:
    call = peer.last_call + peer.random.randint(1, 1 << 30)
    frame = peer.random.choice(
        [
            Ack(call),
            Nack(call, NackCode.BUSY, "full", 1),
            Result(call, INSIDER),
            ExceptionFrame(call, INSIDER),
            Cancel(call),
            Next(call),
        ]
    )
    await peer.send(frame)
    await _be_cut_off(peer, f"no call {call} was opened")


@_ending("a number that was used")
async def _replayed(peer: Peer) -> None:
    task = peer.call()
    await peer.send(task)
    await peer.symbols("ack", "return")
    await peer.send(task)
    await _be_cut_off(peer, "is or was open")


@_ending("a number that is far ahead")
async def _far_ahead(peer: Peer) -> None:
    far = peer.last_call + _AHEAD + peer.random.randint(1, 1 << 40)
    await peer.send(peer.call(call=far))
    await _be_cut_off(peer, "is far ahead")


@_ending("slots that there are not")
async def _no_slots(peer: Peer) -> None:
    await peer.send(Want(0, peer.random.choice([0, 2, 1 << 30])))
    await _be_cut_off(peer, "slots are wanted of 1")


@_ending("calls that nobody drives")
async def _undriven(peer: Peer) -> None:
    await peer.send(*(peer.call(drive=None) for _ in range(_UNDRIVEN + 1)))
    await _be_cut_off(peer, f"more than {_UNDRIVEN} calls")


@_ending("bytes that nobody drives")
async def _undriven_bytes(peer: Peer) -> None:
    payload = INSIDER + b"x" * (_UNDRIVEN_BYTES // 2)
    await peer.send(*(peer.call(drive=None, payload=payload) for _ in range(2)))
    await _be_cut_off(peer, "bytes of them, wait for a drive")


@_ending("a frame that is too long")
async def _too_long(peer: Peer) -> None:
    await peer.send(Piece(1, 1, INSIDER, False, _FRAME + peer.random.randint(1, 1 << 40)))
    await _be_cut_off(peer, "exceeds")


@_ending("too many bytes under way")
async def _bytes(peer: Peer) -> None:
    many = _LINK // _FRAME + 1
    await peer.send(*(Piece(1, number, INSIDER, False, _FRAME) for number in range(many)))
    await _be_cut_off(peer, "frames under way exceed")


@_ending("too many frames under way")
async def _transfers(peer: Peer) -> None:
    pieces = [Piece(1, number, INSIDER, False, 9999) for number in range(_TRANSFERS + 1)]
    await peer.send(*pieces)
    await _be_cut_off(peer, "frames are under way")


@_ending("pieces that do not add up")
async def _no_sum(peer: Peer) -> None:
    total = peer.random.choice([1, len(INSIDER) + 1])
    await peer.send(Piece(1, 1, INSIDER, True, total))
    await _be_cut_off(peer, f"{total} bytes were announced")


@_ending("pieces of no frame")
async def _no_whole(peer: Peer) -> None:
    data = b"\xff" * peer.random.randint(1, 999)
    await peer.send(Piece(1, 1, data, True, len(data)))
    await _be_cut_off(peer, "does not parse")


@_ending("bytes that are no frame")
async def _no_frame(peer: Peer) -> None:
    await peer.send_bytes(b"\xff" * peer.random.randint(1, 9999) + INSIDER)
    await _be_cut_off(peer, "does not parse")


@_ending("members that are too many")
async def _members(peer: Peer) -> None:
    await peer.send(Members(0, b"\x0a\x02" * _PROXY))
    await _be_cut_off(peer, "its proxy takes")


@_ending("members that do not parse")
async def _no_members(peer: Peer) -> None:
    await peer.send(Members(0, b"\xff" * peer.random.randint(1, 99)))
    await _be_cut_off(peer, "a proxy does not parse")


@_ending("answers that nobody reads")
async def _unread(peer: Peer) -> None:
    """What the worker keeps for this peer has a limit; what it does with others goes on."""
    pings = codec.encode_message([Ping(0, number) for number in range(_UNREAD)])
    for _ in range(4):
        await peer.send_bytes(pings)
    await asyncio.sleep(0.01)
    peer.cut()


@_ending("calls that end with their link")
async def _gone(peer: Peer) -> None:
    await peer.send(*(peer.call("wait_long") for _ in range(4)))
    await peer.symbols(*["ack"] * 4)
    peer.cut()


@_ending("nothing more")
async def _quiet(peer: Peer) -> None:
    peer.cut()


@_ending("a message that was cut")
async def _cut(peer: Peer) -> None:
    message = codec.encode_message([peer.call()])
    await peer.send_bytes(message[: peer.random.randint(1, len(message) - 1)])
    peer.cut()


@_ending("a message that was changed")
async def _changed(peer: Peer) -> None:
    message = bytearray(codec.encode_message([peer.call()]))
    for _ in range(peer.random.randint(1, 3)):
        message[peer.random.randrange(len(message))] ^= 1 << peer.random.randrange(8)
    await peer.send_bytes(bytes(message))
    peer.cut()
