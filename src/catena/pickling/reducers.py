"""How single objects of the standard library go by value, and which cannot.

Objects that pickle writes as a name that only this process knows (a type variable, a cached
function …) are made anew from their parts. Objects that stand for a resource of this process (an
open file, a variable of ``contextvars``) are refused, with the remedy.
"""

from __future__ import annotations

import contextvars
import dataclasses
import functools
import importlib
import io
import keyword
import pickle
import sys
import threading
import types
import typing
import weakref
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, cast

from catena.context.carried import find_carried, restore_carried
from catena.pickling import origins
from catena.pickling.references import MAIN, is_importable, look_up

Reduced = str | tuple[Any, ...]


# ---- code


_CODE = (
    *("argcount", "posonlyargcount", "kwonlyargcount", "nlocals", "stacksize", "flags", "code"),
    *("consts", "names", "varnames", "filename", "name", "qualname", "firstlineno", "linetable"),
    *("exceptiontable", "freevars", "cellvars"),
)
"""What a code object is made of, in this order."""


def _reduce_code(code: types.CodeType) -> Reduced:
    """Return a code object with its file name, which cloudpickle leaves out since 3.1.3."""
    given = {name: getattr(code, f"co_{name}") for name in _CODE}
    # New strings: pickle writes an interned one differently on its way back.
    for name in ("names", "varnames", "freevars", "cellvars"):
        given[name] = tuple("".join(one) for one in given[name])
    return types.CodeType, tuple({**given, "name": "".join(code.co_name)}.values())


def _reduce_module(module: types.ModuleType) -> Reduced:
    name = module.__name__
    if sys.modules.get(name) is module:
        if name in MAIN:
            raise TypeError("the main module as an object cannot be sent; workers have another one")
        if is_importable(name):
            return importlib.import_module, (name,)
    left = ("__builtins__", "__cached__", "__loader__", "__spec__")
    state = {key: value for key, value in vars(module).items() if key not in left}
    return origins.with_identity(module, (types.ModuleType, (name,), state), shared=True)


# ---- functools


def _reduce_partial_method(method: functools.partialmethod[Any]) -> Reduced:
    # From 3.14 on none can be made without its function, which is what pickle would try.
    return functools.partialmethod, (method.func,), vars(method)


def _do_nothing() -> None:
    """Stand where the function of a dispatcher will be."""


_DISPATCHER: Any = functools.singledispatch(_do_nothing)


def is_dispatcher(function: types.FunctionType) -> bool:
    """Say whether a function was made by ``functools.singledispatch``."""
    return function.__code__ is _DISPATCHER.__code__


def reduce_dispatcher(function: Any) -> tuple[Any, ...]:
    """Return how such a function is pickled: what was registered, without its cache."""
    attributes = {k: v for k, v in function.__dict__.items() if k not in _DISPATCHER.__dict__}
    registered: list[Any] = list(function.registry.items())
    state = (registered, {**attributes, "__module__": function.__module__})
    made = (_make_dispatcher, (function.__name__, function.__qualname__), state)
    return origins.with_identity(function, (*made, None, None, _fill_dispatcher), shared=False)


def _make_dispatcher(name: str, qualname: str) -> Any:
    def placeholder() -> None: ...

    placeholder.__name__, placeholder.__qualname__ = name, qualname
    return functools.singledispatch(placeholder)


def _fill_dispatcher(function: Any, state: tuple[list[tuple[type, Any]], dict[str, Any]]) -> None:
    registered, attributes = state
    for kind, implementation in registered:
        function.register(kind, implementation)
    for name, value in attributes.items():
        setattr(function, name, value)


def _reduce_cached(function: Any) -> Reduced:
    """Return how ``lru_cache(…)(f)`` is pickled: with its options and without its cache."""
    options: dict[str, Any] = function.cache_parameters()
    attributes = {k: v for k, v in function.__dict__.items() if k != "cache_parameters"}
    made = (_make_cached, (options, function.__wrapped__), attributes)
    return _name_or(function, made, shared=False)


def _make_cached(options: dict[str, Any], function: Callable[..., Any]) -> Any:
    return functools.lru_cache(**options)(function)


