"""Exceptions put together again, each by the first step whose result passes a comparison.

The comparison is between what arrived and what was recorded: the class, the arguments and the
attributes where they are plain data, and the text. An exception that fails it goes on to its next
step, and all are put together anew, since others may hold it.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from enum import IntEnum
from functools import partial
from typing import Any, cast

from catena.errors import RemoteError
from catena.pickling import pickler
from catena.remote_exceptions.hops import Hop, RemoteTraceback
from catena.remote_exceptions.native import (
    args_of,
    attributes_of,
    hooks_of,
    is_sealed,
    make_bare,
    set_args,
    set_cause,
    set_context,
    set_field,
    set_notes,
    set_suppresses_context,
)
from catena.remote_exceptions.record import (
    Part,
    Record,
    Shown,
    digest_text,
    is_called,
    text_or_none,
)
from catena.wording import class_name, reason

_PASSES = 6
# Characters of what a note of ours says.
_REMARK = 300
_REMARKS = ("(rebuilt from its class and arguments", "(stands for", "(its text there")
_ABSENT = object()
_STATE = {"__getstate__", "__setstate__"}


class _Step(IntEnum):
    WHOLE = 0
    REBUILT = 1
    # With the representations of those attributes that could not come as they are.
    SHOWN = 2
    REPLACED = 3


_REBUILT = (_Step.REBUILT, _Step.SHOWN)


def rebuild_exceptions(records: list[Record], parts: list[Part]) -> list[BaseException]:
    """Return all exceptions of one pickle, in the order of their records."""
    steps = [_first_step(one) for one in records]
    whys = [[one.step] if one.step else [] for one in records]
    for _ in range(_PASSES):
        attempt = _Pass(records, parts, steps, whys)
        wrong = attempt.find_differences()
        if not wrong:
            return attempt.annotate_all()
        for place, why in wrong.items():
            whys[place].append(why)
            steps[place] = _Step(steps[place] + 1)
    return _Pass(records, parts, steps, whys).annotate_all()


class _Pass:
    """One attempt, with the step of each exception as the attempts before have left it."""

    def __init__(
        self,
        records: list[Record],
        parts: list[Part],
        steps: list[_Step],
        whys: list[list[str]],
    ) -> None:
        self._records, self._parts, self._steps, self._whys = records, parts, steps, whys
        self._made: dict[int, BaseException] = {}
        self._making: set[int] = set()
        self._values: dict[int, tuple[Any, str]] = {}
        self._lost: list[list[str]] = [[] for _ in records]
        self._remarks: list[list[str]] = [[] for _ in records]
        for place in range(len(records)):
            self._make_at(place)
        for place in range(len(records)):
            self._fill_at(place)

    # ---- making

    def _make_at(self, place: int) -> BaseException:
        """Return the exception of a place, made by its step or, where that fails, by a later one.

        What holds exceptions makes them first. Raises where an exception would hold itself.
        """
        if place in self._made:
            return self._made[place]
        if place in self._making:
            raise pickle.UnpicklingError("it is needed to make itself")
        self._making.add(place)
        made = None
        while made is None:
            made = self._try_step(place)
        self._made[place] = made
        return made

    def _try_step(self, place: int) -> BaseException | None:
        record, step = self._records[place], self._steps[place]
        try:
            if step is _Step.WHOLE:
                return _exception_or_raise(self._loads(cast("bytes", record.whole)))
            if step in _REBUILT:
                return self._make_empty(place, self._loads(cast("bytes", record.kind)))
            if record.group is not None:
                return self._make_empty(place, BaseExceptionGroup)
        except BaseException as error:
            # Classes run code when they are loaded, and SystemExit of theirs is not meant for us.
            self._whys[place].append(reason(error))
            if step is _Step.REPLACED:
                return self._stand_in(place)
            self._steps[place] = _Step(step + 1)
            return None
        return self._stand_in(place)

    def _make_empty(self, place: int, kind: Any) -> BaseException:
        record = self._records[place]
        if record.group is None:
            return _exception_or_raise(make_bare(kind))
        members = [self._make_at(one) for one in record.members]
        return _exception_or_raise(make_bare(kind, (record.group, members)))

    def _stand_in(self, place: int) -> BaseException:
        record = self._records[place]
        why = _join_reasons(self._whys[place])
        return RemoteError(type_name=record.type_name, message=record.message, step=why)

    def _loads(self, data: bytes) -> Any:
        return _Unpickler(data, self._make_at).load()

    # ---- filling

    def _fill_at(self, place: int) -> None:
        """Give an exception what it holds, and its family."""
        record, error = self._records[place], self._made[place]
        if self._steps[place] in _REBUILT:
            set_args(
                error, tuple(self._argument_or_shown(place, *one) for one in enumerate(record.args))
            )
            for name, part in record.attributes:
                self._set_part(
                    place, f"attribute {name!r}", part, attributes_of(error).__setitem__, name
                )
            for name, part in record.fields:
                self._set_part(place, f"attribute {name!r}", part, partial(set_field, error), name)
        set_context(error, None if record.context is None else self._made[record.context])
        set_cause(error, None if record.cause is None else self._made[record.cause])
        set_suppresses_context(error, record.suppress_context)

    def _argument_or_shown(self, place: int, number: int, part: int) -> Any:
        value, why = self._value_of(place, part)
        if why:
            self._lost[place].append(f"argument {number + 1}: {why}")
        return self._show_part(part) if value is _ABSENT else value

    def _set_part(
        self, place: int, what: str, part: int, setter: Callable[[str, Any], Any], name: str
    ) -> None:
        value, why = self._value_of(place, part)
        if value is not _ABSENT:
            try:
                setter(name, value)
            except BaseException as error:
                # A class of this name may have no room for it here.
                why = reason(error)
        if why:
            self._lost[place].append(f"{what}: {why}")

    def _value_of(self, place: int, part: int) -> tuple[Any, str]:
        """Return what a part stands for, as the step of its exception has it, and what is wrong."""
        known = self._values.get(part)
        if known is None:
            known = self._values[part] = self._open_part(self._parts[part])
        value, why = known
        if why and self._steps[place] is _Step.SHOWN:
            value = self._show_part(part)
        return value, why

    def _show_part(self, part: int) -> Shown:
        one = self._parts[part]
        return Shown(one.shown or f"<{one.type_name}>")

    def _open_part(self, part: Part) -> tuple[Any, str]:
        if part.data is None:
            return _ABSENT, part.why
        try:
            value = self._loads(part.data)
        except BaseException as error:
            # Its own code may raise SystemExit as well, which is not meant for us.
            return _ABSENT, reason(error)
        if issubclass(type(value), BaseException) or is_called(value, part.type_name):
            return value, part.why
        return _ABSENT, f"its pickle is a {class_name(value)}"

    # ---- proof

    def find_differences(self) -> dict[int, str]:
        """Return the places where an exception is not what was recorded, and why."""
        found = {place: self._find_difference(place) for place in self._made}
        return {place: why for place, why in found.items() if why}

    def _find_difference(self, place: int) -> str:
        """Return where an exception is not what was recorded; empty where nothing speaks for it."""
        record, error, step = self._records[place], self._made[place], self._steps[place]
        if step is _Step.REPLACED:
            return ""
        if step is _Step.WHOLE and (why := self._compare_whole(record, error)):
            return why
        text = text_or_none(error)
        if record.text is None or digest_text(text) == record.text:
            return ""
        if text is None:
            return "its text cannot be had here"
        if step is _Step.WHOLE or self._lost[place]:
            return "its text is another one here"
        # Everything has come, so that its class makes the text from something else.
        self._remarks[place].append(f"{_REMARKS[2]}: {record.message[:_REMARK]})")
        return ""

    def _compare_whole(self, record: Record, error: BaseException) -> str:
        if not is_called(error, record.type_name):
            return f"its pickle is a {class_name(error)}"
        if is_sealed(type(error)):
            return ""
        args = args_of(error)
        if len(args) != len(record.args) or not all(map(self._is_alike, record.args, args)):
            return "its pickle has other arguments"
        if not hooks_of(type(error)) & _STATE:
            there = attributes_of(error)
            for name, part in record.attributes:
                if not self._is_alike(part, there.get(name, _ABSENT)):
                    return f"its pickle has another attribute {name!r}"
        return ""

    def _is_alike(self, part: int, value: Any) -> bool:
        """Say whether a value is what a part stands for, as far as plain data goes."""
        one = self._parts[part]
        if not one.plain:
            # Only its class knows whether it has to come, and what it may be instead.
            return True
        there = pickler.take_snapshot([lambda: self._open_part(one)[0]], flat=True)
        return there == pickler.take_snapshot([lambda: value], flat=True)

    # ---- notes

    def annotate_all(self) -> list[BaseException]:
        """Return the exceptions with their notes, in the order of their records."""
        for place in self._made:
            self._annotate_at(place)
        return [self._made[place] for place in range(len(self._records))]

    def _annotate_at(self, place: int) -> None:
        """Give an exception its notes: those it had, what happened on the way, where it is from."""
        record, error = self._records[place], self._made[place]
        notes = list(record.notes)
        for remark in [self._remark_on(place), *self._remarks[place]]:
            if remark and remark not in notes:
                notes.append(remark)
        if record.hops:
            notes.append(RemoteTraceback.from_hops(tuple(_read_hop(one) for one in record.hops)))
        set_notes(error, notes)

    def _remark_on(self, place: int) -> str:
        whys = [*self._whys[place], *self._lost[place]]
        step, record = self._steps[place], self._records[place]
        if not whys or type(self._made[place]) is RemoteError:
            return ""
        if step is _Step.REPLACED:
            return f"{_REMARKS[1]} {record.type_name}: {_join_reasons(whys)})"
        return f"{_REMARKS[0]}: {_join_reasons(whys)})"


class _Unpickler(pickle.Unpickler):
    """Reads an exception where its place was written."""

    def __init__(self, data: bytes, make_at: Any) -> None:
        super().__init__(io.BytesIO(data))
        self._make_at = make_at

    def persistent_load(self, pid: Any) -> BaseException:
        return self._make_at(pid)


def make_waiting(
    kind: type[BaseException],
    args: tuple[Any, ...],
    fields: list[tuple[str, Any]],
    group: tuple[str, list[BaseException]] | None = None,
) -> BaseException:
    """Return an exception that waits for its state; this is what a pickle calls."""
    error = make_bare(kind, group)
    set_args(error, args)
    for name, value in fields:
        set_field(error, name, value)
    return error


def is_users_note(note: Any) -> bool:
    """Say whether a note is a user's, and none of ours."""
    ours = type(note) is RemoteTraceback or str(note).startswith(_REMARKS)
    return not ours


def _first_step(record: Record) -> _Step:
    if record.whole is not None:
        return _Step.WHOLE
    return _Step.REPLACED if record.kind is None else _Step.REBUILT


def _exception_or_raise(found: Any) -> BaseException:
    if issubclass(type(found), BaseException):
        return cast("BaseException", found)
    raise pickle.UnpicklingError(f"its pickle is a {class_name(found)}")


def _join_reasons(whys: list[str]) -> str:
    text = "; ".join(dict.fromkeys(whys))
    return text if len(text) <= _REMARK else f"{text[:_REMARK]}…"


def _read_hop(row: Any) -> Hop:
    return Hop(*row[: len(Hop._fields)])
