"""``catena.testing.recording()``: what the seam announced while a block ran."""

from __future__ import annotations

import asyncio

import pytest

from catena import events
from catena.dispatch.payloads import LENIENT
from catena.events import ChainForked, EntryLost, Mount, TokenReset
from catena.events.bus import Event, announce
from catena.testing import Recording, recording
from catena.transfer.manifest import ChainManifest
from catena.transfer.mount import mount
from tests.support import isolated, run, variable

MANIFEST = ChainManifest(bytes(range(16)))


@isolated
def test_events_are_recorded_in_order() -> None:
    """The test kit: all classes by default, in the order in which they were announced."""
    var = variable()

    with recording() as recorded:
        mount(MANIFEST, LENIENT, to_worker=True)
        var.reset(var.set(1))
    var.reset(var.set(2))

    assert [type(one) for one in recorded.events] == [Mount, TokenReset]
    assert recorded.of(TokenReset) == [recorded.events[1]]
    assert recorded.of(ChainForked) == []


@isolated
def test_only_the_given_classes_are_recorded() -> None:
    """The test kit: naming classes leaves the others unheard."""
    var = variable()

    with recording(TokenReset, EntryLost) as recorded:
        mount(MANIFEST, LENIENT, to_worker=True)
        var.reset(var.set(1))
        assert not Mount.observers

    assert [type(one) for one in recorded.events] == [TokenReset]


def test_an_operation_has_an_outcome_when_it_has_ended() -> None:
    """The test kit: None while it lasts, then how it ended and with which error."""
    error = ValueError("mine")

    with recording() as recorded:
        with events.Dispatch("done", stream=False) as first:
            assert recorded.outcome(first) is None
        with pytest.raises(ValueError, match="mine"), events.Dispatch("failed", stream=True):
            raise error

    assert [one.routine for one in recorded.of(events.Dispatch)] == ["done", "failed"]
    done, failed = (recorded.outcome(one) for one in recorded.events)
    assert done is not None
    assert failed is not None
    assert (done.end, failed.end, failed.error) == ("done", "failed", error)


def test_operations_that_tell_the_same_have_their_own_outcomes() -> None:
    """The test kit: outcomes belong to the operation itself, not to one that equals it."""
    with recording() as recorded:
        with events.Dispatch("same", stream=False) as first:
            pass
        with pytest.raises(KeyError), events.Dispatch("same", stream=False) as second:
            raise KeyError

    assert repr(first) == repr(second)
    ends = [recorded.outcome(one) for one in (first, second)]
    assert [one and one.end for one in ends] == ["done", "failed"]


def _count_heard(kind: type[Event]) -> int:
    """Return how many listen to a class or observe it."""
    return len(kind.listeners) + len(getattr(kind, "observers", ()))


def test_recordings_nest_and_leave_nothing_behind() -> None:
    """The test kit: each hears what happens in its block, and nobody stays, error or not."""

    def fail() -> None:
        announce(EntryLost(("a", "b"), sending=True, cause="c"))
        raise KeyError

    kinds = [one for one in vars(events).values() if isinstance(one, type)]
    kinds = [one for one in kinds if issubclass(one, Event)]
    before = [_count_heard(one) for one in kinds]

    with recording() as outer, pytest.raises(KeyError), recording() as inner:
        fail()
    assert len(outer.events) == len(inner.events) == 1

    assert [_count_heard(one) for one in kinds] == before
    assert Recording().events == []


def test_events_of_tasks_and_threads_are_recorded() -> None:
    """The test kit: whoever announces during the block is heard."""
    var = variable()

    def in_thread() -> None:
        var.reset(var.set(1))

    async def child() -> None:
        var.reset(var.set(2))

    async def main() -> None:
        var.set(0)
        with recording(ChainForked, TokenReset) as recorded:
            await asyncio.create_task(child())
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(None, in_thread)
        assert [type(one) for one in recorded.events] == [ChainForked, TokenReset, TokenReset]

    run(main())
