"""Callbacks of futures, files, signals and threads, and what wakes a task."""

from __future__ import annotations

from tests.parity.run import Script, script

__all__ = ["SCRIPTS"]

SCRIPTS: list[Script] = [
    script(
        "C6: done-callbacks copy the scope that added them, or take the Context given",
        5,
        """
        v = cv.ContextVar("v", default=0)
        def call(future):
            note("sees", (v.get(), future.result()))
            v.set("callback")
        future = aio.get_running_loop().create_future()
        v.set(1)
        future.add_done_callback(call)
        v.set(2)
        future.add_done_callback(call)
        context = cv.copy_context()
        future.add_done_callback(call, context=context)
        v.set(3)
        future.set_result("result")
        await aio.sleep(0)
        note("here", v.get())
        note("given", context.run(v.get))
        """,
    ),
    script(
        "C6: a task's done-callbacks see their adder's values, not the task's",
        4,
        """
        v = cv.ContextVar("v", default=0)
        async def child():
            v.set("child")
            aio.current_task().add_done_callback(call)
            await aio.sleep(0)
            v.set("later")
        def call(task):
            note("sees", v.get())
            v.set("callback")
        v.set(1)
        task = aio.create_task(child())
        task.add_done_callback(call)
        v.set(2)
        await task
        task.add_done_callback(call)
        await aio.sleep(0)
        note("here", v.get())
        """,
    ),
    script(
        "C5: a task that a callback creates copies the callback's values",
        4,
        """
        v, tasks = cv.ContextVar("v", default=0), []
        async def child():
            note("sees", v.get())
            v.set("child")
            await aio.sleep(0)
            return v.get()
        def call():
            v.set("callback")
            tasks.append(aio.get_running_loop().create_task(child()))
            v.set("later")
            note("callback", v.get())
        v.set(1)
        aio.get_running_loop().call_soon(call)
        await aio.sleep(0)
        note("child", await tasks[0])
        note("here", v.get())
        """,
    ),
    script(
        "C6: add_reader and add_writer copy the scope that adds them",
        6,
        """
        import socket
        v, loop = cv.ContextVar("v", default=0), aio.get_running_loop()
        read, write = aio.Event(), aio.Event()
        one, other = socket.socketpair()
        def readable():
            note("reader", (v.get(), one.recv(1)))
            v.set("reader")
            if v.get() == "reader":
                read.set()
        def writable():
            note("writer", v.get())
            v.set("writer")
            loop.remove_writer(other)
            write.set()
        with one, other:
            one.setblocking(False)
            other.setblocking(False)
            v.set(1)
            loop.add_reader(one, readable)
            v.set(2)
            loop.add_writer(other, writable)
            v.set(3)
            await write.wait()
            note("here", v.get())
            for letter in (b"a", b"b"):
                read.clear()
                other.send(letter)
                await read.wait()
            note("removed", loop.remove_reader(one))
        note("still here", v.get())
        """,
    ),
    script(
        "C6: a signal handler copies the scope that adds it",
        3,
        """
        import os, signal
        v, done = cv.ContextVar("v", default=0), aio.Event()
        def call():
            note("sees", v.get())
            v.set("handler")
            done.set()
        loop = aio.get_running_loop()
        v.set(1)
        loop.add_signal_handler(signal.SIGUSR1, call)
        v.set(2)
        try:
            os.kill(os.getpid(), signal.SIGUSR1)
            await done.wait()
        finally:
            note("removed", loop.remove_signal_handler(signal.SIGUSR1))
        note("here", v.get())
        """,
    ),
    script(
        "C6: call_soon_threadsafe in the loop's own thread copies the scheduling scope",
        3,
        """
        v, done = cv.ContextVar("v", default=0), aio.Event()
        def call():
            note("sees", v.get())
            v.set("callback")
            note("sets", v.get())
            done.set()
        v.set(1)
        aio.get_running_loop().call_soon_threadsafe(call)
        v.set(2)
        await done.wait()
        note("here", v.get())
        """,
    ),
    script(
        "C6: call_soon_threadsafe brings the values of another thread, to be read",
        4,
        """
        v, done, loop = cv.ContextVar("v", default=0), aio.Event(), aio.get_running_loop()
        def call():
            note("sees", v.get())
            done.set()
        def work():
            note("thread", v.get())
            v.set("thread")
            loop.call_soon_threadsafe(call)
            v.set("later")
        v.set(1)
        await aio.to_thread(work)
        await done.wait()
        note("here", v.get())
        done.clear()
        await loop.run_in_executor(None, loop.call_soon_threadsafe, call)
        await done.wait()
        """,
    ),
    script(
        "C6: futures, events, locks and conditions wake a task in its own Context",
        6,
        """
        v = cv.ContextVar("v", default=0)
        future = aio.get_running_loop().create_future()
        event, lock, condition = aio.Event(), aio.Lock(), aio.Condition()
        async def waiting():
            v.set("waiting")
            note("future", (await future, v.get()))
            await event.wait()
            note("event", v.get())
            async with lock:
                note("lock", v.get())
            async with condition:
                await condition.wait()
                note("condition", v.get())
            return v.get()
        v.set("mine")
        async with lock:
            task = aio.create_task(waiting())
            await aio.sleep(0)
            future.set_result(v.get())
            event.set()
            for _ in range(3):
                await aio.sleep(0)
        while not condition._waiters:
            await aio.sleep(0)
        async with condition:
            condition.notify_all()
        note("its", await task)
        note("mine", v.get())
        """,
    ),
]
