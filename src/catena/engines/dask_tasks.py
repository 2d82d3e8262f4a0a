"""``with_context`` for Dask: the function that a task calls takes the submitter's context along."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

from catena.engines.mounting import (
    HeldFunction,
    TaskScope,
    capture_context,
    find_kind,
    name_function,
    run_coroutine,
    run_plain,
)
from catena.wire.manifests import decode_manifest

P = ParamSpec("P")
R = TypeVar("R")


def with_context(function: Callable[P, R], /, *, strict: bool = False) -> Callable[P, R]:
    """Return a function that runs in the context of this call, wherever Dask calls it.

    It is for ``client.submit``, ``client.map`` and all else in Dask that takes a function. Catena's
    variables, carried variables and the trace are captured now; each call has the values on a chain
    of its own, and nothing comes back. A coroutine function stays one. What cannot be pickled is
    left out with a SerializationWarning, and what cannot be read in the task likewise; with
    ``strict`` either is refused with ChainSerializationError.

    Raises TypeError for a generator function, which Dask does not run, SerializationError for a
    function that cannot be pickled, and ChainContention when somebody else runs the chain.
    """
    kind, name = find_kind(function), name_function(function)
    if kind in ("generator", "stream"):
        raise TypeError(
            f"{name} is a generator function, whose values Dask does not collect; return a list"
        )
    held = HeldFunction(name, function=function)
    held.pickle()
    captured = capture_context(name, strict=strict)
    task = ContextTask(held, captured, is_coroutine=kind == "coroutine", strict=strict)
    return cast("Callable[P, R]", task)


class ContextTask:
    """A function with the context that it is to run in; pickled with any pickler."""

    def __init__(
        self, held: HeldFunction, captured: bytes, *, is_coroutine: bool, strict: bool
    ) -> None:
        self._held = held
        self._captured = captured
        self._strict = strict
        # Dask calls a task by it, in its keys and on its pages.
        self.__name__ = held.name.rpartition(".")[2]
        # By this name Dask knows what it has to await, whatever kind of object it is.
        self.__tornado_coroutine__ = is_coroutine

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Call the function in its context; of a coroutine function, return what to await."""
        scope = TaskScope(self._held.name, self._captured, strict=self._strict)
        run = run_coroutine if self.__tornado_coroutine__ else run_plain
        return run(scope, self._held, args, kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        facts = (self._held, self._captured, self.__tornado_coroutine__, self._strict)
        return restore_task, facts

    def __dask_tokenize__(self) -> tuple[str, bytes, bytes]:
        """Return what a result depends on: the function and the values, not who asked for it."""
        return self._held.name, self._held.pickle(), decode_manifest(self._captured).entries

    def __repr__(self) -> str:
        return f"<ContextTask {self._held.name}>"


def restore_task(
    held: HeldFunction,
    captured: bytes,
    is_coroutine: bool,  # noqa: FBT001 - a pickle calls this
    strict: bool,  # noqa: FBT001
) -> ContextTask:
    """Return the task that a pickle describes."""
    return ContextTask(held, captured, is_coroutine=is_coroutine, strict=strict)
