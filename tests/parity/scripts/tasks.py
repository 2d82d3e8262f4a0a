"""Tasks: each has a copy of its creator's values, and what it sets stays its own."""

from __future__ import annotations

from tests.parity.run import Script, script

__all__ = ["SCRIPTS"]

SCRIPTS: list[Script] = [
    script(
        "C5: a created task sees its creator's values as they were then",
        5,
        """
        v, w = cv.ContextVar("v", default=0), cv.ContextVar("w", default=0)
        async def child():
            note("v", v.get())
            note("w", w.get())
            v.set("child")
            await aio.sleep(0)
            note("still", v.get())
        v.set(1)
        task = aio.create_task(child())
        v.set(2)
        w.set(2)
        await task
        note("here", v.get())
        note("and here", w.get())
        """,
    ),
    script(
        "C5: a task that is created before anything is set keeps its values apart",
        4,
        """
        v = cv.ContextVar("v", default=0)
        async def child(value):
            note("sees", v.get())
            v.set(value)
            await aio.sleep(0)
            return v.get()
        tasks = [aio.create_task(child(n)) for n in (1, 2)]
        v.set(3)
        note("theirs", [await task for task in tasks])
        note("mine", v.get())
        """,
    ),
    script(
        "C5: grandchildren, depth first",
        9,
        """
        v = cv.ContextVar("v", default="")
        async def child(depth):
            token = v.set(v.get() + str(depth))
            note("down", v.get())
            if depth:
                await aio.create_task(child(depth - 1))
            note("up", v.get())
            v.reset(token)
        await aio.create_task(child(3))
        note("here", v.get())
        """,
    ),
    script(
        "C5: the tasks of a group, and what fails in one of them",
        6,
        """
        v = cv.ContextVar("v", default=0)
        async def child(number):
            note("sees", v.get())
            v.set(number)
            await aio.sleep(0)
            if number == 2:
                raise KeyError(v.get())
            return v.get()
        v.set("outer")
        try:
            async with aio.TaskGroup() as group:
                v.set("inner")
                tasks = [group.create_task(child(n)) for n in (1, 2)]
                v.set("later")
        except* KeyError as failed:
            note("failed", failed.exceptions)
        note("first", tasks[0].result())
        trying("second", tasks[1].result)
        note("here", v.get())
        """,
    ),
    script(
        "C5: gather makes tasks of coroutines and leaves futures alone",
        5,
        """
        v = cv.ContextVar("v", default=0)
        async def child(number):
            old = v.get()
            v.set(number)
            await aio.sleep(0)
            return (old, v.get())
        v.set("outer")
        task = aio.create_task(child(0))
        v.set("inner")
        note("results", await aio.gather(child(1), task, child(2)))
        note("here", v.get())
        async def fail():
            v.set("failed")
            raise KeyError(v.get())
        note("returned", await aio.gather(fail(), child(3), return_exceptions=True))
        with noting("raised"):
            await aio.gather(fail(), child(4))
        note("still here", v.get())
        """,
    ),
    script(
        "C5: ensure_future makes a task of a coroutine or an awaitable",
        4,
        """
        v = cv.ContextVar("v", default=0)
        class Waiting:
            def __await__(self):
                yield from aio.sleep(0).__await__()
                v.set("awaitable")
                return v.get()
        async def child():
            v.set("child")
            return v.get()
        v.set(1)
        note("coroutine", await aio.ensure_future(child()))
        note("awaitable", await aio.ensure_future(Waiting()))
        task = aio.ensure_future(child())
        note("a task stays itself", aio.ensure_future(task) is task)
        await task
        note("here", v.get())
        """,
    ),
    script(
        "C5: wait_for makes a task or not, as this Python's does",
        5,
        """
        v = cv.ContextVar("v", default=0)
        async def child():
            note("sees", v.get())
            v.set("child")
            await aio.sleep(0)
            return v.get()
        v.set(1)
        note("result", await aio.wait_for(child(), 5))
        note("here", v.get())
        note("without a limit", await aio.wait_for(aio.create_task(child()), None) == v.get())
        """,
    ),
    script(
        "C5: what wait_for gives up has reset",
        4,
        """
        v = cv.ContextVar("v", default=0)
        async def child():
            token = v.set("child")
            try:
                await aio.sleep(10)
            finally:
                note("ending", v.get())
                v.reset(token)
                note("reset", v.get())
        with noting("too late"):
            await aio.wait_for(child(), 0.01)
        note("here", v.get())
        """,
    ),
    script(
        "C5: a shielded task goes on with its own values",
        5,
        """
        v, go = cv.ContextVar("v", default=0), aio.Event()
        async def child():
            v.set("child")
            await go.wait()
            note("goes on", v.get())
            return v.get()
        v.set(1)
        task = aio.create_task(child())
        outer = aio.ensure_future(aio.shield(task))
        await aio.sleep(0)
        outer.cancel()
        with noting("outer"):
            await outer
        go.set()
        note("inner", await task)
        note("direct", await aio.shield(child()))
        """,
    ),
    script(
        "C5: as_completed and wait",
        5,
        """
        v = cv.ContextVar("v", default=0)
        async def child(number):
            for _ in range(number):
                await aio.sleep(0)
            v.set(v.get() + number)
            return v.get()
        v.set(10)
        for next_one in aio.as_completed([child(3), child(1)]):
            result = await next_one
            v.set(v.get() + 1)
        note("last", result)
        note("here", v.get())
        tasks = [aio.create_task(child(n)) for n in (1, 2)]
        done, pending = await aio.wait(tasks)
        note("done", sorted(task.result() for task in done))
        note("pending", len(pending))
        note("still here", v.get())
        """,
    ),
    script(
        "C5: an await shares its Context, timeout or not",
        4,
        """
        v = cv.ContextVar("v", default=0)
        async def inner(value):
            v.set(value)
            await aio.sleep(0)
        await inner(1)
        note("plain", v.get())
        async with aio.timeout(5):
            await inner(2)
        note("in time", v.get())
        with noting("late"):
            async with aio.timeout(0.01):
                await inner(3)
                await aio.sleep(10)
        note("after", v.get())
        """,
    ),
]
