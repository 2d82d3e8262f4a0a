"""Tasks: tokens, cancelling, exceptions, and what kind of task it is."""

from __future__ import annotations

from tests.parity.run import Script, script

__all__ = ["SCRIPTS"]

SCRIPTS: list[Script] = [
    script(
        "T6: a parent's token does not open in a child, nor a child's in its parent",
        6,
        """
        v = cv.ContextVar("v", default=0)
        async def child(token):
            with noting("parent's in the child"):
                v.reset(token)
            note("child", v.get())
            return v.set("child")
        mine = v.set(1)
        theirs = await aio.create_task(child(mine))
        trying("child's in the parent", v.reset, theirs)
        note("old", theirs.old_value)
        trying("mine", v.reset, mine)
        note("here", v.get())
        """,
    ),
    script(
        "T6: siblings cannot open each other's tokens",
        2,
        """
        v = cv.ContextVar("v", default=0)
        async def one():
            return v.set(1)
        async def other(token):
            with noting("sibling's"):
                v.reset(token)
        token = await aio.create_task(one())
        await aio.create_task(other(token))
        note("here", v.get())
        """,
    ),
    script(
        "D6: a cancelled task finds and restores its own values",
        6,
        """
        v = cv.ContextVar("v", default=0)
        async def child():
            token = v.set("child")
            try:
                await aio.sleep(10)
            except aio.CancelledError as error:
                note("cancelled", (v.get(), error.args))
                v.set("cancelled")
                raise
            finally:
                v.reset(token)
                note("restored", v.get())
        v.set(1)
        task = aio.create_task(child())
        await aio.sleep(0)
        v.set(2)
        note("asked", task.cancel("why"))
        with noting("awaited", text=False):
            await task
        note("is cancelled", task.cancelled())
        note("here", v.get())
        """,
    ),
    script(
        "C5: a task that is cancelled before it began leaves nothing",
        4,
        """
        v = cv.ContextVar("v", default=0)
        async def child():
            v.set("never")
        v.set(1)
        task = aio.create_task(child())
        task.cancel()
        with noting("cancelled"):
            await task
        note("here", v.get())
        task.cancel()
        with noting("again"):
            task.result()
        note("done", task.done())
        """,
    ),
    script(
        "C5: an exception comes through tasks with its class, arguments, notes and group",
        6,
        """
        v = cv.ContextVar("v", default=0)
        class Mine(Exception):
            pass
        async def child(depth):
            v.set(depth)
            if depth:
                await aio.create_task(child(depth - 1))
            error = Mine(v.get(), "text")
            error.add_note("a note")
            raise error from KeyError("cause")
        v.set("outer")
        try:
            await aio.create_task(child(3))
        except Mine as error:
            note("args", error.args)
            note("notes", error.__notes__)
            note("cause", error.__cause__)
        note("here", v.get())
        async def lookup():
            return cv.ContextVar("unset").get()
        with noting("LookupError"):
            await aio.create_task(lookup())
        async def stop():
            raise StopIteration("s")
        with noting("StopIteration"):
            await aio.create_task(stop())
        """,
    ),
    script(
        "C7: a task is the stdlib's, with its name, coroutine and loop",
        7,
        """
        v = cv.ContextVar("v")
        v.set(1)
        async def child():
            return aio.current_task().get_name()
        coroutine = child()
        task = aio.create_task(coroutine, name="mine")
        note("type", type(task) is aio.Task)
        note("name", task.get_name())
        note("coroutine", task.get_coro() is coroutine)
        note("loop", task.get_loop() is aio.get_running_loop())
        note("listed", task in aio.all_tasks())
        note("result", await task)
        with noting("no coroutine"):
            aio.get_running_loop().create_task(1)
        """,
    ),
    script(
        "C7: a factory that was there before makes the tasks",
        4,
        """
        v, made = cv.ContextVar("v", default=0), []
        def factory(loop, coro, **options):
            made.append(coro.__name__)
            return aio.Task(coro, loop=loop, **options)
        async def child():
            old = v.get()
            v.set("child")
            return old
        aio.get_running_loop().set_task_factory(factory)
        note("before", await aio.create_task(child()))
        v.set(1)
        note("after", await aio.create_task(child()))
        note("here", v.get())
        note("made", made)
        """,
    ),
    script(
        "C7: eager tasks, where this Python has them, run in a copy as well",
        6,
        """
        v = cv.ContextVar("v", default=0)
        if hasattr(aio, "eager_task_factory"):
            aio.get_running_loop().set_task_factory(aio.eager_task_factory)
        async def child(value, wait):
            note("sees", v.get())
            v.set(value)
            if wait:
                await aio.sleep(0)
            return v.get()
        v.set(1)
        tasks = [aio.create_task(child(2, False)), aio.create_task(child(3, True))]
        note("here at once", v.get())
        note("theirs", [await task for task in tasks])
        token = v.set(4)
        v.reset(token)
        note("here", v.get())
        note("awaited", await aio.gather(*tasks))
        """,
    ),
    script(
        "C5: a task that is made without the loop's factory has a copy all the same",
        6,
        """
        v = cv.ContextVar("v", default=0)
        async def child(value):
            note("sees", v.get())
            token = v.set(value)
            await aio.sleep(0)
            note("keeps", v.get())
            v.reset(token)
            return v.get()
        v.set("mine")
        tasks = [aio.Task(child(n), loop=aio.get_running_loop()) for n in (1, 2)]
        v.set("later")
        note("theirs", [await task for task in tasks])
        note("here", v.get())
        """,
    ),
    script(
        "C7: eager tasks of a gather, some of which never wait",
        6,
        """
        v = cv.ContextVar("v", default=0)
        if hasattr(aio, "eager_task_factory"):
            aio.get_running_loop().set_task_factory(aio.eager_task_factory)
        async def child(number):
            note("sees", v.get())
            token = v.set(number)
            if number % 2:
                await aio.sleep(0)
            v.reset(token)
            return v.get()
        v.set("mine")
        note("theirs", await aio.gather(*[child(number) for number in range(4)]))
        note("here", v.get())
        """,
    ),
    script(
        "D6: what a group cancels resets on its way out",
        4,
        """
        v = cv.ContextVar("v", default=0)
        async def child(number):
            token = v.set(number)
            try:
                await aio.sleep(10)
            finally:
                await aio.sleep(0)
                v.reset(token)
                note("reset", v.get())
        async def fail():
            await aio.sleep(0)
            raise KeyError(v.get())
        v.set("outer")
        with noting("group"):
            async with aio.TaskGroup() as group:
                group.create_task(child(1))
                async with aio.TaskGroup() as inner:
                    inner.create_task(child(2))
                    group.create_task(fail())
        note("here", v.get())
        """,
    ),
    script(
        "C6: a done-callback that is given its task's own Context",
        3,
        """
        v, context = cv.ContextVar("v", default=0), cv.copy_context()
        async def child():
            v.set("child")
        def call(task):
            note("sees", v.get())
            v.set("callback")
        task = aio.create_task(child(), context=context)
        task.add_done_callback(call, context=context)
        v.set(1)
        await task
        await aio.sleep(0)
        note("there", context.run(v.get))
        note("here", v.get())
        """,
    ),
]
