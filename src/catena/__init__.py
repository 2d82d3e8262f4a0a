"""Catena: await a routine in another process, and its context comes back.

``dir(catena)`` shows the public names and nothing else. The submodules ``asgi``, ``background``,
``collect``, ``discovery``, ``engines``, ``events``, ``logging``, ``telemetry`` and ``testing`` are
public, too, and loaded when they are first used.
"""

from __future__ import annotations

import importlib as _importlib
import typing as _typing

from catena._autostart import register_telemetry as _register
from catena.context.carry import carry, carry_structlog
from catena.context.options import RuntimeContext
from catena.context.tasks.displacement import install_task_factory
from catena.context.to_thread import to_thread
from catena.context.var import ContextVar, Token
from catena.dispatch.holding import cancelled
from catena.dispatch.kinds import PlainRoutine
from catena.dispatch.retry import Retry
from catena.dispatch.routine import Routine, routine
from catena.dispatch.statistics import Statistics, statistics
from catena.errors import (
    AddressRefused,
    BlockingRefused,
    Busy,
    CatenaError,
    CatenaWarning,
    ChainContention,
    ChainSerializationError,
    ContextVarCollision,
    CredentialsError,
    DefaultPoolExists,
    DispatchTimeout,
    ForkedPool,
    ForkRefused,
    NoFittingWorker,
    NoPool,
    NoQueue,
    PeerRefused,
    ProtocolError,
    QueueUnreachable,
    RemoteError,
    SerializationError,
    SerializationWarning,
    SnapshotError,
    TaskCancelled,
    TaskFactoryDisplaced,
    TaskRefused,
    VersionRefused,
    WorkerLost,
    WorkerStartError,
)
from catena.pool.pool import WorkerPool, default_pool
from catena.pool.worker_server import WorkerServer
from catena.security.credentials import credentials
from catena.wire.versions import SOFTWARE as __version__

__all__ = [
    "AddressRefused",
    "BlockingRefused",
    "Busy",
    "CatenaError",
    "CatenaWarning",
    "ChainContention",
    "ChainSerializationError",
    "ContextVar",
    "ContextVarCollision",
    "CredentialsError",
    "DefaultPoolExists",
    "DispatchTimeout",
    "ForkRefused",
    "ForkedPool",
    "NoFittingWorker",
    "NoPool",
    "NoQueue",
    "PeerRefused",
    "PlainRoutine",
    "ProtocolError",
    "QueueUnreachable",
    "RemoteError",
    "Retry",
    "Routine",
    "RuntimeContext",
    "SerializationError",
    "SerializationWarning",
    "SnapshotError",
    "Statistics",
    "TaskCancelled",
    "TaskFactoryDisplaced",
    "TaskRefused",
    "Token",
    "VersionRefused",
    "WorkerLost",
    "WorkerPool",
    "WorkerServer",
    "WorkerStartError",
    "__version__",
    "cancelled",
    "carry",
    "carry_structlog",
    "credentials",
    "default_pool",
    "install_task_factory",
    "routine",
    "statistics",
    "to_thread",
]

_SUBMODULES = (
    "asgi",
    "background",
    "collect",
    "discovery",
    "engines",
    "events",
    "logging",
    "telemetry",
    "testing",
)

_register()

if not _typing.TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Load a public submodule when it is first used."""
        if name in _SUBMODULES:
            return _importlib.import_module(f"catena.{name}")
        raise AttributeError(f"module 'catena' has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*__all__, *_SUBMODULES})
