"""``carry`` and ``carry_structlog``: what an application calls to have variables carried."""

from __future__ import annotations

import contextvars
import importlib
import sys
from collections.abc import Callable
from typing import Any

from catena.context import declaring
from catena.context.carried import (
    MAIN,
    NAMESPACE,
    Carried,
    add_special,
    add_variable,
    sources,
)
from catena.context.variable import Propagation
from catena.errors import install_command
from catena.ids import Key

_STRUCTLOG = "structlog.contextvars"


def carry(
    *variables: contextvars.ContextVar[Any],
    propagate: Propagation = "forward",
    at: str | None = None,
) -> None:
    """Have the values of ``contextvars.ContextVar`` go along with every call.

    What is bound where a call is made is bound in the routine, and unbound after it. With
    ``propagate="both"`` a variable that the routine binds anew is bound anew in the caller as well;
    what is changed in place does not come back.

    Workers find each variable by its module and name, which are looked for in the modules that are
    loaded here; ``at="module:name"`` names them for a variable that stands elsewhere. A variable of
    the main module needs nothing more. Carrying a variable once more changes how.

    Raises TypeError for anything but variables of the standard library, ValueError for an unknown
    ``propagate``, for an ``at`` of another form or for several variables, and for a variable that
    stands in no module, and ContextVarCollision when another variable is carried under the name.
    """
    if not variables:
        raise TypeError("carry() takes at least one contextvars.ContextVar")
    if propagate not in ("both", "forward"):
        raise ValueError(f"propagate must be 'both' or 'forward', not {propagate!r}")
    for var in variables:
        _check_variable(var)
    if at is not None and len(variables) > 1:
        raise ValueError("at names one variable: carry each with its own at=")
    places = [_find_place(var) if at is None else _checked_place(at) for var in variables]
    frame = declaring.find_declaring_frame()
    declared_at = f"{frame.f_code.co_filename}:{frame.f_lineno}"
    for place, var in zip(places, variables, strict=True):
        add_variable(place, var, propagate, declared_at)


def carry_structlog() -> None:
    """Have what is bound by ``structlog.contextvars`` go along with every call, to workers only.

    A field that cannot be pickled is left out, with one warning. Workers need structlog, and
    ``merge_contextvars`` among its processors, which it has by default.

    Raises ModuleNotFoundError when structlog is not installed.
    """
    if _read_structlog not in sources:
        try:
            importlib.import_module(_STRUCTLOG)
        except ImportError as error:
            command = install_command("structlog")
            raise ModuleNotFoundError(f"structlog is not installed: {command}") from error
        sources.append(_read_structlog)


class StructlogField:
    """A field that structlog adds to the records of a context."""

    propagate: Propagation = "forward"
    is_found = True
    fails_alone = True

    def __init__(self, name: str) -> None:
        self.name = name
        self.key: Key = (NAMESPACE, f"{_STRUCTLOG}:{name}")

    def bind(self, value: Any, /) -> Callable[[], None]:
        """Bind a value in the current Context; return what takes it back there."""
        module = sys.modules[_STRUCTLOG]
        module.bind_contextvars(**{self.name: value})
        return lambda: module.unbind_contextvars(self.name)


_fields: dict[str, StructlogField] = {}


def _field_of(name: str) -> StructlogField:
    return _fields.get(name) or _fields.setdefault(name, StructlogField(name))


def _read_structlog() -> list[tuple[Carried, Any]]:
    bound: dict[str, Any] = sys.modules[_STRUCTLOG].get_contextvars()
    return [(_field_of(name), value) for name, value in bound.items()]


def _receive_field(name: str) -> StructlogField | None:
    """Return the field of a name that has come; None where structlog is not installed."""
    try:
        carry_structlog()
    except ImportError:
        return None
    return _field_of(name)


add_special(_STRUCTLOG, _receive_field)


def _check_variable(var: object) -> None:
    if isinstance(var, contextvars.ContextVar):
        return
    if type(var).__name__ == "ContextVar":
        raise TypeError("a catena.ContextVar goes along by itself: it need not be carried")
    raise TypeError(f"carry() takes contextvars.ContextVar, not {type(var).__name__}")


def _checked_place(at: object) -> str:
    if not isinstance(at, str):
        raise TypeError(f"at must be a text such as 'module:name', it is {at!r}")
    module, _, name = at.partition(":")
    parts = [*module.split("."), *name.split(".")]
    if not all(part.isidentifier() for part in parts):
        raise ValueError(f"at must have the form 'module:name', it is {at!r}")
    return at


def _find_place(var: contextvars.ContextVar[Any]) -> str:
    """Return where a variable stands; of several modules that have it, the likeliest to define it.

    That is one that has been imported to its end, before one that only just imports it.
    """
    modules = [(name, vars(one)) for name, one in list(sys.modules.items()) if _has_names(one)]
    found = [(module, var.name) for module, names in modules if names.get(var.name) is var]
    if not found:
        found = [
            (module, name)
            for module, names in modules
            for name, value in list(names.items())
            if value is var
        ]
    if not found:
        raise ValueError(
            f"the contextvars.ContextVar {var.name!r} stands in no module that is loaded; say where"
            " workers find it: catena.carry(..., at='module:name')"
        )
    module, name = min(found, key=lambda one: (one[0] in MAIN, _is_importing(one[0])))
    return f"{MAIN[0] if module in MAIN else module}:{name}"


def _has_names(module: object) -> bool:
    return isinstance(getattr(module, "__dict__", None), dict)


def _is_importing(module: str) -> bool:
    spec = getattr(sys.modules.get(module), "__spec__", None)
    return bool(getattr(spec, "_initializing", False))
