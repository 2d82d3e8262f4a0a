"""C17: carried variables in manifests, under any chain id, and in named states."""

from __future__ import annotations

import contextvars
import threading
import warnings
from typing import Any

import pytest
import structlog

import catena
from catena.context.carried import Unread
from catena.dispatch.payloads import LENIENT, STRICT
from catena.errors import ChainSerializationError, SerializationWarning
from catena.events import ForwardDropped
from catena.testing import recording
from catena.transfer.capture import capture_answer, capture_drive
from catena.transfer.manifest import ChainManifest, Entry, EntryKind
from tests.carrying import Defining, defining, nothing_carried
from tests.support import variable
from tests.transfer.ends import Link, Scope, entries_of, numbers_of

__all__ = ["defining", "nothing_carried"]

Var = contextvars.ContextVar[Any]


def value_in(scope: Scope, var: Var) -> Any:
    """The value in a Context, "unset" where there is none."""
    return scope.run(var.get, "unset")


def drive(caller: Scope, worker: Scope, link: Link | None = None) -> ChainManifest | None:
    """Send a call's next drive to a worker, with or without a chain."""
    states = () if link is None else (link.sent,)
    captured = caller.run(capture_drive, LENIENT, caller.calling, *states)
    caller.calling = captured and captured.baseline
    if captured is None:
        return None
    worker.mount(captured.manifest, to_worker=True)
    return captured.manifest


def answer(worker: Scope, caller: Scope) -> ChainManifest | None:
    """Send an answer to the caller, if there is anything to say."""
    manifest, worker.serving = worker.run(capture_answer, LENIENT, worker.serving)
    if manifest is not None:
        caller.mount(manifest, to_worker=False)
    return manifest


@pytest.fixture
def rid(defining: Defining) -> Var:
    """A carried variable that goes to workers only."""
    var = defining("carried_tests", "rid")
    catena.carry(var)
    return var


@pytest.fixture
def lang(defining: Defining) -> Var:
    """A carried variable that comes back."""
    var = defining("carried_tests", "lang")
    catena.carry(var, propagate="both")
    return var


def test_a_value_is_read_at_capture_and_arms_nothing(rid: Var) -> None:
    """C17: under the empty chain id, without a chain on either side."""
    caller, worker = Scope(), Scope()
    caller.run(rid.set, "r1")

    manifest = drive(caller, worker)

    assert manifest is not None
    assert (manifest.chain_id, numbers_of(manifest)) == (b"", (0, 0))
    assert value_in(worker, rid) == "r1"
    assert caller.chain is worker.chain is None


def test_nothing_bound_sends_nothing(rid: Var) -> None:
    """C17: the manifest of an unarmed call is left out, as without carried variables."""
    assert Scope().run(capture_drive, LENIENT, None) is None
    assert rid.name == "rid"


def test_a_later_drive_has_what_changed(rid: Var, lang: Var) -> None:
    """C17: at each step what was bound anew, by identity, or unbound."""
    caller, worker = Scope(), Scope()
    token = caller.run(rid.set, "r1")
    caller.run(lang.set, "de")
    drive(caller, worker)
    assert [*entries_of(drive(caller, worker) or ChainManifest(b""))] == []

    caller.run(rid.reset, token)
    last = drive(caller, worker)

    assert last is not None
    assert not last.whole
    assert [one.kind for one in LENIENT.unpack(last.entries)] == [EntryKind.RESET]
    assert (value_in(worker, rid), value_in(worker, lang)) == ("unset", "de")


def test_what_is_changed_in_place_goes_to_the_worker(rid: Var) -> None:
    """C17: read at capture means as it is then."""
    caller, worker = Scope(), Scope()
    caller.run(rid.set, ["r1"])
    drive(caller, worker)
    caller.run(rid.get).append("r2")

    drive(caller, worker)

    assert value_in(worker, rid) == ["r1", "r2"]


