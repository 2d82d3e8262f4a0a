"""Capture and mount, between two Contexts that stand for a caller and a worker."""

from __future__ import annotations

import asyncio
import threading
from weakref import ref

import pytest

from catena.context.chain import current
from catena.dispatch.payloads import LENIENT
from catena.events import Mount
from catena.testing import recording
from catena.transfer.capture import capture_drive
from catena.transfer.manifest import EntryKind
from catena.transfer.mount import mount, unmount
from catena.transfer.states.kept import KeptStates
from tests.support import run, variable
from tests.transfer.ends import (
    ID,
    OTHER,
    Link,
    Scope,
    entries_of,
    manifest_of,
    reset_of,
    value_of,
)

# ---- there and back


def test_values_go_there_and_come_back() -> None:
    """M3: the worker sees the caller's values, the caller what the worker set."""
    kept, changed, new = variable(), variable(), variable()
    caller, worker = Scope(), Scope()
    caller.set(kept, {"a": [1]})
    caller.set(changed, 1)

    caller.call(worker)
    assert [worker.get(var) for var in (kept, changed, new)] == [{"a": [1]}, 1, "unset"]
    worker.set(changed, 2)
    worker.set(new, "new")
    worker.answer(caller)

    assert [caller.get(var) for var in (kept, changed, new)] == [{"a": [1]}, 2, "new"]


def test_a_context_without_a_chain_takes_the_senders_id() -> None:
    """M3: on the worker, and in a caller that was unarmed until the answer came."""
    var = variable()
    worker, caller = Scope(), Scope()

    worker.mount(manifest_of(value_of(var, 1)), to_worker=True)
    worker.set(var, 2)
    worker.answer(caller)

    assert worker.chain is not None
    assert caller.chain is not None
    assert worker.chain.id == caller.chain.id == ID
    assert caller.get(var) == 2


@pytest.mark.parametrize("to_worker", [True, False])
def test_a_live_chain_keeps_its_id(to_worker: bool) -> None:
    """M3: the receiver keeps its id, and incoming wins on overlap."""
    var = variable()
    scope = Scope()
    scope.set(var, "old")
    before = scope.chain
    assert before is not None

    scope.mount(manifest_of(value_of(var, "new"), id=OTHER), to_worker=to_worker)

    assert scope.chain is not None
    assert (scope.chain.id, scope.get(var)) == (before.id, "new")


def test_what_only_the_caller_had_survives_an_answer() -> None:
    """M3: a binding that the answer does not mention is unchanged."""
    own, other = variable(), variable()
    caller = Scope()
    caller.set(own, "own")

    caller.mount(manifest_of(value_of(other, 1)), to_worker=False)

    assert (caller.get(own), caller.get(other)) == ("own", 1)
    assert caller.bound == {own, other}


def test_a_whole_manifest_unbinds_what_it_does_not_mention() -> None:
    """M3: on a worker an absent variable is unbound; in a delta it is unchanged."""
    gone, there = variable(default="d"), variable()
    worker = Scope()
    worker.mount(manifest_of(value_of(gone, 1)), to_worker=True)

    worker.mount(manifest_of(value_of(there, 2), whole=False), to_worker=True)
    assert (worker.get(gone), worker.get(there)) == (1, 2)

    worker.mount(manifest_of(value_of(there, 2)), to_worker=True)
    assert (worker.get(gone), worker.get(there)) == ("unset", 2)
    assert worker.run(gone.get) == "d"
    assert worker.bound == {there}


def test_a_reset_drops_the_binding() -> None:
    """M3: what the worker reset is unbound at the caller, whose default shows again."""
    var = variable(default="d")
    caller = Scope()
    caller.set(var, 1)

    caller.mount(manifest_of(reset_of(var)), to_worker=False)

    assert caller.run(var.get) == "d"
    assert caller.bound == set()


def test_a_reset_on_the_worker_comes_back_step_by_step() -> None:
    """M3: set in one step of a stream and reset in the next, as in a local generator."""
    var = variable()
    caller, worker = Scope(), Scope()
    caller.set(variable(), "armed")
    caller.call(worker)
    token = worker.set(var, "set")
    worker.answer(caller)
    assert caller.get(var) == "set"

    caller.drive(worker)
    worker.run(var.reset, token)
    worker.answer(caller)

    assert caller.get(var) == "unset"


def test_a_reset_goes_on_to_the_callers_caller() -> None:
    """M3: over two hops, and a later set takes the news back."""
    var = variable()
    outer, inner = Scope(), Scope()
    outer.set(var, 1)
    outer.call(inner)
    inner.mount(manifest_of(reset_of(var)), to_worker=False)
    assert var.key not in entries_of(inner.capture(to_worker=True))

    answer = inner.capture(to_worker=False)
    assert entries_of(answer)[var.key].kind is EntryKind.RESET
    outer.mount(answer, to_worker=False)
    assert outer.get(var) == "unset"

    inner.set(var, 2)
    inner.answer(outer)
    assert outer.get(var) == 2


