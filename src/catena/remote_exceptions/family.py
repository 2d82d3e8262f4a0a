"""An exception and all exceptions that it holds, taken apart.

Every reference to an exception (a cause, a context, a member of a group, an argument, or one deep
in an attribute) becomes its position in one list. So each exception is taken apart once, by itself,
the nearest first: cycles end, and an exception that cannot be taken apart does not affect the
others.
"""

from __future__ import annotations

import copyreg
import io
import os
from collections.abc import Callable
from functools import partial
from types import FunctionType
from typing import Any, cast

from catena.pickling import pickler
from catena.remote_exceptions import native
from catena.remote_exceptions.hops import Hop, RemoteTraceback, frames_of, prepend_hop
from catena.remote_exceptions.rebuilding import make_waiting
from catena.remote_exceptions.record import Part, Record, Shown, digest_text, safe_repr
from catena.wording import full_name, reason, text_of

_DEPTH = 32
# Characters of a safe_repr that is needed only where a pickle cannot be opened.
_FALLBACK = 1024
_SCALARS = {str, bytes, int, float, bool, type(None)}
# Past a subclass that has a method of this name.
_items: Any = dict.__dict__["items"]
_REDUCERS = {"__reduce__", "__reduce_ex__"}


class Family:
    """The exceptions that one of them leads to, as rows.

    ``here`` is the hop that is added to its way, without frames; None for a value.
    """

    def __init__(self, error: BaseException, here: Hop | None = None) -> None:
        self._here = here
        self._records: list[Record] = []
        self._parts: list[Part] = []
        self._errors: list[tuple[BaseException, int]] = []
        self._places: dict[int, int] = {}
        # By id, and the values so that no id is given again.
        self._values: dict[int, tuple[int, Any]] = {}
        self._place_of(error, 0)
        while len(self._records) < len(self._errors):
            self._records.append(self._make_record(len(self._records)))

    def to_rows(self) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
        """Return the rows of the exceptions and those of what they hold."""
        return [one.to_row() for one in self._records], [tuple(one) for one in self._parts]

    def _place_of(self, error: BaseException, depth: int) -> int:
        known = self._places.get(id(error))
        if known is None:
            known = self._places[id(error)] = len(self._errors)
            self._errors.append((error, depth))
        return known

    def _make_record(self, place: int) -> Record:
        error, depth = self._errors[place]
        record = Record(full_name(error), text_of(error))
        if depth > _DEPTH:
            record.step = f"it is held by more than {_DEPTH} exceptions, one in the other"
            return record
        try:
            self._describe_itself(record, error)
            self._describe_family(record, error, depth)
            self._describe_way(record, error, first=place == 0)
        except BaseException as raised:
            # Nothing above runs code of its class unguarded; it goes on with what there is.
            record.step = record.step or reason(raised)
        return record

    def _describe_itself(self, record: Record, error: BaseException) -> None:
        """Describe what an exception is by itself."""
        kind: type[BaseException] = type(error)
        refer = self._make_referrer(error)
        record.text = digest_text(error)
        record.kind, record.step = _Pickler(None).try_dump(kind)
        record.args = [self._place_part(one, refer, shown=True) for one in native.args_of(error)]
        hooks = native.hooks_of(kind)
        attributes = _attributes_to_send(error, hooks)
        record.attributes = [(name, self._place_part(one, refer)) for name, one in attributes]
        fields = _fields_to_send(error)
        record.fields = [(name, self._place_part(one, refer)) for name, one in fields]
        if issubclass(kind, BaseExceptionGroup):
            record.group = native.message_of(error)
        if hooks or _has_registered_reducer(type(error)):
            way = partial(_reduce_with_state, error, hooks, fields)
            record.whole, why = _Pickler(refer, error, way).try_dump(error)
            record.step = record.step or why

    def _describe_family(self, record: Record, error: BaseException, depth: int) -> None:
        """Describe which other exceptions belong to it."""
        if record.group is not None:
            record.members = [self._place_of(one, depth + 1) for one in native.members_of(error)]
        record.cause = self._place_relative(native.cause_of(error), depth + 1)
        record.context = self._place_relative(native.context_of(error), depth + 1)
        record.suppress_context = native.suppresses_context(error)

    def _place_relative(self, error: BaseException | None, depth: int) -> int | None:
        if error is None or (depth > _DEPTH and id(error) not in self._places):
            return None
        return self._place_of(error, depth)

    def _describe_way(self, record: Record, error: BaseException, *, first: bool) -> None:
        """Describe where it comes from, and its notes."""
        record.notes, record.hops = _split_notes(error)
        frames, left_out = frames_of(error)
        here = self._here or Hop(str(os.getpid()), "", ())
        if frames or (first and here is self._here):
            mark = here.mark if first else ""
            hop = Hop(here.worker, here.routine, frames, left_out, mark)
            record.hops = prepend_hop(hop, record.hops)

    def _place_part(self, value: Any, refer: Callable[[Any], int], *, shown: bool = False) -> int:
        """Return the place of a value among the parts."""
        known = self._values.get(id(value))
        if known is None:
            self._parts.append(_make_part(value, refer, shown=shown))
            known = self._values[id(value)] = (len(self._parts) - 1, value)
        return known[0]

    def _make_referrer(self, error: BaseException) -> Callable[[Any], int]:
        depth = self._errors[self._places[id(error)]][1] + 1
        return lambda other: self._place_of(other, depth)


