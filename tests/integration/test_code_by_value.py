"""Code that travels by value between real processes: what holds, what is kept, what is refused."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

import catena
from tests.integration import routines
from tests.integration.pools import pooled
from tests.integration.programs import run_source


def twice(function: Callable[..., Awaitable[Any]]) -> Any:
    """A decorator as people write them."""

    @functools.wraps(function)
    async def inner(*args: Any, **kwargs: Any) -> Any:
        return [await function(*args, **kwargs), await function(*args, **kwargs)]

    return inner


class AsObject:
    """A decorator that is an object."""

    def __init__(self, function: Any) -> None:
        functools.update_wrapper(self, function)
        self.function = function

    def __call__(self, *args: Any) -> Any:
        return self.function(*args)


LOCK = threading.Lock()


@twice
@catena.routine
async def imported(x: int) -> tuple[int, int]:
    """A decorated routine of a module that has a lock."""
    with LOCK:
        return x, os.getpid()


def test_a_decorator_above_a_routine_crosses() -> None:
    """D1: what the name holds crosses: twice, below and above, by function, object and partial."""

    @twice
    @twice
    @catena.routine
    async def four(x: int) -> int:
        return x

    @catena.routine
    @twice
    @catena.routine
    async def between(x: int) -> int:
        return x

    @AsObject
    @twice
    @catena.routine
    async def object_(x: int) -> int:
        return x

    class Methods:
        @staticmethod
        @twice
        @catena.routine
        async def static(x: int) -> int:
            return x

        @classmethod
        @twice
        @catena.routine
        async def of_class(cls, x: int) -> tuple[str, int]:
            return cls.__name__, x

        @twice
        @catena.routine
        async def plain(self, x: int) -> int:
            return x

    part = functools.partial(four, 7)

    @catena.routine
    async def nested() -> list[Any]:
        calls = (four, between, object_, Methods.static, Methods.of_class, Methods().plain)
        return [*[await call(1) for call in calls], await part()]

    async def work(pool: catena.WorkerPool) -> None:
        pair = ["Methods", 1]
        want = [[[1, 1], [1, 1]], [1, 1], [1, 1], [1, 1], [pair, pair], [1, 1], [[7, 7], [7, 7]]]
        there = await nested()
        there[4] = [list(one) for one in there[4]]
        assert there == want
        for passed in (four, between, object_, Methods.static, Methods().plain):
            assert await routines.apply(passed, 1) == await passed(1)
        assert await routines.apply(part) == [[7, 7], [7, 7]]

    pooled(work)


def test_a_decorated_routine_of_a_module_crosses_by_reference() -> None:
    """D1: its module may hold what cannot be sent; there it runs with its module's own."""

    async def work(pool: catena.WorkerPool) -> None:
        (first, second) = await imported(3)
        assert first == second
        assert first[0] == 3
        assert first[1] in pool.pids.values()
        assert (await routines.apply(imported, 4))[0][0] == 4

    pooled(work, spawn=1)


SCRIPT = """
    import asyncio
    import catena

    finished, handlers = [], {}
    shared = catena.ContextVar("shared")

    class Job:
        total = 0
        def __init__(self, n): self.n = n
        def done(self): finished.append(self.n)

    class Failed(Exception):
        seen = 0
        def handle(self): return handlers["x"]

    @catena.routine
    async def work(n): return Job(n)

    @catena.routine
    async def each(n):
        for one in range(n):
            yield Job(one)

    @catena.routine
    async def fail(): raise Failed

    @catena.routine
    async def put(n): shared.set(Job(n))

    @catena.routine
    async def nested(n): return await work(n)

    @catena.routine
    async def total(job): return type(job).total

    def check(job):
        job.done()
        Job(-1).done()
        assert type(job) is Job and Job.total == "here", Job.total

    async def main():
        async with catena.WorkerPool(spawn=2):
            running = asyncio.create_task(work(1))
            Job.total, Failed.seen, handlers["x"] = "here", 2, "handled"
            check(await running)
            check(await nested(2))
            async for job in each(2):
                check(job)
            await put(3)
            check(shared.get())
            try:
                await fail()
            except Failed as error:
                assert error.handle() == "handled" and Failed.seen == 2
            assert await total(Job(0)) == "here"
        print(finished)

    asyncio.run(main())
"""


def test_what_comes_back_leaves_the_script_as_it_was(tmp_path: Path) -> None:
    """D5: by results, nested calls, yields, variables and exceptions."""
    assert run_source(SCRIPT, tmp_path) == "[1, -1, 2, -1, 0, -1, 1, -1, 3, -1]\n"


