"""Objects that resist: each raises from one of its hooks, whoever asks, on either side of a call.

Half of their classes can be imported and travel by reference, half are made anew and travel by
value. What is drawn and sent is only how an object is to be made, so that each side makes its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

__all__ = ["EXCEPTION_HOOKS", "RAISED", "VALUE_HOOKS", "Hostile", "Spec", "blow", "made", "name_of"]


class Hostile:
    """What all of these objects are, so that those that are left can be counted."""


class Unspeakable(Exception):
    """An error that cannot even be said."""

    def __str__(self) -> str:
        raise SystemExit("from the text of an error")

    __repr__ = __str__


RAISED: dict[str, Callable[[], BaseException]] = {
    "an ordinary error": lambda: ValueError("from a hook"),
    "AttributeError": lambda: AttributeError("from a hook"),
    "SystemExit": lambda: SystemExit("from a hook"),
    "KeyboardInterrupt": lambda: KeyboardInterrupt("from a hook"),
    "CancelledError": lambda: asyncio.CancelledError("from a hook"),
    "GeneratorExit": lambda: GeneratorExit("from a hook"),
    "StopIteration": lambda: StopIteration("from a hook"),
    "StopAsyncIteration": lambda: StopAsyncIteration("from a hook"),
    "MemoryError": lambda: MemoryError("from a hook"),
    "an unspeakable error": Unspeakable,
    "endless recursion": RecursionError,
}


def blow(raised: str) -> NoReturn:
    """Raise what was chosen; recursion without end is not simulated."""
    if raised == "endless recursion":
        blow(raised)
    # Not from a name: a frame that holds what it raised is a circle, and not one of ours.
    raise _error(raised)


def _error(raised: str) -> BaseException:
    return RAISED[raised]()


class Spec(NamedTuple):
    """How to make one: a value, an exception or a group; which hook raises what.

    ``by_value`` says whether its class is made anew and cannot be imported.
    """

    kind: str
    hook: str
    raised: str
    by_value: bool


_COMMON = {
    "__reduce__": ("__reduce__",),
    "__reduce_ex__": ("__reduce_ex__",),
    "__getstate__": ("__getstate__",),
    "__getattr__": ("__getattr__",),
    "__getattribute__": ("__getattribute__",),
    "__setattr__": ("__setattr__", "__delattr__"),
    "__eq__": ("__eq__", "__ne__"),
    "__hash__": ("__hash__",),
    "__del__": ("__del__",),
    "__str__": ("__str__",),
    "__repr__": ("__repr__", "__format__"),
    "__bool__": ("__bool__", "__len__"),
    "property __class__": (),
    "property __dict__": (),
    "metaclass names": (),
    "metaclass checks": (),
    "metaclass hash": (),
    # Where it is opened, not where it is written.
    "opening": (),
    "__setstate__": ("__setstate__",),
}
_OF_EXCEPTIONS = {
    "__init__ again": (),
    "__new__ again": (),
    "with_traceback": ("with_traceback", "add_note"),
    **{
        f"property {name}": ()
        for name in (
            *("args", "__context__", "__cause__", "__traceback__", "__notes__"),
            "__suppress_context__",
        )
    },
}
VALUE_HOOKS = tuple(_COMMON)
EXCEPTION_HOOKS = (*_COMMON, *_OF_EXCEPTIONS)
_METHODS = {**_COMMON, **_OF_EXCEPTIONS}
_BASES: dict[str, tuple[type, ...]] = {
    "value": (Hostile,),
    "exception": (Hostile, Exception),
    "group": (Hostile, ExceptionGroup),
}


def name_of(spec: Spec) -> str:
    """Return the name of the class that objects of a spec have."""
    words = (spec.kind, spec.hook, spec.raised)
    return "_".join(words).replace(" ", "_").title().replace("_", "")


def made(spec: Spec) -> Any:
    """Make a hostile object."""
    kind = _made_class(spec) if spec.by_value else globals()[name_of(spec)]
    match spec.kind:
        case "value":
            return kind()
        case "exception":
            return kind("first", 2)
        case _:
            return kind("some", [ValueError("one"), KeyError("other")])


def _made_class(spec: Spec) -> type:
    kind, hook, raised, by_value = spec

    def raising(*_: object, **__: object) -> NoReturn:
        blow(raised)

    body: dict[str, Any] = dict.fromkeys(_METHODS[hook], raising)
    if hook == "__getattribute__":
        body[hook] = _picky(raised, object if kind == "value" else BaseException)
    elif hook == "opening":
        body["__reduce__"] = lambda _: (blow, (raised,))
    elif hook == "__setstate__":
        body["__reduce__"] = lambda self: (type(self), _again(kind), {"state": 1})
    elif hook.endswith(" again"):
        body[hook.partition(" ")[0]] = _once(hook, raised)
    elif hook.startswith("property "):
        body[hook.partition(" ")[2]] = property(raising)
    body["__module__"] = "__main__" if by_value else __name__
    body["__qualname__"] = name_of(spec)
    meta = _metaclass(hook, raised) if hook.startswith("metaclass") else type
    return meta(name_of(spec), _BASES[kind], body)


def _again(kind: str) -> tuple[Any, ...]:
    return ("some", [ValueError("one")]) if kind == "group" else ()


def _picky(raised: str, base: type) -> Any:
    """Return what lets the interpreter have what it needs, and nobody else anything."""

    def getattribute(self: Any, name: str) -> Any:
        if name in ("__class__", "__reduce_ex__"):
            return base.__getattribute__(self, name)
        blow(raised)

    return getattribute


def _once(hook: str, raised: str) -> Any:
    """Return a constructor for one argument more than an exception remembers."""
    if hook == "__init__ again":

        def init(self: Any, *args: Any) -> None:
            if len(args) < 2:
                blow(raised)
            self.args = args[:1]

        return init

    def new(kind: type, *args: Any) -> Any:
        if len(args) < 2:
            blow(raised)
        made = BaseException.__new__(kind, *args)
        made.args = args[:1]
        return made

    return new


def _metaclass(hook: str, raised: str) -> type:
    def raising(*_: object) -> NoReturn:
        blow(raised)

    # Not __subclasscheck__: the interpreter itself asks it where such an exception is raised.
    names = {
        "metaclass checks": ("__instancecheck__", "__eq__", "__repr__"),
        "metaclass hash": ("__hash__",),
    }.get(hook, ())

    def getattribute(cls: type, name: str) -> Any:
        if name in ("__module__", "__name__", "__qualname__", "__dict__"):
            blow(raised)
        return type.__getattribute__(cls, name)

    body: dict[str, Any] = dict.fromkeys(names, raising)
    if hook == "metaclass names":
        body["__getattribute__"] = getattribute
    elif "__eq__" in body:
        body["__hash__"] = type.__hash__
    return type("Meta", (type,), body)


def _publish() -> None:
    """Make each class that can be imported, under its name."""
    for kind in _BASES:
        for hook in VALUE_HOOKS if kind == "value" else EXCEPTION_HOOKS:
            if kind == "group" and hook.endswith(" again"):
                continue
            for raised in RAISED:
                spec = Spec(kind, hook, raised, by_value=False)
                globals()[name_of(spec)] = _made_class(spec)


_publish()
