"""What a frame carries, opened in the right Context: its chain first, then its payload."""

from __future__ import annotations

from typing import Any

from catena.context.manifest import ChainManifest
from catena.context.mount import capture, mount
from catena.errors import ChainSerializationError, SerializationError
from catena.events import refused
from catena.wire import codec, failure, serializer
from catena.wire.frames import ExceptionFrame, Frame, Result

__all__ = ["captured", "mount_frame", "opened", "take"]


class _Wire:
    """The port ``Values`` of the context floor, as the wire fills it."""

    dumps = staticmethod(serializer.dumps)
    loads = staticmethod(serializer.loads)
    pack = staticmethod(codec.pack)
    unpack = staticmethod(codec.unpack)


WIRE = _Wire()


def captured(*, to_worker: bool) -> ChainManifest | None:
    """Return the current chain, ready for a frame; None when the context is unarmed."""
    return capture(WIRE, to_worker=to_worker)


def mount_frame(manifest: ChainManifest | None, *, to_worker: bool) -> None:
    """Mount what a frame carries, if it does. Raises ChainSerializationError, ChainContention."""
    if manifest is None:
        return
    try:
        mount(manifest, WIRE, to_worker=to_worker)
    except ChainSerializationError as error:
        raise refused(error) from None


def opened(payload: bytes, what: str, routine: str) -> Any:
    """Return the object of a payload. Raises SerializationError that names what and routine."""
    try:
        return serializer.loads(payload)
    except Exception as error:
        cause = f"{type(error).__name__}: {error}"
        raise refused(
            SerializationError(what=what, routine=routine, cause=cause, doing="read")
        ) from error


def take(frame: Frame, routine: str) -> Any:
    """Mount an answer in the caller's Context and return its value, or raise its exception.

    A chain that cannot be read never replaces an exception: it is appended to its context.
    """
    match frame:
        case Result():
            mount_frame(frame.manifest, to_worker=False)
            return opened(frame.payload, "the result", routine)
        case ExceptionFrame():
            error: BaseException = _exception(frame.payload, routine)
            try:
                mount_frame(frame.manifest, to_worker=False)
            except ChainSerializationError as unreadable:
                _append(error, unreadable)
            try:
                raise error.with_traceback(None)
            finally:
                del error
        case _:
            raise TypeError(f"{frame!r} answers nothing")


def _exception(payload: bytes, routine: str) -> BaseException:
    try:
        return failure.load(payload)
    except Exception as error:
        cause = f"{type(error).__name__}: {error}"
        return SerializationError(what="the exception", routine=routine, cause=cause, doing="read")


def _append(error: BaseException, last: BaseException) -> None:
    """Put an exception at the tail of another's context; circles are left alone."""
    seen = {id(error)}
    while error.__context__ is not None and id(error.__context__) not in seen:
        error = error.__context__
        seen.add(id(error))
    if error.__context__ is None and error is not last:
        error.__context__ = last
