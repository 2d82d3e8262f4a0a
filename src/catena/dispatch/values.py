"""What a frame carries, opened in the right Context: its chain first, then its payload."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from catena.context.capture import Baseline
from catena.context.manifest import ChainManifest
from catena.context.mount import mount
from catena.errors import ChainSerializationError, SerializationError
from catena.escape import printable
from catena.events import refused, unhandled
from catena.link.outbox import FRAME_LIMIT, FrameTooLong
from catena.wire import failure, manifests, serializer
from catena.wire.frames import ExceptionFrame, Frame, Result
from catena.wire.native import context_of, set_context

__all__ = [
    "LENIENT",
    "STRICT",
    "Wire",
    "append_context",
    "mount_frame",
    "opened",
    "take",
    "unsendable",
    "wire",
    "written",
]


class Wire:
    """The port ``Values`` of the context floor, as the wire fills it."""

    __slots__ = ("strict",)

    dumps = staticmethod(serializer.dumps)
    loads = staticmethod(serializer.loads)
    pack = staticmethod(manifests.pack)
    snapshot = staticmethod(serializer.snapshot)
    unpack = staticmethod(manifests.unpack)

    def __init__(self, *, strict: bool = False) -> None:
        self.strict = strict


LENIENT = Wire()
STRICT = Wire(strict=True)


def wire(*, strict: bool) -> Wire:
    """Return the one or the other."""
    return STRICT if strict else LENIENT


def mount_frame(
    manifest: ChainManifest | None,
    values: Wire,
    baseline: Baseline | None,
    *,
    to_worker: bool,
) -> Baseline | None:
    """Mount what a frame carries, if it does, and return the call's new baseline.

    Raises ChainSerializationError, ChainContention.
    """
    if manifest is None:
        return baseline
    try:
        return mount(manifest, values, to_worker=to_worker, baseline=baseline)
    except ChainSerializationError as error:
        raise refused(error) from None


def written(value: Any, what: str, routine: str) -> bytes:
    """Return an object as a payload. Raises SerializationError that names what and routine."""
    try:
        data = serializer.dumps(value)
    except Exception as error:
        cause = f"{type(error).__name__}: {error}"
        raise refused(SerializationError(what=what, routine=routine, cause=cause)) from error
    if len(data) > FRAME_LIMIT:
        raise unsendable(FrameTooLong(len(data)), what, routine)
    return data


def unsendable(error: Exception, what: str, routine: str) -> SerializationError:
    """Return, and announce, the error of a frame that its link could not send."""
    name = "" if isinstance(error, FrameTooLong) else f"{type(error).__name__}: "
    cause = printable(f"{name}{error}", 500)
    return refused(SerializationError(what=what, routine=routine, cause=cause))


def opened(
    payload: bytes, what: str, routine: str, loads: Callable[[bytes], Any] = serializer.loads
) -> Any:
    """Return the object of a payload. Raises SerializationError that names what and routine."""
    try:
        return loads(payload)
    except Exception as error:
        cause = f"{type(error).__name__}: {error}"
        raise refused(
            SerializationError(what=what, routine=routine, cause=cause, doing="read")
        ) from error


def take(
    frame: Frame, routine: str, values: Wire, baseline: Baseline | None = None
) -> tuple[Any, Baseline | None]:
    """Mount an answer in the caller's Context; return its value and the call's new baseline.

    Raises what the answer brings. A chain that cannot be read never replaces an exception: it is
    appended to its context; instead of a value it is raised, with the value as ``value``.
    """
    __tracebackhide__ = True
    match frame:
        case Result():
            if frame.manifest is not None:
                try:
                    baseline = mount_frame(frame.manifest, values, baseline, to_worker=False)
                except ChainSerializationError as error:
                    error.value = opened(frame.payload, "the result", routine)
                    raise
            return opened(frame.payload, "the result", routine), baseline
        case ExceptionFrame():
            error: BaseException
            try:
                error = opened(frame.payload, "the exception", routine, failure.load)
            except SerializationError as unopened:
                error = unopened
            try:
                mount_frame(frame.manifest, values, baseline, to_worker=False)
            except ChainSerializationError as unreadable:
                append_context(error, unreadable)
            unhandled(error, routine, frame.call, at_caller=True)
            try:
                # Where it was raised on the worker is among its notes, as "Remote traceback".
                # Past the class, which may have a method of this name.
                raise BaseException.with_traceback(error, None)
            finally:
                del error
        case _:
            raise TypeError(f"{frame!r} answers nothing")


def append_context(error: BaseException, last: BaseException) -> None:
    """Put an exception at the tail of another's context; circles are left alone."""
    seen = {id(error)}
    while (context := context_of(error)) is not None and id(context) not in seen:
        error = context
        seen.add(id(error))
    if context is None and error is not last:
        set_context(error, last)
