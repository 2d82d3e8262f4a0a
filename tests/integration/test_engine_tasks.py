"""A task of another engine, as its client and its process have it, without the engine."""

from __future__ import annotations

import pickle

import catena
from catena.engines.dask_tasks import with_context
from tests.integration.pools import pooled

basket: catena.ContextVar[str] = catena.ContextVar("basket", namespace="tests.tasks", default="")


@catena.routine
async def run_task(task: bytes) -> tuple[str, str]:
    """Run what was pickled as an engine does it; return its result, and what is set here."""
    return pickle.loads(task)(), basket.get()


def read() -> str:
    """Return the value, and set another one."""
    value = basket.get()
    basket.set("of the task")
    return value


def test_a_task_runs_in_another_process_in_its_submitters_context() -> None:
    """B2: with the values of its submission, apart from those of the call that runs it there."""

    async def work(pool: catena.WorkerPool) -> tuple[str, str]:
        basket.set("of the task's submitter")
        task = pickle.dumps(with_context(read))
        basket.set("of the call")
        return await run_task(task)

    assert pooled(work, spawn=1) == ("of the task's submitter", "of the call")
