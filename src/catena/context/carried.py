"""Carried variables: those of the standard library whose values go along with calls.

The code that reads them knows nothing of Catena: a web framework's request id, a logger's fields.
So there are no tokens, no guard and no chain: the value is read when a call is captured, and bound
where it is mounted.

In every process such a variable is known by its *place*, ``module:name``. A worker imports the
module and finds its own variable there. What it cannot find, it keeps as the bytes that came: they
go on with the calls that it makes itself, and are the value once the variable is found.
"""

from __future__ import annotations

import contextvars
import importlib
import sys
import warnings
from collections.abc import Callable, Iterable
from typing import Any, Protocol, cast

from catena.context import registry
from catena.context.variable import MISSING, Propagation
from catena.errors import ContextVarCollision, SerializationWarning
from catena.ids import Key
from catena.wording import reason

NAMESPACE = "contextvars"
"""The namespace of their keys; the name is the place."""

PLACES_LIMIT = 1024
"""How many variables that cannot be found here are kept."""

MAIN = ("__main__", "__mp_main__")


class Unread:
    """A value that is still bytes, because nobody here has found its variable."""

    __slots__ = ("data", "loads")

    def __init__(self, data: bytes, loads: Callable[[bytes], Any]) -> None:
        self.data = data
        self.loads = loads


class Carried(Protocol):
    """A variable whose value is carried."""

    @property
    def key(self) -> Key:
        """Its identity in every process."""
        ...

    @property
    def propagate(self) -> Propagation:
        """Whether what a worker binds anew comes back ("both") or not ("forward")."""
        ...

    @property
    def is_found(self) -> bool:
        """Whether it can be read here."""
        ...

    @property
    def fails_alone(self) -> bool:
        """Whether one that cannot be pickled is left out with a warning, whatever else holds."""
        ...

    def bind(self, value: Any, /) -> Callable[[], None]:
        """Bind a value in the current Context; return what takes it back there."""
        ...


class CarriedVariable:
    """A ``contextvars.ContextVar`` and the place by which every process knows it.

    ``var`` is a variable of our own, which holds bytes, until the real one is found.
    """

    fails_alone = False

    def __init__(
        self, place: str, var: contextvars.ContextVar[Any] | None, propagate: Propagation
    ) -> None:
        self.key: Key = (NAMESPACE, place)
        self.propagate: Propagation = propagate
        self.declared_at = ""
        self.is_found = var is not None
        self.var: contextvars.ContextVar[Any] = var or contextvars.ContextVar(f"catena:{place}")

    def bind(self, value: Any, /) -> Callable[[], None]:
        """Bind a value in the current Context; return what takes it back there."""
        token = self.var.set(value)

        def take_back() -> None:
            # Not possible in another Context, nor where the binding hides an earlier one.
            if token.old_value is contextvars.Token.MISSING:
                self.var.reset(token)

        return take_back

    def find(self, var: contextvars.ContextVar[Any]) -> None:
        """Be known as the real variable from now on; bytes that wait here become its value."""
        waiting, self.var, self.is_found = self.var.get(None), var, True
        if isinstance(waiting, Unread):
            try:
                var.set(waiting.loads(waiting.data))
            except Exception as error:
                cause = reason(error)
                warnings.warn(
                    SerializationWarning(key=self.key, doing="read", cause=cause), stacklevel=4
                )


Source = Callable[[], Iterable[tuple[Carried, Any]]]
"""Returns what is bound in the current Context, and the values."""

sources: list[Source] = []
"""What is asked at every capture; empty in a process that carries nothing."""

_known: dict[str, CarriedVariable] = {}
_places: dict[contextvars.ContextVar[Any], str] = {}
_special: dict[str, Callable[[str], Carried | None]] = {}
_tried: set[str] = set()
_all: tuple[CarriedVariable, ...] = ()


def read_carried() -> list[tuple[Carried, Any]]:
    """Return what is carried and bound in the current Context, and the values.

    Those that a worker may bind for us are there in any case, with ``MISSING`` where they are not.
    """
    return [pair for source in tuple(sources) for pair in source()]


