"""What several commands need."""

from __future__ import annotations

import argparse
import threading

import pytest

from catena.cli.shared import count, ticking


@pytest.mark.parametrize("text", ["0", "-1", "x", "", "1.5"])
def test_a_count_is_at_least_one(text: str) -> None:
    """Anything else is told by argparse."""
    with pytest.raises(argparse.ArgumentTypeError, match="not a number of at least 1"):
        count(text)
    assert count("3") == 3


def test_ticking_ends_with_its_block() -> None:
    """It tells again and again, and not once more when the block has been left."""
    told = threading.Semaphore(0)
    with ticking(told.release, 0.001):
        assert told.acquire(timeout=20)
        assert told.acquire(timeout=20)

    assert not [one for one in threading.enumerate() if one.name == "catena-progress"]
