"""The kinds of functions that become routines, and how a type checker sees the plain ones."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterable
from datetime import datetime, timedelta
from typing import Any, Concatenate, Literal, ParamSpec, Protocol, TypeVar, cast, overload

from catena.dispatch.dispatcher import Dispatcher
from catena.dispatch.method import Method
from catena.dispatch.queueing import Submits, TaskHandle, TaskQueue

P = ParamSpec("P")
Q = ParamSpec("Q")
R_co = TypeVar("R_co", covariant=True)
S = TypeVar("S")
R = TypeVar("R")
T = TypeVar("T")
MYPY = False
"""mypy takes it for true, and nobody else does."""

Kind = Literal["coroutine", "stream", "plain"]


class HasDispatcher(Protocol):
    """A WorkerPool, as far as routines know it."""

    @property
    def dispatcher(self) -> Dispatcher:
        """What calls to it go through."""
        ...


class Calls(Protocol[P, R_co]):
    """What a routine is called by: with ``await``, or with ``blocking`` from a thread."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Dispatch."""
        ...

    @overload
    def blocking(
        self: Calls[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs
    ) -> T: ...
    @overload
    def blocking(
        self: Calls[P, AsyncGenerator[T, Any]], *args: P.args, **kwargs: P.kwargs
    ) -> Generator[T, Any, None]: ...
    def blocking(self, *args: Any, **kwargs: Any) -> Any:
        """Dispatch and have this thread wait: for the result, or, of a stream, for each value.

        For code without an event loop of its own, in any thread. What the routine raises is raised
        here, its variables come back, and an interrupt cancels it, as with ``await``. Raises
        BlockingRefused on the thread of the pool's event loop, which would wait for itself.
        """
        ...


class PlainRoutine(Protocol[P, R_co]):
    """A decorated plain function: calling it gives what its result is awaited from.

    It is otherwise as a ``Routine``.
    """

    @property
    def local(self) -> Callable[P, R_co]:
        """The undecorated function: calling it runs the body in this process, and blocks."""
        ...

    @overload
    def on(
        self, pool: HasDispatcher | None = None, /, *, tags: Iterable[str] | None = None
    ) -> Calls[P, Coroutine[Any, Any, R_co]]: ...
    @overload
    def on(
        self,
        queue: TaskQueue | None = None,
        /,
        *,
        when: datetime | timedelta | None = None,
        key: str | None = None,
        replace: bool = False,
    ) -> Submits[P, Coroutine[Any, Any, R_co]]: ...
    def on(self, *given: Any, **asked: Any) -> Any:
        """Return the routine as a function whose calls go to this pool, or to workers with tags.

        With what concerns a queue, return what is submitted there. As the ``on`` of a ``Routine``
        does.
        """
        ...

    def submit(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, TaskHandle[R_co]]:
        """Have it run as a background task, as a routine's ``submit`` does."""
        ...

    def blocking(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Dispatch and have this thread wait for the result, as a routine's ``blocking`` does."""
        ...

    # What functions have; update_wrapper sees to it.
    __name__: str
    __qualname__: str

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R_co]:
        """Dispatch."""
        ...

    if MYPY:
        # As at Routine.
        def __get__(  # pyright: ignore[reportRedeclaration]
            self, instance: object, owner: type | None = None
        ) -> PlainRoutine[..., R_co]: ...
    else:

        @overload
        def __get__(
            self: PlainRoutine[Concatenate[type[S], Q], R], instance: S | None, owner: type[S]
        ) -> Callable[Q, Coroutine[Any, Any, R]]: ...
        @overload
        def __get__(self, instance: None, owner: type | None = None) -> PlainRoutine[P, R_co]: ...
        @overload
        def __get__(
            self: PlainRoutine[Concatenate[S, Q], R], instance: S, owner: type | None = None
        ) -> PlainRoutine[Q, R]: ...
        @overload
        def __get__(self, instance: object, owner: type | None = None) -> PlainRoutine[P, R_co]: ...


def check_function(function: object) -> Kind:
    """Return the kind of a function. Raises TypeError for what cannot become a routine."""
    if isinstance(function, classmethod | staticmethod):
        kind = type(cast("object", function)).__name__
        raise TypeError(f"put @catena.routine below @{kind}, next to the function")
    if not callable(function):
        raise TypeError(f"a routine is a function, not {type(function).__name__}")
    known = getattr(function, "__catena_routine__", None)
    bare = getattr(function, "__wrapped__" if type(function) is Method else "__func__", function)
    if known is not None and known.wrapper is bare:
        raise TypeError("the function is a routine already")
    return _find_kind(function)


def _find_kind(function: Callable[..., Any]) -> Kind:
    # Itself first, and then what a decorator says that it stands for.
    for one in (function, inspect.unwrap(function)):
        if inspect.iscoroutinefunction(one):
            return "coroutine"
        if inspect.isasyncgenfunction(one):
            return "stream"
    name = getattr(function, "__qualname__", repr(function))
    if inspect.isgeneratorfunction(function):
        raise TypeError(
            f"{name} is a generator function; as a routine, declare it with `async def`, so that"
            " its values arrive one at a time, or return a list"
        )
    if not inspect.isfunction(function):
        raise TypeError(f"a routine is declared with `def` or `async def`; {name} is not")
    return "plain"
