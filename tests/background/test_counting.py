"""A short form of the long count of tasks; the faults that it has to find are planted elsewhere."""

from __future__ import annotations

from tests.background.counting import TOGETHER, count_tasks


def test_every_task_finds_its_own_secret_and_nothing_is_left() -> None:
    """B3, B4: through four slots, and a hundred at once with one dependency factory."""
    met = count_tasks(140, 1)

    assert met["tasks"] == 140
    assert met["together"] == TOGETHER
    assert met["without"] >= 20
    assert met["sessions"] == met["with a secret"] + met["without"] + met["together"]
