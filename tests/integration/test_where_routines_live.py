"""A routine dispatches wherever it is defined: module, script, test, class, closure."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

import catena
from tests.integration import routines
from tests.integration.pools import pooled
from tests.integration.programs import run_source


class OfTheTest(Exception):
    """An error of this test module."""


@catena.routine
async def in_the_test(fail: bool) -> int:
    """A routine of this test module, which the worker imports."""
    if fail:
        raise OfTheTest("there")
    return os.getpid()


def test_a_routine_of_a_module() -> None:
    """D3: it crosses by reference and runs in another process."""

    async def work(pool: catena.WorkerPool) -> None:
        assert await routines.pid() in pool.pids.values()
        assert await routines.pid.local() == os.getpid()

    pooled(work, spawn=1)


def test_a_routine_of_a_test() -> None:
    """Routines of a test dispatch, and its exception class catches what they raise."""

    async def work(pool: catena.WorkerPool) -> None:
        assert await in_the_test(fail=False) in pool.pids.values()
        with pytest.raises(OfTheTest, match="there"):
            await in_the_test(fail=True)

    pooled(work, spawn=1)


def test_methods() -> None:
    """D1: methods, classmethods, staticmethods and inherited ones dispatch with their object."""

    async def work(pool: catena.WorkerPool) -> None:
        (worker,) = pool.pids.values()
        assert await routines.Counter(5).plus(2) == (7, worker)
        assert await routines.Counter.plus(routines.Counter(5), 3) == (8, worker)
        assert await routines.Child.named("!") == ("Child!", worker)
        assert await routines.Child(1).named("?") == ("Child?", worker)
        assert await routines.Counter.twice(4) == (8, worker)
        assert await routines.Child(1).twice(4) == (8, worker)
        assert [n async for n in routines.Child(2).upto(5)] == [2, 3, 4]

    pooled(work, spawn=1)


@pytest.mark.parametrize("kind", [classmethod, staticmethod])
def test_the_wrong_order_is_refused_at_decoration(kind: type) -> None:
    """D1: the message says what to do."""

    async def method() -> None: ...

    with pytest.raises(TypeError, match=f"below @{kind.__name__}"):
        catena.routine(kind(method))


def test_closures_and_lambdas_beside_them() -> None:
    """D3: a closure crosses by value, with what it closes over at the time of the call."""
    base = 10

    def scaled(factor: int):  # noqa: ANN202
        shift = lambda value: value + base  # noqa: E731

        @catena.routine
        async def scale(value: int) -> int:
            return factor * shift(value)

        return scale

    async def work(pool: catena.WorkerPool) -> None:
        nonlocal base
        double, triple = scaled(2), scaled(3)
        assert (await double(1), await triple(1)) == (22, 33)
        base = 20
        assert (await double(1), await triple(1)) == (42, 63)

    pooled(work)


def test_a_local_class_keeps_its_identity() -> None:
    """D5: isinstance and except work for classes of a function, results included."""

    class Point:
        def __init__(self, x: int) -> None:
            self.x = x

    class Refused(Exception):
        pass

    @catena.routine
    async def move(point: Point) -> Point:
        assert type(point) is Point
        if point.x < 0:
            raise Refused(point.x)
        return Point(point.x + 1)

    async def work(pool: catena.WorkerPool) -> None:
        moved = await move(Point(1))
        assert isinstance(moved, Point)
        assert moved.x == 2
        with pytest.raises(Refused):
            await move(Point(-1))

    pooled(work, spawn=1)


def test_recursive_routines() -> None:
    """D3: a routine calls itself, as a module's, as a closure, and as a generator."""

    @catena.routine
    async def factorial(n: int) -> int:
        return 1 if n < 2 else n * await factorial(n - 1)

    @catena.routine
    async def countdown(n: int) -> AsyncGenerator[int, None]:
        yield n
        if n:
            async for less in countdown(n - 1):
                yield less

    async def work(pool: catena.WorkerPool) -> None:
        assert await factorial(6) == 720
        assert [n async for n in countdown(4)] == [4, 3, 2, 1, 0]
        assert len(set(await routines.nested(4))) == 2

    pooled(work)


def test_routines_that_call_each_other() -> None:
    """D3: two closures that refer to one another cross by value."""

    @catena.routine
    async def even(n: int) -> bool:
        return n == 0 or await odd(n - 1)

    @catena.routine
    async def odd(n: int) -> bool:
        return n != 0 and await even(n - 1)

    async def work(pool: catena.WorkerPool) -> None:
        assert await even(5) is False
        assert await odd(5) is True

    pooled(work)


def test_a_routine_as_an_argument() -> None:
    """D3: the wrapper crosses as the routine it is, and dispatches from there."""

    @catena.routine
    async def here() -> int:
        return os.getpid()

    async def work(pool: catena.WorkerPool) -> None:
        workers = set(pool.pids.values())
        assert await routines.apply(routines.pid) in workers
        assert await routines.apply(here) in workers
        assert await routines.apply(routines.Counter(1).plus, 2) in {(3, pid) for pid in workers}

    pooled(work)


