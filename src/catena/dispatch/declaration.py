"""What the decorator knows of a routine: the function, its name, its options, how it is pickled."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import astuple, dataclass
from typing import Any, cast

from catena.dispatch.retry import Retry
from catena.errors import SerializationError
from catena.events import announced
from catena.pickling import pickler, references
from catena.pickling.blame import locate_unsendable
from catena.wording import reason

_KNOWN = 3
"""How many options of a routine release 0.1.0 knows; what came later travels by name."""


def _accept_anything(*_: Any, **__: Any) -> None:
    """Take any arguments: those of a callable that is no function are checked on the worker."""


@dataclass(slots=True, eq=False)
class Declaration:
    """A routine as declared.

    ``function`` is the user's, ``wrapper`` what the decorator returned, ``stream`` says that it is
    an async generator, ``plain`` that it is a function that a worker runs on a thread, and
    ``cancel_grace`` how many seconds a cancelled caller waits for its end. While it runs, a call
    takes so many ``slots`` of its worker. ``timeout`` and ``dispatch_timeout`` are seconds, None
    without a bound of its own; ``kill_after`` seconds after the timeout the worker is killed when
    the call goes on, None never kills it; ``retry`` is None where a call whose worker is lost fails
    at once. ``check`` takes the arguments of a call and raises TypeError for wrong ones; ``run``
    dispatches it.
    """

    function: Callable[..., Any]
    name: str
    stream: bool
    cancel_grace: float
    timeout: float | None = None
    dispatch_timeout: float | None = None
    retry: Retry | None = None
    kill_after: float | None = None
    plain: bool = False
    slots: int = 0
    wrapper: Any = None
    check: Callable[..., None] = _accept_anything
    run: Any = None
    _by_reference: bytes | None = None
    _module: Any = None
    _spec: Any = None

    def dumps(self) -> bytes:
        """Return the wrapper as bytes: by reference when importable, else by value.

        By value it is pickled for every call, since what it closes over may have changed. Raises
        SerializationError.
        """
        if self._by_reference is not None and self._module.__spec__ is self._spec:
            return self._by_reference
        self._by_reference = None
        try:
            data = pickler.dumps(self.wrapper)
        except Exception as error:
            cause = locate_unsendable(self.function) + reason(error)
            raise announced(
                SerializationError(what="the code", routine=self.name, cause=cause)
            ) from error
        name = references.find_reference(self.wrapper)
        if name is not None:
            self._module, self._spec = references.module_of(name)
            self._by_reference = data
        return data

    def out_of_time(self) -> TimeoutError:
        """Return the error of a call whose time is up."""
        return TimeoutError(f"routine {self.name} ran out of time")

    def reduce_wrapper(self, obj: Any, *_: Any) -> Any:
        """Return how the wrapper is pickled; asked by Catena's pickler alone.

        NotImplemented for another function, to which a decorator has copied the attributes.
        """
        if obj is not self.wrapper:
            return NotImplemented
        name = references.find_reference(self.wrapper)
        if name is not None:
            return references.load_reference, (name,)
        # In two steps, because the function may refer to its own wrapper.
        options: tuple[Any, ...] = (self.cancel_grace, self.timeout, self.dispatch_timeout)
        later: dict[str, Any] = {}
        if self.retry is not None:
            # As plain values: release 0.1.0 has no such class.
            later["retry"] = astuple(self.retry)
        if self.slots != self.plain:
            later["slots"] = self.slots
        if self.kill_after is not None:
            later["kill_after"] = self.kill_after
        if later:
            # Release 0.1.0 passes over one value more.
            options += (later,)
        if self.plain:
            return _plain_shell, (self.name, *options), self.function, None, None, _fill
        return _shell, (self.name, self.stream, *options), self.function, None, None, _fill

    def __catena_reduce__(self, *_: Any) -> tuple[Any, ...]:
        # It is found where a decorator copied the wrapper's attributes to an object of its own.
        return declaration_of, (self.wrapper,)


def declaration_of(wrapper: Any) -> Declaration:
    """Return what the decorator knows of a routine. Raises TypeError for anything else."""
    found = getattr(wrapper, "__catena_routine__", None)
    if not isinstance(found, Declaration):
        raise TypeError(f"{wrapper!r} is not a routine")
    return found


def dump_arguments(declared: Declaration, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
    """Return the arguments of a call as bytes.

    Raises SerializationError that names the routine and the argument.
    """
    try:
        return pickler.dumps((args, kwargs))
    except Exception as error:
        what, value = _find_culprit(declared.function, args, kwargs)
        cause = locate_unsendable(value) + reason(error)
        raise announced(
            SerializationError(what=what, routine=declared.name, cause=cause)
        ) from error


def _shell(name: str, stream: bool, *options: Any, plain: bool = False) -> Any:  # noqa: FBT001
    from catena.dispatch.routine import make_wrapper  # noqa: PLC0415 - it imports this module

    later: dict[str, Any] = options[_KNOWN] if len(options) > _KNOWN else {}
    declared = Declaration(cast("Any", None), name, stream, *options[:_KNOWN], plain=plain)
    if "retry" in later:
        declared.retry = Retry(*later["retry"])
    declared.slots = later.get("slots", int(plain))
    declared.kill_after = later.get("kill_after")
    return make_wrapper(declared)


def _plain_shell(name: str, *options: Any) -> Any:
    """Return the wrapper of a plain function. 0.1.0 has no such name, and refuses the call."""
    return _shell(name, False, *options, plain=True)


def _fill(wrapper: Any, function: Callable[..., Any]) -> None:
    from catena.dispatch.routine import dress_wrapper  # noqa: PLC0415

    declared = declaration_of(wrapper)
    declared.function = function
    dress_wrapper(declared)


def _find_culprit(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[str, Any]:
    """Return the argument that cannot be sent, by its name, and its value."""
    parameters = list(inspect.signature(function).parameters)
    named = [
        (parameters[at] if at < len(parameters) else str(at), value)
        for at, value in enumerate(args)
    ]
    for name, value in [*named, *kwargs.items()]:
        try:
            pickler.dumps(value)
        except Exception:
            return f"argument {name!r}", value
    return "the arguments together", None
