"""Differences of what variables, tokens and Contexts look like: texts, keys, hashes."""

from __future__ import annotations

from tests.parity.differs.row import Difference, differs

__all__ = ["DIFFERS"]

_NO_KEYWORDS = "TypeError: ContextVar.{}() takes no keyword arguments"
_ONLY_POSITIONAL = (
    "TypeError: ContextVar.{}() got some positional-only arguments passed as keyword arguments:"
    " {!r}"
)
_UNEXPECTED = "TypeError: ContextVar.{}() got an unexpected keyword argument {!r}"

DIFFERS: list[Difference] = [
    differs(
        "C1: keywords to get, set and reset",
        "to take any keyword and refuse it would cost each call a dict, about 30 ns",
        """
        v = cv.ContextVar("v", default=0)
        trying("get", v.get, default=1)
        trying("get both", v.get, 1, default=2)
        trying("get nonsense", v.get, nonsense=1)
        trying("set", v.set, value=1)
        trying("reset", v.reset, token=1)
        """,
        theirs=(
            f"get! {_NO_KEYWORDS.format('get')}",
            f"get both! {_NO_KEYWORDS.format('get')}",
            f"get nonsense! {_NO_KEYWORDS.format('get')}",
            f"set! {_NO_KEYWORDS.format('set')}",
            f"reset! {_NO_KEYWORDS.format('reset')}",
        ),
        ours=(
            f"get! {_ONLY_POSITIONAL.format('get', 'default')}",
            f"get both! {_ONLY_POSITIONAL.format('get', 'default')}",
            f"get nonsense! {_UNEXPECTED.format('get', 'nonsense')}",
            f"set! {_ONLY_POSITIONAL.format('set', 'value')}",
            f"reset! {_ONLY_POSITIONAL.format('reset', 'token')}",
        ),
    ),
    differs(
        "C1: three arguments to ContextVar",
        "ours looks at the default apart from the rest",
        """
        trying("mixed", cv.ContextVar, "v", 1, default=1)
        """,
        theirs=("mixed! TypeError: ContextVar() takes at most 2 arguments (3 given)",),
        ours=("mixed! TypeError: ContextVar() takes at most 1 positional argument (2 given)",),
    ),
    differs(
        "C1: a method that is called on something else than a variable",
        "the interpreter checks this for classes in C alone; to ask each time would cost each call",
        """
        with noting("get", text=False):
            cv.ContextVar.get(1)
        with noting("set", text=False):
            cv.ContextVar.set(1, 2)
        """,
        theirs=("get! TypeError", "set! TypeError"),
        ours=("get! AttributeError", "set! AttributeError"),
    ),
    differs(
        "C1: texts that name the class",
        "the interpreter names a class written in Python without its module",
        """
        v = cv.ContextVar("v")
        trying("missing", getattr, v, "missing")
        trying("name", setattr, v, "name", 1)
        trying("set", v.set(1).__setattr__, "var", 1)
        trying("call", v)
        trying("inherit", type, "Sub", (cv.ContextVar,), {})
        """,
        theirs=(
            "missing! AttributeError: '_contextvars.ContextVar' object has no attribute 'missing'",
            "name! AttributeError: readonly attribute",
            "set! AttributeError: attribute 'var' of '_contextvars.Token' objects is not writable",
            "call! TypeError: '_contextvars.ContextVar' object is not callable",
            "inherit! TypeError: type '_contextvars.ContextVar' is not an acceptable base type",
        ),
        ours=(
            "missing! AttributeError: 'ContextVar' object has no attribute 'missing'",
            "name! AttributeError: property 'name' of 'ContextVar' object has no setter",
            "set! AttributeError: property 'var' of 'Token' object has no setter",
            "call! TypeError: 'ContextVar' object is not callable",
            "inherit! TypeError: type 'catena.ContextVar' is not an acceptable base type",
        ),
    ),
    differs(
        "C2: a second live variable of the same name",
        "in other processes a variable is known by its key alone, so that two cannot share one",
        """
        v = cv.ContextVar("v", default=1)
        with noting("second", text=False):
            w = cv.ContextVar("v", default=2)
        note("first", v.get())
        """,
        theirs=("second: no error", "first: 1"),
        ours=("second! ContextVarCollision", "first: 1"),
    ),
    differs(
        "C3: a Context does not have the variable as its key",
        "the value lives in a variable behind it, beside the index of what is bound",
        """
        v = cv.ContextVar("v", default=0)
        note("before", len(cv.copy_context()))
        v.set(1)
        copy = cv.copy_context()
        trying("get", copy.get, v)
        trying("in", lambda: v in copy)
        note("more than one", len(copy) > 1)
        """,
        theirs=("before: 0", "get: 1", "in: True", "more than one: False"),
        ours=(
            "before: 0",
            "get! TypeError: a ContextVar key was expected, got <ContextVar name='v' default=0>",
            "in! TypeError: a ContextVar key was expected, got <ContextVar name='v' default=0>",
            "more than one: True",
        ),
    ),
    differs(
        "C7: a loop on which something was set has a task factory",
        "the factory makes the forks; before the first set there is none",
        """
        v, loop = cv.ContextVar("v", default=0), aio.get_running_loop()
        note("got", (v.get(), loop.get_task_factory() is None))
        v.set(1)
        await aio.sleep(0)
        note("set", loop.get_task_factory() is None)
        """,
        theirs=("got: (0, True)", "set: True"),
        ours=("got: (0, True)", "set: False"),
    ),
    differs(
        "C11: the texts of pickling",
        "ours say how a variable and a token may travel",
        """
        import pickle
        v = cv.ContextVar("v")
        for one in (v, v.set(1)):
            try:
                pickle.dumps(one)
            except TypeError as error:
                note("has a hint", "dispatch" in str(error))
        """,
        theirs=("has a hint: False", "has a hint: False"),
        ours=("has a hint: True", "has a hint: True"),
    ),
    differs(
        "T1: tokens have a hash",
        "they are equal by id, also when they come back from a worker, so that they may be keys",
        """
        token = cv.ContextVar("v").set(1)
        with noting("hash", text=False):
            hash(token)
        """,
        theirs=("hash! TypeError",),
        ours=("hash: no error",),
    ),
]
