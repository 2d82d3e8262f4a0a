"""What all launchers share: an engine that does as it is asked, and nothing by itself."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from typing import Any

import pytest

from catena.engines.launching import EngineLauncher, Report
from catena.engines.plan import WorkerPlan
from catena.errors import WorkerStartError
from catena.ids import MemberRecord
from catena.members import Launcher
from tests.support import run


class Pretended(EngineLauncher):
    """An engine whose workers are records, each at a port of its own."""

    kind = "pretended"

    def __init__(self, count: int, **options: Any) -> None:
        super().__init__(count, **options)
        self.plans: dict[str, WorkerPlan] = {}
        self.ended: list[tuple[str, float]] = []
        self.opened = self.closed = 0
        self.refuses = ""
        self.fails_to_end = False
        self.reports: dict[str, Report] = {}

    async def open_engine(self) -> None:
        if self.refuses:
            raise WorkerStartError(worker="any", cause=self.refuses)
        self.opened += 1

    async def keep_worker(self, plan: WorkerPlan, report: Report) -> None:
        self.plans[plan.id] = plan
        self.reports[plan.id] = report
        report(plan.make_record(f"10.0.0.1:{4000 + len(self.plans)}"))
        await asyncio.get_running_loop().create_future()

    async def end_worker(self, id: str, patience: float) -> None:
        if self.fails_to_end:
            raise OSError("the engine does not answer")
        self.ended.append((id, patience))

    async def close_engine(self) -> None:
        self.closed += 1


async def next_set(members: Any, many: int) -> frozenset[MemberRecord]:
    """Return the next set that has so many members."""
    async with asyncio.timeout(5):
        async for found in members:
            if len(found) == many:
                return found
    raise AssertionError


def test_it_has_as_many_workers_as_are_asked_for() -> None:
    """Launcher: more and fewer; the youngest have to go, and are no members any more at once."""

    async def main() -> None:
        engine = Pretended(2, drain_timeout=7)
        launcher: Launcher = engine
        await launcher.launch(launcher.count)
        members = launcher.members()
        first = await next_set(members, 2)
        await launcher.launch(3)
        more = await next_set(members, 3)
        assert first < more
        await launcher.launch(1)
        (left,) = await next_set(members, 1)
        assert left.id == next(iter(engine.plans))
        await asyncio.sleep(0)
        assert {(id, 7) for id in [*engine.plans][1:]} == set(engine.ended)
        await launcher.close()
        assert len(engine.ended) == 3
        assert (engine.opened, engine.closed) == (1, 1)
        with pytest.raises(StopAsyncIteration):
            await anext(members)

    run(main())


def test_each_worker_has_a_certificate_of_the_launchers_authority() -> None:
    """Trust: under one pool, which is another one when it is launched again; the folder is gone."""

    async def main() -> None:
        engine = Pretended(2, tags=["gpu"], imports=["json"], slots=2, strict=True)
        pools = set()
        for _ in range(2):
            await engine.launch(2)
            trust = engine.trust
            assert trust is not None
            assert trust.credentials is not None
            own = trust.credentials.read()
            records = await next_set(engine.members(), 2)
            for record in records:
                plan = engine.plans[record.id]
                assert (
                    record.name == f"{record.id}.{trust.pool}.catena" == trust.name_for(record.id)
                )
                assert plan.files is not None
                assert (plan.files.ca, plan.files.cert) == (own.ca, record.leaf)
                assert plan.files.key != own.key
                assert (record.tags, plan.imports) == ({"gpu"}, ("json",))
                assert (plan.slots, plan.strict) == (2, True)
            pools.add(trust.pool)
            await engine.close()
            assert engine.trust is None
            assert not trust.credentials.folder.exists()
        assert len(pools) == 2

    run(main())


def test_with_a_folder_on_the_nodes_it_makes_no_certificates() -> None:
    """Trust: the workers prove the pool's name, with credentials that the launcher does not see."""

    async def main() -> None:
        engine = Pretended(1, certs="/etc/catena", pool="shop")
        await engine.launch(1)
        (record,) = await next_set(engine.members(), 1)
        assert engine.trust is None
        assert (record.name, record.leaf) == ("shop.catena", None)
        assert engine.plans[record.id].certs == "/etc/catena"
        await engine.close()

    run(main())


def test_a_worker_that_moves_has_one_record() -> None:
    """Launcher: what was reported last counts, and nothing while it is away."""

    async def main() -> None:
        engine = Pretended(1)
        await engine.launch(1)
        members = engine.members()
        (before,) = await next_set(members, 1)
        engine.reports[before.id](None)
        await next_set(members, 0)
        engine.reports[before.id](before._replace(target="10.0.0.2:4000"))
        (after,) = await next_set(members, 1)
        assert (after.id, after.target) == (before.id, "10.0.0.2:4000")
        await engine.close()

    run(main())