SCRIPT = """
    import asyncio, json, os, sys
    import catena

    print("body", os.getpid())

    class MyError(Exception):
        def __init__(self, *, code):
            super().__init__(code)
            self.code = code

    class Point:
        def __init__(self, x):
            self.x = x

        @catena.routine
        async def moved(self, by):
            return Point(self.x + by), os.getpid()

        @classmethod
        @catena.routine
        async def origin(cls):
            return cls(0)

    seen = catena.ContextVar("seen", default=0)

    def helper(x):
        return x * FACTOR

    FACTOR = 3

    @catena.routine
    async def work(x):
        seen.set(seen.get() + 1)
        if x < 0:
            raise MyError(code=x)
        return helper(x), os.getpid()

    @catena.routine
    async def nested(n):
        return os.getpid() if n == 0 else await nested(n - 1)

    @catena.routine
    async def numbers(n):
        for number in range(n):
            seen.set(seen.get() + 1)
            yield Point(number)

    async def main():
        global FACTOR
        async with catena.WorkerPool(spawn=2) as pool:
            workers = set(pool.pids.values())
            value, pid = await work(5)
            assert value == 15 and pid in workers
            FACTOR = 4
            assert (await work(5))[0] == 20
            try:
                await work(-7)
            except MyError as error:
                assert error.code == -7
            else:
                raise SystemExit("nothing was raised")
            assert await nested(3) in workers
            points = [point async for point in numbers(3)]
            assert all(isinstance(point, Point) for point in points)
            moved, pid = await points[2].moved(5)
            assert isinstance(moved, Point) and moved.x == 7 and pid in workers
            assert isinstance(await Point.origin(), Point)
            assert seen.get() == 6, seen.get()
        print(json.dumps({"main": os.getpid(), "file": __file__}))
"""


@pytest.mark.parametrize(
    "end",
    ["if __name__ == '__main__':\n        asyncio.run(main())", "asyncio.run(main())"],
    ids=["guard", "no guard"],
)
def test_a_script(tmp_path: Path, end: str) -> None:
    """Routines and classes of __main__, with and without the guard; the body runs once."""
    told = run_source(f"{SCRIPT}\n    {end}\n", tmp_path).splitlines()

    facts = json.loads(told[-1])
    assert told[:-1] == [f"body {facts['main']}"]
    assert not (tmp_path / "__pycache__").exists()


def test_a_script_run_as_a_module(tmp_path: Path) -> None:
    """`python -m package.app` dispatches the routines of its __main__, and runs once."""
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "app.py").write_text(
        "import asyncio, os\n"
        "import catena\n"
        "from package.parts import part\n"
        "print('body')\n"
        "var = catena.ContextVar('var', default=0)\n"
        "@catena.routine\n"
        "async def work(x):\n"
        "    var.set(x)\n"
        "    return x + await part()\n"
        "async def main():\n"
        "    async with catena.WorkerPool(spawn=1):\n"
        "        print(await work(1), var.get(), var.namespace)\n"
        "asyncio.run(main())\n"
    )
    (package / "parts.py").write_text(
        "import catena\n@catena.routine\nasync def part():\n    return 1\n"
    )
    (tmp_path / "start.py").write_text("")
    source = "import runpy; runpy.run_module('package.app', run_name='__main__', alter_sys=True)"

    assert run_source(source, tmp_path).splitlines() == ["body", "2 1 package"]


def test_a_module_that_changes_after_the_pool_has_started(tmp_path: Path) -> None:
    """D3: a module written while the pool runs is imported by the workers when it is needed."""
    source = """
        import asyncio, sys
        from pathlib import Path
        import catena

        async def main():
            async with catena.WorkerPool(spawn=1):
                Path("late.py").write_text(
                    "import catena\\n@catena.routine\\nasync def f():\\n    return 'late'\\n"
                )
                from late import f
                print(await f())

        asyncio.run(main())
    """
    assert run_source(source, tmp_path) == "late\n"


def test_two_pools_one_after_the_other_and_nested() -> None:
    """A routine goes to the innermost pool; the outer one is there again after it."""

    async def work(outer: catena.WorkerPool) -> None:
        async with catena.WorkerPool(spawn=1) as inner:
            assert await routines.pid() in inner.pids.values()
        assert await routines.pid() in outer.pids.values()

    pooled(work, spawn=1)
    pooled(work, spawn=1)


def test_no_pool_says_how_to_open_one() -> None:
    """D4: outside every pool, and after the block, it is NoPool with the remedy."""

    async def work(pool: catena.WorkerPool) -> None:
        await routines.pid()

    async def after() -> None:
        async with catena.WorkerPool(spawn=1):
            task = asyncio.create_task(asyncio.sleep(0.2))
            late = asyncio.create_task(_later(task))
        with pytest.raises(catena.NoPool, match="the pool was closed"):
            await late
        with pytest.raises(catena.NoPool, match=r"WorkerPool\(spawn=2\).*pid\.local"):
            await routines.pid()

    pooled(work, spawn=1)
    asyncio.run(after())


async def _later(first: asyncio.Task[None]) -> int:
    await first
    return await routines.pid()
