"""When a dead worker is replaced, and what is said of its end; nothing here starts a process."""

from __future__ import annotations

import signal

import pytest

from catena.pool.exits import describe_exit
from catena.pool.restarts import Restarts


def test_pauses_grow_up_to_the_longest_and_end_at_the_limit() -> None:
    """P12: deaths without an answer are followed by growing pauses, and at last by nothing."""
    restarts = Restarts(limit=6, longest=1.0)

    pauses = [restarts.note_death(answered=False) for _ in range(7)]

    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.0, None, None]
    assert restarts.exhausted


def test_an_answer_resets_the_pause_and_the_count() -> None:
    """P12: only deaths before an answer count towards the limit."""
    restarts = Restarts(limit=3, longest=10.0)
    assert restarts.note_death(answered=False) == 0.1
    assert restarts.note_death(answered=False) == 0.2

    assert restarts.note_death(answered=True) == 0.0
    assert restarts.note_death(answered=False) == 0.1
    assert not restarts.exhausted


def test_what_was_exhausted_begins_again() -> None:
    """P12: after the limit, ``restart`` tries as often as at first."""
    restarts = Restarts(limit=2, longest=10.0)
    assert [restarts.note_death(answered=False) for _ in range(2)] == [0.1, None]

    restarts.begin_again()

    assert restarts.note_death(answered=False) == 0.1


def test_a_limit_of_none_replaces_nobody() -> None:
    """P12: ``restart="never"`` is a limit of 0, also for workers that have answered."""
    restarts = Restarts(limit=0, longest=10.0)
    assert restarts.note_death(answered=True) is None
    assert restarts.note_death(answered=False) is None


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "ended with exit code 0, as by os._exit"),
        (3, "ended with exit code 3, as by os._exit"),
        (-signal.SIGKILL, "killed by SIGKILL, perhaps out of memory"),
        (128 + signal.SIGKILL, "killed by SIGKILL, perhaps out of memory"),
        (-signal.SIGSEGV, "crashed with SIGSEGV"),
        (-signal.SIGABRT, "crashed with SIGABRT"),
        (-signal.SIGTERM, "ended by SIGTERM"),
        (255, "ended with exit code 255"),
    ],
)
def test_an_exit_is_said_in_words(code: int, words: str) -> None:
    """P12: the exit status is one that a person need not look up."""
    assert describe_exit(code) == words
