"""Threads that no loop started, and what they send to a loop."""

from __future__ import annotations

from tests.parity.run import Script, script

__all__ = ["SCRIPTS"]

SCRIPTS: list[Script] = [
    script(
        "C9: a plain thread has a Context of its own",
        5,
        """
        import threading
        v = cv.ContextVar("v", default="default")
        def work():
            note("sees", v.get())
            token = v.set("thread")
            note("sets", v.get())
            v.reset(token)
            note("resets", v.get())
            v.set("left")
        v.set("mine")
        thread = threading.Thread(target=work)
        thread.start()
        thread.join(5)
        note("alive", thread.is_alive())
        note("here", v.get())
        """,
    ),
    script(
        "C9: a thread with the copy of a Context in which nothing is set",
        4,
        """
        import threading
        v = cv.ContextVar("v", default="default")
        copy = cv.copy_context()
        def work():
            note("sees", v.get())
            v.set("thread")
            note("sets", v.get())
        thread = threading.Thread(target=copy.run, args=(work,))
        thread.start()
        thread.join(5)
        note("alive", thread.is_alive())
        note("here", v.get())
        """,
    ),
    script(
        "C9: threads with loops of their own at the same time",
        4,
        """
        import threading
        v, gate, seen = cv.ContextVar("v", default=0), threading.Barrier(2), {}
        async def child():
            v.set(v.get() + 1)
            await aio.sleep(0)
            return v.get()
        async def main(number):
            v.set(number)
            gate.wait(5)
            seen[number] = [await aio.create_task(child()), v.get()]
        def work(number):
            with aio.Runner(loop_factory=new_loop) as runner:
                runner.run(main(number))
        v.set("mine")
        threads = [threading.Thread(target=work, args=(n,)) for n in (10, 20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(5)
        note("first", seen.get(10))
        note("second", seen.get(20))
        note("alive", [thread.is_alive() for thread in threads])
        note("here", v.get())
        """,
    ),
    script(
        "C9: concurrent.futures without a loop carry nothing; callbacks run where they run",
        5,
        """
        from concurrent.futures import Future, ThreadPoolExecutor
        v = cv.ContextVar("v", default="default")
        v.set("mine")
        with ThreadPoolExecutor(1) as pool:
            note("submitted", pool.submit(v.get, "argument").result(5))
            note("mapped", list(pool.map(v.get, [1, 2])))
            pool.submit(v.set, "pool").result(5)
            note("kept", pool.submit(v.get).result(5))
        future = Future()
        future.add_done_callback(lambda future: note("callback", v.get()))
        future.set_result(None)
        note("here", v.get())
        """,
    ),
    script(
        "C5: run_coroutine_threadsafe from a thread in which nothing is set",
        4,
        """
        v, loop = cv.ContextVar("v", default="default"), aio.get_running_loop()
        async def child():
            note("sees", v.get())
            v.set("child")
            await aio.sleep(0)
            return v.get()
        def work():
            result = aio.run_coroutine_threadsafe(child(), loop).result(5)
            return result, v.get()
        v.set("mine")
        note("result", await loop.run_in_executor(None, work))
        note("here", v.get())
        with noting("no coroutine"):
            aio.run_coroutine_threadsafe(1, loop)
        """,
    ),
    script(
        "C5: run_coroutine_threadsafe copies the thread's values",
        6,
        """
        v, loop = cv.ContextVar("v", default="default"), aio.get_running_loop()
        async def child():
            note("sees", v.get())
            token = v.set("child")
            await aio.sleep(0)
            note("keeps", v.get())
            v.reset(token)
            return v.get()
        def work():
            v.set("thread")
            result = aio.run_coroutine_threadsafe(child(), loop).result(5)
            note("thread", v.get())
            return result
        v.set("mine")
        note("from to_thread", await aio.to_thread(work))
        note("here", v.get())
        def fresh():
            v.set("executor")
            async def child():
                return v.get()
            return aio.run_coroutine_threadsafe(child(), loop).result(5)
        note("from an executor", await loop.run_in_executor(None, cv.Context().run, fresh))
        """,
    ),
    script(
        "C9: a Context in which a thread that has ended set something belongs to nobody",
        4,
        """
        import threading
        v, context = cv.ContextVar("v", default=0), cv.Context()
        thread = threading.Thread(target=context.run, args=(v.set, "thread"))
        thread.start()
        thread.join(5)
        note("here", context.run(v.get))
        token = context.run(v.set, "here")
        note("old", token.old_value)
        context.run(v.reset, token)
        note("back", context.run(v.get))
        note("outside", v.get())
        """,
    ),
]