def _reduce_cached_property(prop: functools.cached_property[Any]) -> Reduced:
    # Before 3.12 each has a lock, which is made with it.
    attributes = {name: value for name, value in vars(prop).items() if name != "lock"}
    return functools.cached_property, (prop.func,), attributes


# ---- typing


def _reduce_type_parameter(parameter: Any) -> Reduced:
    """Return how a TypeVar, a ParamSpec or a TypeVarTuple is pickled."""
    facts: dict[str, Any] = {}
    for option in ("bound", "covariant", "contravariant", "infer_variance"):
        value = getattr(parameter, f"__{option}__", None)
        if value:
            facts[option] = value
    has_default = getattr(parameter, "has_default", None)
    if has_default is not None and has_default():
        facts["default"] = parameter.__default__
    kind: Any = cast("Any", type(parameter))
    given = (kind, parameter.__name__, getattr(parameter, "__constraints__", ()), facts)
    made = (_make_parameter, (*given, parameter.__module__))
    return _name_or(parameter, made, shared=True)


def _make_parameter(
    kind: Any, name: str, constraints: tuple[Any, ...], facts: dict[str, Any], module: str
) -> Any:
    made = kind(name, *constraints, **facts)
    made.__module__ = module
    return made


def _reduce_new_type(kind: Any) -> Reduced:
    made: Any = (object.__new__, (typing.NewType,), vars(kind))
    return _name_or(kind, made, shared=True)


def _reduce_alias(alias: Any) -> Reduced:
    """Return how ``type X = …`` is pickled; one without parameters may be in its own value."""
    name, value, parameters = alias.__name__, alias.__value__, alias.__type_params__
    if parameters or not name.isidentifier() or keyword.iskeyword(name):
        return _name_or(alias, (_make_alias, (name, value, parameters)), shared=True)
    made = (_make_lazy_alias, (name, alias.__module__), value, None, None, _fill_alias)
    return _name_or(alias, made, shared=True)


_unfilled: dict[int, list[Any]] = {}


def _make_alias(name: str, value: Any, parameters: tuple[Any, ...]) -> Any:
    return getattr(typing, "TypeAliasType")(name, value, type_params=parameters)  # noqa: B009


def _make_lazy_alias(name: str, module: str) -> Any:
    value: list[Any] = []
    scope: dict[str, Any] = {"value": value, "__name__": module}
    exec(f"type {name} = value[0]", scope)  # noqa: S102 - only syntax makes one that is lazy
    alias = scope[name]
    _unfilled[id(alias)] = value
    return alias


def _fill_alias(alias: Any, value: Any) -> None:
    # What arrives again has its value already, which nothing can change.
    _unfilled.pop(id(alias), []).append(value)


# ---- what pickle would write as a name


def _name_or(obj: Any, reduced: tuple[Any, ...], *, shared: bool) -> Reduced:
    """Return the name by which a worker finds an object, or else what makes another one."""
    name = getattr(obj, "__qualname__", None) or obj.__name__
    module = obj.__module__
    if is_importable(module) and look_up(sys.modules[module], name) is obj:
        return name
    return origins.with_identity(obj, reduced, shared=shared)


def named(obj: Any, name: str) -> Reduced:
    """Return how an object is pickled that says itself that it is known by a name.

    Raises TypeError when workers do not know it and there is nothing to make it of.
    """
    module = getattr(obj, "__module__", None)
    if not isinstance(module, str) or is_importable(module):
        return name
    kind: Any = cast("Any", type(obj))
    try:
        object.__new__(kind)
    except TypeError:
        raise TypeError(
            f"{name!r} is known by its name in {module!r} alone, which workers do not import; "
            "define it in a module that they do"
        ) from None
    state = getattr(obj, "__dict__", None)
    return origins.with_identity(obj, (object.__new__, (kind,), state or None), shared=True)


