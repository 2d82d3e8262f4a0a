"""Plain functions: awaited by their callers, run on threads of their worker."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import catena
from catena.dispatch.declaration import declaration_of
from catena.dispatch.worker.threads import KeptThreads
from catena.errors import ChainContention
from catena.events import Dispatch, Execution
from catena.pickling import pickler
from catena.testing import recording
from tests.dispatch.ends import connected
from tests.support import run

color: catena.ContextVar[str] = catena.ContextVar("plain.color")
basket: catena.ContextVar[list[str]] = catena.ContextVar("plain.basket")

_gates: dict[str, threading.Event] = {}
_seen: list[Any] = []


@catena.routine
def add(a: int, b: int = 2) -> int:
    """Add two numbers."""
    return a + b


@catena.routine
def where() -> tuple[int, str]:
    """Say which thread runs this."""
    return threading.get_ident(), threading.current_thread().name


@catena.routine
def paint(new: str) -> str:
    """Set one variable and change another in place."""
    before = color.get()
    color.set(new)
    basket.get().append(new)
    return before


@catena.routine
def arm() -> None:
    """Set the first variable of a call that came without a chain."""
    color.set("from the thread")


@catena.routine
def hand_out() -> catena.Token[str]:
    """Return a token."""
    return color.set("set there")


@catena.routine
def fail() -> None:
    """Set, and raise."""
    color.set("failed")
    raise KeyError("no such thing")


@catena.routine
def stop(kind: type[BaseException]) -> None:
    """Raise what ends loops and processes."""
    raise kind()


@catena.routine
def linger(gate: str) -> str:
    """Wait on the thread, and note what is known of a cancellation."""
    color.set("lingered")
    _seen.append(("began", catena.cancelled()))
    _gates[gate].wait(10)
    _seen.append(("ended", catena.cancelled(), color.get()))
    return gate


@catena.routine
def awaitable() -> Any:
    """Return what has to be awaited."""
    return asyncio.sleep(0)


@catena.routine
def share() -> str:
    """Let another thread touch the chain."""
    color.set("mine")
    caught: list[ChainContention] = []

    def touch() -> None:
        try:
            color.get()
        except ChainContention as error:
            caught.append(error)

    thread = threading.Thread(target=contextvars.copy_context().run, args=(touch,))
    thread.start()
    thread.join()
    return caught[0].kind if caught else "nobody minded"


class Shop:
    """Plain functions as methods."""

    rate = 3

    @catena.routine
    def price(self, count: int) -> int:
        """Use the instance."""
        return self.rate * count

    @staticmethod
    @catena.routine
    def double(count: int) -> int:
        """Use nothing."""
        return 2 * count


@pytest.fixture(autouse=True)
def _nothing_seen() -> None:
    _seen.clear()


async def until(condition: Callable[[], object]) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.002)


# ---- D1: what becomes a plain routine


def test_a_plain_function_is_awaited() -> None:
    """D1b: its caller awaits it, wrong arguments are refused when it is called."""

    async def main() -> None:
        async with connected():
            assert await add(1) == 3
            assert await add(b=5, a=1) == 6
            with pytest.raises(TypeError, match="missing 1 required"):
                add()  # type: ignore[call-arg]
            assert add.local(1) == 3
            assert await Shop().price(2) == 6
            assert Shop().price.local(2) == 6
            assert await Shop.double(2) == 4

    run(main())
    assert inspect.iscoroutinefunction(add)
    assert declaration_of(add).plain


def test_a_generator_function_fails_at_decoration() -> None:
    """D1: a plain generator function is refused where it is decorated, with what to write."""

    def numbers() -> Iterator[int]:
        yield 1

    with pytest.raises(TypeError, match=r"numbers is a generator function.*`async def`"):
        catena.routine(numbers)


def test_a_wrapper_around_a_coroutine_function_counts_as_one() -> None:
    """D1: what `wraps` marks counts as what it wraps, be that async or plain."""

    async def inner() -> int:
        return 1

    @functools.wraps(inner)
    def outer() -> Any:
        return inner()

    @functools.wraps(add.local)
    def plain(*args: Any) -> int:
        return add.local(*args)

    assert not declaration_of(catena.routine(outer)).plain
    assert declaration_of(catena.routine(plain)).plain

    async def main() -> None:
        async with connected():
            assert await catena.routine(outer)() == 1

    run(main())


def test_a_plain_routine_crosses_by_value() -> None:
    """D3: its code travels where it cannot be imported, and is a plain routine there."""

    @catena.routine(timeout=3)
    def here(x: int) -> int:
        return x + 1

    there = pickler.loads(pickler.dumps(here))
    assert declaration_of(there).plain
    assert (declaration_of(there).timeout, there.local(1)) == (3, 2)

    async def main() -> None:
        async with connected():
            assert await here(1) == 2

    run(main())


# ---- D1b: threads, and the chain


def test_its_thread_is_kept() -> None:
    """D1b: it runs on a thread of its worker, the same for one call after the other."""

    async def main() -> None:
        async with connected():
            first, name = await where()
            assert first != threading.get_ident()
            assert name == "catena-routine"
            assert [(await where())[0] for _ in range(5)] == [first] * 5

    run(main())


def test_what_it_sets_comes_back() -> None:
    """D1b: the chain is handed to the thread and back, so sets and changes in place return."""

    async def main() -> None:
        async with connected():
            color.set("red")
            mine: list[str] = []
            basket.set(mine)
            for new in ("green", "blue", "black"):
                before = color.get()
                assert await paint(new) == before
                assert color.get() == new
            assert basket.get() == ["green", "blue", "black"]
            token = await hand_out()
            assert color.get() == "set there"
            color.reset(token)
            assert color.get() == "black"

    run(main())


def test_it_arms_a_call_that_had_no_chain() -> None:
    """C4, D1b: the first set on the thread makes the chain, which the caller takes over."""

    async def main() -> None:
        async with connected():
            await arm()
            assert color.get() == "from the thread"

    run(main())


def test_its_exception_arrives_with_the_chain() -> None:
    """D5, D1b: what it raises is raised here, and what it had set until then has come back."""

    async def main() -> None:
        async with connected():
            color.set("before")
            with pytest.raises(KeyError, match="no such thing"):
                await fail()
            assert color.get() == "failed"

    run(main())


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_what_would_end_a_process_ends_the_call(kind: type[BaseException]) -> None:
    """D5: whatever a function raises ends its call, and the next one is served."""

    async def main() -> None:
        caught = False
        async with connected():
            try:
                await stop(kind)
            except kind:
                caught = True
            assert await add(1) == 3
        assert caught

    run(main())


def test_another_thread_may_not_have_its_chain() -> None:
    """C9: while the function runs, its thread owns the chain, and no other may touch it."""

    async def main() -> None:
        async with connected():
            assert await share() == "thread"

    run(main())


def test_a_returned_awaitable_is_refused() -> None:
    """D1b: nobody awaits it, so the TypeError names the decorator and `async def`."""

    async def main() -> None:
        async with connected():
            with pytest.raises(TypeError, match="awaitable is a plain function under"):
                await awaitable()

    run(main())


# ---- D1b, D6: cancelled, and out of time


def test_a_cancelled_caller_goes_on_at_once() -> None:
    """D1b: the function keeps its chain until it returns, its writes are dropped, and it knows."""

    async def main() -> None:
        async with connected() as ends:
            color.set("mine")
            _gates["cancel"] = threading.Event()
            call = asyncio.ensure_future(linger("cancel"))
            await until(lambda: _seen)
            call.cancel("enough")
            with pytest.raises(asyncio.CancelledError, match="enough"):
                await call
            assert (color.get(), ends.sessions.open_calls) == ("mine", 0)
            _gates["cancel"].set()
            await until(lambda: len(_seen) == 2)
            assert _seen == [("began", False), ("ended", True, "lingered")]
            assert await add(1) == 3
            assert color.get() == "mine"

    run(main())


def test_its_time_ends_the_call_and_not_the_thread() -> None:
    """D1b, D6: TimeoutError comes in time, the function runs on and cancelled() says so."""

    async def main() -> None:
        async with connected() as ends:
            color.set("mine")
            _gates["late"] = threading.Event()
            with recording(Dispatch, Execution) as recorded:
                with pytest.raises(TimeoutError), catena.RuntimeContext(timeout=0.1):
                    await linger("late")
                await until(lambda: ends.sessions.open_calls == 0)
                _gates["late"].set()
                await until(lambda: len(_seen) == 2)
            assert _seen == [("began", False), ("ended", True, "lingered")]
            assert color.get() == "mine"
            assert len(recorded.of(Execution)) == 1
            assert await add(1) == 3

    run(main())


def test_a_call_whose_time_is_up_never_starts() -> None:
    """D6, P14: without time left the function is not entered."""

    async def main() -> None:
        async with connected():
            _gates["never"] = threading.Event()
            with pytest.raises(TimeoutError), catena.RuntimeContext(timeout=0):
                await linger("never")
            assert _seen == []

    run(main())


def test_nothing_is_cancelled_elsewhere() -> None:
    """D1b: outside of a plain routine cancelled() is False."""
    assert catena.cancelled() is False


# ---- the threads


def test_as_many_threads_are_kept_as_there_are_slots() -> None:
    """D1b: more than that run when they have to, and end when they are idle."""
    threads, barrier, done = KeptThreads(2), threading.Barrier(4), threading.Semaphore(0)
    names: list[int] = []

    def work() -> Callable[[], None]:
        barrier.wait(10)
        names.append(threading.get_ident())
        return done.release

    for _ in range(3):
        threads.start_work(work)
    assert threads.busy == 3
    barrier.wait(10)
    for _ in range(3):
        assert done.acquire(timeout=10)
    assert threads.busy == 0
    alive = [one for one in threading.enumerate() if one.ident in names]
    deadline = time.monotonic() + 10
    while len(alive) > 2 and time.monotonic() < deadline:
        time.sleep(0.002)
        alive = [one for one in alive if one.is_alive()]
    assert len(alive) == 2
    threads.end_idle()
    for one in alive:
        one.join(10)
        assert not one.is_alive()