def test_only_what_was_bound_anew_comes_back(rid: Var, lang: Var) -> None:
    """C17: by identity; a change in place does not, and a forward variable never does."""
    caller, worker = Scope(), Scope()
    caller.run(rid.set, "r1")
    caller.run(lang.set, ["de"])
    drive(caller, worker)
    worker.run(rid.set, "worker's")
    worker.run(lang.get).append("fr")

    assert answer(worker, caller) is None
    worker.run(lang.set, ["it"])
    manifest = answer(worker, caller)

    assert manifest is not None
    assert (manifest.chain_id, manifest.whole) == (b"", False)
    assert (value_in(caller, rid), value_in(caller, lang)) == ("r1", ["it"])
    assert caller.chain is None


def test_what_came_back_is_not_sent_again(lang: Var) -> None:
    """C17: both sides hold the same object's value, so a later step says nothing of it."""
    caller, worker = Scope(), Scope()
    caller.run(lang.set, ["de"])
    drive(caller, worker)
    worker.run(lang.set, ["it"])
    answer(worker, caller)

    manifest = drive(caller, worker)

    assert manifest is not None
    assert entries_of(manifest) == {}


def test_what_was_unbound_there_is_unbound_here(lang: Var) -> None:
    """C17: a variable that one step of a stream binds, and the next one resets."""
    caller, worker = Scope(), Scope()
    drive(caller, worker)
    token = worker.run(lang.set, "it")
    answer(worker, caller)
    assert value_in(caller, lang) == "it"

    drive(caller, worker)
    worker.run(lang.reset, token)
    answer(worker, caller)

    assert value_in(caller, lang) == "unset"


def test_a_forward_value_that_a_worker_sends_is_dropped(rid: Var) -> None:
    """C13: the receiver drops it as well, and it is announced."""
    caller = Scope()
    entry = Entry(("contextvars", "carried_tests:rid"), EntryKind.VALUE, LENIENT.dumps("x"))

    with recording() as seen:
        caller.mount(ChainManifest(b"", entries=LENIENT.pack([entry])), to_worker=False)

    assert value_in(caller, rid) == "unset"
    assert [one.key[1] for one in seen.of(ForwardDropped)] == ["carried_tests:rid"]


def test_the_later_mount_wins_where_two_tasks_share_a_context(lang: Var) -> None:
    """C17: per key, without a guard: two calls that were made in one Context."""
    context = contextvars.Context()
    one, two = Scope(context), Scope(context)
    first, second = Scope(), Scope()
    drive(one, first)
    drive(two, second)
    first.run(lang.set, "first")
    second.run(lang.set, "second")

    answer(second, two)
    answer(first, one)

    assert value_in(one, lang) == "first"


def test_it_goes_along_with_a_chain(rid: Var, lang: Var) -> None:
    """C17: under any chain id, and comes back with it."""
    caller, worker = Scope(), Scope()
    color = variable()
    caller.set(color, "red")
    caller.run(rid.set, "r1")

    drive(caller, worker)
    worker.run(lang.set, "it")
    manifest = answer(worker, caller)

    assert caller.chain is not None
    assert worker.chain is not None
    assert worker.chain.id == caller.chain.id
    assert (value_in(worker, rid), worker.get(color)) == ("r1", "red")
    assert manifest is not None
    assert [key[1] for key in entries_of(manifest)] == ["carried_tests:lang"]
    assert value_in(caller, lang) == "it"
    assert len(caller.chain.state) == 1


def test_a_worker_that_arms_itself_answers_with_both(lang: Var) -> None:
    """C17: an unarmed call brings carried values, and its answer a chain."""
    caller, worker = Scope(), Scope()
    caller.run(lang.set, "de")
    drive(caller, worker)
    color = variable()
    worker.set(color, "red")
    worker.run(lang.set, "it")

    answer(worker, caller)
    worker.set(color, "blue")
    caller.set(color, "green")
    drive(caller, worker)

    assert (value_in(caller, lang), caller.get(color)) == ("it", "green")
    assert (value_in(worker, lang), worker.get(color)) == ("it", "green")


