"""What a worker says to operators: its status, and whether it stops; as values and as bytes."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, cast

from google.protobuf.message import DecodeError

from catena.errors import ProtocolError
from catena.events.kept import Refusal
from catena.wire.v1 import catena_pb2 as pb

State = Literal["unknown", "ready", "draining"]

_STATES: tuple[State, ...] = ("unknown", "ready", "draining")
"""By their numbers in the proto."""

_NUMBERS = ("slots", "slots_taken", "calls", "leases", "links")
_SAME = ("worker", "address", "pid", "seconds", "software", *_NUMBERS)


class LinkedPeer(NamedTuple):
    """A process that has a link to a worker, as it has said hello.

    ``fields`` says that it has sent the way to its pool in the deprecated fields of a Task.
    """

    name: str
    pid: int
    protocol: tuple[int, int]
    software: str
    capabilities: tuple[str, ...] = ()
    fields: bool = False


class WorkerStatus(NamedTuple):
    """What a worker is, and what it does at this moment.

    ``address`` is where it listens, and ``seconds`` for how long it has. ``state`` says whether it
    takes calls; a state that only later versions know is ``unknown``. ``calls`` are those that have
    not ended, ``leases`` the proxies that they hold. ``refusals`` are the last that it knows of,
    and ``peers`` those who have a link to it.
    """

    worker: str
    address: str
    state: State
    pid: int
    seconds: float
    protocol: tuple[int, int]
    software: str
    capabilities: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    slots: int = 0
    slots_taken: int = 0
    calls: int = 0
    leases: int = 0
    links: int = 0
    refusals: tuple[Refusal, ...] = ()
    peers: tuple[LinkedPeer, ...] = ()


class StopAnswer(NamedTuple):
    """What a worker answers that is to stop: why it does not, empty where it does."""

    refusal: str
    status: WorkerStatus


def encode_ask() -> bytes:
    """Return the message that asks for a status."""
    return pb.AskRequest().SerializeToString()


def encode_status(status: WorkerStatus) -> bytes:
    """Return the message that carries a status."""
    return _write_status(status).SerializeToString()


def decode_status(data: bytes) -> WorkerStatus:
    """Return the status in a message. Raises ProtocolError when it is none."""
    return _read_status(_parse(pb.Status, data))


def encode_stop(*, now: bool) -> bytes:
    """Return the message that has a worker stop, with or without the time for its calls."""
    return pb.StopRequest(now=now).SerializeToString()


def decode_stop(data: bytes) -> bool:
    """Return whether the worker is to stop without finishing its calls. Raises ProtocolError."""
    return bool(_parse(pb.StopRequest, data).now)


def encode_answer(answer: StopAnswer) -> bytes:
    """Return the message that answers the one of ``encode_stop``."""
    status = _write_status(answer.status)
    return pb.StopReply(refusal=answer.refusal, status=status).SerializeToString()


def decode_answer(data: bytes) -> StopAnswer:
    """Return the answer in a message. Raises ProtocolError when it is none."""
    reply = _parse(pb.StopReply, data)
    return StopAnswer(reply.refusal, _read_status(reply.status))


def _parse(kind: Any, data: bytes) -> Any:
    try:
        return kind.FromString(data)
    except DecodeError as error:
        name = kind.DESCRIPTOR.name
        raise ProtocolError(reason=f"{len(data)} bytes are no {name}: {error}") from None


def _write_status(status: WorkerStatus) -> pb.Status:
    major, minor = status.protocol
    state = cast("Any", _STATES.index(status.state))
    message = pb.Status(state=state, major=major, minor=minor)
    for name in _SAME:
        setattr(message, name, getattr(status, name))
    message.capabilities.extend(status.capabilities)
    message.tags.extend(status.tags)
    message.refusals.extend(pb.Refusal(**one._asdict()) for one in status.refusals)
    message.peers.extend(map(_write_peer, status.peers))
    return message


def _write_peer(peer: LinkedPeer) -> pb.Peer:
    major, minor = peer.protocol
    return pb.Peer(
        name=peer.name,
        pid=peer.pid,
        major=major,
        minor=minor,
        software=peer.software,
        capabilities=peer.capabilities,
        fields=peer.fields,
    )


def _read_status(message: pb.Status) -> WorkerStatus:
    state = message.state
    return WorkerStatus(
        state=_STATES[state] if state in range(len(_STATES)) else "unknown",
        protocol=(message.major, message.minor),
        capabilities=tuple(message.capabilities),
        tags=tuple(message.tags),
        refusals=tuple(map(_read_refusal, message.refusals)),
        peers=tuple(map(_read_peer, message.peers)),
        **{name: getattr(message, name) for name in _SAME},
    )


def _read_refusal(message: pb.Refusal) -> Refusal:
    return Refusal(**{name: getattr(message, name) for name in Refusal._fields})


def _read_peer(message: pb.Peer) -> LinkedPeer:
    return LinkedPeer(
        message.name,
        message.pid,
        (message.major, message.minor),
        message.software,
        tuple(message.capabilities),
        message.fields,
    )
