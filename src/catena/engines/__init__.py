"""Engines that place and supervise workers; Catena dispatches to them.

``WorkerPool(launcher=catena.engines.Ray(count=4))`` has Ray start the workers of a pool. A launcher
is loaded when it is first used, and needs the extra of its engine.
"""

from __future__ import annotations

import importlib as _importlib
import typing as _typing

from catena.members import Launcher

if _typing.TYPE_CHECKING:
    from catena.engines.dask import Dask
    from catena.engines.ray import Ray

__all__ = ["Dask", "Launcher", "Ray"]

_ENGINES = {"Dask": "dask", "Ray": "ray"}

if not _typing.TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Load a launcher, or all that is for an engine, when it is first used."""
        if name in _ENGINES.values():
            return _importlib.import_module(f"catena.engines.{name}")
        if name in _ENGINES:
            return getattr(_importlib.import_module(f"catena.engines.{_ENGINES[name]}"), name)
        raise AttributeError(f"module 'catena.engines' has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*__all__, *_ENGINES.values()})