def test_a_named_state_has_its_carried_values(rid: Var) -> None:
    """C17: nothing is sent while both are the same, one entry when the value is another one."""
    link, caller = Link(), Scope()
    color = variable()
    caller.set(color, "red")
    caller.run(rid.set, "r1")
    _, first = link.call(caller)
    again, second = link.call(caller)
    caller.run(rid.set, "r2")
    third_worker, third = link.call(caller)

    assert set(entries_of(first)) == {color.key, ("contextvars", "carried_tests:rid")}
    assert (numbers_of(second), second.entries) == ((1, 0), b"")
    assert numbers_of(third) == (1, 0)
    assert [key[1] for key in entries_of(third)] == ["carried_tests:rid"]
    assert [value_in(one, rid) for one in (again, third_worker)] == ["r1", "r2"]
    assert again.get(color) == "red"


def test_a_named_state_sees_changes_in_place(rid: Var) -> None:
    """C17: no call may see what another one had."""
    link, caller = Link(), Scope()
    caller.set(variable(), "red")
    caller.run(rid.set, ["r1"])
    workers = [link.call(caller)[0]]
    caller.run(rid.get).append("r2")
    workers.append(link.call(caller)[0])
    workers.append(link.call(caller)[0])

    assert [value_in(one, rid) for one in workers] == [["r1"], ["r1", "r2"], ["r1", "r2"]]
    assert value_in(workers[1], rid) is not value_in(workers[2], rid)


def test_a_named_state_forgets_what_is_unbound(rid: Var) -> None:
    """C17: a later call that names it says that the value is gone."""
    link, caller = Link(), Scope()
    caller.set(variable(), "red")
    token = caller.run(rid.set, "r1")
    link.call(caller)
    caller.run(rid.reset, token)

    worker, manifest = link.call(caller)

    assert [one.kind for one in entries_of(manifest).values()] == [EntryKind.RESET]
    assert value_in(worker, rid) == "unset"


def test_a_state_that_builds_on_another_keeps_its_carried_values(rid: Var) -> None:
    """C17: also where the next state is a difference that says nothing of them."""
    link, caller = Link(), Scope()
    caller.set(variable(), "red")
    caller.run(rid.set, "r1")
    link.call(caller)
    caller.set(variable(), "blue")
    _, second = link.call(caller)
    worker, third = link.call(caller)

    assert numbers_of(second) == (1, 2)
    assert (numbers_of(third), third.entries) == ((2, 0), b"")
    assert value_in(worker, rid) == "r1"


def test_what_nobody_finds_goes_on_as_it_came(rid: Var) -> None:
    """C17, V2: a worker that cannot find the variable relays its bytes to the next one."""
    key = ("contextvars", "only.elsewhere:var")
    entry = Entry(key, EntryKind.VALUE, LENIENT.dumps("kept"), forward=True)
    middle = Scope()
    middle.mount(ChainManifest(b"", entries=LENIENT.pack([entry])), to_worker=True)

    relayed = middle.run(capture_drive, LENIENT, None)

    assert relayed is not None
    assert entries_of(relayed.manifest) == {key: entry}


def test_what_waited_is_bound_when_its_variable_is_carried() -> None:
    """C17: a routine that imports the module reads the value that came."""
    var: Var = contextvars.ContextVar("late")
    key = ("contextvars", "only.later:var")
    entry = Entry(key, EntryKind.VALUE, LENIENT.dumps("kept"), forward=True)
    worker = Scope()
    worker.mount(ChainManifest(b"", entries=LENIENT.pack([entry])), to_worker=True)

    worker.run(catena.carry, var, at="only.later:var")

    assert value_in(worker, var) == "kept"


