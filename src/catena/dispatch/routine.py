"""The decorator: a function, async or plain, whose calls run in another process.

The wrapper is a plain function, so that methods bind, ``inspect`` answers as for the original and a
type checker sees the original's signature.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterable
from datetime import datetime, timedelta
from types import FunctionType
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, cast, overload

from catena.context.options import checked_kill_after, checked_seconds
from catena.dispatch.caller.blocking import run_blocking
from catena.dispatch.caller.exchange import make_dispatch
from catena.dispatch.caller.stream import Stream
from catena.dispatch.declaration import Declaration
from catena.dispatch.dispatcher import Dispatcher
from catena.dispatch.kinds import MYPY, Calls, HasDispatcher, PlainRoutine, check_function
from catena.dispatch.method import Method, in_class
from catena.dispatch.open_pools import Finder, apply_scope, find_dispatcher, find_fitting
from catena.dispatch.queueing import (
    Submits,
    TaskHandle,
    TaskQueue,
    is_queued,
    make_submitter,
    submit_routine,
)
from catena.dispatch.retry import Retry, checked_retry
from catena.dispatch.stub import mark_async, stub_of
from catena.tags import NO_TAGS, checked_tags

P = ParamSpec("P")
Q = ParamSpec("Q")
R_co = TypeVar("R_co", covariant=True)
S = TypeVar("S")
T = TypeVar("T")
R = TypeVar("R")
Y = TypeVar("Y")
# As a whole, because mypy knows the `Any` of a coroutine that it made itself from one written here.
C = TypeVar("C", bound=Coroutine[Any, Any, Any])
G = TypeVar("G", bound=AsyncGenerator[Any, Any])


class Routine(Calls[P, R_co], Protocol[P, R_co]):
    """A decorated function: calling it dispatches, ``local`` is the function itself."""

    @property
    def local(self) -> Callable[P, R_co]:
        """The undecorated function: calling it runs the body in this process."""
        ...

    @overload
    def on(
        self, pool: HasDispatcher | None = None, /, *, tags: Iterable[str] | None = None
    ) -> Calls[P, R_co]: ...
    @overload
    def on(
        self,
        queue: TaskQueue | None = None,
        /,
        *,
        when: datetime | timedelta | None = None,
        key: str | None = None,
        replace: bool = False,
    ) -> Submits[P, R_co]: ...
    def on(self, *given: Any, **asked: Any) -> Any:
        """Return the routine as a function whose calls go to this pool, whatever is bound.

        With ``tags`` they go to workers that have all of these: of this pool, or without one of
        that which is bound where the call is made. A call raises NoFittingWorker where there is no
        such worker, and none is expected. Raises NoPool when the pool is not open, TypeError
        without both, and TypeError or ValueError for what can be no tags.

        With a queue in the place of the pool, or with ``when``, ``key`` or ``replace``, it is what
        is submitted there as a background task, by ``submit``: due at a time or after a while,
        under a key, in the place of the task that has this key. Raises TypeError and ValueError for
        arguments that say no such thing.
        """
        ...

    def submit(
        self: Routine[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, TaskHandle[T]]:
        """Have the routine run as a background task, in the context of the caller.

        It is awaited, and returns the task's handle once the queue that is bound, or else the
        process's default one, has added it. Raises NoQueue, TaskRefused, QueueUnreachable, and what
        a capture raises.
        """
        ...

    # What functions have; update_wrapper sees to it.
    __name__: str
    __qualname__: str

    if MYPY:
        # mypy binds by the first overload below, whatever the routine takes, and would refuse each
        # staticmethod: so there it does not see what methods take.
        def __get__(  # pyright: ignore[reportRedeclaration]
            self, instance: object, owner: type | None = None
        ) -> Routine[..., R_co]: ...
    else:
        # Type checkers hand the routine of a classmethod or staticmethod through unchanged.
        @overload
        def __get__(
            self: Routine[Concatenate[type[S], Q], R], instance: S | None, owner: type[S]
        ) -> Callable[Q, R]: ...
        @overload
        def __get__(self, instance: None, owner: type | None = None) -> Routine[P, R_co]: ...
        @overload
        def __get__(
            self: Routine[Concatenate[S, Q], R], instance: S, owner: type | None = None
        ) -> Routine[Q, R]: ...
        @overload
        def __get__(self, instance: object, owner: type | None = None) -> Routine[P, R_co]: ...


@overload
def routine(function: Callable[P, C], /) -> Routine[P, C]: ...
@overload
def routine(  # pyright: ignore[reportOverlappingOverload] - what is no generator is plain
    function: Callable[P, G], /
) -> Routine[P, G]: ...
@overload
def routine(function: Callable[P, AsyncIterator[Y]], /) -> Routine[P, AsyncGenerator[Y, Any]]: ...
@overload
def routine(function: Callable[P, R], /) -> PlainRoutine[P, R]: ...
@overload
def routine(
    *,
    name: str | None = None,
    cancel_grace: float = ...,
    timeout: float | None = None,
    dispatch_timeout: float | None = None,
    retry: Retry | None = None,
    slots: int | None = None,
    kill_after: float | None = None,
) -> _Decorator: ...
def routine(  # noqa: PLR0913 - each is an option of its own
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    cancel_grace: float = 1.5,  # with a pool's stop_timeout, Ctrl-C is over within five seconds
    timeout: float | None = None,
    dispatch_timeout: float | None = None,
    retry: Retry | None = None,
    slots: int | None = None,
    kill_after: float | None = None,
) -> Any:
    """Make a function run on a worker when it is called: async, an async generator, or plain.

    A plain function (``def``) is awaited by its caller like the others. Its worker runs it on a
    thread, so that it may block, and one at a time for each slot (see ``WorkerPool``).
    ``name`` is the routine's name in errors and telemetry (by default module and qualified name).
    ``cancel_grace`` is how many seconds a cancelled caller waits for the routine's end. ``timeout``
    and ``dispatch_timeout`` are explained at RuntimeContext; they hold for calls for which neither
    a block nor an inherited option sets them. With ``retry`` a call whose worker is lost is made
    again; without it, a call is made once. ``slots`` is how many slots of its worker a call takes
    while it runs: by default a plain function takes one, and the others none. ``kill_after``,
    beside a ``timeout``, is how many seconds after it the worker is killed when the call goes on
    there all the same, as one does that cannot be interrupted. The decorated function keeps its
    signature. Its attribute ``local`` is the original function; for a method it is bound to the
    same instance. (For a classmethod it is the plain function, to which you pass the class.)

    Raises TypeError for anything else than a function, for a plain generator function and for a
    ``retry`` that is no Retry; ValueError for a negative number of seconds or of slots, and for a
    ``kill_after`` that is 0 or has no ``timeout``.
    """
    options = (
        checked_seconds("timeout", timeout),
        checked_seconds("dispatch_timeout", dispatch_timeout),
        checked_retry(retry),
        checked_kill_after(kill_after, timeout),
    )
    checked_seconds("cancel_grace", cancel_grace)
    if slots is not None and not (type(slots) is int and slots >= 0):
        raise ValueError(f"slots must be a whole number that is not negative, it is {slots!r}")

    def decorate(function: Callable[..., Any]) -> Any:
        kind = check_function(function)
        full = name or f"{function.__module__}.{function.__qualname__}"
        declared = Declaration(function, full, kind == "stream", cancel_grace, *options)
        declared.plain = kind == "plain"
        declared.slots = int(declared.plain) if slots is None else slots
        wrapper = make_wrapper(declared)
        dress_wrapper(declared)
        return Method(wrapper) if in_class(function) else wrapper

    return decorate if function is None else decorate(function)


class _Decorator(Protocol):
    """What ``routine`` returns when it is given options."""

    @overload
    def __call__(self, function: Callable[P, C], /) -> Routine[P, C]: ...
    @overload
    def __call__(  # pyright: ignore[reportOverlappingOverload]
        self, function: Callable[P, G], /
    ) -> Routine[P, G]: ...
    @overload
    def __call__(
        self, function: Callable[P, AsyncIterator[Y]], /
    ) -> Routine[P, AsyncGenerator[Y, Any]]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> PlainRoutine[P, R]: ...


def make_wrapper(declared: Declaration) -> Any:
    """Return a function that dispatches the declared routine.

    Wrong arguments are refused when it is called. ``inspect`` takes it for what the function is.
    """
    declared.run = _make_run(declared)
    call = _check_and_run(declared, declared.run)
    declared.wrapper = mark_async(cast("FunctionType", call), stream=declared.stream)
    _mark_wrapper(declared)
    return declared.wrapper


def _check_and_run(declared: Declaration, run: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function that users call: wrong arguments are refused there, the rest is run."""

    def call(*args: Any, **kwargs: Any) -> Any:
        declared.check(*args, **kwargs)
        return run(args, kwargs)

    return call


