"""Between tasks and loops: Contexts given by hand, queues, runners."""

from __future__ import annotations

from tests.parity.run import Script, script

__all__ = ["SCRIPTS"]

SCRIPTS: list[Script] = [
    script(
        "C9: a task in a given copy of the Context leaves its values there",
        5,
        """
        v = cv.ContextVar("v", default=0)
        async def child():
            note("sees", v.get())
            v.set("child")
            await aio.sleep(0)
            return v.get()
        v.set(1)
        context = cv.copy_context()
        v.set(2)
        note("result", await aio.create_task(child(), context=context))
        note("there", context.run(v.get))
        context.run(v.set, "from outside")
        note("set there", context.run(v.get))
        note("here", v.get())
        """,
    ),
    script(
        "C9: tasks in a given empty Context, one after the other",
        5,
        """
        v = cv.ContextVar("v", default=0)
        async def child(value):
            note("sees", v.get())
            v.set(value)
            await aio.sleep(0)
        v.set("mine")
        context = cv.Context()
        for value in (1, 2, 3):
            await aio.create_task(child(value), context=context)
        note("there", context.run(v.get))
        note("here", v.get())
        """,
    ),
    script(
        "C9: tasks in one given copy, one after the other, and a token between them",
        5,
        """
        v = cv.ContextVar("v", default=0)
        async def first():
            return v.set("first")
        async def second(token):
            note("sees", v.get())
            with noting("reset"):
                v.reset(token)
            note("after", v.get())
        v.set("mine")
        context = cv.copy_context()
        token = await aio.create_task(first(), context=context)
        await aio.create_task(second(token), context=context)
        note("there", context.run(v.get))
        note("here", v.get())
        """,
    ),
    script(
        "C9: two tasks in one empty Context that no variable is set in",
        3,
        """
        v = cv.ContextVar("v", default="default")
        async def child():
            await aio.sleep(0)
            return v.get()
        context = cv.Context()
        tasks = [aio.create_task(child(), context=context) for _ in range(2)]
        note("theirs", await aio.gather(*tasks))
        async with aio.TaskGroup() as group:
            task = group.create_task(child(), context=context)
        note("in a group", task.result())
        note("there", context.run(v.get))
        """,
    ),
    script(
        "C5: a Context prepared with run and handed to a task",
        4,
        """
        v = cv.ContextVar("v", default=0)
        async def child():
            note("sees", v.get())
            v.set("child")
        context = cv.copy_context()
        context.run(v.set, "prepared")
        await aio.create_task(child(), context=context)
        note("there", context.run(v.get))
        v.set("mine")
        other = cv.copy_context()
        other.run(v.set, "prepared again")
        await aio.create_task(child(), context=other)
        note("here", v.get())
        """,
    ),
    script(
        "C5: a queue hands objects over, not Contexts",
        6,
        """
        v, queue = cv.ContextVar("v", default=0), aio.Queue()
        async def producer():
            for number in (1, 2):
                await queue.put((number, v.set(number), cv.copy_context()))
            await queue.put(None)
        async def consumer():
            while (got := await queue.get()) is not None:
                number, token, context = got
                note("mine", v.get())
                with noting("token"):
                    v.reset(token)
                v.set(-number)
            return v.get()
        v.set("outer")
        async with aio.TaskGroup() as group:
            task = group.create_task(consumer())
            group.create_task(producer())
        note("consumer", task.result())
        note("here", v.get())
        """,
    ),
    script(
        "C5: a Context from a queue is entered by the consumer once its producer is done",
        3,
        """
        v, queue = cv.ContextVar("v", default=0), aio.Queue()
        async def producer():
            token = v.set("producer")
            await queue.put((token, cv.copy_context()))
        v.set("mine")
        await aio.create_task(producer())
        token, context = await queue.get()
        note("there", context.run(v.get))
        trying("its token", context.run, v.reset, token)
        note("here", v.get())
        """,
    ),
    script(
        "C5: workers of a queue that live long keep their own values",
        4,
        """
        v, queue = cv.ContextVar("v", default=0), aio.Queue()
        async def worker():
            while True:
                v.set(v.get() + await queue.get())
                note("sum", v.get())
                queue.task_done()
        v.set(100)
        task = aio.create_task(worker())
        for number in (1, 2, 3):
            v.set(number)
            await queue.put(number)
            await queue.join()
        task.cancel()
        note("here", v.get())
        """,
    ),
    script(
        "C5: a runner's main task sees what was set before, and keeps its own",
        6,
        """
        v = cv.ContextVar("v", default=0)
        async def main(value):
            note("sees", v.get())
            v.set(value)
            await aio.sleep(0)
        v.set("outer")
        with aio.Runner(loop_factory=new_loop) as runner:
            v.set("before the first")
            runner.run(main(1))
            v.set("between")
            runner.run(main(2))
            runner.run(main(3), context=cv.copy_context())
            runner.run(main(4))
            note("here", v.get())
        note("outside", v.get())
        """,
    ),
    script(
        "C5: a runner whose tasks are created before anything was set in its loop",
        5,
        """
        v = cv.ContextVar("v", default=0)
        async def child(value):
            note("sees", v.get())
            await aio.sleep(0)
            v.set(value)
            await aio.sleep(0)
            return v.get()
        async def main():
            tasks = [aio.create_task(child(n)) for n in (1, 2)]
            note("theirs", await aio.gather(*tasks))
            note("mine", v.get())
        token = v.set("outer")
        with aio.Runner(loop_factory=new_loop) as runner:
            runner.run(main())
        trying("reset", v.reset, token)
        """,
    ),
    script(
        "T6: tokens do not open across the border of a runner",
        4,
        """
        v = cv.ContextVar("v", default=0)
        async def main(token):
            with noting("outer"):
                v.reset(token)
            return v.set("inner")
        token = v.set("outer")
        with aio.Runner(loop_factory=new_loop) as runner:
            inner = runner.run(main(token))
        trying("inner", v.reset, inner)
        trying("mine", v.reset, token)
        note("here", v.get())
        """,
    ),
    script(
        "C5: loops one after the other, with run_until_complete",
        4,
        """
        v = cv.ContextVar("v", default=0)
        async def main(value):
            note("sees", v.get())
            v.set(value)
        v.set("outer")
        for value in (1, 2):
            loop = new_loop()
            loop.run_until_complete(main(value))
            loop.close()
            note("here", v.get())
        """,
    ),
    script(
        "C5: tasks and callbacks that are created before their loop runs",
        7,
        """
        v = cv.ContextVar("v", default=0)
        async def child(value):
            note("sees", v.get())
            token = v.set(value)
            await aio.sleep(0)
            note("keeps", v.get())
            v.reset(token)
        def call():
            note("callback", v.set("callback").old_value)
        v.set("outer")
        loop = new_loop()
        tasks = [loop.create_task(child(n)) for n in (1, 2)]
        v.set("later")
        loop.call_soon(call)
        for task in tasks:
            loop.run_until_complete(task)
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
        note("here", v.get())
        note("results", [task.result() for task in tasks])
        """,
    ),
]