def test_mounting_stamps_the_scope_that_mounts() -> None:
    """M3: owner thread and task are those of whoever mounts."""
    var = variable()
    manifest = manifest_of(value_of(var, 1))

    async def main(*, first: bool) -> None:
        if first:
            kept = KeptStates(LENIENT)
            kept.enter(manifest, kept.plain)
        else:
            mount(manifest, LENIENT, to_worker=True)
        chain = current.get()
        assert chain is not None
        assert chain.task is not None
        assert (chain.thread, chain.task()) == (threading.get_ident(), asyncio.current_task())

    run(main(first=True))
    run(main(first=False))


def test_mounting_installs_the_task_factory() -> None:
    """C7: an arming mount on a loop that lacks the factory installs it."""
    manifest = manifest_of(value_of(variable(), 1))

    async def main() -> None:
        assert asyncio.get_running_loop().get_task_factory() is None
        mount(manifest, LENIENT, to_worker=True)
        assert asyncio.get_running_loop().get_task_factory() is not None

    run(main())


def test_unmounting_leaves_a_chain_without_a_home() -> None:
    """M3, T5: no token of it opens there any more; twice, or where none is, changes nothing."""
    worker = Scope()
    worker.mount(manifest_of(value_of(variable(), 1)), to_worker=True)
    chain = worker.chain
    assert chain is not None

    held = ref(worker.context)
    worker.run(unmount)
    worker.run(unmount)
    Scope().run(unmount)

    assert not worker.run(chain.home.is_here)
    del worker, chain
    assert held() is None, "nothing but the collector would free it"


# ---- nothing, or little, to mount


@pytest.mark.parametrize("to_worker", [True, False])
def test_an_empty_chain_id_arms_nothing(to_worker: bool) -> None:
    """M2, M4, C4: no id is minted, no chain is there, a live chain stays what it was."""
    var = variable()
    unarmed, armed = Scope(), Scope()
    armed.set(var, 1)
    before = armed.chain

    unarmed.mount(manifest_of(id=b""), to_worker=to_worker)
    armed.mount(manifest_of(id=b""), to_worker=to_worker)

    assert unarmed.chain is None
    assert unarmed.run(capture_drive, LENIENT, None) is None
    assert (armed.chain, armed.get(var)) == (before, 1)


def test_an_empty_chain_id_binds_the_forward_values() -> None:
    """M2: they are seen, and still nothing is armed."""
    var = variable(propagate="forward")
    worker = Scope()

    worker.mount(manifest_of(value_of(var, 1, forward=True), id=b""), to_worker=True)

    assert (worker.get(var), worker.chain) == (1, None)


def test_a_manifest_without_entries_but_with_an_id_arms() -> None:
    """C4: the first mounted manifest with an id arms, whatever it holds."""
    worker = Scope()

    worker.mount(manifest_of(), to_worker=True)

    assert worker.chain is not None
    assert entries_of(worker.capture(to_worker=False)) == {}


# ---- announced


def test_a_mount_announces_what_it_set_and_reset() -> None:
    """The audit: Mount names the chain that came, the direction, and the keys, sorted."""
    one, two, gone = variable("b"), variable("a"), variable("c")
    worker = Scope()
    worker.mount(manifest_of(value_of(gone, 1)), to_worker=True)

    with recording(Mount) as recorded:
        worker.mount(manifest_of(value_of(one, 1), value_of(two, [2])), to_worker=True)

    (mounted,) = recorded.of(Mount)
    assert (mounted.chain_id, mounted.to_worker) == (ID, True)
    assert mounted.keys_set == tuple(sorted([one.key, two.key]))
    assert mounted.keys_reset == (gone.key,)
    outcome = recorded.outcome(mounted)
    assert outcome is not None
    assert (outcome.end, outcome.error) == ("done", None)


def test_quick_ways_of_mounting_are_announced_as_well() -> None:
    """The audit: an answer that brings nothing, and a state that is only named, are mounts too."""
    var = variable()
    scope, link = Scope(), Link()
    scope.set(var, 1)
    link.keep(value_of(var, 1))

    with recording(Mount) as recorded:
        scope.mount(manifest_of(whole=False), to_worker=False)
        link.enter(manifest_of()._replace(base=1))

    again, first = [one for one in recorded.of(Mount) if one.keys_set or not one.to_worker]
    assert (again.chain_id, again.to_worker, again.keys_set) == (ID, False, ())
    assert (first.chain_id, first.to_worker, first.keys_set) == (ID, True, (var.key,))
    assert len(recorded.outcomes) == len(recorded.of(Mount))
