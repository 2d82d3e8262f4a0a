"""Objects that travel as a name: a worker gets them by importing the module that defines them.

A module counts as importable when the import system finds it again, at the place from which this
process loaded it. A module that was loaded some other way (a script, a plugin from a path, a test
under ``--import-mode=importlib``), one that was registered with
``cloudpickle.register_pickle_by_value``, and one that was loaded anew by ``importlib.reload`` goes
by value.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable
from operator import attrgetter
from pathlib import Path
from types import MethodType, ModuleType
from typing import Any, cast

import cloudpickle  # pyright: ignore[reportMissingTypeStubs]

MAIN = ("__main__", "__mp_main__")
"""What a worker's own main module would be taken for."""

_DECORATORS = 32
"""How many decorators are looked through for the function beneath them."""


_modules: dict[str, tuple[Any, bool]] = {}
"""The spec of each module when it was first asked about, and whether it was found.

A reload gives a module another spec.
"""


def find_reference(obj: Any) -> str | None:
    """Return ``module:qualified.name`` when importing that yields this very object, else None.

    An object under its decorators is found too, by the ``__wrapped__`` that they leave, and a
    function in its classmethod. What lives in ``__main__`` has no reference: a worker's main module
    is another one.
    """
    module, name = getattr(obj, "__module__", None), getattr(obj, "__qualname__", None)
    if type(module) is not str or type(name) is not str or not module or "<" in name:
        return None
    if not is_importable(module):
        return None
    found = look_up(sys.modules[module], name)
    for _ in range(_DECORATORS):
        if found is obj:
            return f"{module}:{name}"
        step = "__func__" if isinstance(found, MethodType) else "__wrapped__"
        found = getattr(found, step, None)
        if found is None:
            return None
        name = f"{name}.{step}"
    return None


def look_up(module: object, name: str) -> Any:
    """Return what a dotted name leads to in a module, None where it leads nowhere."""
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def load_reference(name: str) -> Any:
    """Import what ``reference`` named. Raises ImportError or AttributeError."""
    module, _, qualname = name.partition(":")
    return attrgetter(qualname)(importlib.import_module(module))


def module_of(reference: str) -> tuple[ModuleType, Any]:
    """Return the module that a reference names, and the spec that it has until it is reloaded."""
    module = sys.modules[reference.partition(":")[0]]
    return module, getattr(module, "__spec__", None)


def is_importable(name: str) -> bool:
    """Say whether a worker may import this module and get what this process has under its name."""
    module = sys.modules.get(name)
    if module is None or name in MAIN or _is_registered_by_value(name):
        return False
    spec = getattr(module, "__spec__", None)
    if name not in _modules:
        _modules[name] = spec, _is_found(name, spec)
    first, found = _modules[name]
    return found and first is spec


def _is_registered_by_value(name: str) -> bool:
    """Say whether cloudpickle was asked to pickle a module, or a package it is in, by value."""
    names = cast("set[str]", cloudpickle.list_registry_pickle_by_value())
    return any(name == one or name.startswith(one + ".") for one in names)


def _is_found(name: str, spec: Any) -> bool:
    """Say whether the import system finds a module, and the same one."""
    package, _, _ = name.rpartition(".")
    if name.partition(".")[0] in sys.stdlib_module_names:
        return True
    path: Iterable[str] | None = None
    if package:
        if not is_importable(package):
            return False
        path = getattr(sys.modules[package], "__path__", None)
        if spec is None or path is None:
            # Its package makes it when it is imported, as six does.
            return True
    found = _find_spec(name, path)
    if found is None:
        return _was_found_once(name, spec)
    return spec is None or _same_place(found.origin, getattr(spec, "origin", None))


def _find_spec(name: str, path: Iterable[str] | None) -> Any:
    """Ask the finders as an import does; importlib.util would answer with what is loaded."""
    for finder in sys.meta_path:
        find = getattr(finder, "find_spec", None)
        try:
            found = find(name, path, None) if find is not None else None
        except Exception:
            # Somebody's own finder: an import fails with it, too.
            return None
        if found is not None:
            return found
    return None


def _was_found_once(name: str, spec: Any) -> bool:
    """Say whether a relative entry of sys.path led to the module before the directory changed."""
    origin = getattr(spec, "origin", None)
    if not isinstance(origin, str):
        return False
    file = Path(origin)
    parents = file.parents
    steps = name.count(".") + (file.stem == "__init__")
    relative = any(not Path(one).is_absolute() for one in sys.path)
    return relative and steps < len(parents) and str(parents[steps]) in sys.path_importer_cache


def _same_place(one: object, other: object) -> bool:
    if one == other or not (isinstance(one, str) and isinstance(other, str)):
        return one is None or one == other
    return Path(one).resolve() == Path(other).resolve()
