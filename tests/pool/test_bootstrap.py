"""The bootstrap of a worker: called by its name before it serves, finished within its time."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

import catena
from catena.pool import bootstrap
from catena.pool.bootstrap import Bootstrap
from catena.standing import worker_id
from tests.integration.pools import pooled

SET_UP: list[str] = []
FINISHED: list[float] = []
NEVER = threading.Event()


def set_up() -> object:
    """Note that it was called, here and where the environment says; leave something to be done."""
    SET_UP.append(worker_id())
    place = os.environ.get("T_NOTES")
    if place:
        Path(place, "set up").write_text(worker_id())

    def finish(seconds: float) -> None:
        FINISHED.append(seconds)
        if place:
            Path(place, "finished").write_text(str(seconds))

    return finish


def leave_nothing() -> None:
    """Leave nothing to be done."""


def hang() -> object:
    """Leave something that never ends."""
    return lambda seconds: NEVER.wait()


def fail() -> None:
    """Raise."""
    raise LookupError("no such setting")


def leave_trouble() -> object:
    """Leave something that raises."""

    def finish(seconds: float) -> None:
        raise LookupError("no such end")

    return finish


@catena.routine
async def surroundings() -> dict[str, Any]:
    """Return what a routine sees of its worker's identity."""
    return {"id": worker_id(), "variable": os.environ.get(bootstrap.WORKER)}


@pytest.mark.parametrize("how", ["option", "environment"])
def test_a_worker_calls_it_before_it_serves_and_finishes_it(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the pool's option or by the environment: called in the worker, finished when it ends."""
    name = f"{__name__}:set_up"
    monkeypatch.setenv("T_NOTES", str(tmp_path))
    if how == "environment":
        monkeypatch.setenv(bootstrap.BOOTSTRAP, name)

    async def work(pool: catena.WorkerPool) -> tuple[str, dict[str, Any]]:
        return (tmp_path / "set up").read_text(), await surroundings()

    options = {"bootstrap": name} if how == "option" else {}
    pools: list[catena.WorkerPool] = []

    async def noted(pool: catena.WorkerPool) -> tuple[str, dict[str, Any]]:
        pools.append(pool)
        return await work(pool)

    at_start, seen = pooled(noted, spawn=1, stop_timeout=2, **options)

    assert (at_start,) == pools[0].workers
    assert seen == {"id": at_start, "variable": None}
    assert 0 < float((tmp_path / "finished").read_text()) <= 2.5
    assert worker_id() == ""


def test_the_pools_option_outdoes_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty option switches off what the environment names."""
    monkeypatch.setenv("T_NOTES", str(tmp_path))
    monkeypatch.setenv(bootstrap.BOOTSTRAP, f"{__name__}:fail")

    async def work(pool: catena.WorkerPool) -> dict[str, Any]:
        return await surroundings()

    assert pooled(work, spawn=1, bootstrap=f"{__name__}:leave_nothing")["id"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (f"{__name__}:fail", "LookupError: no such setting"),
        (f"{__name__}:gone", "names nothing that can be called"),
        ("no_such_module:f", "ModuleNotFoundError"),
    ],
)
def test_a_worker_that_cannot_call_it_does_not_start(name: str, said: str) -> None:
    """What importing and calling raise is what WorkerStartError tells, at once."""

    async def work(pool: catena.WorkerPool) -> None:
        raise AssertionError("the pool opened")

    with pytest.raises(BaseExceptionGroup) as caught:
        pooled(work, spawn=1, bootstrap=name)

    (error,) = caught.value.exceptions
    assert isinstance(error, catena.WorkerStartError)
    assert said in str(error)
    assert "bootstrap" in str(error)


@pytest.mark.parametrize("name", ["module", ":function", "module:"])
def test_a_senseless_name_is_refused_at_once(name: str) -> None:
    """Misuse fails at construction, with the name in the message."""
    with pytest.raises(ValueError, match="module:function"):
        catena.WorkerPool(bootstrap=name)


@pytest.mark.parametrize("name", ["", "  :f", "m"])
def test_a_name_of_another_form_names_nothing(name: str) -> None:
    """A name has a module and a function, with a colon between them."""
    with pytest.raises(ValueError, match="module:function"):
        bootstrap.import_function(name)


def test_a_worker_ends_in_time_when_its_bootstrap_does_not(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """What hangs is given up, with one line, and the worker is gone when the pool is left."""
    seen: list[int] = []

    async def work(pool: catena.WorkerPool) -> None:
        seen.extend(pool.pids.values())

    pooled(work, spawn=1, stop_timeout=0.5, bootstrap=f"{__name__}:hang")

    with pytest.raises(ProcessLookupError):
        os.kill(seen[0], 0)
    assert capfd.readouterr().err.count("its bootstrap took over") == 1


def test_finishing_is_done_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads that finish wait for the same."""
    FINISHED.clear()
    made = Bootstrap(f"{__name__}:set_up")
    threads = [threading.Thread(target=made.finish_worker, args=(5.0,)) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(10)

    assert FINISHED == [5.0]


def test_trouble_at_the_end_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """What raises at the end is told once and ends nothing else."""
    Bootstrap(f"{__name__}:leave_trouble").finish_worker(5)
    Bootstrap(f"{__name__}:leave_nothing").finish_worker(5)
    Bootstrap("").finish_worker(5)

    assert [one.exc_info is not None for one in caplog.records] == [True]


def test_the_environment_of_a_worker_can_be_edited(caplog: pytest.LogCaptureFixture) -> None:
    """Edits see the worker's id and change its environment, until they are ended; one may raise."""

    def edit(environment: dict[str, str], worker: str) -> None:
        environment["T_EDITED"] = worker

    def bad(environment: dict[str, str], worker: str) -> None:
        raise LookupError(worker)

    # Others may edit it as well: where the suite is recorded, somebody does.
    before = bootstrap.worker_environment({}, "w1")
    ends = [bootstrap.on_spawn(bad), bootstrap.on_spawn(edit)]
    edited = bootstrap.worker_environment({}, "w1")
    for end in (*ends, *ends):
        end()

    assert before[bootstrap.WORKER] == "w1"
    assert edited == {**before, "T_EDITED": "w1"}
    assert len(caplog.records) == 1
    assert bootstrap.worker_environment({}, "w2") == {**before, bootstrap.WORKER: "w2"}
