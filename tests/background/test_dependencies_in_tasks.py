"""B4: what tasks depend on is made in the context of their submission, for each of them alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

from docket import Retry, Timeout
from docket.dependencies import Dependency

import catena
from catena.background import BackgroundQueue, Depends
from catena.background.request import origin_request_id, read_origin_request_id
from tests.background.running import finish, new_name, run

SECONDS = 60
TASKS = 100

secret = catena.ContextVar[str]("secret", namespace="tests.background", default="nobody's")
closed: list[tuple[str, str]] = []
inside: set[str] = set()
attempts: list[str] = []


class Vault:
    """A factory's product that knows whose it is, and sets a variable while it is open."""

    def __init__(self) -> None:
        self.owner = secret.get()


async def open_vault() -> AsyncIterator[Vault]:
    """Make one for each task; the variable is reset with the token of this very entry."""
    vault = Vault()
    with secret.set(f"{vault.owner}, opened"):
        yield vault
    closed.append((vault.owner, secret.get()))


class StatefulVault(Dependency["StatefulVault"]):
    """What a dependency must not be: one object for all tasks, with the last one's state."""

    owner = ""

    async def __aenter__(self) -> StatefulVault:  # noqa: PYI034 - the engine wants its own type
        self.owner = secret.get()
        return self


@catena.routine
async def check_secret(mine: str, vault: Vault = Depends(open_vault)) -> list[str]:
    """Return whatever is not this task's own."""
    return await _find_foreign(mine, vault)


@catena.routine
async def check_stateful(mine: str, vault: StatefulVault = StatefulVault()) -> list[str]:  # noqa: B008
    """Do the same with the object that all tasks share."""
    return await _find_foreign(mine, vault)


async def _find_foreign(mine: str, vault: Vault | StatefulVault) -> list[str]:
    """Wait until all tasks are inside, and return whatever is not this task's own."""
    inside.add(mine)
    async with asyncio.timeout(SECONDS):
        while len(inside) < TASKS:
            await asyncio.sleep(0.01)
    found = [vault.owner, secret.get().removesuffix(", opened")]
    found.append(await catena.to_thread(lambda: secret.get().removesuffix(", opened")))
    return [one for one in found if one != mine]


@catena.routine
async def read_by_factory(
    request: str | None = Depends(read_origin_request_id),
    timeout: Timeout = Timeout(timedelta(seconds=SECONDS)),
) -> str | None:
    """Depend on what a function of Catena reads, beside a dependency of the engine."""
    return request


@catena.routine
async def fail_once(vault: Vault = Depends(open_vault), retry: Retry = Retry(attempts=2)) -> str:
    """Fail in the first attempt."""
    attempts.append(vault.owner)
    if len(attempts) == 1:
        raise ValueError("of the first attempt")
    return vault.owner


async def submit_as(mine: str, routine: Any) -> Any:
    """Submit a task with a secret of its own."""
    secret.set(mine)
    return await routine.submit(mine)


async def run_hundred(routine: Any) -> list[list[str]]:
    """Run a hundred tasks at once; return what each has found that is not its own."""
    closed.clear()
    inside.clear()
    async with BackgroundQueue("memory://", name=new_name()) as queue:
        tasks = [
            await asyncio.create_task(submit_as(f"secret {number}", routine))
            for number in range(TASKS)
        ]
        await finish(queue, slots=TASKS)
        return await asyncio.gather(*(task.result(timeout=10) for task in tasks))


def test_a_hundred_tasks_at_once_find_each_its_own_secret() -> None:
    """They share one declaration, and each factory's clean-up has its own task's context."""
    assert run(run_hundred(check_secret)) == [[]] * TASKS
    assert sorted(closed) == sorted((f"secret {n}", f"secret {n}") for n in range(TASKS))


def test_a_dependency_with_state_would_be_found() -> None:
    """Bad input: one object that all tasks enter has the secret of whoever was last."""
    found = run(run_hundred(check_stateful))

    assert found.count([]) == 1
    assert len({one for foreign in found for one in foreign}) == 1


def test_tasks_in_one_slot_find_nothing_of_each_other() -> None:
    """Twenty tasks with a secret and twenty without, one after the other."""

    async def work() -> list[str]:
        async with BackgroundQueue("memory://", name=new_name()) as queue:
            tasks: list[Any] = []
            for number in range(20):
                tasks.append(await asyncio.create_task(_submit(f"r-{number}")))
                tasks.append(await asyncio.create_task(_submit(None)))
            await finish(queue, slots=1)
            return [await task.result(timeout=10) for task in tasks]

    expected = [one for number in range(20) for one in (f"r-{number}", None)]
    assert run(work()) == expected


async def _submit(request_id: str | None) -> Any:
    if request_id is not None:
        origin_request_id.set(request_id)
    return await read_by_factory.submit()


def test_each_attempt_gets_an_object_of_its_own(url: str) -> None:
    """A retry begins anew, in the context of the submission."""

    async def work() -> str:
        closed.clear()
        attempts.clear()
        async with BackgroundQueue(url, name=new_name()) as queue:
            secret.set("mine")
            task = await fail_once.submit()
            await finish(queue)
            return await task.result(timeout=10)

    assert run(work()) == "mine"
    assert attempts == ["mine", "mine"]
    assert closed == [("mine", "mine")]
