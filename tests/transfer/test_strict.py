"""Strict mode: one error that lists every bad entry, before anything has changed."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from types import SimpleNamespace
from typing import Any

import pytest

import catena
from catena.dispatch.caller.answers import apply_answer
from catena.dispatch.payloads import LENIENT, STRICT, Wire
from catena.errors import ChainSerializationError
from catena.events import EntryLost, SerializationFailed
from catena.pickling import pickler
from catena.remote_exceptions.pickled import pickle_exception
from catena.testing import recording
from catena.transfer.capture import capture_drive
from catena.transfer.manifest import ChainManifest, Entry, EntryKind
from catena.transfer.states.sent import SentStates
from catena.wire.frames import ExceptionFrame, Result
from tests.support import isolated, variable
from tests.transfer.ends import BAD, ID, Link, Scope, entries_of, manifest_of, reset_of, value_of


@contextmanager
def refusing(how: str) -> Iterator[Wire]:
    """Switch strict mode on, by the option or by Python's filter; yield what to encode with."""
    with warnings.catch_warnings():
        if how == "the filter":
            warnings.simplefilter("error", catena.SerializationWarning)
            yield LENIENT
        else:
            # The option needs no filter, and gives no warning.
            warnings.simplefilter("ignore")
            yield STRICT


HOW = pytest.mark.parametrize("how", ["the option", "the filter"])


def broken() -> tuple[ChainManifest, list[Any], list[tuple[str, str]]]:
    """Return a manifest with three bad entries among good ones, the variables, the bad keys."""
    one, good, two, gone = (variable(name) for name in ("d", "c", "b", "a"))
    entries = [
        Entry(one.key, EntryKind.VALUE, BAD),
        value_of(good, "new"),
        value_of(good, "newer"),
        Entry(two.key, EntryKind.VALUE, BAD),
        reset_of(gone),
    ]
    return manifest_of(*entries), [one, good, two, gone], [one.key, good.key, two.key]


# ---- reading


@HOW
@pytest.mark.parametrize("to_worker", [True, False])
@pytest.mark.parametrize("armed", [True, False])
def test_one_error_lists_all_that_is_bad_and_nothing_is_mounted(
    how: str, to_worker: bool, armed: bool
) -> None:
    """M5: the warnings in the order of the entries, and a Context that is what it was."""
    manifest, variables, bad = broken()
    scope = Scope()
    for var in variables if armed else ():
        scope.set(var, "old")
    before, held = scope.chain, dict(scope.context)

    with refusing(how) as scope.values, pytest.raises(ChainSerializationError) as refused:
        scope.mount(manifest, to_worker=to_worker)

    error = refused.value
    assert [one.key for one in error.warnings] == bad
    assert {type(one) for one in error.warnings} == {catena.SerializationWarning}
    assert {one.doing for one in error.warnings} == {error.doing} == {"read"}
    assert ", and 2 more" in str(error)
    assert (scope.chain, dict(scope.context)) == (before, held)
    assert (scope.serving, scope.calling) == (None, None)


@HOW
@pytest.mark.parametrize("named", [0, 1])
def test_a_first_frame_is_refused_as_a_whole(how: str, named: int) -> None:
    """M5: it arms nothing, and no state is kept of it."""
    manifest, _, bad = broken()
    scope, link = Scope(), Link()
    base = link.kept.plain

    with refusing(how) as link.kept.values, pytest.raises(ChainSerializationError) as refused:
        scope.run(link.kept.enter, manifest._replace(name=named), base)

    assert [one.key for one in refused.value.warnings] == bad
    assert (scope.chain, len(scope.context), len(base.context)) == (None, 0, 0)


