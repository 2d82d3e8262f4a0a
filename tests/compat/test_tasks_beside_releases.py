"""Background tasks in a deployment with workers of earlier releases, which know no tasks."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

import catena
from catena.background import BackgroundQueue, BackgroundWorker
from tests.compat.peers import SHARED, find_release, workers_of
from tests.support import isolated, run


@pytest.fixture
def routines(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return routines that processes of any release can import."""
    monkeypatch.syspath_prepend(str(SHARED))
    return importlib.import_module("skew_routines")


@isolated
@pytest.mark.parametrize("version", ["0.1.0", "0.2.0", "0.3.0"])
def test_a_task_calls_a_worker_of_a_release(version: str, tmp_path: Path, routines: Any) -> None:
    """B6, V1: the task has the submitter's context, and so has the call that it makes there."""

    async def work(target: str) -> None:
        async with (
            catena.WorkerPool(discovery=[target], quorum=1),
            BackgroundQueue("memory://", name=version) as queue,
            BackgroundWorker(queue),
        ):
            routines.color.set("red")
            task = await routines.through.submit("who")
            found, _ = await task.result(timeout=20)
            assert found == version
            task = await routines.through.submit("paint", "green")
            assert await task.result(timeout=20) == "red"
            # A task is a fork: nothing comes back.
            assert routines.color.get() == "red"

    with workers_of([find_release(version)], tmp_path, secret=b"") as ((_, target),):
        run(work(target), timeout=60)
