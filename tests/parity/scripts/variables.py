"""Variables without a loop: values, defaults, names, representations, Contexts."""

from __future__ import annotations

from tests.parity.run import Script, script

__all__ = ["SCRIPTS"]

SCRIPTS: list[Script] = [
    script(
        "C1: without any value get raises LookupError, whose argument is the variable",
        4,
        """
        v = cv.ContextVar("v")
        trying("get", v.get)
        try:
            v.get()
        except LookupError as error:
            note("type", type(error))
            note("how many", len(error.args))
            note("itself", error.args[0] is v)
        """,
    ),
    script(
        "C1: get falls back on its argument, then on the declared default",
        6,
        """
        v, w = cv.ContextVar("v"), cv.ContextVar("w", default=1)
        note("argument", v.get(2))
        note("None as the argument", v.get(None))
        note("declared", w.get())
        note("argument before declared", w.get(2))
        note("None before declared", w.get(None))
        note("declared is None", cv.ContextVar("n", default=None).get())
        """,
    ),
    script(
        "C1: the mark of a missing value is a value like any other",
        4,
        """
        v = cv.ContextVar("v")
        note("as the argument", v.get(cv.Token.MISSING))
        note("as the default", cv.ContextVar("w", default=cv.Token.MISSING).get())
        token = v.set(cv.Token.MISSING)
        note("set", v.get(1))
        note("old", token.old_value)
        """,
    ),
    script(
        "C1: what is set goes before the argument and the default, falsy values too",
        10,
        """
        v = cv.ContextVar("v", default=1)
        for value in (3, None, 0, "", False):
            v.set(value)
            note("get", v.get())
            note("get with an argument", v.get(4))
        """,
    ),
    script(
        "C1: values are kept by identity, whatever they are",
        6,
        """
        class Odd:
            def __eq__(self, other):
                raise ZeroDivisionError
            def __repr__(self):
                raise ZeroDivisionError
            def __bool__(self):
                raise ZeroDivisionError
            __hash__ = None
        v, odd, nan, some = cv.ContextVar("v", default=Odd()), Odd(), float("nan"), []
        for value in (odd, nan, some, v):
            v.set(value)
            note("the same", v.get() is value)
        note("the last was the variable", v.get().get() is v)
        first = v.set(1)
        note("a token as a value", v.set(first).var.get() is first)
        """,
    ),
    script(
        "C1: a name is any str",
        7,
        """
        Name = type("Name", (str,), {})
        for name in ("v", "", "it's", "two words", "\\n", "ä"):
            note("name", cv.ContextVar(name).name)
        note("of a subclass", cv.ContextVar(Name("named")).name)
        """,
    ),
    script(
        "C1: a repr has name, default and address, and is the text of the LookupError",
        8,
        """
        for name in ("v", "it's", 'it\\'s "v"', "at 0xF"):
            note("bare", cv.ContextVar(name))
        note("with a default", cv.ContextVar("v1", default="d"))
        note("with None", cv.ContextVar("v2", default=None))
        note("nested", cv.ContextVar("v3", default=(1, cv.ContextVar("v4", default=2))))
        v = cv.ContextVar("v5")
        try:
            v.get()
        except LookupError as error:
            note("equal", str(error) == repr(v))
        """,
    ),
    script(
        "C1: a default whose repr holds the variable, or raises",
        2,
        """
        inside = []
        v = cv.ContextVar("v", default=inside)
        inside.append(v)
        note("circle", v)
        class Odd:
            def __repr__(self):
                raise ZeroDivisionError("odd")
        trying("raises", repr, cv.ContextVar("w", default=Odd()))
        """,
    ),
    script(
        "C1: a variable is equal to itself alone, has a hash and is true",
        6,
        """
        v, w = cv.ContextVar("v", default=1), cv.ContextVar("w", default=1)
        note("itself", v == v)
        note("another", v == w)
        note("anything", v == "v")
        note("as a key", {v: 1, w: 2}[w])
        note("true", bool(v))
        note("an instance", isinstance(v, cv.ContextVar))
        """,
    ),
    script(
        "C1: the classes may be subscripted",
        4,
        """
        v = cv.ContextVar[int]("v", default=1)
        note("value", v.get())
        note("type", type(v) is cv.ContextVar)
        note("origin", cv.ContextVar[int].__origin__ is cv.ContextVar)
        note("token", cv.Token[int].__args__)
        """,
    ),
    script(
        "C1: name is read-only, nothing can be added, nobody inherits",
        10,
        """
        v = cv.ContextVar("v")
        token = v.set(1)
        for owner, name in ((v, "name"), (v, "more"), (token, "var"), (token, "old_value")):
            with noting("set", text=False):
                setattr(owner, name, 1)
            with noting("delete", text=False):
                delattr(owner, name)
        for kind in (cv.ContextVar, cv.Token):
            with noting("inherit", text=False):
                type("Sub", (kind,), {})
        """,
    ),
    script(
        "C3: a copied Context has the values, and keeps what is set in it",
        8,
        """
        v, w = cv.ContextVar("v", default="d"), cv.ContextVar("w", default="d")
        v.set(1)
        copy = cv.copy_context()
        v.set(2)
        note("copied", copy.run(v.get))
        copy.run(w.set, 3)
        note("not here", w.get())
        note("there", copy.run(w.get))
        note("here", v.get())
        copy.run(v.set, 4)
        note("still here", v.get())
        note("still there", copy.run(v.get))
        note("a copy of the copy", copy.copy().run(lambda: (v.get(), w.get())))
        note("an empty one", cv.Context().run(lambda: (v.get(), w.get())))
        """,
    ),
    script(
        "C3: Contexts may be nested, but not entered twice",
        5,
        """
        v = cv.ContextVar("v")
        outer, inner = cv.copy_context(), cv.copy_context()
        def in_outer():
            v.set("outer")
            note("inner", inner.run(in_inner))
            note("after inner", v.get())
        def in_inner():
            v.set("inner")
            with noting("again", text=False):
                outer.run(v.get)
            return v.get()
        outer.run(in_outer)
        note("afterwards", (outer.run(v.get), inner.run(v.get)))
        trying("here", v.get)
        """,
    ),
    script(
        "C3: what a failing function set in a Context stays set there",
        3,
        """
        v = cv.ContextVar("v", default=0)
        copy = cv.copy_context()
        def fail():
            v.set(1)
            raise KeyError("failed")
        trying("failure", copy.run, fail)
        note("there", copy.run(v.get))
        note("here", v.get())
        """,
    ),
    script(
        "C3: Contexts taken before and after each of many sets",
        6,
        """
        v = cv.ContextVar("v", default=0)
        copies = []
        for number in range(1, 6):
            copies.append(cv.copy_context())
            v.set(number)
        for copy in copies:
            note("then", copy.run(v.get))
        note("now", v.get())
        """,
    ),
    script(
        "C3: variables do not disturb one another, however many there are",
        3,
        """
        many = [cv.ContextVar(f"v{number}") for number in range(200)]
        tokens = [v.set(number) for number, v in enumerate(many)]
        note("sum", sum(v.get() for v in many))
        for v, token in zip(many[::2], tokens[::2]):
            v.reset(token)
        note("half", sum(v.get(0) for v in many))
        note("unset", [v.get("none") for v in many[:4]])
        """,
    ),
]
