"""B4: what a task depends on is made for it alone, and only its own end cleans that up."""

from __future__ import annotations

import asyncio
import functools
import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import TracebackType
from typing import Any, Self

import pytest
from docket import Docket, Worker
from docket.dependencies import TaskArgument

from catena.background import Depends
from tests.support import run

SECONDS = 30
noted: list[str] = []


class Session:
    """What one task has: entered once, by nobody else."""

    def __init__(self) -> None:
        self.owner = ""
        self.is_open = False

    async def __aenter__(self) -> Self:
        self.is_open = True
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.is_open = False
        noted.append(f"closed {self.owner}")


async def run_tasks(
    function: Callable[..., Awaitable[Any]], *arguments: tuple[Any, ...], concurrency: int = 10
) -> list[Any]:
    """Have a worker of the engine run a function for each of the arguments; return the results."""
    async with Docket(name="tests", url="memory://") as docket:
        docket.register(function)
        tasks = [await docket.add(function)(*given) for given in arguments]
        async with Worker(docket, concurrency=concurrency) as worker:
            await worker.run_until_finished()
        results = [task.get_result() for task in tasks]
        return await asyncio.gather(*results, return_exceptions=True)


def run_task(function: Callable[..., Awaitable[Any]], *given: Any) -> Any:
    """Run one task; return its result or what it raised."""
    noted.clear()
    return run(run_tasks(function, given), SECONDS)[0]


def make_plainly() -> str:
    """A plain function."""
    return "made"


async def make_later() -> str:
    """A coroutine function."""
    return "made"


def yield_plainly() -> Iterator[str]:
    """A generator function, as FastAPI has it."""
    yield "made"
    noted.append("cleaned up")


async def yield_later() -> AsyncIterator[str]:
    """An async generator function, as FastAPI has it."""
    yield "made"
    noted.append("cleaned up")


@contextmanager
def manage_plainly() -> Generator[str]:
    """A function that returns a context manager."""
    yield "made"
    noted.append("cleaned up")


@asynccontextmanager
async def manage_later() -> AsyncGenerator[str]:
    """A function that returns an async context manager."""
    yield "made"
    noted.append("cleaned up")


class Yielding:
    """A callable object whose calls are generators."""

    def __call__(self) -> Iterator[str]:
        yield "made"
        noted.append("cleaned up")


def declare(factory: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    """Return a task that depends on what a factory makes."""

    async def task(made: Any = Depends(factory)) -> Any:
        noted.append("runs")
        return made

    return task


@pytest.mark.parametrize("factory", [make_plainly, make_later], ids=lambda one: one.__name__)
def test_a_function_makes_the_value(factory: Callable[..., Any]) -> None:
    """What it returns, or what awaiting that gives."""
    assert run_task(declare(factory)) == "made"


@pytest.mark.parametrize(
    "factory",
    [
        yield_plainly,
        yield_later,
        manage_plainly,
        manage_later,
        Yielding(),
        functools.partial(yield_later),
    ],
    ids=str,
)
def test_what_is_made_is_cleaned_up_after_the_task(factory: Callable[..., Any]) -> None:
    """Generators of FastAPI work as they are, and so do context managers."""
    assert run_task(declare(factory)) == "made"
    assert noted == ["runs", "cleaned up"]


def test_a_class_makes_an_object_for_each_task() -> None:
    """Where it is a context manager, it is entered."""

    async def use(name: str, session: Session = Depends(Session)) -> bool:
        session.owner = name
        return session.is_open

    assert run_task(use, "a") is True
    assert noted == ["closed a"]


def test_a_task_that_fails_is_cleaned_up_too() -> None:
    """The error is the task's own."""

    async def fail(session: Session = Depends(Session)) -> None:
        session.owner = "failed"
        raise ValueError("of the task")

    assert isinstance(run_task(fail), ValueError)
    assert noted == ["closed failed"]


def add_one(number: int = TaskArgument("number")) -> int:
    """Depend on an argument of the task, by the engine's own declaration."""
    return number + 1


def test_dependencies_have_dependencies() -> None:
    """Ours and the engine's, in one another; bindings stand in for arguments."""

    def describe(text: str, number: int = Depends(add_one)) -> str:
        return f"{text} {number}"

    async def task(number: int, text: str = Depends(describe, text="number")) -> str:
        return text

    assert run_task(task, 4) == "number 5"


def test_two_parameters_of_one_task_share_what_one_factory_makes() -> None:
    """As in FastAPI: a task has one session, whoever of its parts asks for it."""

    async def make_pair(session: Session = Depends(Session)) -> Session:
        return session

    async def task(one: Session = Depends(Session), other: Session = Depends(make_pair)) -> bool:
        return one is other

    assert run_task(task) is True
    assert len(noted) == 1


def test_a_hundred_tasks_at_once_share_a_declaration_and_nothing_else() -> None:
    """Each has a session of its own, from its beginning to its end, and closes that one alone."""
    noted.clear()
    inside: list[str] = []
    all_here = asyncio.Event()

    async def use(name: str, session: Session = Depends(Session)) -> tuple[str, bool]:
        session.owner = name
        inside.append(name)
        if len(inside) == 100:
            all_here.set()
        async with asyncio.timeout(SECONDS):
            await all_here.wait()
        for _ in range(int(name) % 7):
            await asyncio.sleep(0)
        return session.owner, session.is_open

    names = [str(number) for number in range(100)]
    results = run(run_tasks(use, *((name,) for name in names), concurrency=100), SECONDS)

    assert results == [(name, True) for name in names]
    assert sorted(noted) == sorted(f"closed {name}" for name in names)


def test_a_manager_that_two_tasks_would_share_is_refused() -> None:
    """Its first end would undo what the other task has: the second one fails, by its name."""
    noted.clear()
    shared = Session()
    entered: list[int] = []
    seen = asyncio.Event()

    def return_shared() -> Session:
        entered.append(1)
        if len(entered) == 2:
            seen.set()
        return shared

    async def use(session: Session = Depends(return_shared)) -> bool:
        async with asyncio.timeout(SECONDS):
            await seen.wait()
        return session.is_open

    results = run(run_tasks(use, (), ()), SECONDS)

    assert True in results
    (error,) = [one for one in results if isinstance(one, ExceptionGroup)]
    assert "return_shared has returned one Session to two tasks at once" in str(error.exceptions)


def test_a_manager_may_be_entered_again_when_it_was_left() -> None:
    """Only at once is it a mistake: tasks that follow each other undo nothing."""
    shared = Session()

    def return_shared() -> Session:
        return shared

    async def use(session: Session = Depends(return_shared)) -> bool:
        return session.is_open

    assert run(run_tasks(use, (), (), concurrency=1), SECONDS) == [True, True]


def test_an_object_instead_of_a_factory_is_refused_where_it_is_declared() -> None:
    """A context manager itself is what all tasks would share."""
    with pytest.raises(TypeError, match="what makes a value for each task, not Session"):
        Depends(Session())  # type: ignore[call-overload]


WITHOUT_ENGINE = """
import sys
sys.modules["docket"] = None
from catena.background import Depends
try:
    Depends(int)
except ModuleNotFoundError as error:
    print(error)
"""


def test_without_the_engine_the_error_names_the_command() -> None:
    """The extra is asked for where it is first needed, and not by the import."""
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT_ENGINE],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=True,
    )

    assert ran.stdout == "docket is not installed: pip install '.[background]'\n"
