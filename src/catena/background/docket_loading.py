"""Importing pydocket, which is an extra: whoever lacks it is given the command to install it.

The modules of this package import it only here, and nothing of it that is not public.
"""

from __future__ import annotations

from catena.errors import install_command

try:
    from docket import (
        CurrentExecution,
        Depends,
        Docket,
        ExecutionCancelled,
        ExponentialRetry,
        Perpetual,
        Retry,
        Worker,
    )
    from docket.dependencies import (
        AdmissionBlocked,
        current_execution,
        get_annotation_dependencies,
        get_dependency_parameters,
    )
    from docket.execution import Disposition, Execution as DocketExecution, ExecutionState
    from redis.exceptions import RedisError
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        f"{missing.name} is not installed: {install_command('background')}", name=missing.name
    ) from None

__all__ = [
    "AdmissionBlocked",
    "CurrentExecution",
    "Depends",
    "Disposition",
    "Docket",
    "DocketExecution",
    "ExecutionCancelled",
    "ExecutionState",
    "ExponentialRetry",
    "Perpetual",
    "RedisError",
    "Retry",
    "Worker",
    "current_execution",
    "get_annotation_dependencies",
    "get_dependency_parameters",
]
