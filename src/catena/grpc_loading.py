"""Importing gRPC with the environment that Catena needs; the core imports gRPC only here.

gRPC reads its environment variables when it is first imported in a process, and never again. So
they are set for that import and restored afterwards:

- its fork support is turned off, because the handlers that it registers end forked children at
  random while a link is open;
- its core logs nothing but errors, unless the user asked for something else, because it would
  log every peer that closes a link.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager

# Besides the names that this module defines, others import these two from it.
__all__ = ["aio", "grpc"]

FORK_SUPPORT = "GRPC_ENABLE_FORK_SUPPORT"
_VERBOSITY = "GRPC_VERBOSITY"
_TRACE = "GRPC_TRACE"
_NO = frozenset({"0", "f", "false", "n", "no"})


def wanted(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that gRPC is to be loaded with where the others are these."""
    found = {FORK_SUPPORT: "0"}
    if not environment.get(_VERBOSITY) and not environment.get(_TRACE):
        found[_VERBOSITY] = "ERROR"
    return found


@contextmanager
def _set(variables: Mapping[str, str]) -> Generator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        restore_variables(before)


def restore_variables(before: Mapping[str, str | None]) -> None:
    """Give variables of the environment the values that they had, None for none."""
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


fork_support = (
    "grpc._cython.cygrpc" in sys.modules and os.environ.get(FORK_SUPPORT, "1").lower() not in _NO
)
"""Whether somebody loaded gRPC before Catena and with its fork support, as it is by itself."""

with _set(wanted(os.environ)):
    import grpc
    from grpc import aio

_used_by: int | None = None


def use() -> None:
    """Note that this process is about to use gRPC, whose threads no fork takes along."""
    global _used_by  # noqa: PLW0603 - the process's own
    if _used_by is None:
        _used_by = os.getpid()


def used_before_the_fork() -> bool:
    """Whether a process that this one was forked from used gRPC: it works here no more."""
    return _used_by is not None and _used_by != os.getpid()