def _make_run(declared: Declaration, find: Finder = find_dispatcher) -> Callable[..., Any]:
    """Return what runs a routine with its arguments, on a way that is found for each call."""
    if declared.stream:
        return functools.partial(cast("type[Stream[Any]]", Stream), declared, find=find)
    return make_dispatch(declared, find)


def _route_calls(declared: Declaration, *given: Any, **asked: Any) -> Callable[..., Any]:
    """Return the routine as a function whose calls go to one pool, or to some of the workers.

    With what concerns a queue, return what is submitted there. Raises NoPool, TypeError and
    ValueError.
    """
    if is_queued(given, asked):
        return make_submitter(declared, *given, **asked)
    find = _make_finder(*given, **asked)
    call: Any = _check_and_run(declared, _make_run(declared, find))
    functools.update_wrapper(call, declared.function)
    call.blocking = _make_blocking(declared, find)
    return call


def _make_finder(pool: Any = None, /, *, tags: Iterable[str] | None = None) -> Finder:
    """Return what finds the way to a pool, to its workers with these tags, or to such ones here."""
    way: Dispatcher | None = None
    if pool is not None:
        way = getattr(pool, "dispatcher", None)
        if way is None:
            raise TypeError(f"on() takes a WorkerPool, not {type(pool).__name__}")
    elif tags is None:
        raise TypeError("on() takes a WorkerPool, tags, or both")
    wanted = NO_TAGS if tags is None else checked_tags(tags)
    if wanted:
        return functools.partial(find_fitting, wanted, way)
    return find_dispatcher if way is None else functools.partial(apply_scope, way)


def _make_blocking(declared: Declaration, find: Finder = find_dispatcher) -> Callable[..., Any]:
    """Return the routine as a function that waits for the result."""
    run = functools.partial(run_blocking, declared, find=find)
    return functools.update_wrapper(_check_and_run(declared, run), declared.function)


def dress_wrapper(declared: Declaration) -> None:
    """Give the wrapper the name, the documentation and the signature of the function."""
    function = declared.function
    functools.update_wrapper(declared.wrapper, function)
    # Again, since the function may have brought those of a routine beneath it.
    _mark_wrapper(declared)
    declared.wrapper.local = function
    declared.wrapper.on = functools.partial(_route_calls, declared)
    declared.wrapper.blocking = _make_blocking(declared)
    declared.wrapper.submit = functools.partial(submit_routine, declared)
    if inspect.isfunction(function):
        declared.check = stub_of(function)
    if not declared.stream:
        # What a call returns is called like the function, too: a coroutine has its maker's name.
        functools.update_wrapper(declared.run, function, updated=())


def _mark_wrapper(declared: Declaration) -> None:
    declared.wrapper.__catena_routine__ = declared
    declared.wrapper.__catena_reduce__ = declared.reduce_wrapper
