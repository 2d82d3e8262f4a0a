"""What a worker keeps of a link: bounded in count and in bytes."""

from __future__ import annotations

import pytest

from catena.dispatch.worker.learnt import Learnt
from catena.dispatch.worker.numbers import Overtaken


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


def test_numbers_that_were_left_out_come_once_each() -> None:
    """M7, R9: they are ranges, which a number splits."""
    overtaken = Overtaken()
    assert overtaken.add(1, 100_000)
    assert overtaken.add(100_001, 100_003)
    for number in (1, 50_000, 99_999, 100_002, 100_001):
        assert number in overtaken
        assert overtaken.remove(number)
        assert number not in overtaken
        assert not overtaken.remove(number)
    assert overtaken._starts == [2, 50_001]
    assert overtaken._stops == [50_000, 99_999]
    assert not overtaken.remove(100_000)


def test_ranges_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """R9: a peer that leaves out every second number is stopped."""
    monkeypatch.setattr("catena.dispatch.worker.numbers._MOST", 3)
    overtaken = Overtaken()
    assert [overtaken.add(n, n + 1) for n in (1, 3, 5, 7)] == [True, True, True, False]
