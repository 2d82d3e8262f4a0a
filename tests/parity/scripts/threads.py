"""to_thread and run_in_executor: what follows into the thread, and what comes back."""

from __future__ import annotations

from tests.parity.run import Script, script

__all__ = ["SCRIPTS"]

SCRIPTS: list[Script] = [
    script(
        "C10: to_thread takes a copy of the values along and brings nothing back",
        5,
        """
        v, w = cv.ContextVar("v", default=0), cv.ContextVar("w")
        def work():
            note("sees", v.get())
            trying("unset", w.get)
            v.set("thread")
            w.set("thread")
            return v.get(), w.get()
        v.set(1)
        note("result", await aio.to_thread(work))
        note("here", v.get())
        trying("unset here", w.get)
        """,
    ),
    script(
        "C10: to_thread passes arguments, results and exceptions",
        6,
        """
        v = cv.ContextVar("v", default=0)
        def work(*args, **options):
            return args, options, v.get()
        def fail():
            v.set("thread")
            raise KeyError(v.get())
        note("unarmed", await aio.to_thread(work, 1, key=2))
        v.set(1)
        note("armed", await aio.to_thread(work, 1, func=2))
        with noting("raised"):
            await aio.to_thread(fail)
        with noting("too many"):
            await aio.to_thread(v.set, 1, 2)
        with noting("no function", text=False):
            await aio.to_thread()
        note("here", v.get())
        """,
    ),
    script(
        "C10: to_thread from an unarmed Context; the thread is the first that sets",
        4,
        """
        v = cv.ContextVar("v", default=0)
        def work():
            note("sees", v.get())
            token = v.set(1)
            note("sets", v.get())
            v.reset(token)
            return v.get()
        note("result", await aio.to_thread(work))
        note("here", v.get())
        """,
    ),
    script(
        "T6: tokens do not open across the border of a thread",
        5,
        """
        v = cv.ContextVar("v", default=0)
        def work(token):
            trying("outer", v.reset, token)
            return v.set("thread")
        token = v.set(1)
        inner = await aio.to_thread(work, token)
        note("old", inner.old_value)
        trying("inner", v.reset, inner)
        trying("mine", v.reset, token)
        note("here", v.get())
        """,
    ),
    script(
        "C10: many threads at once keep their values apart, while the caller sets its own",
        3,
        """
        import threading
        v, gate = cv.ContextVar("v", default=0), threading.Barrier(3)
        def work(number):
            seen = [v.get()]
            for turn in range(3):
                v.set((number, turn))
                gate.wait(5)
                seen.append(v.get())
            return seen
        v.set("mine")
        tasks = [aio.create_task(aio.to_thread(work, number)) for number in range(3)]
        for turn in range(5):
            v.set(turn)
            await aio.sleep(0)
        note("theirs", [await task for task in tasks][::2])
        note("the second", tasks[1].result())
        note("mine", v.get())
        """,
    ),
    script(
        "C10: a thread of to_thread runs a loop of its own, and Contexts of its own",
        5,
        """
        v = cv.ContextVar("v", default=0)
        async def main():
            note("loop", v.get())
            v.set("inner")
            note("deeper", await aio.to_thread(v.get))
        def work():
            copy = cv.copy_context()
            with aio.Runner() as runner:
                runner.run(main())
            note("thread", v.get())
            v.set("thread")
            return copy.run(v.get)
        v.set("mine")
        note("copy", await aio.to_thread(work))
        note("here", v.get())
        """,
    ),
    script(
        "C10: run_in_executor carries nothing, and a pool's thread keeps what is set in it",
        6,
        """
        from concurrent.futures import ThreadPoolExecutor
        v, loop = cv.ContextVar("v", default="default"), aio.get_running_loop()
        v.set("mine")
        with ThreadPoolExecutor(1) as pool:
            note("first", await loop.run_in_executor(pool, v.get))
            note("old", (await loop.run_in_executor(pool, v.set, "pool")).old_value)
            note("second", await loop.run_in_executor(pool, v.get))
            token = await loop.run_in_executor(pool, v.set, "again")
            trying("here", v.reset, token)
            await loop.run_in_executor(pool, v.reset, token)
            note("third", await loop.run_in_executor(pool, v.get))
        note("here", v.get())
        """,
    ),
    script(
        "C10: run_in_executor's errors, and a variable that is nowhere set",
        3,
        """
        v, loop = cv.ContextVar("v"), aio.get_running_loop()
        v.set("mine")
        with noting("unset"):
            await loop.run_in_executor(None, v.get)
        with noting("wrong"):
            await loop.run_in_executor(None, v.reset, 1)
        note("here", v.get())
        """,
    ),
    script(
        "C10: a thread of to_thread whose caller has been cancelled goes on with its own values",
        5,
        """
        import threading
        v, gate, over = cv.ContextVar("v", default=0), threading.Event(), threading.Event()
        kept = []
        def work():
            v.set("thread")
            gate.wait(5)
            kept.append(v.get())
            over.set()
        v.set(1)
        task = aio.create_task(aio.to_thread(work))
        await aio.sleep(0.01)
        task.cancel()
        with noting("cancelled"):
            await task
        v.set(2)
        gate.set()
        note("over", await aio.to_thread(over.wait, 5))
        note("thread", kept)
        note("in time", await aio.wait_for(aio.to_thread(v.get), 5))
        note("here", v.get())
        """,
    ),
    script(
        "C10: generators that a thread closes cannot reset there",
        4,
        """
        v, loop = cv.ContextVar("v", default=0), aio.get_running_loop()
        def steps():
            token = v.set("steps")
            try:
                yield
            finally:
                with noting("reset"):
                    v.reset(token)
        for detached in (False, True):
            g = steps()
            next(g)
            if detached:
                await aio.to_thread(g.close)
            else:
                await loop.run_in_executor(None, g.close)
            note("here", v.get())
        """,
    ),
]
