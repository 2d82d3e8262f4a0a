"""Async generators: each step runs in the Context of whoever drives it."""

from __future__ import annotations

from tests.parity.run import Script, script

__all__ = ["SCRIPTS"]

SCRIPTS: list[Script] = [
    script(
        "D2: an async generator sets before a yield and resets after it",
        5,
        """
        v = cv.ContextVar("v", default=0)
        async def steps():
            token = v.set(1)
            yield v.get()
            note("the driver's", v.get())
            await aio.sleep(0)
            v.reset(token)
            yield v.get()
        g = steps()
        note("first", await anext(g))
        note("leaks", v.get())
        v.set(2)
        note("second", await anext(g))
        note("back", v.get())
        """,
    ),
    script(
        "D2: asend, athrow and aclose run in the Context of whoever calls them",
        7,
        """
        v = cv.ContextVar("v", default=0)
        async def steps():
            token = v.set("set")
            try:
                while True:
                    try:
                        sent = yield v.get()
                        v.set(sent)
                    except KeyError as error:
                        note("caught", (error.args, v.get()))
            finally:
                await aio.sleep(0)
                note("closing", v.get())
                v.reset(token)
        g = steps()
        note("first", await anext(g))
        note("sent", await g.asend("sent"))
        note("visible", v.get())
        note("thrown", await g.athrow(KeyError("k")))
        await g.aclose()
        note("closed", v.get())
        """,
    ),
    script(
        "D2: an exception that goes through an async generator finds it reset",
        3,
        """
        v = cv.ContextVar("v", default=0)
        async def steps():
            token = v.set(1)
            try:
                yield
            finally:
                v.reset(token)
        g = steps()
        await anext(g)
        with noting("thrown"):
            await g.athrow(ValueError("v"))
        note("after", v.get())
        with noting("over"):
            await anext(g)
        """,
    ),
    script(
        "T6: an async generator that another task closes cannot reset there",
        4,
        """
        v = cv.ContextVar("v", default=0)
        async def steps():
            token = v.set(1)
            try:
                yield
            finally:
                note("sees", v.get())
                with noting("reset"):
                    v.reset(token)
                note("token", token)
        g = steps()
        await anext(g)
        v.set(2)
        await aio.create_task(g.aclose())
        note("here", v.get())
        """,
    ),
    script(
        "C5: an async generator each of whose steps is a task",
        7,
        """
        v = cv.ContextVar("v", default=0)
        async def steps():
            for number in (1, 2, 3):
                note("sees", v.get())
                v.set(number)
                yield number
        g = steps()
        for number in (1, 2, 3):
            await aio.create_task(anext(g))
            note("here", v.get())
            v.set(number * 10)
        await g.aclose()
        note("after", v.get())
        """,
    ),
    script(
        "C5: an async generator that was begun in a task goes on outside of it",
        4,
        """
        v = cv.ContextVar("v", default=0)
        async def steps():
            token = v.set("in the task")
            yield
            note("sees", v.get())
            with noting("reset"):
                v.reset(token)
            v.set("outside")
            yield
        g = steps()
        await aio.create_task(anext(g))
        note("nothing leaks", v.get())
        await anext(g)
        note("this does", v.get())
        await g.aclose()
        """,
    ),
    script(
        "C5: an async generator that is collected is closed in a task of the loop's",
        2,
        """
        import gc
        v = cv.ContextVar("v", default=0)
        async def steps():
            token = v.set(1)
            try:
                yield
            finally:
                with noting("reset"):
                    v.reset(token)
        g = steps()
        await anext(g)
        del g
        gc.collect()
        for _ in range(5):
            await aio.sleep(0)
        note("here", v.get())
        """,
    ),
    script(
        "C5: async generators that are left over are closed with the loop",
        3,
        """
        v = cv.ContextVar("v", default=0)
        left = []
        async def steps():
            v.set(1)
            try:
                yield
            finally:
                note("closing", v.get())
                v.set(2)
        async def main():
            left.append(steps())
            await anext(left[0])
            note("begun", v.get())
        with aio.Runner(loop_factory=new_loop) as runner:
            runner.run(main())
        note("outside", v.get())
        """,
    ),
    script(
        "C1: async context managers made from generators set and reset",
        4,
        """
        from contextlib import AsyncExitStack, asynccontextmanager
        v = cv.ContextVar("v", default=0)
        @asynccontextmanager
        async def holding(value):
            token = v.set(value)
            await aio.sleep(0)
            try:
                yield
            finally:
                await aio.sleep(0)
                v.reset(token)
        async with holding(1), holding(2):
            note("inside", v.get())
        note("outside", v.get())
        with noting("raised"):
            async with holding(3):
                raise KeyError(v.get())
        async with AsyncExitStack() as stack:
            for number in range(3):
                await stack.enter_async_context(holding(number))
        note("after a stack", v.get())
        """,
    ),
    script(
        "C1: a timeout over a yield ends the generator's own wait, and it resets",
        3,
        """
        v = cv.ContextVar("v", default=0)
        async def steps():
            token = v.set(1)
            try:
                async with aio.timeout(0.01):
                    yield v.get()
                    await aio.sleep(10)
            finally:
                v.reset(token)
        g = steps()
        note("first", await anext(g))
        with noting("second"):
            await anext(g)
        note("after", v.get())
        """,
    ),
    script(
        "C1: two generators in turn on one Context see each other's values",
        5,
        """
        v = cv.ContextVar("v", default=0)
        async def adding(step):
            while True:
                v.set(v.get() + step)
                yield v.get()
        one, ten = adding(1), adding(10)
        for g in (one, ten, ten, one):
            note("sum", await anext(g))
        await one.aclose()
        await ten.aclose()
        note("after", v.get())
        """,
    ),
    script(
        "C1: comprehensions, async for and yield of a token",
        4,
        """
        v = cv.ContextVar("v", default=0)
        async def tokens():
            for number in (1, 2, 3):
                yield v.set(number)
        got = [token async for token in tokens()]
        note("old", [token.old_value for token in got])
        for token in reversed(got):
            v.reset(token)
            note("back", v.get())
        """,
    ),
]
