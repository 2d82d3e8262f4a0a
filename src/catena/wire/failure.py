"""Exceptions on the wire: their own class here, and a remote traceback that a person can read.

An exception is taken apart into a record of builtins, and with it its cause, its context, its notes
and, for a group, its members. Each exception of that tree comes back by the first of these steps
that works, and a later step says why the earlier ones did not:

1. whole: the object's own pickle;
2. rebuilt: the class, its ``args`` and what of its attributes can be pickled, without ``__init__``;
3. replaced: ``RemoteError`` with the name and the message of the original.

The remote traceback rides as one note, ``RemoteTraceback``, that a further hop extends instead of
quoting it: every frame is shown once, the hops in order, the innermost last.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType, TracebackType
from typing import Any, NamedTuple, cast

from catena.errors import RemoteError
from catena.wire import serializer

__all__ = ["Hop", "RemoteTraceback", "dump", "load"]

_DEPTH = 32
_OWN = str(Path(__file__).parents[1]) + os.sep


class Hop(NamedTuple):
    """What one worker saw: who it was, what it ran, and the frames from there to the error."""

    worker: str
    routine: str
    frames: tuple[tuple[str, int, str, str], ...]
    """(file, line, function, source text) of each frame, outermost first."""


class RemoteTraceback(str):  # noqa: SLOT000 - it has one
    """The note that shows where a remote exception comes from; ``hops`` is the same as data."""

    hops: tuple[Hop, ...]

    @classmethod
    def of(cls, hops: tuple[Hop, ...]) -> RemoteTraceback:
        """Return the note for hops, outermost first."""
        note = cls("\n".join(_lines(hops)))
        note.hops = hops
        return note


@dataclass(slots=True)
class _Record:
    """One exception, taken apart; everything in it is built in."""

    type_name: str
    message: str
    whole: bytes | None
    kind: bytes | None
    args: bytes | None
    attributes: dict[str, bytes]
    step: str
    notes: list[str]
    hops: list[Any]
    suppress_context: bool
    cause: int | None
    context: int | None
    members: list[int] | None


def dump(error: BaseException, *, worker: str, routine: str) -> bytes:
    """Return an exception, with its family, as bytes; this never fails for a strange exception.

    ``worker`` and ``routine`` name the hop that is added to its remote traceback.
    """
    parts = _Parts(worker, routine)
    parts.take(error, 0)
    return serializer.dumps(parts.rows)


def load(data: bytes) -> BaseException:
    """Return the exception that the bytes stand for, with its family and its remote traceback.

    Raises what unpickling raises when the bytes are not a dumped exception; an exception inside
    that cannot be rebuilt becomes a RemoteError instead.
    """
    records = [_Record(*row) for row in serializer.loads(data)]
    errors = [_rebuild(record) for record in records]
    for index in range(len(records)):
        _regroup(index, records, errors)
    for record, error in zip(records, errors, strict=True):
        _dress(record, error, errors)
    return errors[0]


# ---- taking apart


class _Parts:
    """Takes a family of exceptions apart, each member once."""

    def __init__(self, worker: str, routine: str) -> None:
        self.rows: list[tuple[Any, ...]] = []
        self._places: dict[int, int] = {}
        self._here = (worker, routine)

    def take(self, error: BaseException, depth: int) -> int | None:
        """Append the rows of an exception and its family; return the index of its own."""
        if id(error) in self._places:
            return self._places[id(error)]
        if depth > _DEPTH:
            return None
        index = self._places[id(error)] = len(self.rows)
        self.rows.append(())
        record = _alone(error)
        frames = _frames(error.__traceback__)
        if frames or index == 0:
            record.hops = [(*self._here, frames), *record.hops]
        if isinstance(error, BaseExceptionGroup):
            members = cast("BaseExceptionGroup[BaseException]", error).exceptions
            indexes = [self.take(one, depth + 1) for one in members]
            record.members = [one for one in indexes if one is not None]
        if error.__cause__ is not None:
            record.cause = self.take(error.__cause__, depth + 1)
        if error.__context__ is not None:
            record.context = self.take(error.__context__, depth + 1)
        self.rows[index] = _row(record)
        return index


def _alone(error: BaseException) -> _Record:
    kind = type(error)
    group = isinstance(error, BaseExceptionGroup)
    notes, hops = _notes(error)
    # A group is made anew from its members, which are taken apart themselves.
    whole, step = (None, "") if group else _try_dumps(error)
    attributes: dict[str, bytes] = {}
    for name, value in vars(error).items() if whole is None or _has_init(kind) else ():
        data, why = _try_dumps(value)
        step = step or why
        if data is not None and name != "__notes__":
            attributes[name] = data
    args: Any = cast("BaseExceptionGroup[Any]", error).message if group else tuple(error.args)
    return _Record(
        type_name=f"{kind.__module__}.{kind.__qualname__}",
        message=_message(error),
        whole=whole,
        kind=_try_dumps(kind)[0],
        args=_try_dumps(args)[0] or _try_dumps(_shown(args))[0],
        attributes=attributes,
        step=step,
        notes=notes,
        hops=hops,
        suppress_context=error.__suppress_context__,
        cause=None,
        context=None,
        members=None,
    )


def _has_init(kind: type[BaseException]) -> bool:
    """Say whether a class has a constructor of its own, so that calling it with args may fail."""
    return isinstance(kind.__init__, FunctionType)


def _row(record: _Record) -> tuple[Any, ...]:
    return tuple(getattr(record, name) for name in _Record.__slots__)


def _try_dumps(value: Any) -> tuple[bytes | None, str]:
    """Return the pickle of anything, or None and why there is none."""
    try:
        return serializer.dumps(value), ""
    except Exception as error:
        return None, f"{type(error).__name__}: {error}"


def _shown(args: Any) -> Any:
    """Return arguments that can surely be pickled: each as it is, or as its representation."""
    if not isinstance(args, tuple):
        return str(args)
    items = cast("tuple[Any, ...]", args)
    return tuple(one if _try_dumps(one)[0] is not None else _safe_repr(one) for one in items)


def _safe_repr(value: Any) -> str:
    try:
        return repr(value)
    except Exception:
        return f"<{type(value).__qualname__} whose repr raises>"


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return "<message whose str raises>"


def _notes(error: BaseException) -> tuple[list[str], list[Any]]:
    """Return the notes, whatever somebody put into ``__notes__``, and the hops among them."""
    given: Any = getattr(error, "__notes__", None)
    notes: list[str] = []
    hops: list[Any] = []
    for note in cast("list[Any]", given) if isinstance(given, list | tuple) else ():
        if isinstance(note, RemoteTraceback):
            hops = [tuple(hop) for hop in note.hops]
        else:
            notes.append(note if isinstance(note, str) else _safe_repr(note))
    return notes, hops


def _frames(trace: TracebackType | None) -> tuple[tuple[str, int, str, str], ...]:
    """Return the frames of a traceback; Catena's own only when they are asked for."""
    everything = bool(os.environ.get("CATENA_FULL_TRACEBACK"))
    return tuple(
        (one.filename, one.lineno or 0, one.name, one.line or "")
        for one in traceback.extract_tb(trace)
        if everything or not one.filename.startswith(_OWN)
    )


