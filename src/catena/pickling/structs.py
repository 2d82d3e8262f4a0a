"""Classes of msgspec by value: their metaclass is written in C and makes them from annotations.

The metaclass keeps data that no attribute shows, so such a class is declared again on the worker.
"""

from __future__ import annotations

import importlib
import sys
from types import MemberDescriptorType
from typing import Any, cast

from catena.pickling import origins
from catena.pickling.classes import fill_class


def is_struct(cls: Any) -> bool:
    """Say whether a class is a ``msgspec.Struct``."""
    msgspec = sys.modules.get("msgspec")
    return msgspec is not None and isinstance(cls, msgspec.StructMeta)


def reduce_struct(cls: Any) -> tuple[Any, ...]:
    """Return how such a class is pickled: its fields with their defaults, its options, the rest."""
    own = dict(cast("dict[str, Any]", vars(cls)))
    meta = cast("Any", type(cls))
    annotations = own.pop("__annotations__", {})
    config = cls.__struct_config__
    options = {name: getattr(config, name) for name in dir(config) if not name.startswith("_")}
    options["kw_only"] = not set(annotations) & set(cls.__match_args__)
    names = {
        "__module__": own.pop("__module__", None),
        "__qualname__": cls.__qualname__,
        "__annotations__": annotations,
    }
    left = ("__slots__", "__dict__", "__weakref__", *names)
    attributes = {
        name: value
        for name, value in own.items()
        if name not in left and not isinstance(value, MemberDescriptorType)
    }
    defaults = {name: one for name, one in _defaults_of(cls).items() if name in annotations}
    made = (_make_struct, (meta, cls.__name__, cls.__bases__, names, defaults, options))
    return origins.with_identity(
        cls, (*made, (attributes, [], {}), None, None, fill_class), shared=True
    )


def _defaults_of(cls: Any) -> dict[str, tuple[bool, Any]]:
    """Return the default of each field that has one, and whether it is a factory."""
    nothing = sys.modules["msgspec"].NODEFAULT
    pairs = zip(reversed(cls.__struct_fields__), reversed(cls.__struct_defaults__), strict=False)
    known = ((name, one) for name, one in pairs if one is not nothing)
    return {name: (True, one.factory) if _is_factory(one) else (False, one) for name, one in known}


def _is_factory(default: Any) -> bool:
    return type(default).__module__.startswith("msgspec") and hasattr(default, "factory")


def _make_struct(
    meta: Any,
    name: str,
    bases: tuple[Any, ...],
    names: dict[str, Any],
    defaults: dict[str, tuple[bool, Any]],
    options: dict[str, Any],
) -> Any:
    field = importlib.import_module("msgspec").field
    given = {
        one: field(default_factory=value) if factory else value
        for one, (factory, value) in defaults.items()
    }
    return meta(name, bases, {**names, **given}, **options)
