"""What a worker keeps of a link: bounded in count and in bytes."""

from __future__ import annotations

from catena.dispatch.worker.learnt import Learnt


def test_the_least_recently_used_goes_when_there_are_too_many() -> None:
    """R9: a count bounds what is kept, and whoever is used stays."""
    kept: Learnt[int, str] = Learnt(2, 100)
    kept.keep(1, "one", 1)
    kept.keep(2, "two", 1)
    kept.move_to_end(1)
    kept.keep(3, "three", 1)
    assert list(kept) == [1, 3]


def test_the_least_recently_used_go_when_they_take_too_much() -> None:
    """R9: bytes bound it too; one that alone exceeds them stays until the next comes."""
    kept: Learnt[int, str] = Learnt(9, 100)
    for number, size in ((1, 40), (2, 40), (3, 40)):
        kept.keep(number, "x", size)
    assert list(kept) == [2, 3]
    kept.keep(4, "huge", 500)
    assert list(kept) == [4]
    kept.keep(5, "x", 40)
    assert list(kept) == [5]
    kept.keep(5, "y", 60)
    kept.keep(6, "x", 40)
    assert list(kept) == [5, 6]
    kept.clear()
    kept.keep(7, "x", 100)
    assert list(kept) == [7]
