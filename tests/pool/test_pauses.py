"""The pauses between attempts to reach a worker that was found."""

from __future__ import annotations

from catena.pool.following import Pauses


def test_pauses_grow_to_ten_seconds_and_differ() -> None:
    """P8: many pools that look for the same worker do not all try at the same moment."""
    drawn = [[one.draw() for _ in range(12)] for one in (Pauses(), Pauses())]

    for pauses in drawn:
        most = [min(0.1 * 2**number, 10.0) for number in range(12)]
        assert all(
            at_most / 2 <= pause <= at_most for pause, at_most in zip(pauses, most, strict=True)
        )
    assert drawn[0] != drawn[1]


def test_a_link_that_held_begins_with_a_short_pause() -> None:
    """P8: what went on for a while is tried again at once when it ends."""
    pauses = Pauses()
    for _ in range(8):
        pauses.draw()
    pauses.note_lasted(9.9)
    assert pauses.draw() > 0.1
    pauses.note_lasted(10.1)

    assert pauses.draw() <= 0.1
