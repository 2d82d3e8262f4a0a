"""A routine that is declared in a class: bound to an instance, it keeps it in ``local`` as well.

A bound method takes every attribute from its function, and a function cannot know to which instance
it is bound. So a routine in a class is an object of its own, which looks like the function, and
binding it gives an object that looks like a bound method. Both pass on attributes that they do not
have.
"""

from __future__ import annotations

from functools import partial
from types import FunctionType, MethodType
from typing import Any, cast

_PARTIAL = frozenset({"func", "args", "keywords"})
"""What is asked of anything that is a partial."""


def in_class(function: Any) -> bool:
    """Say whether a function was declared in a class body, and is not bound yet."""
    scope = function.__qualname__.rpartition(".")[0]
    return bool(scope) and not scope.endswith("<locals>") and type(function) is FunctionType


class Method:
    """Stands in the class for the function that dispatches a routine.

    The class hands out the function itself; a staticmethod hands out this object, which is called
    like the function and is known under its name.
    """

    __slots__ = ("__weakref__", "_function")

    def __init__(self, function: Any) -> None:
        object.__setattr__(self, "_function", function)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """Return the function for the class, and for an instance what is bound to it."""
        if instance is None:
            return _function_of(self)
        if instance is owner:
            # Before Python 3.13 a classmethod asks; since then it makes this by itself.
            return MethodType(self, instance)
        return Bound(_function_of(self), instance)

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Dispatch, as the function does."""
        __tracebackhide__ = True
        return _function_of(self)(*args, **kwargs)

    def __getattribute__(self, name: str) -> Any:
        function = _function_of(self)
        if name == "__wrapped__":
            return function
        if name in ("__reduce__", "__reduce_ex__"):
            return object.__getattribute__(self, name)
        return getattr(function, name)

    def __setattr__(self, name: str, value: Any) -> None:
        # An abstractmethod marks what it is given; ABCMeta looks at the function.
        setattr(_function_of(self), name, value)

    def __repr__(self) -> str:
        return repr(_function_of(self))

    def __reduce__(self) -> str:
        # A name, as pickle writes functions.
        return _function_of(self).__qualname__

    def __catena_reduce__(self, *_: Any) -> tuple[Any, ...]:
        return Method, (_function_of(self),)


_function_of = cast("Any", Method).__dict__["_function"].__get__


class Bound(partial[Any]):
    """A routine bound to an instance; a partial, because those are made and called without Python.

    It answers as the bound method does, but ``local``, ``blocking`` and ``submit`` are bound, too.
    """

    __slots__ = ()

    def __get__(self, instance: Any, owner: type | None = None) -> Bound:
        """Return itself, since it is bound already."""
        return self

    def __getattribute__(self, name: str) -> Any:
        if name in _PARTIAL:
            return super().__getattribute__(name)
        method = _method_of(self)
        if name in ("local", "blocking", "submit"):
            return MethodType(getattr(method, name), method.__self__)
        if name == "on":
            return partial(_route_method, method)
        return getattr(method, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(_method_of(self), name, value)

    def __eq__(self, other: object) -> bool:
        return _method_of(self) == (_method_of(other) if type(other) is Bound else other)

    def __hash__(self) -> int:
        return hash(_method_of(self))

    def __repr__(self) -> str:
        return repr(_method_of(self))

    def __catena_reduce__(self, *_: Any) -> tuple[Any, ...]:
        method = _method_of(self)
        return Bound, (method.__func__, method.__self__)


_partial_function: Any = vars(partial)["func"].__get__
_partial_arguments: Any = vars(partial)["args"].__get__


def _method_of(bound: Any) -> MethodType:
    return MethodType(_partial_function(bound), *_partial_arguments(bound))


def _route_method(method: MethodType, *given: Any, **asked: Any) -> Bound:
    """Return a bound routine whose calls go to one pool, or to some of the workers."""
    return Bound(cast("Any", method).on(*given, **asked), method.__self__)
