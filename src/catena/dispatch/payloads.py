"""Payloads: arguments, results and exceptions as bytes, and the errors for what cannot be pickled.

Also the port through which ``transfer`` encodes and decodes the values of variables.
"""

from __future__ import annotations

from collections.abc import Callable
from pickle import loads as _loads
from typing import Any

from catena.errors import SerializationError
from catena.escape import printable
from catena.events import announced
from catena.link.outbox import FRAME_LIMIT, FrameTooLong
from catena.pickling import pickler
from catena.wire import manifests
from catena.wording import reason


class Wire:
    """The port ``Values`` of ``transfer``, filled by pickling."""

    __slots__ = ("strict",)

    proxy_mark = manifests.PROXY_MARK

    dumps = staticmethod(pickler.dumps)
    loads = staticmethod(pickler.loads)
    pack = staticmethod(manifests.pack_entries)
    snapshot = staticmethod(pickler.take_snapshot)
    unpack = staticmethod(manifests.unpack_entries)

    def __init__(self, *, strict: bool = False) -> None:
        self.strict = strict


LENIENT = Wire()
STRICT = Wire(strict=True)


def values_for(*, strict: bool) -> Wire:
    """Return how values are written and read: one that is bad costs itself, or the whole chain."""
    return STRICT if strict else LENIENT


def pickle_payload(
    value: Any, what: str, routine: str, dumps: Callable[[Any], bytes] = pickler.dumps
) -> bytes:
    """Return an object as a payload. Raises SerializationError that names what and routine."""
    try:
        data = dumps(value)
    except BaseException as error:
        cause = reason(error)
        raise announced(SerializationError(what=what, routine=routine, cause=cause)) from error
    if len(data) > FRAME_LIMIT:
        raise refuse_unsendable(FrameTooLong(len(data)), what, routine)
    return data


def unpickle_payload(
    payload: bytes, what: str, routine: str, loads: Callable[[bytes], Any] = _loads
) -> Any:
    """Return the object of a payload. Raises SerializationError that names what and routine.

    Here is the net under everything that is unpickled: whatever its code raises, SystemExit as
    well, ends the one call that it came for.
    """
    try:
        return loads(payload)
    except BaseException as error:
        cause = reason(error)
        raise announced(
            SerializationError(what=what, routine=routine, cause=cause, doing="read")
        ) from error


def refuse_unsendable(error: Exception, what: str, routine: str) -> SerializationError:
    """Return, and announce, the error of a frame that its link could not send."""
    name = "" if isinstance(error, FrameTooLong) else f"{type(error).__name__}: "
    cause = printable(f"{name}{error}", 500)
    return announced(SerializationError(what=what, routine=routine, cause=cause))
