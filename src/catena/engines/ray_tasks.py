"""``with_context`` for Ray: remote functions and methods of actors take the caller's context along.

Ray calls what it finds in a function's ``__ray_invocation_decorator__`` at each ``.remote()``, in
the caller's Context. There the context is captured, and goes along as one more argument, which the
wrapper takes off again before it calls the function.
"""

from __future__ import annotations

import contextvars
import functools
import importlib
import inspect
from collections.abc import Callable, Generator, Mapping
from contextlib import aclosing
from functools import partial
from typing import Any, TypeVar, cast, overload

from catena.context.var import ContextVar
from catena.engines.mounting import (
    TaskScope,
    capture_context,
    find_kind,
    name_function,
    run_coroutine,
    run_generator,
    run_plain,
    run_stream,
)
from catena.pickling import pickler

T = TypeVar("T")

ARGUMENT = "_catena_context"
"""The keyword by which the context of a task goes along with its arguments."""

Invocation = Callable[[Any, Mapping[str, Any]], Any]
"""What Ray calls with the arguments of one task."""


@overload
def with_context(function: T, /, *, strict: bool = False) -> T: ...
@overload
def with_context(*, strict: bool = False) -> Callable[[T], T]: ...
def with_context(function: Any = None, /, *, strict: bool = False) -> Any:
    """Have a remote function, or all methods of an actor, run in the context of their caller.

    It is a decorator that stands below ``@ray.remote``, on a function or a class. At each
    ``.remote(...)`` Catena's variables, carried variables and the trace are captured; the task has
    the values on a chain of its own, and nothing comes back. Functions, coroutine functions,
    generators and async generators keep their kind. The constructor of an actor runs without.
    What cannot be pickled is left out with a SerializationWarning, and what cannot be read in the
    task likewise; with ``strict`` either is refused with ChainSerializationError.

    Raises TypeError for what is no function and no class, and for what ``ray.remote`` has made.
    """
    if function is None:
        return partial(with_context, strict=strict)
    if hasattr(function, "remote"):
        raise TypeError("put @with_context below @ray.remote, next to the function or the class")
    _teach_ray()
    if isinstance(function, type):
        return _wrap_class(function, strict=strict)
    if not inspect.isfunction(function):
        kind = type(function).__name__
        raise TypeError(f"with_context takes a function or a class for Ray, not {kind}")
    return _wrap_function(function, strict=strict)


def _wrap_class(cls: type[Any], *, strict: bool) -> type[Any]:
    """Return a class whose methods, those with a double underscore apart, take context along."""
    members: dict[str, Any] = {
        name: getattr(cls, name) for name in ("__module__", "__qualname__", "__doc__")
    }
    for name in dir(cls):
        member: Any = inspect.getattr_static(cls, name)
        if name.startswith("__"):
            continue
        if type(member) in (staticmethod, classmethod):
            binding: Any = cast("Any", type(member))
            members[name] = binding(_wrap_function(member.__func__, strict=strict))
        elif inspect.isfunction(member):
            members[name] = _wrap_function(member, strict=strict)
    make_class: Any = type(cls)
    return cast("type[Any]", make_class(cls.__name__, (cls,), members))


def _wrap_function(function: Callable[..., Any], *, strict: bool) -> Callable[..., Any]:
    """Return a function of the same kind and name that takes context along."""
    wrapper: Any = _WRAPPERS[find_kind(function)](function, strict)
    functools.update_wrapper(wrapper, function)
    # Ray looks below decorators, and would find a function without the additional argument.
    del wrapper.__wrapped__
    wrapper.__signature__ = _add_argument(inspect.signature(function))
    send = partial(_capture_at_invocation, name_function(function), strict)
    wrapper.__ray_invocation_decorator__ = send
    return wrapper


def _add_argument(signature: inspect.Signature) -> inspect.Signature:
    parameters = list(signature.parameters.values())
    added = inspect.Parameter(ARGUMENT, inspect.Parameter.KEYWORD_ONLY, default=None)
    takes_any = parameters and parameters[-1].kind is inspect.Parameter.VAR_KEYWORD
    parameters.insert(len(parameters) - bool(takes_any), added)
    return signature.replace(parameters=parameters)


def _capture_at_invocation(name: str, strict: bool, invocation: Invocation) -> Invocation:  # noqa: FBT001
    """Return an invocation that adds the context it is called in to the arguments."""

    def invoke(args: Any, kwargs: Mapping[str, Any]) -> Any:
        captured = capture_context(name, strict=strict)
        return invocation(args, {**kwargs, ARGUMENT: captured})

    return invoke


def _make_plain(function: Callable[..., Any], strict: bool) -> Callable[..., Any]:  # noqa: FBT001
    def run(*args: Any, **kwargs: Any) -> Any:
        scope = take_scope(function, kwargs, strict)
        if scope is None:
            return function(*args, **kwargs)
        return run_plain(scope, function, args, kwargs)

    return run


def _make_coroutine(function: Callable[..., Any], strict: bool) -> Callable[..., Any]:  # noqa: FBT001
    async def run(*args: Any, **kwargs: Any) -> Any:
        scope = take_scope(function, kwargs, strict)
        if scope is None:
            return await function(*args, **kwargs)
        return await run_coroutine(scope, function, args, kwargs)

    return run


def _make_generator(function: Callable[..., Any], strict: bool) -> Callable[..., Any]:  # noqa: FBT001
    def run(*args: Any, **kwargs: Any) -> Any:
        scope = take_scope(function, kwargs, strict)
        if scope is None:
            steps: Generator[Any, Any, Any] = function(*args, **kwargs)
            return (yield from steps)
        return (yield from run_generator(scope, function, args, kwargs))

    return run


def _make_stream(function: Callable[..., Any], strict: bool) -> Callable[..., Any]:  # noqa: FBT001
    async def run(*args: Any, **kwargs: Any) -> Any:
        scope = take_scope(function, kwargs, strict)
        if scope is None:
            stream: Any = function(*args, **kwargs)
        else:
            stream = run_stream(scope, function, args, kwargs)
        async with aclosing(stream):
            async for value in stream:
                yield value

    return run


_WRAPPERS = {
    "plain": _make_plain,
    "coroutine": _make_coroutine,
    "generator": _make_generator,
    "stream": _make_stream,
}


def take_scope(
    function: Callable[..., Any],
    kwargs: dict[str, Any],
    strict: bool,  # noqa: FBT001 - the wrappers, which travel, call this
) -> TaskScope | None:
    """Take the context off the arguments of a call; None for a call from within the process."""
    captured = kwargs.pop(ARGUMENT, None)
    if captured is None:
        return None
    return TaskScope(name_function(function), captured, strict=strict)


def _teach_ray() -> None:
    """Let variables that a function uses go along with it, as they do with a routine.

    Raises ModuleNotFoundError where Ray is not installed.
    """
    # Not imported with this module: it is an extra.
    ray: Any = importlib.import_module("ray.cloudpickle")
    table: dict[type, Any] = ray.CloudPickler.dispatch
    table[ContextVar] = table[contextvars.ContextVar] = _reduce_variable


def _reduce_variable(variable: Any) -> tuple[Any, ...]:
    return pickler.loads, (pickler.dumps(variable),)