@HOW
def test_what_a_named_state_keeps_as_bytes_is_refused_too(how: str) -> None:
    """M5, M2: bytes that opened once may not do so again; where that is not found at the mount,
    because only the option makes it open everything, the first reader is refused.
    """
    var = variable()
    link = Link()
    base = link.keep(value_of(var, Fickle()))
    scope = Scope(base.context.copy())
    Fickle.opens = False

    def mounted_and_read(values: Wire) -> None:
        link.kept.values = values
        scope.run(link.kept.enter, manifest_of()._replace(base=1), base)
        assert not values.strict
        scope.get(var)

    try:
        with refusing(how) as values, pytest.raises(ChainSerializationError) as refused:
            mounted_and_read(values)
    finally:
        Fickle.opens = True

    assert [one.key for one in refused.value.warnings] == [var.key]
    assert (scope.chain is None) == values.strict


class Fickle:
    """Opens when it likes."""

    opens = True

    def __getstate__(self) -> object:
        return {"some": "state"}

    def __setstate__(self, state: object) -> None:
        if not self.opens:
            raise ValueError("not now")


@HOW
def test_forward_values_without_a_chain_are_refused_as_well(how: str) -> None:
    """M5, M2: with an empty chain id nothing is bound beside a bad one."""
    good, bad = variable(propagate="forward"), variable(propagate="forward")
    entries = [value_of(good, 1, forward=True), Entry(bad.key, EntryKind.VALUE, BAD, True)]
    scope = Scope()

    with refusing(how) as scope.values, pytest.raises(ChainSerializationError):
        scope.mount(manifest_of(*entries, id=b""), to_worker=True)

    assert (scope.get(good), scope.chain) == ("unset", None)


def test_a_filter_that_knows_one_of_them_refuses_them_all() -> None:
    """M5: the error lists every bad entry, not only those that the filter is about."""
    manifest, variables, bad = broken()
    scope = Scope()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", message=f".*{variables[2].name}")
        with pytest.raises(ChainSerializationError) as refused:
            scope.mount(manifest, to_worker=True)

    assert [one.key for one in refused.value.warnings] == bad
    assert scope.chain is None


# ---- writing


CAPTURES: dict[str, Callable[[Scope], Any]] = {
    "first": lambda scope: scope.capture(to_worker=True),
    "drive": lambda scope: scope.capture_drive(),
    "answer": lambda scope: scope.capture(to_worker=False),
}


@HOW
@pytest.mark.parametrize("frame", CAPTURES)
def test_one_error_lists_all_that_cannot_be_written(how: str, frame: str) -> None:
    """M5: nothing is sent, the chain is what it was, and goes when what was bad is gone."""
    bad, scope = [variable() for _ in range(2)], Scope()
    scope.mount(manifest_of(), to_worker=True)
    scope.set(variable(), "good")
    scope.capture(to_worker=True)
    baselines = scope.calling, scope.serving
    tokens = [scope.set(var, Lock()) for var in bad]
    before = scope.chain

    with refusing(how) as scope.values, pytest.raises(ChainSerializationError) as refused:
        CAPTURES[frame](scope)

    assert {one.key for one in refused.value.warnings} == {var.key for var in bad}
    assert refused.value.doing == "sent"
    assert (scope.chain, scope.calling, scope.serving) == (before, *baselines)
    for token in tokens:
        scope.run(token.var.reset, token)
    with refusing(how):
        CAPTURES[frame](scope)


@HOW
def test_a_refused_chain_is_not_counted_as_sent(how: str) -> None:
    """M5, M9: the next call sends what this one did not."""
    sent, scope, good = SentStates(), Scope(), variable()
    scope.set(good, 1)
    token = scope.set(variable(), Lock())

    with refusing(how) as values, pytest.raises(ChainSerializationError):
        scope.run(capture_drive, values, None, sent)
    assert len(sent) == 0
    scope.run(token.var.reset, token)
    captured = scope.run(capture_drive, LENIENT, None, sent)

    assert captured is not None
    assert entries_of(captured.manifest).keys() == {good.key}
    assert captured.manifest.base == 0


# ---- otherwise


