"""The codec: frames to the bytes of one message and back.

It moves bytes and never unpickles. The link encodes and decodes, gRPC moves bytes: so there is one
description of the wire and no service stub, and a frame that cannot be encoded is the link's to
handle. Texts that are only for people are written with what UTF-8 cannot say escaped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from google.protobuf.message import DecodeError

from catena.errors import ProtocolError
from catena.transfer.manifest import ChainManifest
from catena.wire import frames, manifests
from catena.wire.frames import Frame, NackCode
from catena.wire.v1 import catena_pb2 as pb

__all__ = [
    "age",
    "decode",
    "decode_frame",
    "decode_proxy",
    "encode",
    "encode_frame",
    "encode_proxy",
    "stamped",
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
            _WRITERS[kind](add, frame)
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


def stamped(message: bytes, now: int) -> bytes:
    """Return a message with the time when it leaves, in nanoseconds of the monotonic clock."""
    return _SENT_AT + now.to_bytes(8, "little") + message


def age(message: bytes, now: int) -> float:
    """Return how many seconds ago a message left, 0 where it does not say so."""
    if message[:1] != _SENT_AT or len(message) < _STAMP:
        return 0.0
    return max(now - int.from_bytes(message[1:_STAMP], "little"), 0) / 1e9


def encode_frame(frame: Frame) -> bytes:
    """Return one frame alone, to be cut into pieces."""
    batch = pb.Batch()
    _WRITERS[type(frame)](batch.frames.add, frame)
    return batch.frames[0].SerializeToString()


def decode_frame(data: bytes) -> Frame:
    """Return the frame that pieces made. Raises ProtocolError when it is not one."""
    try:
        return _read(pb.Frame.FromString(data))
    except DecodeError as error:
        raise ProtocolError(
            reason=f"a frame of {len(data)} bytes does not parse: {error}"
        ) from None


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


_Add = Callable[..., pb.Frame]
# Plain integers, because protobuf's own constants are typed as an enumeration that they are not.
_TASK, _STREAM, _NEXT, _SEND, _THROW, _CANCEL = range(1, 7)
_NACK, _RESULT, _EXCEPTION, _HELLO, _GOODBYE, _PIECE = range(7, 13)
_NO_TASK = pb.Task()
# Batch.sent_at_ns at the very beginning: its tag, and eight bytes. Nothing else has to be parsed.
_SENT_AT = b"\x19"
_STAMP = 9


# ---- writing


def _write_task(add: _Add, frame: frames.Task) -> None:
    call, function, payload, routine, stream, callable, proxy, proxy_id, drive = frame[:9]
    left, hand_over, sent_at = frame[9:]
    manifest = None if drive is None else drive.manifest
    to = add(
        call=call,
        kind=_STREAM if stream else _TASK,
        function=function,
        payload=payload,
        proxy_id=proxy_id,
        driven=drive is not None,
        manifest=None if manifest is None else manifests.seal(manifest),
    )
    if manifest is not None and manifest.carrier:
        manifests.write_beside(to, manifest.carrier)
    if callable or proxy:
        task = to.task
        task.callable, task.routine = callable, _for_people(routine)
        task.proxy, task.proxy_id = proxy, proxy_id
    if left is not None:
        to.task.timeout_ns = left
    if hand_over is not None:
        to.task.dispatch_timeout_ns = hand_over
    if sent_at is not None:
        to.task.sent_at_ns = sent_at


def _write_next(add: _Add, frame: frames.Next) -> None:
    manifest = frame.manifest
    if manifest is None:
        add(call=frame.call, kind=_NEXT)
    else:
        to = add(call=frame.call, kind=_NEXT, manifest=manifests.seal(manifest))
        if manifest.carrier:
            manifests.write_beside(to, manifest.carrier)


def _write_result(add: _Add, frame: frames.Result) -> None:
    manifest = frame.manifest
    to = add(
        call=frame.call,
        kind=_RESULT,
        payload=frame.payload,
        manifest=None if manifest is None else manifests.seal(manifest),
    )
    if manifest is not None and manifest.carrier:
        manifests.write_beside(to, manifest.carrier)
    if frame.more:
        to.more = True
    if frame.after_cancel:
        to.after_cancel = True


def _write_value(kind: int) -> Callable[[_Add, Any], None]:
    """Return the writer of a frame that carries a payload and a chain."""

    def write(add: _Add, frame: frames.Send | frames.Throw | frames.ExceptionFrame) -> None:
        manifest = frame.manifest
        to = add(
            call=frame.call,
            kind=kind,
            payload=frame.payload,
            manifest=None if manifest is None else manifests.seal(manifest),
        )
        if manifest is not None and manifest.carrier:
            manifests.write_beside(to, manifest.carrier)

    return write


def _write_cancel(add: _Add, frame: frames.Cancel) -> None:
    to = add(call=frame.call, kind=_CANCEL)
    if frame.text is not None:
        to.cancel.text = _for_people(frame.text)


def _write_nack(add: _Add, frame: frames.Nack) -> None:
    code: Any = int(frame.code)
    add(call=frame.call, kind=_NACK, nack=pb.Nack(code=code, text=_for_people(frame.text)))


def _write_hello(add: _Add, frame: frames.Hello) -> None:
    hello = add(call=frame.call, kind=_HELLO).hello
    hello.major, hello.minor, hello.software = frame.major, frame.minor, _for_people(frame.software)
    hello.capabilities.extend(frame.capabilities)
    hello.peer, hello.pid, hello.boot = _for_people(frame.peer), frame.pid, frame.boot
    hello.tags.extend(frame.tags)
    hello.secret = frame.secret


def _write_goodbye(add: _Add, frame: frames.Goodbye) -> None:
    add(call=frame.call, kind=_GOODBYE).goodbye.reason = _for_people(frame.reason)


def _write_piece(add: _Add, frame: frames.Piece) -> None:
    piece = add(call=frame.call, kind=_PIECE).piece
    piece.transfer, piece.data, piece.total = frame.transfer, frame.data, frame.total
    piece.last = frame.last


def _for_people(text: str) -> str:
    """Return a text that UTF-8 can say."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