def without_getattr(kind: Any, reduced: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return a reduction that is read without asking the bare object for ``__setstate__``.

    Its ``__getattr__`` would be asked, and many look into an attribute that is not there yet.
    """
    if len(reduced) < 3 or len(reduced) > 5 or hasattr(kind, "__setstate__"):
        return reduced
    return (*reduced, *(None,) * (5 - len(reduced)), _set_state)


def _set_state(obj: Any, state: Any) -> None:
    """Give an object its attributes, as pickle does by itself."""
    both: tuple[Any, Any] = cast("Any", state) if isinstance(state, tuple) else (state, {})
    attributes, slots = both
    if attributes:
        object.__getattribute__(obj, "__dict__").update(attributes)
    for name, value in slots.items():
        setattr(obj, name, value)


# From 3.15 on they are sentinels, which pickle knows how to write by itself.
_missing_names: dict[Any, str] = {
    type(mark): name
    for name in ("MISSING", "_HAS_DEFAULT_FACTORY")
    if type(mark := getattr(dataclasses, name, None)).__module__ == "dataclasses"
}


def _reduce_missing(obj: Any) -> Reduced:
    """Return a mark of dataclasses under its name: it is compared by identity."""
    return _missing_names[type(obj)]


# ---- weak dictionaries, whose references cannot be pickled


def _reduce_weak(mapping: Mapping[Any, Any]) -> Reduced:
    return type(mapping), (), None, None, iter(list(mapping.items()))


# ---- what is of this process


_FILES = (io.FileIO, io.TextIOWrapper, io.BufferedReader, io.BufferedWriter, io.BufferedRandom)


def is_file(obj: Any) -> bool:
    """Say whether an object is an open file, or what this process writes its output to."""
    return isinstance(obj, _FILES) or obj is sys.stdout or obj is sys.stderr


def reduce_file(file: Any) -> Reduced:
    """Return the name of an output of the process. Raises TypeError for an open file."""
    for name in ("stdout", "stderr"):
        if file is getattr(sys, name, None):
            return getattr, (sys, name)
    name = getattr(file, "name", None)
    which = f"the open file {name!r}" if name is not None else "an open file"
    raise TypeError(f"{which} cannot be sent; send its path, or what you read from it")


def _reduce_variable(variable: contextvars.ContextVar[Any]) -> Reduced:
    """Return the place of a carried variable, and its default. Raises TypeError for any other."""
    carried = find_carried(variable)
    if carried is None:
        name = variable.name
        raise TypeError(
            f"the contextvars.ContextVar {name!r} stays in this process, unless it is carried:"
            f" `catena.carry({name})`; or declare it as catena.ContextVar({name!r})"
        )
    facts = (carried.key[1], variable.name, carried.propagate)
    try:
        default = contextvars.Context().run(variable.get)
        pickle.dumps(default)
    except Exception:
        # It has none, or one that stays behind.
        return restore_carried, facts
    return restore_carried, (*facts, default)


def _refuse_context(_: contextvars.Context) -> NoReturn:
    raise TypeError("a contextvars.Context stays in this process; what is set goes along by itself")


def _refuse_of_this_process(obj: Any) -> NoReturn:
    name = type(obj).__qualname__.lstrip("_")
    raise TypeError(
        f"a {name} of threading belongs to one process and cannot be sent; make it inside the "
        "function, or in a module that workers import"
    )


REDUCERS: dict[type, Callable[[Any], Any]] = {
    types.CodeType: _reduce_code,
    types.ModuleType: _reduce_module,
    type(functools.lru_cache(_do_nothing)): _reduce_cached,
    functools.cached_property: _reduce_cached_property,
    functools.partialmethod: _reduce_partial_method,
    typing.TypeVar: _reduce_type_parameter,
    typing.ParamSpec: _reduce_type_parameter,
    typing.TypeVarTuple: _reduce_type_parameter,
    typing.NewType: _reduce_new_type,
    weakref.WeakKeyDictionary: _reduce_weak,
    weakref.WeakValueDictionary: _reduce_weak,
    contextvars.ContextVar: _reduce_variable,
    contextvars.Context: _refuse_context,
    type(threading.Lock()): _refuse_of_this_process,
    type(threading.RLock()): _refuse_of_this_process,
    threading.local: _refuse_of_this_process,
    **dict.fromkeys(_FILES, reduce_file),
    **dict.fromkeys(_missing_names, _reduce_missing),
}
"""How an object of exactly this type is reduced, before anybody else is asked."""

if sys.version_info >= (3, 12):
    REDUCERS[typing.TypeAliasType] = _reduce_alias
