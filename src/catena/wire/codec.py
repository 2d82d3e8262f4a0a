"""The codec: frames to the bytes of one message and back.

It moves bytes and never unpickles. gRPC takes ``encode`` and ``decode`` as its serializer and
deserializer, so there is one description of the wire and no service stub.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

from google.protobuf.message import DecodeError

from catena.context.manifest import ChainManifest, Entry, EntryKind
from catena.errors import ChainSerializationError, ProtocolError
from catena.wire import frames
from catena.wire.frames import Frame, NackCode
from catena.wire.v1 import catena_pb2 as pb

__all__ = [
    "decode",
    "decode_frame",
    "decode_manifest",
    "decode_proxy",
    "encode",
    "encode_frame",
    "encode_manifest",
    "encode_proxy",
    "pack",
    "unpack",
]


def encode(batch: Iterable[Frame]) -> bytes:
    """Return the message that carries the frames, in order; its Acks come before all others."""
    message = pb.Batch()
    add = message.frames.add
    for frame in batch:
        kind = type(frame)
        if kind is frames.Ack:
            message.acks.append(frame.call)
        else:
            _WRITERS[kind](add(call=frame.call), frame)
    return message.SerializeToString()


def decode(data: bytes) -> list[Frame]:
    """Return the frames of a message. Raises ProtocolError when it is not one."""
    try:
        message = pb.Batch.FromString(data)
        acks: list[Frame] = [frames.Ack(call) for call in message.acks]
        return acks + [_read(one) for one in message.frames]
    except DecodeError as error:
        raise ProtocolError(
            reason=f"a message of {len(data)} bytes does not parse: {error}"
        ) from None


def encode_frame(frame: Frame) -> bytes:
    """Return one frame alone, to be cut into pieces."""
    message = pb.Frame(call=frame.call)
    _WRITERS[type(frame)](message, frame)
    return message.SerializeToString()


def decode_frame(data: bytes) -> Frame:
    """Return the frame that pieces made. Raises ProtocolError when it is not one."""
    try:
        return _read(pb.Frame.FromString(data))
    except DecodeError as error:
        raise ProtocolError(
            reason=f"a frame of {len(data)} bytes does not parse: {error}"
        ) from None


def encode_manifest(manifest: ChainManifest) -> bytes:
    """Return a manifest alone; the same manifest makes the same bytes in every process."""
    message = pb.Manifest()
    _write_manifest(message, manifest)
    return message.SerializeToString(deterministic=True)


def decode_manifest(data: bytes) -> ChainManifest:
    """Return the manifest. Raises ProtocolError when it is not one."""
    try:
        return _read_manifest(pb.Manifest.FromString(data))
    except DecodeError as error:
        raise ProtocolError(reason=f"a manifest does not parse: {error}") from None


def pack(entries: Iterable[Entry]) -> bytes:
    """Return the block of a manifest's entries; the same entries make the same bytes anywhere."""
    block = pb.Entries()
    for entry in entries:
        one = block.entries.add(
            namespace=entry.key[0],
            name=entry.key[1],
            kind=int(entry.kind),
            value=entry.value,
            policy=pb.Entry.FORWARD if entry.forward else pb.Entry.BOTH,
        )
        if entry.default is not None:
            one.default = entry.default
    return block.SerializeToString(deterministic=True)


def unpack(data: bytes) -> tuple[Entry, ...]:
    """Return the entries of a block. Raises ChainSerializationError when it does not parse."""
    try:
        return tuple(_read_entry(entry) for entry in pb.Entries.FromString(data).entries)
    except DecodeError as error:
        raise ChainSerializationError(cause=f"its entries do not parse: {error}") from None


def encode_proxy(id: bytes, members: Iterable[tuple[str, str]]) -> bytes:
    """Return what ``Task.proxy`` holds for a pool: its id and each worker's (id, gRPC target)."""
    message = pb.Proxy(id=id)
    for worker, target in members:
        message.members.add(worker=worker, target=target)
    return message.SerializeToString()


def decode_proxy(data: bytes) -> tuple[bytes, tuple[tuple[str, str], ...]]:
    """Return the id and the members of an encoded proxy. Raises ProtocolError."""
    try:
        message = pb.Proxy.FromString(data)
    except DecodeError as error:
        raise ProtocolError(reason=f"a proxy does not parse: {error}") from None
    return message.id, tuple((one.worker, one.target) for one in message.members)


