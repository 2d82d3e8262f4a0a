"""Tokens without a loop: what they say, and which one opens what."""

from __future__ import annotations

from tests.parity.run import Script, script

__all__ = ["SCRIPTS"]

SCRIPTS: list[Script] = [
    script(
        "T1: a token knows its variable and the value before",
        7,
        """
        v = cv.ContextVar("v", default="d")
        first, second, third = v.set(1), v.set(None), v.set(3)
        note("variable", first.var is v)
        note("before the first", first.old_value)
        note("is the mark", first.old_value is cv.Token.MISSING)
        note("before the second", second.old_value)
        note("before the third", third.old_value)
        v.reset(third)
        note("used", third.old_value)
        note("the mark", repr(cv.Token.MISSING))
        """,
    ),
    script(
        "T1: a token's repr has its variable's, and says when it is used",
        5,
        """
        v, w = cv.ContextVar("v"), cv.ContextVar("it's", default=(1, "a"))
        one, other = v.set(1), w.set(2)
        note("new", one)
        note("with a default", other)
        v.reset(one)
        note("used", one)
        note("not used", other)
        note("no values in it", v.set("secret"))
        """,
    ),
    script(
        "T1: a token is equal to itself alone, and true",
        5,
        """
        v = cv.ContextVar("v")
        one, two = v.set(1), v.set(1)
        note("itself", one == one)
        note("another", one == two)
        note("not another", one != two)
        note("anything", one == 1)
        note("true", bool(one))
        """,
    ),
    script(
        "T2: resets from the last to the first go back step by step",
        5,
        """
        v = cv.ContextVar("v", default=0)
        tokens = [v.set(number) for number in range(1, 5)]
        for token in reversed(tokens):
            v.reset(token)
            note("back", v.get())
        trying("one more", v.reset, tokens[0])
        """,
    ),
    script(
        "T2: each token restores what was before its own set, in whatever order",
        6,
        """
        v = cv.ContextVar("v")
        first, second, third = v.set(1), v.set(2), v.set(3)
        for token in (first, third, second):
            v.reset(token)
            note("after", v.get("none"))
            note("old", token.old_value)
        """,
    ),
    script(
        "T2: a reset to nothing, a set after it, and a reset again",
        6,
        """
        v = cv.ContextVar("v")
        first = v.set(1)
        v.reset(first)
        trying("nothing", v.get)
        second = v.set(2)
        note("old", second.old_value)
        note("set", v.get())
        trying("the used one", v.reset, first)
        v.reset(second)
        trying("nothing again", v.get)
        note("third", v.set(3).old_value)
        """,
    ),
    script(
        "T2: a used token raises RuntimeError, before anything else is looked at",
        4,
        """
        v, w = cv.ContextVar("v", default=0), cv.ContextVar("w")
        token = v.set(1)
        v.reset(token)
        trying("again", v.reset, token)
        trying("on another variable", w.reset, token)
        trying("in another Context", cv.copy_context().run, v.reset, token)
        trying("on another in another", cv.Context().run, w.reset, token)
        """,
    ),
    script(
        "T2: a token of another variable raises ValueError, before the Context is looked at",
        3,
        """
        v, w = cv.ContextVar("v", default=0), cv.ContextVar("w")
        trying("here", v.reset, w.set(1))
        token = w.set(2)
        trying("in another Context", cv.copy_context().run, v.reset, token)
        note("nothing changed", (v.get(), w.get(), token))
        """,
    ),
    script(
        "T2: a token of another Context raises ValueError",
        7,
        """
        v = cv.ContextVar("v", default=0)
        copy = cv.copy_context()
        token = copy.run(v.set, 1)
        trying("here", v.reset, token)
        trying("in a copy", copy.copy().run, v.reset, token)
        trying("in an empty one", cv.Context().run, v.reset, token)
        trying("there", copy.run, v.reset, token)
        note("and it is back", copy.run(v.get))
        mine = v.set(2)
        trying("mine there", cv.copy_context().run, v.reset, mine)
        trying("mine here", v.reset, mine)
        """,
    ),
    script(
        "T2: a refused reset leaves value and token as they were",
        6,
        """
        v, w = cv.ContextVar("v", default=0), cv.ContextVar("w", default=0)
        token = v.set(1)
        trying("another variable", w.reset, token)
        trying("another Context", cv.copy_context().run, v.reset, token)
        note("value", v.get())
        note("token", token)
        v.reset(token)
        note("reset", v.get())
        note("used", token)
        """,
    ),
    script(
        "T2: a token that came out of run opens the Context it was made in, later",
        4,
        """
        v = cv.ContextVar("v", default=0)
        context = cv.Context()
        tokens = [context.run(v.set, number) for number in (1, 2, 3)]
        note("there", context.run(v.get))
        context.run(v.reset, tokens[0])
        note("the first", context.run(v.get))
        context.run(v.reset, tokens[2])
        note("the third", context.run(v.get))
        note("here", v.get())
        """,
    ),
    script(
        "T2: two variables in two Contexts",
        8,
        """
        v, w = cv.ContextVar("v", default="v"), cv.ContextVar("w", default="w")
        one, two = cv.Context(), cv.Context()
        pairs = [(one, v), (two, v), (one, w), (two, w)]
        tokens = [context.run(x.set, number) for number, (context, x) in enumerate(pairs)]
        for token in tokens:
            trying("one, v", one.run, v.reset, token)
        note("one", one.run(lambda: (v.get(), w.get())))
        note("two", two.run(lambda: (v.get(), w.get())))
        trying("two, w", two.run, w.reset, tokens[3])
        note("two again", two.run(lambda: (v.get(), w.get())))
        """,
    ),
    script(
        "T2: finally blocks reset in an exception's way out",
        4,
        """
        v = cv.ContextVar("v", default=0)
        def deep(left):
            token = v.set(left)
            try:
                if left:
                    return deep(left - 1)
                raise KeyError(v.get())
            finally:
                v.reset(token)
                note("restored", v.get())
        trying("raised", deep, 2)
        """,
    ),
    script(
        "C9: resets in a Context that another one was entered from",
        4,
        """
        v = cv.ContextVar("v", default=0)
        token = v.set(1)
        def inside():
            trying("inside", v.reset, token)
            return v.set(2)
        other = cv.copy_context()
        inner = other.run(inside)
        trying("inner outside", v.reset, inner)
        trying("inner inside", other.run, v.reset, inner)
        note("here", v.get())
        """,
    ),
]
