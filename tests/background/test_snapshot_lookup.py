"""Snapshots are found once for each task, by the rules of a mount, and never another task's."""

from __future__ import annotations

import pytest

from catena import QueueUnreachable, SnapshotError
from catena.background.holding import HeldValues
from catena.background.lookup import MISS_SECONDS, MOST_FOUND, OUTAGE_SECONDS, SnapshotLookup
from catena.background.persistence import set_persistence
from catena.events import QueueFailed, SnapshotRefused, ValueExpired
from catena.events.bus import subscribe
from tests.background.stores import Store, color
from tests.support import variable


class Clock:
    """A clock that a test moves."""

    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def color_of(found: HeldValues) -> object:
    """Return the value of the test's variable."""
    return found.values.get(color.key)


def test_the_store_is_asked_once_for_each_task() -> None:
    """Whatever a task's code reads, and however often."""
    store = Store()
    one, other = store.add("t-1", "red"), store.add("t-2", "blue")
    snapshots = SnapshotLookup(store)

    found = [color_of(snapshots.find(task)) for task in (one, other, one, other)]

    assert found == ["red", "blue", "red", "blue"]
    assert store.asked == ["t-1", "t-2"]


def test_another_submission_of_a_task_is_another_one() -> None:
    """A task that was replaced has the values of whoever replaced it."""
    store = Store()
    first = store.add("t-1", "red")
    snapshots = SnapshotLookup(store)
    assert color_of(snapshots.find(first)) == "red"

    second = store.add("t-1", "blue")

    assert color_of(snapshots.find(second)) == "blue"


def test_the_snapshot_of_another_submission_is_refused() -> None:
    """A store that answers with another's snapshot gives nobody its values."""
    store = Store()
    first = store.add("t-1", "red")
    store.add("t-1", "blue")

    with pytest.raises(SnapshotError) as caught:
        SnapshotLookup(store).find(first)
    assert caught.value.fault == "stale"


def test_a_missing_snapshot_fails_and_is_asked_for_again_later() -> None:
    """A negative cache, with an end; the rule is that of a mount, and it is announced once."""
    store, clock = Store(), Clock()
    task = store.add("t-1", "red")
    snapshot = store.snapshots.pop("t-1")
    snapshots = SnapshotLookup(store, clock=clock)
    announced: list[SnapshotRefused] = []
    with subscribe(announced.append, SnapshotRefused):
        for _ in range(3):
            with pytest.raises(SnapshotError, match="t-1 cannot be used, it is missing"):
                snapshots.find(task)
    assert store.asked == ["t-1"]
    assert [(one.fault, one.tolerated, one.queue) for one in announced] == [
        ("missing", False, "orders")
    ]

    clock.now += MISS_SECONDS
    store.snapshots["t-1"] = snapshot

    assert color_of(snapshots.find(task)) == "red"


def test_a_task_that_was_added_without_a_snapshot_has_no_values() -> None:
    """Nobody is asked for what was never stored; by default such a task runs without."""
    store = Store()
    task = store.add("t-1", "red")._replace(submission="")
    announced: list[SnapshotRefused] = []

    with subscribe(announced.append, SnapshotRefused):
        assert SnapshotLookup(store).find(task).values == {}
    assert [(one.fault, one.tolerated) for one in announced] == [("unmarked", True)]
    assert store.asked == []
    with pytest.raises(SnapshotError, match="it is unmarked"):
        SnapshotLookup(store, tolerate=()).find(task)


class RedisLikeError(Exception):
    """As those of Redis, no OSError."""


def test_a_store_that_does_not_answer_is_a_clear_error() -> None:
    """It names the queue and the cause, whatever class the client raises."""
    store = Store(error=RedisLikeError("connection refused"))

    with pytest.raises(QueueUnreachable) as caught:
        SnapshotLookup(store).find(store.add("t-1", "red"))

    assert str(caught.value) == (
        "queue orders could not read a snapshot: RedisLikeError: connection refused"
        " [catena explain QueueUnreachable]"
    )
    assert caught.value.__cause__ is store.error


def test_a_store_that_is_down_is_not_asked_for_each_value() -> None:
    """Code that reads three values waits for one deadline; a moment later it is asked again."""
    store, clock = Store(error=OSError("down")), Clock()
    one, other = store.add("t-1", "red"), store.add("t-2", "blue")
    snapshots = SnapshotLookup(store, clock=clock)
    announced: list[QueueFailed] = []
    with subscribe(announced.append, QueueFailed):
        for task in (one, one, other):
            with pytest.raises(QueueUnreachable, match="OSError: down"):
                snapshots.find(task)
    assert store.asked == ["t-1"]
    assert [(one.error.queue, one.error.doing) for one in announced] == [
        ("orders", "read a snapshot")
    ]

    clock.now += OUTAGE_SECONDS
    store.error = None

    assert color_of(snapshots.find(other)) == "blue"


def test_a_stored_value_that_is_over_is_not_found() -> None:
    """What a mount would not set is not read past it either, and it is announced."""
    ticket = variable("ticket")
    set_persistence(ticket, "plain", expires=lambda _: 1.0)
    store = Store()
    task = store.add("t-1", "red", more={ticket: "over"})
    announced: list[ValueExpired] = []

    with subscribe(announced.append, ValueExpired):
        found = SnapshotLookup(store).find(task)
        assert found.values == {color.key: "red"}
        assert found.values == {color.key: "red"}

    assert announced == [ValueExpired(ticket.key, "t-1", "tests.work")]


def test_what_is_remembered_is_bounded() -> None:
    """A worker that runs for weeks keeps the newest tasks and no more."""
    store = Store()
    snapshots = SnapshotLookup(store)
    tasks = [store.add(f"t-{number}", "red") for number in range(MOST_FOUND + 1)]
    for task in tasks:
        snapshots.find(task)
    store.asked.clear()

    snapshots.find(tasks[1])
    snapshots.find(tasks[0])

    assert store.asked == ["t-0"]
