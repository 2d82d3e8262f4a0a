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
from catena.remote_exceptions import native
from catena.remote_exceptions.hops import Hop, RemoteTraceback
from catena.remote_exceptions.record import Part, Record, Shown, digest_text, is_called, read_row
from catena.wording import class_name, reason

_PASSES = 6
# Characters of what a note of ours says.
_REMARK = 300
_IS_REBUILT = "(rebuilt from its class and arguments"
_IS_ANOTHER = "(stands for"
_HAS_OTHER_TEXT = "(its text there"
_ABSENT = object()
_STATE = {"__getstate__", "__setstate__"}


class _Step(IntEnum):
    WHOLE = 0
    REBUILT = 1
    # With the representations of those attributes that could not come as they are.
    SHOWN = 2
    REPLACED = 3


class _Case:
    """One exception on its way back: what was recorded of it, and how far it has come.

    ``step`` and ``whys`` stay for the next attempt, the rest is of one attempt alone.
    """

    def __init__(self, record: Record) -> None:
        self.record = record
        self.step = _Step.REPLACED if record.kind is None else _Step.REBUILT
        if record.whole is not None:
            self.step = _Step.WHOLE
        # Why the steps before this one would not do.
        self.whys = [record.step] if record.step else []
        self.begin_attempt()

    def begin_attempt(self) -> None:
        self.error: Any = None
        self.is_making = False
        # What of it could not be brought.
        self.lost: list[str] = []
        self.remark = ""

    def is_rebuilt(self) -> bool:
        return self.step in (_Step.REBUILT, _Step.SHOWN)

    def next_step(self, why: str) -> None:
        self.whys.append(why)
        if self.step is not _Step.REPLACED:
            self.step = _Step(self.step + 1)

    def annotate(self) -> BaseException:
        """Give it its notes: those it had, what happened on the way, where it is from."""
        notes = list(self.record.notes)
        for remark in (self._describe_loss(), self.remark):
            if remark and remark not in notes:
                notes.append(remark)
        hops = tuple(read_row(Hop, one) for one in self.record.hops)
        native.set_notes(self.error, [*notes, RemoteTraceback.from_hops(hops)] if hops else notes)
        return self.error

    def _describe_loss(self) -> str:
        whys = [*self.whys, *self.lost]
        if not whys or type(self.error) is RemoteError:
            return ""
        if self.step is _Step.REPLACED:
            return f"{_IS_ANOTHER} {self.record.type_name}: {_join_reasons(whys)})"
        return f"{_IS_REBUILT}: {_join_reasons(whys)})"


def rebuild_exceptions(records: list[Record], parts: list[Part]) -> list[BaseException]:
    """Return all exceptions of one pickle, in the order of their records."""
    cases = [_Case(one) for one in records]
    for _ in range(_PASSES):
        wrong = _Attempt(cases, parts).find_differences()
        if not wrong:
            break
        for case, why in wrong:
            case.next_step(why)
    else:
        _Attempt(cases, parts)
    return [case.annotate() for case in cases]