class _Pickler(pickler.Thorough):
    """Writes the place of an exception instead of the exception, but for its ``root``.

    Without places, for a class, exceptions are written as pickle does it: an attribute of the
    class may be an exception of that class.
    """

    def __init__(
        self, refer: Callable[[Any], int] | None, root: Any = None, way: Any = None
    ) -> None:
        thorough: Any = super()
        self._buffer = io.BytesIO()
        thorough.__init__(self._buffer, protocol=pickler.PROTOCOL)
        self.plain = True
        self._refer, self._root, self._way = refer, root, way

    def try_dump(self, value: Any) -> tuple[bytes | None, str]:
        """Return the pickle of anything, or None and why there is none."""
        thorough: Any = self
        try:
            thorough.dump(value)
        except BaseException as error:
            # Its own code may raise SystemExit as well, which is not meant for us.
            return None, reason(error)
        return self._buffer.getvalue(), ""

    def persistent_id(self, obj: Any) -> int | None:
        """Return the place of an exception; asked by pickle."""
        if self._refer is None or obj is self._root or not issubclass(type(obj), BaseException):
            return None
        self.plain = False
        return self._refer(obj)

    def reducer_override(self, obj: Any) -> Any:
        """Return how an object travels; asked by pickle."""
        self.plain = False
        if obj is self._root:
            return self._way()
        if self._refer is None and issubclass(type(obj), BaseException):
            return NotImplemented
        return super().reducer_override(obj)


class _Lenient(_Pickler):
    """Writes the safe_repr of what cannot be pickled within a value."""

    def reducer_override(self, obj: Any) -> Any:
        """Return how an object travels; asked by pickle."""
        try:
            way = super().reducer_override(obj)
            if way is NotImplemented and not issubclass(type(obj), type | FunctionType):
                reduce: Any = self.dispatch_table.get(cast("Any", type(obj)))
                way = obj.__reduce_ex__(pickler.PROTOCOL) if reduce is None else reduce(obj)
        except BaseException:
            # Its own code may raise SystemExit as well, which is not meant for us.
            if obj is self._root:
                raise
            return Shown, (safe_repr(obj),)
        return way


def _split_notes(error: BaseException) -> tuple[list[str], list[Any]]:
    """Return the notes, whatever somebody put into ``__notes__``, and the hops among them."""
    notes: list[str] = []
    hops: list[Any] = []
    for note in native.notes_of(error):
        if type(note) is RemoteTraceback:
            hops = [tuple(hop) for hop in note.hops]
        else:
            notes.append(str.__str__(note) if issubclass(type(note), str) else safe_repr(note))
    return notes, hops


def _make_part(value: Any, refer: Callable[[Any], int], *, shown: bool) -> Part:
    writer = _Pickler(refer)
    data, why = writer.try_dump(value)
    if data is None:
        data, _ = _Lenient(refer, value, lambda: NotImplemented).try_dump(value)
        return Part(data, full_name(value), safe_repr(value), why)
    text = "" if writer.plain or not shown else safe_repr(value)[:_FALLBACK]
    return Part(data, full_name(value), text, plain=writer.plain)


def _attributes_to_send(error: BaseException, hooks: frozenset[str]) -> list[tuple[str, Any]]:
    """Return the attributes that are to travel: those that a ``__getstate__`` of its own gives."""
    state: Any = native.attributes_of(error)
    if "__getstate__" in hooks:
        try:
            given: Any = error.__getstate__()
        except BaseException:
            # It is not meant for us; the same happens, and is noted, where it is pickled whole.
            given = None
        # As pickle has it, with __slots__ they are the first of two.
        state = given[0] if issubclass(type(given), tuple) and given else given
    kept: Any = state if issubclass(type(state), dict) else native.attributes_of(error)
    items: list[tuple[Any, Any]] = list(_items(kept))
    return [(name, one) for name, one in items if type(name) is str and name != "__notes__"]


def _fields_to_send(error: BaseException) -> list[tuple[str, Any]]:
    """Return the values of its slots, and of what builtin classes keep outside of ``args``.

    As in the standard library, the object that lacks an attribute stays where it is, unless it is a
    plain number or text: it may be anything, and of any size.
    """
    found = native.fields_of(error)
    if type(found.get("AttributeError.obj")) not in _SCALARS:
        del found["AttributeError.obj"]
    return [(name, one) for name, one in found.items() if not name.endswith(".__notes__")]


def _reduce_with_state(
    error: BaseException, hooks: frozenset[str], fields: list[tuple[str, Any]]
) -> Any:
    """Return how an exception is pickled whose class has a way of its own with its state."""
    if hooks & _REDUCERS or _has_registered_reducer(type(error)):
        return NotImplemented
    state = (
        error.__getstate__() if "__getstate__" in hooks else dict(_attributes_to_send(error, hooks))
    )
    group = None
    if issubclass(type(error), BaseExceptionGroup):
        group = native.message_of(error), list(native.members_of(error))
    return make_waiting, (type(error), native.args_of(error), fields, group), state


def _has_registered_reducer(kind: type[BaseException]) -> bool:
    # Not by a look-up, since a metaclass may refuse to be hashed.
    return any(one is kind for one in copyreg.dispatch_table)
