"""Snapshots that are on their way within one process."""

from __future__ import annotations

from catena.background.transfers import MOST_TRANSFERS, Transfers


def test_a_text_is_there_until_it_is_taken() -> None:
    """Any number of readers may have it before the mount takes it out."""
    transfers = Transfers()
    transfers.put("one", "text", 10)

    assert (transfers.get("one"), transfers.get("one")) == ("text", "text")
    transfers.take("one")
    transfers.take("one")
    assert transfers.get("one") is None
    assert len(transfers) == 0


def test_a_text_is_there_for_as_long_as_the_store_has_it() -> None:
    """A task that never runs leaves nothing that could be read later."""
    now = 100.0
    transfers = Transfers(lambda: now)
    transfers.put("one", "text", 10)
    now = 109.9
    assert transfers.get("one") == "text"
    now = 110.0

    assert transfers.get("one") is None


def test_there_are_never_too_many() -> None:
    """The oldest are let go: their tasks read the store, as tasks of other processes do."""
    transfers = Transfers()
    for number in range(MOST_TRANSFERS + 1):
        transfers.put(f"{number}", "text", 10)

    assert len(transfers) == MOST_TRANSFERS
    assert transfers.get("0") is None
    assert transfers.get(f"{MOST_TRANSFERS}") == "text"


def test_those_of_one_queue_are_let_go_together() -> None:
    """A queue that is closed leaves nothing, whatever became of its tasks."""
    transfers = Transfers()
    for place in ("one:a", "one:b", "other:a"):
        transfers.put(place, "text", 10)

    transfers.take_all("one:")

    assert len(transfers) == 1
    assert transfers.get("other:a") == "text"
