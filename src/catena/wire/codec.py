"""The codec: frames to the bytes of one message and back.

One table has a row for each kind of frame: its number on the wire, its class, what writes it and
what reads it. Payloads are passed on and never unpickled. The link encodes and decodes, and gRPC
only moves the bytes: so there is one description of the wire format and no service stub, and the
link handles a frame that cannot be encoded. In texts that are only for people, characters that
UTF-8 cannot encode are escaped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError

from catena.errors import ProtocolError
from catena.tags import NO_TAGS, Tags, read_tags
from catena.transfer.manifest import BARE
from catena.wire import frames, versions
from catena.wire.frames import Frame, NackCode
from catena.wire.manifests import read_manifest, write_manifest
from catena.wire.v1 import catena_pb2 as pb


class Batch(NamedTuple):
    """What a message holds: its frames, Acks first.

    ``sent_at_ns`` is when it left by the sender's monotonic clock, 0 where it does not say so.
    """

    frames: list[Frame]
    sent_at_ns: int


def encode_message(batch: Sequence[Frame], sent_at_ns: int = 0) -> bytes:
    """Return the message that carries the frames, in order; its Acks come before all others."""
    message = pb.Batch(sent_at_ns=sent_at_ns)
    add = message.frames.add
    for frame in batch:
        kind = type(frame)
        if kind is frames.Ack:
            message.acks.append(frame.call)
        else:
            row = _ROW_OF_CLASS[kind]
            row.write(add, row.kind, frame)
    return message.SerializeToString()


def decode_message(data: bytes) -> Batch:
    """Return what a message holds. Raises ProtocolError when it is not one."""
    try:
        message = pb.Batch.FromString(data)
        found: list[Frame] = list(map(frames.Ack, message.acks))
        for one in message.frames:
            row = _ROW_OF_KIND.get(one.kind, _UNKNOWN)
            found.append(row.read(row.frame, one))
    except DecodeError as error:
        raise ProtocolError(
            reason=f"a message of {len(data)} bytes does not parse: {error}"
        ) from None
    return Batch(found, message.sent_at_ns)


def encode_frame(frame: Frame) -> bytes:
    """Return one frame alone, to be cut into pieces."""
    batch = pb.Batch()
    row = _ROW_OF_CLASS[type(frame)]
    row.write(batch.frames.add, row.kind, frame)
    return batch.frames[0].SerializeToString()


def decode_frame(data: bytes) -> Frame:
    """Return the frame that pieces made. Raises ProtocolError when it is not one."""
    try:
        one = pb.Frame.FromString(data)
        row = _ROW_OF_KIND.get(one.kind, _UNKNOWN)
        return row.read(row.frame, one)
    except DecodeError as error:
        raise ProtocolError(
            reason=f"a frame of {len(data)} bytes does not parse: {error}"
        ) from None


class MemberFacts(NamedTuple):
    """What a proxy says of a worker: its id, its gRPC target, and whether the pool has found it.

    One that was found was not started by the pool, and does not know the pool's secret. Where the
    certificate is ``shared`` by several workers, its id is not what it has to prove; ``leaf`` is
    the one certificate, as PEM, that it may show, empty for any that is trusted. ``tags`` are what
    it is chosen by.
    """

    worker: str
    target: str
    found: bool = False
    shared: bool = False
    leaf: bytes = b""
    tags: Tags = NO_TAGS


class ProxyFacts(NamedTuple):
    """What the proxy of a pool says: its id, and its workers.

    ``epoch`` counts how often the members have changed. ``major`` is the version of the protocol
    that they speak, where it is another one than 1; else 0.
    """

    id: bytes
    members: tuple[MemberFacts, ...]
    epoch: int = 0
    major: int = 0


def encode_proxy(id: bytes, members: Sequence[MemberFacts], epoch: int = 0) -> bytes:
    """Return the encoded form of the proxy of a pool."""
    if not versions.may_send(1):
        plain = [pb.Proxy.Member(worker=one.worker, target=one.target) for one in members]
        return pb.Proxy(id=id, members=plain).SerializeToString()
    message = pb.Proxy(id=id, epoch=epoch)
    for one in members:
        message.members.add(
            worker=one.worker,
            target=one.target,
            found=one.found,
            shared=one.shared,
            leaf=one.leaf,
            tags=sorted(one.tags),
        )
    return message.SerializeToString()


def decode_proxy(data: bytes) -> ProxyFacts:
    """Return what an encoded proxy holds. Raises ProtocolError."""
    try:
        message = pb.Proxy.FromString(data)
    except DecodeError as error:
        raise ProtocolError(reason=f"a proxy does not parse: {error}") from None
    members = tuple(map(_read_member, message.members))
    return ProxyFacts(message.id, members, message.epoch, message.major)


def rename_proxy(encoded: bytes) -> tuple[bytes, bytes]:
    """Return the id and the encoded form of a proxy for a worker that learns no change of members.

    It keeps the members that came first with an id, so each epoch has an id of its own, the same
    from whoever says it.
    """
    facts = decode_proxy(encoded)
    if not facts.epoch:
        return facts.id, encoded
    text = facts.id + facts.epoch.to_bytes(8, "big")
    id = hashlib.blake2b(text, digest_size=len(facts.id)).digest()
    return id, encode_proxy(id, facts.members)


def _read_member(one: pb.Proxy.Member) -> MemberFacts:
    tags = read_tags(one.tags) if one.tags else NO_TAGS
    return MemberFacts(one.worker, one.target, one.found, one.shared, one.leaf, tags)


# ---- frames that carry a payload, a chain or both; their fields stand in pb.Frame itself

_Add = Callable[..., pb.Frame]
_NO_TASK = pb.Task()
_TIMES = ("timeout_ns", "dispatch_timeout_ns", "sent_at_ns", "kill_after_ns")
_NO_TIMES = (None, None, None, None)
_STREAM = 2


def _write_task(add: _Add, kind: int, frame: frames.Task) -> None:
    drive = frame.drive
    to = add(
        call=frame.call,
        kind=_STREAM if frame.stream else kind,
        function=frame.function,
        payload=frame.payload,
        driven=drive is not None,
    )
    if frame.proxy_id:
        to.proxy_id = frame.proxy_id
    if drive is not None and (manifest := drive.manifest) is not None:
        if manifest is BARE.get(manifest.base) and manifest.base:
            to.base = manifest.base
        else:
            write_manifest(to, manifest)
    if frame.callable or frame.proxy:
        task = to.task
        task.callable, task.routine = frame.callable, _escape_surrogates(frame.routine)
        task.proxy, task.proxy_id = frame.proxy, frame.proxy_id
    for name in _TIMES:
        value = getattr(frame, name)
        if value is not None:
            setattr(to.task, name, value)
    if frame.slots:
        to.task.slots, to.task.offered = frame.slots, frame.offered


def _read_task(cls: type[frames.Task], frame: pb.Frame) -> Frame:
    task, times = _NO_TASK, _NO_TIMES
    if frame.HasField("task"):
        task = frame.task
        times = (getattr(task, name) if task.HasField(name) else None for name in _TIMES)
    drive = None
    if frame.driven:
        manifest = None
        if frame.HasField("manifest"):
            manifest = read_manifest(frame)
        elif frame.base:
            manifest = BARE[frame.base]
        drive = frames.Next(frame.call, manifest)
    return cls(
        frame.call,
        frame.function,
        frame.payload,
        task.routine,
        frame.kind == _STREAM,
        task.callable,
        task.proxy,
        frame.proxy_id,
        drive,
        *times,
        slots=task.slots,
        offered=task.offered,
    )


def _write_next(add: _Add, kind: int, frame: frames.Next) -> None:
    to = add(call=frame.call, kind=kind)
    if frame.manifest is not None:
        write_manifest(to, frame.manifest)


def _read_next(cls: type[frames.Next], frame: pb.Frame) -> Frame:
    return cls(frame.call, read_manifest(frame) if frame.HasField("manifest") else None)


_ValueFrame = frames.Send | frames.Throw | frames.ExceptionFrame


def _write_value(add: _Add, kind: int, frame: _ValueFrame) -> None:
    to = add(call=frame.call, kind=kind, payload=frame.payload)
    if frame.manifest is not None:
        write_manifest(to, frame.manifest)


def _read_value(cls: type[_ValueFrame], frame: pb.Frame) -> Frame:
    manifest = read_manifest(frame) if frame.HasField("manifest") else None
    return cls(frame.call, frame.payload, manifest)


def _write_result(add: _Add, kind: int, frame: frames.Result) -> None:
    to = add(call=frame.call, kind=kind, payload=frame.payload)
    if frame.symbol != "return":
        to.more, to.after_cancel = frame.more, frame.after_cancel
    if frame.manifest is not None:
        write_manifest(to, frame.manifest)


def _read_result(cls: type[frames.Result], frame: pb.Frame) -> Frame:
    manifest = read_manifest(frame) if frame.HasField("manifest") else None
    symbol = "yield" if frame.more else "return"
    if frame.after_cancel:
        symbol += "+"
    return cls(frame.call, frame.payload, manifest, symbol)


# ---- frames whose fields are those of a message of its own, under the same names


def _write_part(add: _Add, kind: int, frame: Any) -> None:
    fields = frame._asdict()
    for name, value in fields.items():
        if type(value) is str:
            fields[name] = _escape_surrogates(value)
    add(call=fields.pop("call"), kind=kind, **{_PARTS[kind]: fields})


def _read_part(cls: Any, frame: pb.Frame) -> Any:
    part = getattr(frame, _PARTS[frame.kind])
    return cls(frame.call, *(getattr(part, name) for name in cls._fields[1:]))


def _write_cancel(add: _Add, kind: int, frame: frames.Cancel) -> None:
    if frame.text is None:
        add(call=frame.call, kind=kind)
    else:
        _write_part(add, kind, frame)


def _read_cancel(cls: type[frames.Cancel], frame: pb.Frame) -> Frame:
    return cls(frame.call, frame.cancel.text if frame.cancel.HasField("text") else None)


def _read_nack(cls: type[frames.Nack], frame: pb.Frame) -> Frame:
    return cls(frame.call, NackCode(frame.nack.code), frame.nack.text, frame.nack.slots)


def _read_hello(cls: type[frames.Hello], frame: pb.Frame) -> Frame:
    hello: frames.Hello = _read_part(cls, frame)
    return hello._replace(capabilities=tuple(hello.capabilities), tags=tuple(hello.tags))


def _write_members(add: _Add, kind: int, frame: frames.Members) -> None:
    add(call=frame.call, kind=kind, payload=frame.proxy)


def _read_members(cls: type[frames.Members], frame: pb.Frame) -> Frame:
    return cls(frame.call, frame.payload)


def _read_unknown(cls: type[frames.Unknown], frame: pb.Frame) -> Frame:
    return cls(frame.call)


def _escape_surrogates(text: str) -> str:
    """Return a text that UTF-8 can say."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