@pytest.mark.parametrize("to_worker", [True, False])
def test_without_it_each_bad_entry_is_warned_of_and_the_others_are_mounted(to_worker: bool) -> None:
    """M2, M5: the same manifest, read entry by entry."""
    manifest, (one, good, two, gone), bad = broken()
    scope = Scope()
    for var in (one, good, two, gone):
        scope.set(var, "old")

    with pytest.warns(catena.SerializationWarning) as caught:
        scope.mount(manifest, to_worker=to_worker)

    assert [warning.message.key for warning in caught] == bad  # type: ignore[union-attr]
    kept = "unset" if to_worker else "old"
    assert [scope.get(var) for var in (one, good, two, gone)] == [kept, "new", kept, "unset"]


def test_strict_mode_has_nothing_against_what_is_good() -> None:
    """M5: a chain without bad entries goes there and back as ever, lost entries included."""
    var, lost = variable(), variable()
    caller, worker = Scope(values=STRICT), Scope(values=STRICT)
    caller.set(var, [1])
    caller.call(worker)
    worker.get(var).append(2)
    worker.answer(caller)
    worker.mount(manifest_of(Entry(lost.key, EntryKind.LOST), whole=False), to_worker=True)

    assert (caller.get(var), worker.get(lost)) == ([1, 2], "unset")


@HOW
def test_every_bad_entry_is_announced_in_either_mode(how: str) -> None:
    """The audit: EntryLost is announced for each of them, also when all are refused."""
    manifest, _, bad = broken()

    with (
        recording(EntryLost) as recorded,
        refusing(how) as values,
        pytest.raises(ChainSerializationError),
    ):
        Scope(values=values).mount(manifest, to_worker=True)

    assert [one.key for one in recorded.of(EntryLost)] == bad


def test_the_error_pickles_with_its_warnings() -> None:
    """C16: all facts travel."""
    manifest, _, bad = broken()
    with pytest.raises(ChainSerializationError) as refused:
        Scope(values=STRICT).mount(manifest, to_worker=True)

    again = pickle.loads(pickle.dumps(refused.value))

    assert [(one.key, one.doing, one.cause) for one in again.warnings] == [
        (one.key, one.doing, one.cause) for one in refused.value.warnings
    ]
    assert (len(again.warnings), str(again)) == (len(bad), str(refused.value))


# ---- in place of a result, and beside an exception


def answered(values: Wire) -> Any:
    """Return a call that nobody observes, as far as its answers ask for it."""
    declared, connection = SimpleNamespace(name="routine"), SimpleNamespace(values=values)
    return SimpleNamespace(operation=None, declared=declared, connection=connection, baseline=None)


@HOW
@isolated
def test_instead_of_a_result_it_is_raised_with_the_value(how: str) -> None:
    """M6: the value is on the error, nothing is mounted, and it is announced once."""
    manifest, variables, bad = broken()

    with (
        recording(SerializationFailed) as recorded,
        refusing(how) as values,
        pytest.raises(ChainSerializationError) as refused,
    ):
        apply_answer(answered(values), Result(1, pickler.dumps([1, 2]), manifest))

    assert refused.value.value == [1, 2]
    assert [one.key for one in refused.value.warnings] == bad
    assert [one.error for one in recorded.of(SerializationFailed)] == [refused.value]
    assert [var.get("unset") for var in variables] == ["unset"] * 4


@HOW
@isolated
def test_it_never_replaces_an_exception(how: str) -> None:
    """M6: it stands at the tail of the context of the routine's own."""
    manifest, _, bad = broken()
    error = KeyError("theirs")
    error.__context__ = ValueError("before")
    frame = ExceptionFrame(1, pickle_exception(error, worker="w", routine="routine"), manifest)

    with refusing(how) as values, pytest.raises(KeyError, match="theirs") as raised:
        apply_answer(answered(values), frame)

    last: BaseException = raised.value
    while last.__context__ is not None:
        last = last.__context__
    assert isinstance(last, ChainSerializationError)
    assert [one.key for one in last.warnings] == bad
    assert manifest.chain_id == ID