def test_a_traceback_of_a_script_has_its_lines(tmp_path: Path) -> None:
    """D5: file, line and source, whatever cloudpickle makes of file names."""
    source = """
        import asyncio, catena
        def helper(x):
            return 1 / x
        @catena.routine
        async def divide(x):
            return helper(x)
        async def main():
            async with catena.WorkerPool(spawn=1):
                try:
                    await divide(0)
                except ZeroDivisionError as error:
                    print(error.__notes__[0])
        asyncio.run(main())
    """
    told = run_source(source, tmp_path)
    assert f'File "{tmp_path}/program.py", line 4, in helper\n      return 1 / x' in told
    assert f'File "{tmp_path}/program.py", line 7, in divide\n      return helper(x)' in told


def test_a_plugin_that_is_on_no_path(tmp_path: Path) -> None:
    """D3: a module that only this process knows goes by value, one that was registered too."""
    (tmp_path / "plugins").mkdir()
    for name in ("plug", "registered"):
        (tmp_path / "plugins" / f"{name}.py").write_text(
            "import catena\nK = 41\nclass Made: pass\n"
            "@catena.routine\nasync def f(): return K + 1, Made()\n"
        )
    source = """
        import asyncio, importlib.util, sys
        import catena, cloudpickle

        def load(name):
            spec = importlib.util.spec_from_file_location(name, f"plugins/{name}.py")
            module = sys.modules[name] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            return module

        async def main():
            plug, registered = load("plug"), load("registered")
            cloudpickle.register_pickle_by_value(registered)
            async with catena.WorkerPool(spawn=1):
                for module in (plug, registered):
                    number, made = await module.f()
                    assert number == 42 and type(made) is module.Made

        asyncio.run(main())
        print("right")
    """
    assert run_source(source, tmp_path) == "right\n"


def test_a_reloaded_module_runs_its_new_code(tmp_path: Path) -> None:
    """D3: also for the routine that was imported by name before, which stays the old one."""
    (tmp_path / "mod.py").write_text(
        "import catena\n@catena.routine\nasync def f(): return 'old'\n"
    )
    source = """
        import asyncio, importlib, pathlib, sys
        import catena
        sys.dont_write_bytecode = True
        import mod
        before = mod.f

        async def main():
            async with catena.WorkerPool(spawn=1):
                print(await mod.f())
                path = pathlib.Path("mod.py")
                path.write_text(path.read_text().replace("old", "newer"))
                importlib.reload(mod)
                print(await mod.f(), await before())

        asyncio.run(main())
    """
    assert run_source(source, tmp_path) == "old\nnewer old\n"


@pytest.mark.parametrize("mode", ["r", "rb"])
def test_an_open_file_as_an_argument_is_refused(tmp_path: Path, mode: str) -> None:
    """D5: with the argument's name and what to send instead."""

    @catena.routine
    async def read(source: Any) -> Any:
        return source.read()

    (tmp_path / "some.txt").write_text("text")

    async def work(pool: catena.WorkerPool) -> None:
        with (
            (tmp_path / "some.txt").open(mode) as file,
            pytest.raises(
                catena.SerializationError,
                match=r"argument 'source' of routine .*read could not be sent: .*send its path",
            ),
        ):
            await read(file)
        with pytest.raises(catena.SerializationError, match=r"argument 'source'.*in item 1: "):
            await read([1, LOCK])

    pooled(work, spawn=1)


def test_code_that_cannot_be_sent_names_the_part_and_the_remedy() -> None:
    """D5: a lock and a variable of contextvars, which stay in their process."""
    import contextvars

    who: contextvars.ContextVar[str] = contextvars.ContextVar("who")
    lock = threading.Lock()

    def helper() -> str:
        return who.get()

    @catena.routine
    async def reads() -> str:
        return helper()

    @catena.routine
    async def locks() -> AsyncGenerator[bool, None]:
        yield lock.locked()

    async def work(pool: catena.WorkerPool) -> None:
        with pytest.raises(
            catena.SerializationError,
            match=r"in variable 'helper', variable 'who': .*'who' stays .*catena.ContextVar\('who'",
        ):
            await reads()
        with pytest.raises(
            catena.SerializationError, match=r"in variable 'lock': .*make it inside"
        ):
            await anext(locks())

    pooled(work, spawn=1)