def _read_variables() -> list[tuple[Carried, Any]]:
    pairs: list[tuple[Carried, Any]] = [(one, one.var.get(MISSING)) for one in _all]
    return [pair for pair in pairs if pair[1] is not MISSING or pair[0].propagate == "both"]


def find_carried(var: contextvars.ContextVar[Any]) -> CarriedVariable | None:
    """Return what carries a variable, None when it is not carried."""
    place = _places.get(var)
    return None if place is None else _known[place]


def add_special(module: str, make: Callable[[str], Carried | None]) -> None:
    """Have places of a module looked up by a function of their own, which is given the name."""
    _special[module] = make


def add_variable(
    place: str, var: contextvars.ContextVar[Any], propagate: Propagation, declared_at: str
) -> CarriedVariable:
    """Carry a variable under its place; carrying it once more changes how.

    Raises ContextVarCollision when another variable is carried under that place and still there.
    """
    with registry.lock:
        known = _known.get(place)
        if known is not None and known.is_found and known.var is not var:
            if look_up(place) is not var:
                at = known.declared_at
                raise ContextVarCollision(namespace=NAMESPACE, name=place, declared_at=at)
            # A cell of a notebook, or a reload, has replaced the variable.
            _places.pop(known.var, None)
            known.var = var
        before = _places.pop(var, None)
        if before is not None and before != place:
            _known.pop(before, None)
        if known is None:
            known = _known[place] = CarriedVariable(place, var, propagate)
        elif not known.is_found:
            known.find(var)
        known.propagate, known.declared_at = propagate, declared_at
        _note(known)
        return known


def receive_carried(key: Key, propagate: Propagation, *, load: bool) -> Carried | None:
    """Return what a key that came over the wire stands for, None when there are too many.

    With ``load`` its module is imported. What is not found waits as bytes.
    """
    place = key[1]
    module, _, name = place.partition(":")
    if module in _special and (found := _special[module](name)) is not None:
        return found
    known = _known.get(place)
    if known is not None and known.is_found:
        return known
    var = look_up(place, load=load)
    with registry.lock:
        if var is not None and (here := _places.get(var)) is not None:
            # It goes under another name here.
            return _known[here]
        known = _known.get(place)
        if known is None:
            if var is None and sum(not one.is_found for one in _all) >= PLACES_LIMIT:
                return None
            known = _known[place] = CarriedVariable(place, var, propagate)
        elif var is not None and not known.is_found:
            known.find(var)
        if not known.declared_at:
            known.propagate = propagate
        _note(known)
        return known


def restore_carried(
    place: str, name: str, propagate: Propagation, *default: Any
) -> contextvars.ContextVar[Any]:
    """Return the variable that code which crossed by value refers to: found here, or made."""
    known = receive_carried((NAMESPACE, place), propagate, load=True)
    if not isinstance(known, CarriedVariable):
        raise TypeError(f"{place} is no variable that code can refer to")
    with registry.lock:
        if not known.is_found:
            made: contextvars.ContextVar[Any] = (
                contextvars.ContextVar(name, default=default[0])
                if default
                else contextvars.ContextVar(name)
            )
            known.find(made)
            _note(known)
        return known.var


def look_up(place: str, *, load: bool = False) -> contextvars.ContextVar[Any] | None:
    """Return the variable at a place, None where there is none; ``load`` imports its module.

    A worker's main module is another one, so nothing is looked up there for others.
    """
    module, _, name = place.partition(":")
    found: Any = sys.modules.get(module)
    if found is None and load and module not in MAIN and place not in _tried:
        _tried.add(place)
        try:
            found = importlib.import_module(module)
        except Exception:
            # The value waits, and goes on from here as it came.
            found = None
    for part in name.split(".") if found is not None else ():
        found = getattr(found, part, None)
    is_variable = isinstance(found, contextvars.ContextVar)
    return cast("contextvars.ContextVar[Any]", found) if is_variable else None


def _note(one: CarriedVariable) -> None:
    global _all  # noqa: PLW0603 - the process's own
    if one.is_found:
        _places[one.var] = one.key[1]
    _all = tuple(_known.values())
    if _read_variables not in sources:
        sources.append(_read_variables)