_KEPT = 1024
_KEPT_BYTES = 2048


# ---- writing


def _write_task(to: pb.Frame, frame: frames.Task) -> None:
    task = to.task
    task.function = frame.function
    task.payload = frame.payload
    if frame.stream:
        task.stream = True
    if frame.callable:
        task.callable = frame.callable
        task.routine = frame.routine
    if frame.proxy:
        task.proxy = frame.proxy
    if frame.proxy_id:
        task.proxy_id = frame.proxy_id


def _write_next(to: pb.Frame, frame: frames.Next) -> None:
    if frame.manifest is None:
        to.next.SetInParent()
    else:
        to.next.manifest = _sealed(frame.manifest)


def _write_send(to: pb.Frame, frame: frames.Send) -> None:
    to.send.payload = frame.payload
    if frame.manifest is not None:
        to.send.manifest = _sealed(frame.manifest)


def _write_throw(to: pb.Frame, frame: frames.Throw) -> None:
    to.throw.payload = frame.payload
    if frame.manifest is not None:
        to.throw.manifest = _sealed(frame.manifest)


def _write_cancel(to: pb.Frame, _: frames.Cancel) -> None:
    to.cancel.SetInParent()


def _write_nack(to: pb.Frame, frame: frames.Nack) -> None:
    to.nack.code = int(frame.code)  # pyright: ignore[reportAttributeAccessIssue]
    to.nack.text = frame.text


def _write_result(to: pb.Frame, frame: frames.Result) -> None:
    result = to.result
    result.payload = frame.payload
    if frame.manifest is not None:
        result.manifest = _sealed(frame.manifest)
    if frame.more:
        result.more = True
    if frame.after_cancel:
        result.after_cancel = True


def _write_exception(to: pb.Frame, frame: frames.ExceptionFrame) -> None:
    to.exception.payload = frame.payload
    if frame.manifest is not None:
        to.exception.manifest = _sealed(frame.manifest)


def _write_hello(to: pb.Frame, frame: frames.Hello) -> None:
    hello = to.hello
    hello.major, hello.minor, hello.software = frame.major, frame.minor, frame.software
    hello.capabilities.extend(frame.capabilities)
    hello.peer, hello.pid = frame.peer, frame.pid


def _write_goodbye(to: pb.Frame, frame: frames.Goodbye) -> None:
    to.goodbye.reason = frame.reason


def _write_piece(to: pb.Frame, frame: frames.Piece) -> None:
    piece = to.piece
    piece.transfer, piece.data, piece.total = frame.transfer, frame.data, frame.total
    piece.last = frame.last


def _write_manifest(to: pb.Manifest, manifest: ChainManifest) -> None:
    to.chain_id = manifest.chain_id
    to.entries = manifest.entries
    if manifest.parent_id:
        to.parent_id = manifest.parent_id
    if not manifest.whole:
        to.delta = True
    if manifest.spent or manifest.live:
        to.ledgers.spent.extend(sorted(manifest.spent))
        to.ledgers.live.extend(sorted(manifest.live))
    if manifest.carrier:
        to.carrier.fields.update(manifest.carrier)


def _sealed(manifest: ChainManifest) -> bytes:
    """Return an encoded manifest; a chain that is sent again and again is encoded once."""
    plain = manifest.whole and not (manifest.spent or manifest.live or manifest.carrier)
    if not plain or len(manifest.entries) > _KEPT_BYTES:
        return encode_manifest(manifest)
    return _sealed_plain(manifest.chain_id, manifest.parent_id, manifest.entries)


@lru_cache(_KEPT)
def _sealed_plain(chain_id: bytes, parent_id: bytes, entries: bytes) -> bytes:
    return encode_manifest(ChainManifest(chain_id, parent_id, entries))


def _unsealed(data: bytes) -> ChainManifest:
    """Return a decoded manifest; one that comes again and again is decoded once."""
    return decode_manifest(data) if len(data) > _KEPT_BYTES else _unsealed_short(data)