# ---- the table


class _Row(NamedTuple):
    """A kind of frame: its number in pb.Frame.Kind, its class, what writes and what reads it.

    ``part`` is the field of pb.Frame that holds its fields, where it has a message of its own.
    """

    kind: int
    frame: type[Any]
    write: Callable[[_Add, int, Any], None]
    read: Callable[[type[Any], pb.Frame], Frame]
    part: str = ""


# The kinds are plain numbers because protobuf's constants are typed as an enumeration that they are
# not.
_TABLE = (
    # To the worker.
    _Row(1, frames.Task, _write_task, _read_task),
    _Row(_STREAM, frames.Task, _write_task, _read_task),
    _Row(3, frames.Next, _write_next, _read_next),
    _Row(4, frames.Send, _write_value, _read_value),
    _Row(5, frames.Throw, _write_value, _read_value),
    _Row(6, frames.Cancel, _write_cancel, _read_cancel, "cancel"),
    # To the caller. Ack has no row: it is a number in Batch.acks.
    _Row(7, frames.Nack, _write_part, _read_nack, "nack"),
    _Row(8, frames.Result, _write_result, _read_result),
    _Row(9, frames.ExceptionFrame, _write_value, _read_value),
    # Of the link, both ways.
    _Row(10, frames.Hello, _write_part, _read_hello, "hello"),
    _Row(11, frames.Goodbye, _write_part, _read_part, "goodbye"),
    _Row(12, frames.Piece, _write_part, _read_part, "piece"),
    _Row(13, frames.Ping, _write_part, _read_part, "ping"),
    _Row(14, frames.Pong, _write_part, _read_part, "ping"),
    _Row(15, frames.Want, _write_part, _read_part, "slots"),
    _Row(16, frames.Offer, _write_part, _read_part, "slots"),
    _Row(17, frames.Decline, _write_part, _read_part, "slots"),
    _Row(20, frames.Members, _write_members, _read_members),
)
_UNKNOWN = _Row(0, frames.Unknown, _write_part, _read_unknown)

_ROW_OF_KIND: dict[int, _Row] = {row.kind: row for row in _TABLE}
# The first row of a class counts: a Task's writer knows the kind of its other row.
_ROW_OF_CLASS: dict[type[Any], _Row] = {row.frame: row for row in reversed(_TABLE)}
_PARTS: dict[int, str] = {row.kind: row.part for row in _TABLE if row.part}
