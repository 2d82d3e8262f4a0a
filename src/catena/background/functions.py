"""A routine as the engine knows it: under its full name, with its true signature.

The engine finds its own dependencies in the signature. It looks functions up by name, and gives a
task that repeats itself the function's own ``__name__`` for the next time; so a second name stands
there, which says that a worker of Catena has scheduled it.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from types import ModuleType
from typing import Any, NamedTuple

from catena.background.docket_loading import (
    ExponentialRetry,
    Perpetual,
    Retry,
    get_annotation_dependencies,
    get_dependency_parameters,
)
from catena.context.to_thread import to_thread
from catena.dispatch.declaration import Declaration
from catena.errors import TaskRefused
from catena.pickling.references import MAIN, find_reference

REPEATED = ":repeat"
"""What the name ends with under which a task is scheduled that repeats itself."""

_DEEPEST = 3
"""How many classes within each other are looked through for routines."""


class TaskFunction(NamedTuple):
    """A routine as a task: its name, what the engine calls, and how it comes again.

    ``repeats`` says that it schedules itself anew, ``is_automatic`` that workers submit it, and
    ``longest_wait`` how many seconds may pass between two of its runs.
    """

    declared: Declaration
    run: Callable[..., Any]
    repeats: bool
    is_automatic: bool
    longest_wait: float

    @property
    def name(self) -> str:
        """The routine's name, by which it is submitted."""
        return self.declared.name

    @property
    def names(self) -> list[str]:
        """All names that workers know it by."""
        return [self.name, self.name + REPEATED] if self.repeats else [self.name]


def make_task_function(declared: Declaration, *, is_local: bool) -> TaskFunction:
    """Return a routine as a task; ``is_local`` says that it is run in this very process.

    Raises TaskRefused for a stream, for what no worker could import, and for a routine whose
    dependencies the engine refuses.
    """
    if declared.stream:
        raise TaskRefused(routine=declared.name, cause="it is a stream, which nobody would read")
    if find_reference(declared.wrapper) is None and not (is_local and _stands_in_main(declared)):
        cause = (
            "a worker could not import it: it has to stand at the top of a module, or in a class"
            " there, and not in the main program"
        )
        raise TaskRefused(routine=declared.name, cause=cause)
    run = _make_run(declared)
    try:
        dependencies = [*_list_dependencies(run)]
    except (TypeError, ValueError) as error:
        raise TaskRefused(routine=declared.name, cause=str(error)) from error
    repeats = [one for one in dependencies if isinstance(one, Perpetual)]
    return TaskFunction(
        declared,
        run,
        bool(repeats),
        any(one.automatic for one in repeats),
        max(map(_longest_wait, dependencies), default=0.0),
    )


def find_routines(module: ModuleType) -> list[Declaration]:
    """Return the routines that a module defines, in it and in its classes, each once."""
    found: dict[int, Declaration] = {}
    scopes: list[Any] = [module]
    for _ in range(_DEEPEST):
        members = [one for scope in scopes for one in _list_members(scope, module.__name__)]
        declared = [getattr(one, "__catena_routine__", None) for one in members]
        found |= {id(one): one for one in declared if isinstance(one, Declaration)}
        scopes = [one for one in members if isinstance(one, type)]
    return [*found.values()]


def _list_members(scope: Any, module: str) -> list[Any]:
    """Return what a module, or a class in it, has that was defined in that module."""
    members: list[Any] = [*scope.__dict__.values()]
    return [one for one in members if getattr(one, "__module__", None) == module]


def _make_run(declared: Declaration) -> Callable[..., Any]:
    function = declared.function
    if declared.plain:

        async def run(*args: Any, **kwargs: Any) -> Any:
            return await to_thread(function, *args, **kwargs)

    else:

        async def run(*args: Any, **kwargs: Any) -> Any:
            return await function(*args, **kwargs)

    functools.update_wrapper(run, function)
    run.__name__ = declared.name + REPEATED
    return run


def _stands_in_main(declared: Declaration) -> bool:
    function = declared.function
    return function.__module__ in MAIN and "<" not in function.__qualname__


def _list_dependencies(run: Callable[..., Any]) -> Iterator[Any]:
    yield from get_dependency_parameters(run).values()
    for found in get_annotation_dependencies(run).values():
        yield from found


def _longest_wait(dependency: Any) -> float:
    """Return how many seconds a dependency of the engine may let pass before the next run."""
    wait = timedelta(0)
    if isinstance(dependency, ExponentialRetry):
        wait = max(dependency.delay, dependency.maximum_delay)
    elif isinstance(dependency, Retry):
        wait = dependency.delay
    elif isinstance(dependency, Perpetual):
        wait = dependency.every
    return wait.total_seconds()


def loaded_modules(name: str) -> list[ModuleType]:
    """Return a module that is loaded, and those of its package that are loaded as well."""
    return [
        module
        for found, module in sorted(sys.modules.items())
        if found == name or found.startswith(f"{name}.")
    ]
