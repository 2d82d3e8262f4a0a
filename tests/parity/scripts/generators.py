"""Generators: they have no Context of their own, and use their driver's."""

from __future__ import annotations

from tests.parity.run import Script, script

__all__ = ["SCRIPTS"]

SCRIPTS: list[Script] = [
    script(
        "C1: a generator sets before a yield and resets after it, in its driver's Context",
        5,
        """
        v = cv.ContextVar("v", default=0)
        def steps():
            token = v.set(1)
            yield v.get()
            note("the driver's", v.get())
            v.reset(token)
            yield v.get()
        g = steps()
        note("first", next(g))
        note("leaks", v.get())
        v.set(2)
        note("second", next(g))
        note("back", v.get())
        """,
    ),
    script(
        "T2: a generator driven in two Contexts cannot reset in the second",
        3,
        """
        v = cv.ContextVar("v", default=0)
        def steps():
            token = v.set(1)
            yield
            with noting("reset"):
                v.reset(token)
            yield
        g, one = steps(), cv.copy_context()
        one.run(next, g)
        next(g)
        note("here", v.get())
        note("there", one.run(v.get))
        """,
    ),
    script(
        "C1: a generator that is closed or thrown into resets in its finally",
        5,
        """
        v = cv.ContextVar("v", default=0)
        def steps():
            token = v.set(1)
            try:
                yield v.get()
            finally:
                v.reset(token)
        g = steps()
        note("first", next(g))
        g.close()
        note("closed", v.get())
        g = steps()
        next(g)
        with noting("thrown"):
            g.throw(KeyError("k"))
        note("after", v.get())
        g = steps()
        next(g)
        del g
        note("collected", v.get())
        """,
    ),
    script(
        "C1: a context manager made from a generator sets and resets",
        4,
        """
        from contextlib import ExitStack, contextmanager
        v = cv.ContextVar("v", default=0)
        @contextmanager
        def holding(value):
            token = v.set(value)
            try:
                yield
            finally:
                v.reset(token)
        with holding(1), holding(2):
            note("inside", v.get())
        note("outside", v.get())
        with noting("raised"), holding(3):
            raise KeyError(v.get())
        with ExitStack() as stack:
            for number in range(4):
                stack.enter_context(holding(number))
        note("after a stack", v.get())
        """,
    ),
]