def test_an_engine_that_is_not_there_is_reported() -> None:
    """Launcher: nobody will come up, so asking fails; nothing stays, and it can be tried again."""

    async def main() -> None:
        engine = Pretended(1)
        engine.refuses = "the engine is not there"
        with pytest.raises(WorkerStartError, match="the engine is not there"):
            await engine.launch(1)
        await engine.close()
        assert (engine.trust, engine.closed) == (None, 0)
        engine.refuses = ""
        await engine.launch(1)
        await engine.close()
        assert engine.closed == 1

    run(main())


def test_what_cannot_be_ended_is_reported() -> None:
    """Launcher: by closing, also for a worker that was to go before; the rest is taken away."""

    async def main() -> None:
        engine = Pretended(2)
        await engine.launch(2)
        await next_set(engine.members(), 2)
        engine.fails_to_end = True
        await engine.launch(1)
        with pytest.raises(ExceptionGroup, match="could not be ended") as raised:
            await engine.close()
        assert [str(one) for one in raised.value.exceptions] == ["the engine does not answer"] * 2
        assert engine.trust is None
        await engine.close()

    run(main())


def test_a_mistake_of_one_worker_leaves_the_others(caplog: pytest.LogCaptureFixture) -> None:
    """Launcher: it is logged, and that worker is no member any more."""

    class Broken(Pretended):
        async def keep_worker(self, plan: WorkerPlan, report: Report) -> None:
            if self.plans:
                report(plan.make_record("10.0.0.1:4000"))
                raise LookupError("a mistake in the engine")
            await super().keep_worker(plan, report)

    async def main() -> None:
        engine = Broken(2)
        await engine.launch(2)
        (record,) = await next_set(engine.members(), 1)
        assert record.id in engine.plans
        assert "a mistake in the engine" in caplog.text
        await engine.close()
        assert len(engine.ended) == 2

    run(main())


def test_it_is_closed_on_another_loop() -> None:
    """Launcher: a pool whose loop has ended ends its workers all the same, and may open again."""
    engine = Pretended(2)
    run(engine.launch(2))

    run(engine.close())

    assert len(engine.ended) == 2

    async def again() -> None:
        await engine.launch(1)
        await next_set(engine.members(), 1)
        await engine.close()

    run(again())
    assert len(engine.ended) == 3


def test_an_end_that_was_broken_off_is_begun_again() -> None:
    """Launcher: also those that were about to end when their loop did are ended by closing."""

    class Slow(Pretended):
        async def end_worker(self, id: str, patience: float) -> None:
            await asyncio.sleep(self.seconds)
            await super().end_worker(id, patience)

        seconds = 60.0

    engine = Slow(2)

    async def shrink() -> None:
        await engine.launch(2)
        await next_set(engine.members(), 2)
        await engine.launch(1)
        await asyncio.sleep(0)

    run(shrink())
    assert engine.ended == []
    engine.seconds = 0

    run(engine.close())

    assert {id for id, _ in engine.ended} == set(engine.plans)


def test_nothing_is_left_running() -> None:
    """Launcher: when it is closed, no task of it goes on, and no thread."""
    before = {*threading.enumerate()}

    async def main() -> None:
        engine = Pretended(2)
        await engine.launch(2)
        await next_set(engine.members(), 2)
        await engine.launch(1)
        await engine.close()
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(main())
    left = {*threading.enumerate()} - before
    assert not [one for one in left if one.name.startswith("catena-")]


@pytest.mark.parametrize(
    ("count", "options", "said"),
    [
        (0, {}, "count must be at least 1"),
        (None, {}, "count must be a whole number"),
        (1, {"slots": 0}, "slots must be at least 1"),
        (1, {"lifespan": "nothing"}, "lifespan must be module:function"),
        (1, {"refuse": "nothing"}, "refuse must be module:function"),
        (1, {"strict": 1}, "strict must be True or False"),
        (1, {"start_timeout": 0}, "start_timeout must be positive"),
        (1, {"tags": "gpu"}, "tags must be a list of texts"),
        (1, {"imports": "json"}, "imports must be a list of texts"),
        (1, {"certs": "/etc/catena"}, "certs and pool belong together"),
        (1, {"pool": "shop"}, "certs and pool belong together"),
        (1, {"certs": "/etc/catena", "pool": "Shop"}, "a pool's name is made of"),
        (1, {"color": "red"}, "a launcher has no option color"),
    ],
)
def test_wrong_options_are_refused(count: Any, options: dict[str, Any], said: str) -> None:
    """Misuse: by name, when it is constructed."""
    with pytest.raises((ValueError, TypeError), match=said):
        Pretended(count, **options)


def test_an_engine_that_is_not_installed_is_named() -> None:
    """Misuse: the error has the command that installs it; asking for the room alone raises none."""
    program = "import sys, catena; sys.modules['ray'] = None; catena.engines; catena.engines.Ray"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=30
    )
    last = done.stderr.splitlines()[-1]
    assert last == "ModuleNotFoundError: ray is not installed: pip install '.[ray]'"


def test_a_launcher_shows_how_many_workers_it_has() -> None:
    """A representation is a log line."""
    assert repr(Pretended(2)) == "<Pretended launcher of 0 workers>"