_WRITERS: dict[type[Any], Callable[[_Add, Any], None]] = {
    frames.Task: _write_task,
    frames.Next: _write_next,
    frames.Send: _write_value(_SEND),
    frames.Throw: _write_value(_THROW),
    frames.Cancel: _write_cancel,
    frames.Nack: _write_nack,
    frames.Result: _write_result,
    frames.ExceptionFrame: _write_value(_EXCEPTION),
    frames.Hello: _write_hello,
    frames.Goodbye: _write_goodbye,
    frames.Piece: _write_piece,
}


# ---- reading


def _read(frame: pb.Frame) -> Frame:
    read = _READERS.get(frame.kind)
    return frames.Unknown(frame.call) if read is None else read(frame)


def _read_task(frame: pb.Frame) -> Frame:
    return _task_of(frame, stream=False)


def _read_stream(frame: pb.Frame) -> Frame:
    return _task_of(frame, stream=True)


def _task_of(frame: pb.Frame, *, stream: bool) -> Frame:
    told, left, hand_over, sent_at = _NO_TASK, None, None, None
    if frame.HasField("task"):
        told = frame.task
        left, hand_over, sent_at = _times_of(told)
    call = frame.call
    return frames.Task(
        call,
        frame.function,
        frame.payload,
        told.routine,
        stream,
        told.callable,
        told.proxy,
        frame.proxy_id,
        frames.Next(call, _manifest_of(frame)) if frame.driven else None,
        left,
        hand_over,
        sent_at,
    )


def _times_of(task: pb.Task) -> tuple[int | None, int | None, int | None]:
    return (
        task.timeout_ns if task.HasField("timeout_ns") else None,
        task.dispatch_timeout_ns if task.HasField("dispatch_timeout_ns") else None,
        task.sent_at_ns if task.HasField("sent_at_ns") else None,
    )


def _read_next(frame: pb.Frame) -> Frame:
    return frames.Next(frame.call, _manifest_of(frame))


def _read_send(frame: pb.Frame) -> Frame:
    return frames.Send(frame.call, frame.payload, _manifest_of(frame))


def _read_throw(frame: pb.Frame) -> Frame:
    return frames.Throw(frame.call, frame.payload, _manifest_of(frame))


def _read_cancel(frame: pb.Frame) -> Frame:
    text = frame.cancel.text if frame.cancel.HasField("text") else None
    return frames.Cancel(frame.call, text)


def _read_nack(frame: pb.Frame) -> Frame:
    code = int(frame.nack.code)
    known = NackCode(code) if code in _NACK_CODES else NackCode.UNSPECIFIED
    return frames.Nack(frame.call, known, frame.nack.text)


def _read_result(frame: pb.Frame) -> Frame:
    return frames.Result(
        frame.call, frame.payload, _manifest_of(frame), frame.more, frame.after_cancel
    )


def _read_exception(frame: pb.Frame) -> Frame:
    return frames.ExceptionFrame(frame.call, frame.payload, _manifest_of(frame))


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
        hello.boot,
        tuple(hello.tags),
        hello.secret,
    )


def _read_goodbye(frame: pb.Frame) -> Frame:
    return frames.Goodbye(frame.call, frame.goodbye.reason)


def _read_piece(frame: pb.Frame) -> Frame:
    piece = frame.piece
    return frames.Piece(frame.call, piece.transfer, piece.data, piece.last, piece.total)


def _manifest_of(frame: pb.Frame) -> ChainManifest | None:
    if not frame.HasField("manifest"):
        return None
    try:
        manifest = manifests.unseal(frame.manifest)
    except ProtocolError as error:
        # That is the call's business alone, to be raised where the chain is mounted.
        manifest = ChainManifest(b"", flaw=error.reason)
    carrier = manifests.read_beside(frame)
    return manifest if carrier is None else manifest.carrying(carrier)


_NACK_CODES = frozenset(int(code) for code in NackCode)
_READERS: dict[int, Callable[[pb.Frame], Frame]] = {
    _TASK: _read_task,
    _STREAM: _read_stream,
    _NEXT: _read_next,
    _SEND: _read_send,
    _THROW: _read_throw,
    _CANCEL: _read_cancel,
    _NACK: _read_nack,
    _RESULT: _read_result,
    _EXCEPTION: _read_exception,
    _HELLO: _read_hello,
    _GOODBYE: _read_goodbye,
    _PIECE: _read_piece,
}
