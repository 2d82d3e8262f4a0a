"""Wrong arguments: each is refused with the stdlib's type and text."""

from __future__ import annotations

from tests.parity.run import Script, script

__all__ = ["SCRIPTS"]

SCRIPTS: list[Script] = [
    script(
        "C1: ContextVar takes one name, by position",
        6,
        """
        trying("none", cv.ContextVar)
        trying("two", cv.ContextVar, "v", 1)
        trying("only a default", cv.ContextVar, default=1)
        trying("nonsense", cv.ContextVar, "v", nonsense=1)
        trying("the name twice", cv.ContextVar, "v", name="w")
        trying("a wrong name and nonsense", cv.ContextVar, 1, nonsense=2)
        """,
    ),
    script(
        "C1: a name by keyword is no name",
        2,
        """
        trying("name", cv.ContextVar, name="v")
        trying("name and default", cv.ContextVar, name="v", default=1)
        """,
    ),
    script(
        "C1: a name is a str",
        6,
        """
        for name in (1, None, b"v", ["v"], str, object()):
            trying("name", cv.ContextVar, name)
        """,
    ),
    script(
        "C1: get takes at most one argument",
        4,
        """
        v, w = cv.ContextVar("v"), cv.ContextVar("w", default=0)
        trying("two", v.get, 1, 2)
        trying("three", w.get, 1, 2, 3)
        v.set(1)
        trying("when set", v.get, 1, 2)
        note("as it was", (v.get(), w.get()))
        """,
    ),
    script(
        "C1: set takes exactly one argument",
        5,
        """
        v = cv.ContextVar("v", default=0)
        trying("none", v.set)
        trying("two", v.set, 1, 2)
        trying("three", v.set, 1, 2, 3)
        trying("two that are None", v.set, None, None)
        note("as it was", v.get())
        """,
    ),
    script(
        "C1: reset takes exactly one argument, and looks at it afterwards",
        7,
        """
        v = cv.ContextVar("v", default=0)
        token = v.set(1)
        trying("none", v.reset)
        trying("two", v.reset, token, token)
        trying("two that are no tokens", v.reset, None, 1)
        trying("three", v.reset, token, 1, 2)
        note("as it was", v.get())
        note("the token too", token)
        trying("good", v.reset, token)
        """,
    ),
    script(
        "T1: reset takes a token and nothing else",
        8,
        """
        v = cv.ContextVar("v", default=0)
        v.set(1)
        for wrong in (None, 1, "token", cv.Token.MISSING, int, v, [v]):
            trying("no token", v.reset, wrong)
        note("as it was", v.get())
        """,
    ),
    script(
        "T1: only variables make tokens",
        4,
        """
        trying("nothing", cv.Token)
        trying("by position", cv.Token, 1)
        trying("by keyword", cv.Token, var=1)
        trying("subscripted", cv.Token[int])
        """,
    ),
    script(
        "C1: calling, ordering, indexing and measuring are errors of the same type",
        6,
        """
        v = cv.ContextVar("v")
        token = v.set(1)
        for one in (v, token):
            with noting("call", text=False):
                one()
            with noting("order", text=False):
                one < one
            with noting("measure", text=False):
                len(one)
        """,
    ),
    script(
        "C1: a method without its variable is a TypeError",
        3,
        """
        for method in (cv.ContextVar.get, cv.ContextVar.set, cv.ContextVar.reset):
            with noting("nothing", text=False):
                method()
        """,
    ),
    script(
        "C11: pickling and copying are TypeErrors",
        8,
        """
        import copy, pickle
        v = cv.ContextVar("v")
        token = v.set(1)
        for one in (v, token):
            for call in (pickle.dumps, copy.copy, copy.deepcopy):
                with noting("refused", text=False):
                    call(one)
            with noting("inside of another", text=False):
                pickle.dumps({"key": [one]})
        """,
    ),
    script(
        "C1: methods may be kept and called later",
        3,
        """
        v = cv.ContextVar("v")
        get, put, reset = v.get, v.set, v.reset
        token = put(1)
        note("get", get())
        note("through the class", cv.ContextVar.get(v))
        reset(token)
        note("reset", get("none"))
        """,
    ),
]
