"""Catena: await a routine in another process, and its context comes back.

The public names, and nothing else. Submodules never import this one.
"""

from __future__ import annotations

from importlib import import_module as _import_module
from typing import Any as _Any

import catena.activation as _activation
from catena.context.factory import install_task_factory
from catena.context.offload import to_thread
from catena.context.runtime import RuntimeContext
from catena.context.token import Token
from catena.context.var import ContextVar
from catena.dispatch.routine import Routine, routine
from catena.dispatch.statistics import Statistics, statistics
from catena.errors import (
    Busy,
    CatenaError,
    CatenaWarning,
    ChainContention,
    ChainSerializationError,
    ContextVarCollision,
    DispatchTimeout,
    NoPool,
    ProtocolError,
    RemoteError,
    SerializationError,
    SerializationWarning,
    TaskFactoryDisplaced,
    VersionRefused,
    WorkerLost,
    WorkerStartError,
)
from catena.pool.pool import WorkerPool
from catena.wire.versions import SOFTWARE as __version__

__all__ = [
    "Busy",
    "CatenaError",
    "CatenaWarning",
    "ChainContention",
    "ChainSerializationError",
    "ContextVar",
    "ContextVarCollision",
    "DispatchTimeout",
    "NoPool",
    "ProtocolError",
    "RemoteError",
    "Routine",
    "RuntimeContext",
    "SerializationError",
    "SerializationWarning",
    "Statistics",
    "TaskFactoryDisplaced",
    "Token",
    "VersionRefused",
    "WorkerLost",
    "WorkerPool",
    "WorkerStartError",
    "__version__",
    "install_task_factory",
    "routine",
    "statistics",
    "to_thread",
]

_LATE = ("logging", "telemetry")

_activation.start()


def __getattr__(name: str) -> _Any:
    """Return a submodule that is loaded when it is first used."""
    if name in _LATE:
        return _import_module(f"catena.{name}")
    raise AttributeError(f"module 'catena' has no attribute {name!r}")
