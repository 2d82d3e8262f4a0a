"""Carried variables in a manifest: read at the capture, bound at the mount.

Their entries stand among the others, under any chain id, the empty one included. Which of them the
other side lacks shows in the values' identity. Towards a worker, a value that can change in place
is compared by its bytes as well; an answer has what was bound anew, and no more.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from catena.context.carried import (
    NAMESPACE,
    PLACES_LIMIT,
    Carried,
    Unread,
    read_carried,
    receive_carried,
)
from catena.context.variable import MISSING
from catena.events import ForwardDropped
from catena.events.bus import announce
from catena.ids import Key
from catena.transfer.baseline import GONE, Mark, Marks
from catena.transfer.diff import ManifestDiff, is_fixed
from catena.transfer.manifest import VALUE_LIMIT, Entry, EntryKind, Values
from catena.transfer.problems import Problems, describe_problem

T = TypeVar("T")

_left_out: set[Key] = set()


def add_carried(diff: ManifestDiff, since: Marks) -> None:
    """Add the carried variables that the other side lacks, given what it has; note them in it."""
    marks: dict[Key, Mark] = {}
    for carried, value in read_carried():
        known = since.get(carried.key)
        if diff.to_worker or carried.propagate == "both":
            mark = _add_one(diff, carried, value, known)
        else:
            mark = known
        if mark is not None:
            marks[carried.key] = mark
    for key in since.keys() - marks.keys():
        if diff.to_worker or not since[key].forward:
            diff.entries.append(Entry(key, EntryKind.RESET))
    diff.carried = marks


def _add_one(diff: ManifestDiff, carried: Carried, value: Any, known: Mark | None) -> Mark | None:
    """Add a value if the other side has another one; return what it has then, None for nothing."""
    key, forward = carried.key, carried.propagate == "forward"
    if value is MISSING:
        return _add_unbound(diff, key, known)
    fixed = isinstance(value, Unread) or is_fixed(value)
    if known is not None and known.value is value and (fixed or not diff.to_worker):
        return known
    try:
        data = value.data if isinstance(value, Unread) else _write(diff.values, value)
    except Exception as error:
        if carried.fails_alone:
            _leave_out(key, error)
            return None
        if known is not None and known.is_lost:
            return known
        diff.problems.append(describe_problem(key, error, "sent"))
        diff.entries.append(Entry(key, EntryKind.LOST, b"", forward))
        return Mark(GONE, b"", forward)
    mark = Mark(value, b"" if fixed else data, forward, known and known.take_back)
    if not (diff.to_worker and mark.written and known and known.written == data):
        diff.entries.append(Entry(key, EntryKind.VALUE, data, forward))
    return mark


def _add_unbound(diff: ManifestDiff, key: Key, known: Mark | None) -> Mark | None:
    """Say that a variable is not bound: also where it never was, for it may be bound there."""
    if known.is_lost if known is not None else not diff.to_worker:
        return known
    diff.entries.append(Entry(key, EntryKind.RESET))
    return Mark(GONE, b"", False)


def _write(values: Values, value: Any) -> bytes:
    return _checked(values.dumps(value))


def _checked(data: bytes) -> bytes:
    if len(data) > VALUE_LIMIT:
        raise ValueError(f"its {len(data)} bytes exceed {VALUE_LIMIT}")
    return data


def _leave_out(key: Key, error: Exception) -> None:
    """Warn that a variable is left out, once for each."""
    if key not in _left_out:
        _left_out.add(key)
        warnings.warn(describe_problem(key, error, "sent"), stacklevel=4)


def hold_fixed(marks: Marks) -> Marks:
    """Return what a link may remember of values: none that can change, only how it was written."""
    return {
        key: mark._replace(value=GONE, take_back=None) if mark.written else mark
        for key, mark in marks.items()
    }


def is_carried(key: Key) -> bool:
    """Say whether a key is that of a carried variable."""
    return key[0] == NAMESPACE


class DecodedCarried:
    """What a manifest says of carried variables: what to bind and to unbind.

    ``entries`` are those that bring a value, readable or not; ``refused`` is how many are not.
    """

    def __init__(self) -> None:
        self.entries: dict[Key, Entry] = {}
        self.bound: list[tuple[Carried, Any]] = []
        self.unbound: list[Key] = []
        self.refused = 0

    def __bool__(self) -> bool:
        return bool(self.bound or self.unbound)

    def decode(self, entry: Entry, values: Values, *, to_worker: bool) -> Problems:
        """Decode an entry; return what is wrong with it, at most one problem."""
        carried = receive_carried(entry.key, "forward" if entry.forward else "both", load=to_worker)
        if not to_worker and (entry.forward or (carried and carried.propagate == "forward")):
            if ForwardDropped.listeners:
                announce(ForwardDropped(entry.key))
            return []
        key = entry.key if carried is None else carried.key
        if entry.kind is EntryKind.VALUE:
            self.entries[entry.key] = entry
            try:
                self.bound.append(_decode_value(carried, entry.value, values))
            except Exception as error:
                self.refused += 1
                problem = describe_problem(entry.key, error, "read")
            else:
                return []
        else:
            problem = None
        if to_worker or entry.kind is EntryKind.RESET:
            self.unbound.append(key)
        return [] if problem is None else [problem]

    def bind(self, since: Marks, values: Values, *, to_worker: bool, whole: bool) -> Marks:
        """Bind and unbind in the current Context; return what the other side has then.

        A ``whole`` manifest unbinds on a worker what it does not mention.
        """
        marks = dict(since)
        gone = set(self.unbound)
        if whole and to_worker:
            gone |= since.keys() - {carried.key for carried, _ in self.bound}
        for key in gone:
            mark = marks.pop(key, None)
            if mark is not None and mark.take_back is not None:
                _try_quietly(mark.take_back)
        for carried, value in self.bound:
            key, take_back = carried.key, carried.bind(value)
            known = marks.get(key)
            if known is not None and known.take_back is not None:
                # Only what was bound first leaves nothing behind when it is taken back.
                take_back = known.take_back
            written = b""
            if not to_worker and not is_fixed(value):
                written = _try_quietly(partial(values.dumps, value)) or b""
            marks[key] = Mark(value, written, carried.propagate == "forward", take_back)
        return marks


def _decode_value(carried: Carried | None, data: bytes, values: Values) -> tuple[Carried, Any]:
    if carried is None:
        raise ValueError(f"more than {PLACES_LIMIT} carried variables are found nowhere")
    _checked(data)
    return carried, values.loads(data) if carried.is_found else Unread(data, values.loads)


def _try_quietly(do: Callable[[], T]) -> T | None:
    """Do what may be impossible: unbind in another Context, write what cannot be written."""
    try:
        return do()
    except Exception:
        return None