# ---- putting together


def _rebuild(record: _Record) -> BaseException:
    if record.whole is not None:
        try:
            whole = serializer.loads(record.whole)
        except Exception as error:
            record.step = f"{type(error).__name__}: {error}"
        else:
            if isinstance(whole, BaseException):
                return whole
            record.step = f"its pickle is a {type(whole).__qualname__}"
    try:
        rebuilt = _without_init(record)
    except Exception as error:
        step = "; ".join(filter(None, (record.step, str(error))))
        return RemoteError(type_name=record.type_name, message=record.message, step=step)
    remark = f"(rebuilt from its class and arguments: {record.step})"
    if remark not in record.notes:
        record.notes.append(remark)
    return rebuilt


def _without_init(record: _Record, members: list[BaseException] | None = None) -> BaseException:
    if record.kind is None or record.args is None:
        raise TypeError("its class cannot be pickled")
    if record.members is not None and members is None:
        raise TypeError("a group is made when its members are")
    kind = serializer.loads(record.kind)
    args = serializer.loads(record.args)
    error = kind.__new__(kind, *args) if members is None else kind.__new__(kind, args, members)
    for name, data in record.attributes.items():
        setattr(error, name, serializer.loads(data))
    return error


def _regroup(index: int, records: list[_Record], errors: list[BaseException]) -> None:
    """Put a group in place of its stand-in, its members first."""
    record = records[index]
    indexes, record.members = record.members, None
    if not indexes:
        return
    for one in indexes:
        _regroup(one, records, errors)
    members = [errors[one] for one in indexes]
    try:
        errors[index] = _without_init(record, members)
    except Exception as error:
        record.notes.append(f"(stands for {record.type_name}: {type(error).__name__}: {error})")
        errors[index] = BaseExceptionGroup(record.message, members)


def _dress(record: _Record, error: BaseException, errors: list[BaseException]) -> None:
    notes: list[str] = list(record.notes)
    if record.hops:
        notes.append(RemoteTraceback.of(tuple(Hop(*hop) for hop in record.hops)))
    if notes:
        error.__notes__ = notes
    elif hasattr(error, "__notes__"):
        del error.__notes__
    if record.context is not None:
        error.__context__ = errors[record.context]
    if record.cause is not None:
        error.__cause__ = errors[record.cause]
    error.__suppress_context__ = record.suppress_context


def _lines(hops: tuple[Hop, ...]) -> Iterable[str]:
    yield "Remote traceback (most recent call last):"
    for hop in hops:
        yield f"  on worker {hop.worker}, in routine {hop.routine}:"
        for file, line, function, text in hop.frames:
            yield f'    File "{file}", line {line}, in {function}'
            if text:
                yield f"      {text}"
