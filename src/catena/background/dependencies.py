"""``Depends``: what a background task needs, made anew for each task that runs.

The engine resolves dependencies, and it keeps the declaration for as long as the process lives: all
tasks of a routine share it. So its one rule: a declaration holds a factory and nothing else. What
the factory makes belongs to one task, and only that task's end cleans it up.

A factory that breaks the rule, by returning one context manager again and again, is found when two
tasks hold it at once, and refused: the first one's end would undo what the second one has.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import threading
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Generator,
    Iterator,
)
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
)
from typing import Any, TypeVar, cast, overload

from catena.wording import class_name

R = TypeVar("R")


@overload
def Depends(factory: Callable[..., AbstractAsyncContextManager[R]], /, **bindings: Any) -> R: ...
@overload
def Depends(factory: Callable[..., AbstractContextManager[R]], /, **bindings: Any) -> R: ...
@overload
def Depends(factory: Callable[..., AsyncIterator[R]], /, **bindings: Any) -> R: ...
@overload
def Depends(factory: Callable[..., Iterator[R]], /, **bindings: Any) -> R: ...
@overload
def Depends(factory: Callable[..., Awaitable[R]], /, **bindings: Any) -> R: ...
@overload
def Depends(factory: Callable[..., R], /, **bindings: Any) -> R: ...
def Depends(factory: Any, /, **bindings: Any) -> Any:  # noqa: N802 - the word that FastAPI has
    """Declare, as the default of a routine's parameter, what makes its value for each task.

    ``factory`` is called once for each task that runs, after the submitter's context is in place.
    It may be a function, a coroutine function, a class, a function that returns a context manager,
    or, as in FastAPI, a generator function that yields once: what stands after the ``yield`` runs
    when the task has ended. It may have parameters with dependencies of its own; two parameters of
    one task that want the same factory get the same object. ``bindings`` are arguments for it.

    The engine makes the values, so only a task has them: whoever calls the routine itself passes
    them.

    Raises TypeError for what cannot be called, as a context manager itself, and ModuleNotFoundError
    where the engine is not installed.
    """
    if not callable(factory):
        raise TypeError(
            f"Depends takes what makes a value for each task, not {type(factory).__name__}; pass"
            " the class or a function"
        )
    engine: Any = importlib.import_module("catena.background.docket_loading")
    return engine.Depends(_make_fresh(factory), **bindings)


@functools.lru_cache(maxsize=1024)
def _make_fresh(factory: Callable[..., Any]) -> Callable[..., Any]:
    """Return the same factory with its generators as context managers, and no manager shared.

    The same one for the same factory, by which the engine knows what a task has already.
    """
    calling = getattr(type(factory), "__call__", None)  # noqa: B004 - it is looked into, not asked
    if inspect.isasyncgenfunction(factory) or inspect.isasyncgenfunction(calling):
        return asynccontextmanager(factory)
    if inspect.isgeneratorfunction(factory) or inspect.isgeneratorfunction(calling):
        return contextmanager(factory)

    @functools.wraps(factory)
    def make(*args: Any, **kwargs: Any) -> Any:
        made = factory(*args, **kwargs)
        if isinstance(made, AbstractAsyncContextManager):
            return _enter_async(cast("AbstractAsyncContextManager[Any]", made), factory)
        if isinstance(made, AbstractContextManager):
            return _enter_plain(cast("AbstractContextManager[Any]", made), factory)
        return made

    return make


@asynccontextmanager
async def _enter_async(
    manager: AbstractAsyncContextManager[R], factory: Callable[..., Any]
) -> AsyncGenerator[R]:
    with _held_alone(manager, factory):
        async with manager as value:
            yield value


@contextmanager
def _enter_plain(manager: AbstractContextManager[R], factory: Callable[..., Any]) -> Generator[R]:
    with _held_alone(manager, factory), manager as value:
        yield value


_entered: set[int] = set()
_lock = threading.Lock()


@contextmanager
def _held_alone(manager: object, factory: Callable[..., Any]) -> Generator[None]:
    """Refuse a context manager that somebody has entered already."""
    # Whoever has entered it keeps it alive, so its id is nobody else's.
    id_ = id(manager)
    with _lock:
        if id_ in _entered:
            name = getattr(factory, "__qualname__", None) or repr(factory)
            raise TypeError(
                f"{name} has returned one {class_name(manager)} to two tasks at once; the end of"
                " one would undo what the other one has: make a new one each time, or enter a"
                " shared one in a generator function that yields once"
            )
        _entered.add(id_)
    try:
        yield
    finally:
        with _lock:
            _entered.discard(id_)