class _Attempt:
    """One attempt at all exceptions, each by the step at which the attempts before have left it."""

    def __init__(self, cases: list[_Case], parts: list[Part]) -> None:
        self._cases, self._parts = cases, parts
        self._values: dict[int, tuple[Any, str]] = {}
        for case in cases:
            case.begin_attempt()
        for place in range(len(cases)):
            self._make_at(place)
        for case in cases:
            self._fill(case)

    # ---- making

    def _make_at(self, place: int) -> BaseException:
        """Return the exception of a place, made by its step or, where that fails, by a later one.

        What holds exceptions makes them first. Raises where an exception would hold itself.
        """
        case = self._cases[place]
        if case.error is None:
            if case.is_making:
                raise pickle.UnpicklingError("it is needed to make itself")
            case.is_making = True
            while case.error is None:
                case.error = self._try_step(case)
        return case.error

    def _try_step(self, case: _Case) -> BaseException | None:
        record, step = case.record, case.step
        try:
            if step is _Step.WHOLE:
                return _exception_or_raise(self._loads(cast("bytes", record.whole)))
            if step is not _Step.REPLACED:
                return self._make_empty(record, self._loads(cast("bytes", record.kind)))
            if record.group is not None:
                return self._make_empty(record, BaseExceptionGroup)
        except BaseException as error:
            # Classes run code when they are loaded, and SystemExit of theirs is not meant for us.
            case.next_step(reason(error))
            if step is not _Step.REPLACED:
                return None
        why = _join_reasons(case.whys)
        return RemoteError(type_name=record.type_name, message=record.message, step=why)

    def _make_empty(self, record: Record, kind: Any) -> BaseException:
        if record.group is None:
            return _exception_or_raise(native.make_bare(kind))
        members = [self._make_at(one) for one in record.members]
        return _exception_or_raise(native.make_bare(kind, (record.group, members)))

    def _loads(self, data: bytes) -> Any:
        return _Unpickler(data, self._make_at).load()

    # ---- filling

    def _fill(self, case: _Case) -> None:
        """Give an exception what it holds, and its family."""
        record, error = case.record, case.error
        if case.is_rebuilt():
            arguments = enumerate(record.args, 1)
            native.set_args(error, tuple(self._argument(case, *one) for one in arguments))
            set_attribute = native.attributes_of(error).__setitem__
            for name, part in record.attributes:
                self._set_part(case, set_attribute, name, part)
            for name, part in record.fields:
                self._set_part(case, partial(native.set_field, error), name, part)
        native.set_context(error, None if record.context is None else self._make_at(record.context))
        native.set_cause(error, None if record.cause is None else self._make_at(record.cause))
        native.set_suppresses_context(error, record.suppress_context)

    def _argument(self, case: _Case, number: int, part: int) -> Any:
        value = self._value_of(case, f"argument {number}", part)
        return self._show_part(part) if value is _ABSENT else value

    def _set_part(
        self, case: _Case, setter: Callable[[str, Any], Any], name: str, part: int
    ) -> None:
        what = f"attribute {name!r}"
        value = self._value_of(case, what, part)
        if value is not _ABSENT:
            try:
                setter(name, value)
            except BaseException as error:
                # A class of this name may have no room for it here.
                case.lost.append(f"{what}: {reason(error)}")

    def _value_of(self, case: _Case, what: str, part: int) -> Any:
        """Return what a part stands for, as the step of its exception has it; note what is lost."""
        if part not in self._values:
            self._values[part] = self._open_part(self._parts[part])
        value, why = self._values[part]
        if why:
            case.lost.append(f"{what}: {why}")
        return self._show_part(part) if why and case.step is _Step.SHOWN else value

    def _show_part(self, part: int) -> Shown:
        one = self._parts[part]
        return Shown(one.shown or f"<{one.type_name}>")

    def _open_part(self, part: Part) -> tuple[Any, str]:
        """Return what a part stands for, and what is wrong with it."""
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

    def find_differences(self) -> list[tuple[_Case, str]]:
        """Return the exceptions that are not what was recorded, and why."""
        found = [(case, self._find_difference(case)) for case in self._cases]
        return [(case, why) for case, why in found if why]

    def _find_difference(self, case: _Case) -> str:
        """Return where an exception is not what was recorded; empty where nothing speaks for it."""
        record, error = case.record, case.error
        if case.step is _Step.REPLACED:
            return ""
        if case.step is _Step.WHOLE and (why := self._compare_whole(record, error)):
            return why
        text = digest_text(error)
        if record.text in (None, text):
            return ""
        if text is None:
            return "its text cannot be had here"
        if case.step is _Step.WHOLE or case.lost:
            return "its text is another one here"
        # Everything has come, so that its class makes the text from something else.
        case.remark = f"{_HAS_OTHER_TEXT}: {record.message[:_REMARK]})"
        return ""

    def _compare_whole(self, record: Record, error: BaseException) -> str:
        if not is_called(error, record.type_name):
            return f"its pickle is a {class_name(error)}"
        if native.is_sealed(type(error)):
            return ""
        args = native.args_of(error)
        if len(args) != len(record.args) or not all(map(self._is_alike, record.args, args)):
            return "its pickle has other arguments"
        if not native.hooks_of(type(error)) & _STATE:
            there = native.attributes_of(error)
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
    error = native.make_bare(kind, group)
    native.set_args(error, args)
    for name, value in fields:
        native.set_field(error, name, value)
    return error


def is_users_note(note: Any) -> bool:
    """Say whether a note is a user's, and none of ours."""
    ours = type(note) is RemoteTraceback or str(note).startswith(
        (_IS_REBUILT, _IS_ANOTHER, _HAS_OTHER_TEXT)
    )
    return not ours


def _exception_or_raise(found: Any) -> BaseException:
    if issubclass(type(found), BaseException):
        return cast("BaseException", found)
    raise pickle.UnpicklingError(f"its pickle is a {class_name(found)}")


def _join_reasons(whys: list[str]) -> str:
    text = "; ".join(dict.fromkeys(whys))
    return text if len(text) <= _REMARK else f"{text[:_REMARK]}…"