def test_what_waited_and_cannot_be_read_warns(rid: Var) -> None:
    """M2: it costs itself."""
    waiting = Unread(b"no pickle", LENIENT.loads)
    entry = Entry(("contextvars", "only.bad:var"), EntryKind.VALUE, waiting.data, forward=True)
    worker = Scope()
    worker.mount(ChainManifest(b"", entries=LENIENT.pack([entry])), to_worker=True)

    with pytest.warns(SerializationWarning, match="only.bad:var could not be read"):
        worker.run(catena.carry, contextvars.ContextVar("late"), at="only.bad:var")

    assert value_in(worker, rid) == "unset"


def test_a_value_that_cannot_be_pickled_is_lost(rid: Var, lang: Var) -> None:
    """C17, M2: that entry alone, with a warning; on the worker it is unbound."""
    caller, worker = Scope(), Scope()
    caller.run(rid.set, "r1")
    caller.run(lang.set, "de")
    drive(caller, worker)
    caller.run(rid.set, threading.Lock())

    with pytest.warns(SerializationWarning, match="contextvars:carried_tests:rid could not be"):
        drive(caller, worker)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert entries_of(drive(caller, worker) or ChainManifest(b"")) == {}

    assert (value_in(worker, rid), value_in(worker, lang)) == ("unset", "de")


def test_strict_mode_refuses_it(rid: Var) -> None:
    """M5: a value that cannot be pickled refuses the call."""
    caller = Scope()
    caller.run(rid.set, threading.Lock())

    with pytest.raises(ChainSerializationError, match="carried_tests:rid"):
        caller.run(capture_drive, STRICT, None)


@pytest.mark.parametrize("armed", [False, True])
def test_a_value_that_cannot_be_read_costs_itself(rid: Var, lang: Var, *, armed: bool) -> None:
    """M2: the other one is bound, by each call of a named state."""
    entries = [
        Entry(("contextvars", "carried_tests:lang"), EntryKind.VALUE, LENIENT.dumps("de")),
        Entry(("contextvars", "carried_tests:rid"), EntryKind.VALUE, b"no pickle"),
    ]
    link = Link()
    block = LENIENT.pack(entries)
    manifest = (
        ChainManifest(b"c" * 16, entries=block, name=1)
        if armed
        else ChainManifest(b"", entries=block)
    )
    for sent in (manifest, ChainManifest(b"c" * 16, base=1) if armed else manifest):
        with pytest.warns(SerializationWarning, match="carried_tests:rid could not be read"):
            worker = link.enter(sent)
        assert (value_in(worker, rid), value_in(worker, lang)) == ("unset", "de")


def test_fields_of_structlog_are_read_at_each_capture() -> None:
    """C17: forward, without a name that was known before."""
    bound = structlog.contextvars
    catena.carry_structlog()
    catena.carry_structlog()
    caller, worker = Scope(), Scope()
    caller.run(lambda: bound.bind_contextvars(request="r1", user=7))
    drive(caller, worker)
    assert worker.run(bound.get_contextvars) == {"request": "r1", "user": 7}
    caller.run(bound.unbind_contextvars, "user")
    worker.run(lambda: bound.bind_contextvars(worker="w"))

    drive(caller, worker)

    assert worker.run(bound.get_contextvars) == {"request": "r1", "worker": "w"}
    assert answer(worker, caller) is None
    assert caller.run(bound.get_contextvars) == {"request": "r1"}


def test_a_field_of_structlog_that_cannot_be_pickled_warns_once() -> None:
    """C17: it is left out, also in strict mode, and the state may still be named."""
    catena.carry_structlog()
    caller = Scope()
    caller.run(lambda: structlog.contextvars.bind_contextvars(bad=threading.Lock(), good=1))

    with pytest.warns(SerializationWarning, match="structlog.contextvars:bad could not be sent"):
        caller.run(capture_drive, STRICT, None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        captured = caller.run(capture_drive, STRICT, None)

    assert captured is not None
    assert [key[1] for key in entries_of(captured.manifest)] == ["structlog.contextvars:good"]