_WRITERS: dict[type[Any], Callable[[pb.Frame, Any], None]] = {
    frames.Task: _write_task,
    frames.Next: _write_next,
    frames.Send: _write_send,
    frames.Throw: _write_throw,
    frames.Cancel: _write_cancel,
    frames.Nack: _write_nack,
    frames.Result: _write_result,
    frames.ExceptionFrame: _write_exception,
    frames.Hello: _write_hello,
    frames.Goodbye: _write_goodbye,
    frames.Piece: _write_piece,
}


# ---- reading


def _read(frame: pb.Frame) -> Frame:
    kind = frame.WhichOneof("kind")
    return frames.Unknown(frame.call) if kind is None else _READERS[kind](frame)


def _read_task(frame: pb.Frame) -> Frame:
    task = frame.task
    return frames.Task(
        frame.call,
        task.function,
        task.payload,
        task.routine,
        task.stream,
        task.callable,
        task.proxy,
        task.proxy_id,
    )


def _read_next(frame: pb.Frame) -> Frame:
    return frames.Next(frame.call, _manifest_of(frame.next))


def _read_send(frame: pb.Frame) -> Frame:
    return frames.Send(frame.call, frame.send.payload, _manifest_of(frame.send))


def _read_throw(frame: pb.Frame) -> Frame:
    return frames.Throw(frame.call, frame.throw.payload, _manifest_of(frame.throw))


def _read_cancel(frame: pb.Frame) -> Frame:
    return frames.Cancel(frame.call)


def _read_nack(frame: pb.Frame) -> Frame:
    code = int(frame.nack.code)
    known = NackCode(code) if code in _NACK_CODES else NackCode.UNSPECIFIED
    return frames.Nack(frame.call, known, frame.nack.text)


def _read_result(frame: pb.Frame) -> Frame:
    result = frame.result
    return frames.Result(
        frame.call, result.payload, _manifest_of(result), result.more, result.after_cancel
    )


def _read_exception(frame: pb.Frame) -> Frame:
    return frames.ExceptionFrame(frame.call, frame.exception.payload, _manifest_of(frame.exception))


def _read_hello(frame: pb.Frame) -> Frame:
    hello = frame.hello
    return frames.Hello(
        frame.call,
        hello.major,
        hello.minor,
        hello.software,
        tuple(hello.capabilities),
        hello.peer,
        hello.pid,
    )


def _read_goodbye(frame: pb.Frame) -> Frame:
    return frames.Goodbye(frame.call, frame.goodbye.reason)


def _read_piece(frame: pb.Frame) -> Frame:
    piece = frame.piece
    return frames.Piece(frame.call, piece.transfer, piece.data, piece.last, piece.total)


def _manifest_of(drive: Any) -> ChainManifest | None:
    return _unsealed(drive.manifest) if drive.HasField("manifest") else None


def _read_manifest(manifest: pb.Manifest) -> ChainManifest:
    read = ChainManifest(
        manifest.chain_id, manifest.parent_id, manifest.entries, not manifest.delta
    )
    if manifest.HasField("ledgers"):
        ledgers = manifest.ledgers
        read = read._replace(spent=tuple(ledgers.spent), live=tuple(ledgers.live))
    if manifest.HasField("carrier"):
        read = read._replace(carrier=dict(manifest.carrier.fields))
    return read


def _read_entry(entry: pb.Entry) -> Entry:
    return Entry(
        (entry.namespace, entry.name),
        EntryKind(entry.kind) if entry.kind in _ENTRY_KINDS else EntryKind.LOST,
        entry.value,
        entry.policy == pb.Entry.FORWARD,
        entry.default if entry.HasField("default") else None,
    )


_unsealed_short = lru_cache(_KEPT)(decode_manifest)
_NACK_CODES = frozenset(int(code) for code in NackCode)
_ENTRY_KINDS = frozenset(int(kind) for kind in EntryKind)
_READERS: dict[str, Callable[[pb.Frame], Frame]] = {
    "task": _read_task,
    "next": _read_next,
    "send": _read_send,
    "throw": _read_throw,
    "cancel": _read_cancel,
    "nack": _read_nack,
    "result": _read_result,
    "exception": _read_exception,
    "hello": _read_hello,
    "goodbye": _read_goodbye,
    "piece": _read_piece,
}
