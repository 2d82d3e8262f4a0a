"""Differences of the guard: a chain is never run by two, where the stdlib lets both go on."""

from __future__ import annotations

from tests.parity.differs.row import Difference, differs

__all__ = ["DIFFERS"]

DIFFERS: list[Difference] = [
    differs(
        "C6: a set in a callback that another thread sent through call_soon_threadsafe",
        "the thread runs on with its chain, and a chain is never run by two; it may read",
        """
        v, done, loop = cv.ContextVar("v", default=0), aio.Event(), aio.get_running_loop()
        def call():
            note("sees", v.get())
            trying("set", lambda: v.set("callback").old_value)
            trying("reset", v.reset, 1)
            done.set()
        def work():
            v.set("thread")
            loop.call_soon_threadsafe(call)
        await aio.to_thread(work)
        await done.wait()
        """,
        theirs=(
            "sees: 'thread'",
            "set: 'thread'",
            "reset! TypeError: expected an instance of Token, got 1",
        ),
        ours=(
            "sees: 'thread'",
            "set! ChainContention: thread of another",
            "reset! ChainContention: thread of another",
        ),
    ),
    differs(
        "C9: a second task in a copied Context while the first still runs in it",
        "both would set the same chain's values",
        """
        v = cv.ContextVar("v", default=0)
        async def child(value):
            v.set(value)
            await aio.sleep(0)
            note("then", v.get())
        v.set("mine")
        context = cv.copy_context()
        task = aio.create_task(child(1), context=context)
        with noting("second"):
            await aio.create_task(child(2), context=context)
        await task
        note("here", v.get())
        """,
        theirs=("then: 2", "then: 2", "second: no error", "here: 'mine'"),
        ours=("second! ChainContention: task of another", "then: 1", "here: 'mine'"),
    ),
    differs(
        "C9: two tasks in one empty Context, both of which set",
        "the first set arms it and owns the chain; the second is refused until the first is done",
        """
        v = cv.ContextVar("v", default=0)
        async def child(value):
            with noting("set"):
                v.set(value)
            await aio.sleep(0)
            note("then", v.get())
        context = cv.Context()
        tasks = [aio.create_task(child(n), context=context) for n in (1, 2)]
        await aio.wait(tasks)
        """,
        theirs=("set: no error", "set: no error", "then: 2", "then: 2"),
        ours=("set: no error", "set! ChainContention: task of another", "then: 1", "then: 1"),
    ),
    differs(
        "C9: a task that is given the Context that its creator runs in",
        "the creator runs the chain",
        """
        v, context = cv.ContextVar("v", default=0), cv.Context()
        async def inner():
            note("sees", v.get())
        async def outer():
            v.set("outer")
            with noting("inner"):
                await aio.create_task(inner(), context=context)
        await aio.create_task(outer(), context=context)
        """,
        theirs=("sees: 'outer'", "inner: no error"),
        ours=("inner! ChainContention: task of another",),
    ),
    differs(
        "C9: looking into the Context of a task that still runs",
        "whoever enters it would run the task's chain; once it is done it may be looked into",
        """
        v, context = cv.ContextVar("v", default=0), cv.copy_context()
        async def child():
            v.set("child")
            await aio.sleep(0)
        task = aio.create_task(child(), context=context)
        await aio.sleep(0)
        trying("get", context.run, v.get)
        await task
        note("done", context.run(v.get))
        """,
        theirs=("get: 'child'", "done: 'child'"),
        ours=("get! ChainContention: task of another", "done: 'child'"),
    ),
    differs(
        "C9: two tasks that take turns in a Context, both of which go on",
        "the first to touch what was set there owns it until it is done",
        """
        v, context, stop = cv.ContextVar("v", default=0), cv.Context(), aio.Event()
        async def other():
            trying("other", context.run, v.get)
            await stop.wait()
        context.run(v.set, 1)
        task = aio.create_task(other())
        await aio.sleep(0)
        trying("first", context.run, v.get)
        stop.set()
        await task
        """,
        theirs=("other: 1", "first: 1"),
        ours=("other! ChainContention: task of another", "first: 1"),
    ),
    differs(
        "C9: a copy that another task entered before the one that made it",
        "the copy forks at its first touch, and belongs to the task that touched it",
        """
        v, stop = cv.ContextVar("v", default=0), aio.Event()
        async def other():
            trying("other", copy.run, v.get)
            await stop.wait()
        v.set(1)
        copy = cv.copy_context()
        task = aio.create_task(other())
        await aio.sleep(0)
        trying("maker", copy.run, v.get)
        stop.set()
        await task
        trying("afterwards", copy.run, v.get)
        """,
        theirs=("other: 1", "maker: 1", "afterwards: 1"),
        ours=("other: 1", "maker! ChainContention: task of another", "afterwards: 1"),
    ),
    differs(
        "C9: a Context in which a thread that lives on set something",
        "nothing tells whether the thread is in it at this moment",
        """
        from concurrent.futures import ThreadPoolExecutor
        v, context = cv.ContextVar("v", default=0), cv.Context()
        with ThreadPoolExecutor(1) as pool:
            pool.submit(context.run, v.set, 1).result(5)
            trying("here", context.run, v.get)
            note("there", pool.submit(context.run, v.get).result(5))
        """,
        theirs=("here: 1", "there: 1"),
        ours=("here! ChainContention: thread of another", "there: 1"),
    ),
    differs(
        "C9: a plain thread with a copy of a Context in which something is set",
        "the copy belongs to the thread that made it; catena.to_thread detaches one",
        """
        import threading
        v = cv.ContextVar("v", default=0)
        def work():
            trying("get", v.get)
            trying("set", lambda: v.set("thread").old_value)
        v.set(1)
        thread = threading.Thread(target=cv.copy_context().run, args=(work,))
        thread.start()
        thread.join(5)
        note("here", v.get())
        """,
        theirs=("get: 1", "set: 1", "here: 1"),
        ours=(
            "get! ChainContention: thread of another",
            "set! ChainContention: thread of another",
            "here: 1",
        ),
    ),
    differs(
        "C10: asyncio's own to_thread, once something is set",
        "it takes a copy of the chain into another thread; one that does not touch it is untouched",
        """
        import asyncio
        v = cv.ContextVar("v", default=0)
        note("unarmed", await asyncio.to_thread(v.get))
        v.set(1)
        with noting("get"):
            await asyncio.to_thread(v.get)
        with noting("set"):
            await asyncio.to_thread(v.set, 2)
        note("untouched", await asyncio.to_thread(len, "abc"))
        note("here", v.get())
        """,
        theirs=("unarmed: 0", "get: no error", "set: no error", "untouched: 3", "here: 1"),
        ours=(
            "unarmed: 0",
            "get! ChainContention: thread of another",
            "set! ChainContention: thread of another",
            "untouched: 3",
            "here: 1",
        ),
    ),
    differs(
        "C10: run_in_executor with a copy of a Context in which something is set",
        "as with asyncio's own to_thread",
        """
        v, loop = cv.ContextVar("v", default=0), aio.get_running_loop()
        v.set(1)
        with noting("get"):
            await loop.run_in_executor(None, cv.copy_context().run, v.get)
        note("here", v.get())
        """,
        theirs=("get: no error", "here: 1"),
        ours=("get! ChainContention: thread of another", "here: 1"),
    ),
]
