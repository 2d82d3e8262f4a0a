"""Catena: await a routine in another process, and its context comes back.

The public names, and nothing else. Submodules never import this one.
"""

from __future__ import annotations

import typing as _typing

import catena.activation as _activation
from catena.context.factory import install_task_factory
from catena.context.offload import to_thread
from catena.context.runtime import RuntimeContext
from catena.context.token import Token
from catena.context.var import ContextVar
from catena.dispatch.routine import Routine, routine
from catena.dispatch.statistics import Statistics, statistics
from catena.errors import (
    AddressRefused,
    Busy,
    CatenaError,
    CatenaWarning,
    ChainContention,
    ChainSerializationError,
    ContextVarCollision,
    DispatchTimeout,
    ForkedPool,
    ForkRefused,
    NoPool,
    PeerRefused,
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
    "AddressRefused",
    "Busy",
    "CatenaError",
    "CatenaWarning",
    "ChainContention",
    "ChainSerializationError",
    "ContextVar",
    "ContextVarCollision",
    "DispatchTimeout",
    "ForkRefused",
    "ForkedPool",
    "NoPool",
    "PeerRefused",
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

_activation.start()

if not _typing.TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Return a submodule that is loaded when it is first used."""
        return _activation.submodule(name)
