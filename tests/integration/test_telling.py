"""Real runs of what is rare: refusals, and a worker that disagrees with its parent."""

from __future__ import annotations

import pytest

import catena
from catena.events import ContentionUnhandled
from catena.testing import recording
from tests.integration import telling
from tests.integration.pools import pooled


def test_contentions_on_a_worker() -> None:
    """Both sides of a contention: two tasks in one Context, and a thread in that of a call."""

    async def work(pool: catena.WorkerPool) -> tuple[str, str]:
        telling.counted.set(0)
        return await telling.contended(), await telling.contended_by_a_thread()

    assert pooled(work, spawn=1) == ("task", "thread")


def test_a_contention_that_a_routine_does_not_handle() -> None:
    """C9: the refusal ends the routine and is raised at its caller, which tells of it as well."""

    async def work(pool: catena.WorkerPool) -> list[tuple[str, bool]]:
        refused = pytest.raises(catena.ChainContention, match="was touched in thread")
        with recording(ContentionUnhandled) as recorded, refused:
            await telling.given_up()
        return [(one.routine, one.at_caller) for one in recorded.of(ContentionUnhandled)]

    assert pooled(work, spawn=1) == [("tests.integration.telling.given_up", True)]


def test_what_is_only_sent_is_not_taken_back() -> None:
    """C13: a worker to which the variable is one that goes both ways sends it back in vain."""

    async def work(pool: catena.WorkerPool) -> tuple[int, int]:
        telling.ahead.set(1)
        return await telling.sends(), telling.ahead.get()

    there, here = pooled(work, spawn=1)

    assert there > 1
    assert here == 1


def test_a_worker_of_another_major_version_is_turned_away() -> None:
    """Versions: the pool does not open, and says what was spoken."""
    with pytest.raises(ExceptionGroup) as caught:
        pooled(_nothing, spawn=1, bootstrap="tests.integration.telling:of_another_version")

    (failure,) = caught.value.exceptions
    assert isinstance(failure, catena.WorkerStartError)
    refused = failure.__cause__
    assert isinstance(refused, catena.VersionRefused)
    assert refused.remote != refused.local


async def _nothing(pool: catena.WorkerPool) -> None:
    return None
