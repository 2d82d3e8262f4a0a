"""Callbacks of the loop: they run in a copy of the scheduling scope's Context."""

from __future__ import annotations

from tests.parity.run import Script, script

__all__ = ["SCRIPTS"]

SCRIPTS: list[Script] = [
    script(
        "C6: call_soon copies the scheduling scope",
        5,
        """
        v, done = cv.ContextVar("v", default=0), aio.Event()
        def call(label):
            note(label, v.get())
            v.set(label)
            note("set", v.get())
        v.set(1)
        loop = aio.get_running_loop()
        loop.call_soon(call, "first")
        v.set(2)
        loop.call_soon(call, "second")
        loop.call_soon(done.set)
        await done.wait()
        note("here", v.get())
        """,
    ),
    script(
        "C6: call_later and call_at copy the scheduling scope",
        3,
        """
        v, done = cv.ContextVar("v", default=0), aio.Event()
        def call(label):
            note(label, v.get())
            v.set(label)
        loop = aio.get_running_loop()
        v.set(1)
        loop.call_later(0.005, call, "later")
        v.set(2)
        loop.call_at(loop.time() + 0.02, call, "at")
        loop.call_later(0.04, done.set)
        v.set(3)
        await done.wait()
        note("here", v.get())
        """,
    ),
    script(
        "C6: a callback sets, resets, and is refused tokens of others",
        6,
        """
        v, done = cv.ContextVar("v", default=0), aio.Event()
        kept = []
        def call(token):
            trying("the scope's", v.reset, token)
            kept.append(v.set("callback"))
            own = v.set("again")
            v.reset(own)
            note("reset", v.get())
            trying("twice", v.reset, own)
            done.set()
        token = v.set(1)
        aio.get_running_loop().call_soon(call, token)
        await done.wait()
        trying("the callback's", v.reset, kept[0])
        trying("mine", v.reset, token)
        note("here", v.get())
        """,
    ),
    script(
        "C6: callbacks with one Context given see each other's values",
        5,
        """
        v, done = cv.ContextVar("v", default=0), aio.Event()
        def call():
            v.set(v.get() + 1)
            note("now", v.get())
        v.set(1)
        context = cv.copy_context()
        loop = aio.get_running_loop()
        for _ in range(3):
            loop.call_soon(call, context=context)
        loop.call_soon(done.set)
        await done.wait()
        note("here", v.get())
        note("there", context.run(v.get))
        """,
    ),
    script(
        "C6: a callback with an empty Context given sees nothing, and arms that one alone",
        4,
        """
        v, done = cv.ContextVar("v", default=0), aio.Event()
        def call():
            note("sees", v.get())
            note("old", v.set("callback").old_value)
            done.set()
        v.set(1)
        empty = cv.Context()
        aio.get_running_loop().call_soon(call, context=empty)
        await done.wait()
        note("here", v.get())
        note("there", empty.run(v.get))
        """,
    ),
    script(
        "C6: callbacks of callbacks, while their creator is busy and after it has ended",
        4,
        """
        v, done = cv.ContextVar("v", default=0), aio.Event()
        loop = aio.get_running_loop()
        def call(depth):
            v.set(v.get() + 1)
            note("depth", v.get())
            loop.call_soon(call, depth - 1) if depth else done.set()
        async def child():
            v.set(10)
            loop.call_soon(call, 2)
        await aio.create_task(child())
        await done.wait()
        note("here", v.get())
        """,
    ),
    script(
        "C6: an unset variable in a callback, first set there",
        3,
        """
        v, done = cv.ContextVar("v"), aio.Event()
        def call():
            trying("nothing", v.get)
            v.set(1)
            note("set", v.get())
            done.set()
        aio.get_running_loop().call_soon(call)
        await done.wait()
        trying("here", v.get)
        """,
    ),
    script(
        "C6: what a callback raises goes to the loop's handler",
        3,
        """
        v, w, done = cv.ContextVar("v"), cv.ContextVar("w"), aio.Event()
        v.set(1)
        loop = aio.get_running_loop()
        loop.call_soon(w.get)
        loop.call_soon(v.set)
        loop.call_soon(done.set)
        await done.wait()
        note("here", v.get())
        """,
    ),
    script(
        "C6: a cancelled handle is not called",
        2,
        """
        v = cv.ContextVar("v", default=0)
        v.set(1)
        handle = aio.get_running_loop().call_soon(lambda: note("never", v.get()))
        handle.cancel()
        await aio.sleep(0)
        note("cancelled", handle.cancelled())
        note("here", v.get())
        """,
    ),
]
