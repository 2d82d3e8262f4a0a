"""Forked children: a child keeps nothing that would keep its parent's pools alive.

A child inherits every file descriptor: sockets, locks, and the ends of pipes by which processes
know that another one lives. In the child they are replaced with the null device, not closed: their
holders may close them once more, and the number must not belong to another file by then. Every way
to a worker raises ForkedPool, and a child that leaves the routine in which it was forked ends.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from catena import grpc_loading as loading
from catena.dispatch.caller.connection import connections
from catena.dispatch.worker.sessions import all_sessions
from catena.errors import ForkedPool, ForkRefused, WorkerStartError
from catena.link.link import links
from catena.pool.held import held
from catena.pool.socket_dir import is_ours
from catena.proxy.balance import proxies
from catena.remote_exceptions.pickled import unpickle_exception
from catena.wire.frames import ExceptionFrame, Frame

_log = logging.getLogger("catena")
_DESCRIPTORS = "/proc/self/fd" if sys.platform == "linux" else "/dev/fd"
# The application did not load gRPC there, and a fork that is refused says all there is to say.
_INSTRUMENTED = "opentelemetry.instrumentation.auto_instrumentation"

_callbacks: list[Callable[[], object]] = []
_kept: list[object] = []
"""What must not be collected in a child: gRPC's objects wait for threads that are not there."""


fork_lock = threading.RLock()
"""Within it no other thread forks: what it makes is made, and held, or not there at all."""


def in_child(do: Callable[[], object]) -> None:
    """Have ``do`` called in every child that is forked from here on."""
    _callbacks.append(do)


def pool_opened() -> Callable[[], None]:
    """Note that a pool is open in this process; return what notes that it is closed again.

    Raises WorkerStartError where gRPC, and so a pool, cannot work because of a fork.
    """
    if loading.used_before_the_fork():
        raise WorkerStartError(
            worker="any",
            cause="this process was forked from one that had opened a pool, and gRPC does not work"
            ' after that; start it with multiprocessing\'s "spawn" or "forkserver", or before a'
            " pool is opened",
        )
    if loading.fork_support:
        _begin_refusing()
    mark = object()
    _open.add(mark)
    return lambda: _open.discard(mark)


@cache
def _begin_refusing() -> None:
    """Say, once, what gRPC's own fork support would do, and refuse forks from here on."""
    sys.addaudithook(_refuse_fork)
    if _INSTRUMENTED not in sys.modules:
        _log.warning(
            "gRPC was imported before Catena with its own fork support, which crashes forked"
            " children at random: forks are refused while a pool is open. Set %s=0 in the"
            " environment, or import catena before grpc",
            loading.FORK_SUPPORT,
        )


def _refuse_fork(event: str, _: tuple[Any, ...]) -> None:
    if event in ("os.fork", "os.forkpty") and _open:
        raise ForkRefused(variable=loading.FORK_SUPPORT)


def _in_child() -> None:
    """Let go of all that is the parent's. Nothing here may wait for a thread."""
    global _pid
    parent, _pid = _pid, os.getpid()
    # The thread that forked took it before, and is the one that lives on here.
    fork_lock.release()
    _open.clear()
    if held or links:
        _replace_descriptors(held | _find_sockets())
        held.clear()
    for callback in _callbacks:
        callback()
    for proxy in tuple(proxies):
        _kept.extend(proxy.lead_nowhere(parent))
    for caller in tuple(connections):
        _kept.append(caller)
        caller.usable = False
        caller.link.inherit()
        for call in caller.calls.values():
            call.refusal = ForkedPool(opened_by=parent, routine=call.declared.name)
            call.connection_lost(call.refusal)
    for sessions in tuple(all_sessions):
        _kept.append(sessions)
        sessions.link.inherit(_leave_child)


def _find_sockets() -> set[int]:
    """Return gRPC's sockets by their names, for it shows them to nobody."""
    try:
        names = os.listdir(_DESCRIPTORS)  # noqa: PTH208 - only names are wanted
    except OSError:
        # A machine that does not list them: what was held is let go of all the same.
        return set()
    return {fd for fd in map(int, names) if _is_ours(fd)}


def _is_ours(fd: int) -> bool:
    try:
        one = socket.socket(fileno=fd)
    except OSError:
        # It is no socket.
        return False
    names: list[object] = []
    with suppress(OSError):
        names.append(one.getsockname())
        # One that listens has no peer.
        names.append(one.getpeername())
    one.detach()
    # Only Unix sockets have paths, and not all of them.
    return any(isinstance(name, str) and is_ours(Path(name).parent) for name in names)


def _replace_descriptors(fds: set[int]) -> None:
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for fd in fds:
        os.dup2(null, fd, inheritable=False)
    os.close(null)


def _leave_child(frame: Frame) -> None:
    """End this child: the routine that it was forked in is over, and nobody waits for its end."""
    code = 0
    if isinstance(frame, ExceptionFrame):
        code = _report_end(unpickle_exception(frame.payload))
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


def _report_end(error: BaseException) -> int:
    """Say what an interpreter says at its end; return the exit code."""
    if not isinstance(error, SystemExit):
        sys.excepthook(type(error), error, error.__traceback__)
        return 1
    if error.code is None or isinstance(error.code, int):
        return (error.code or 0) & 0xFF
    sys.stderr.write(f"{error.code}\n")
    return 1


_open: set[object] = set()
_pid = os.getpid()
os.register_at_fork(
    before=fork_lock.acquire, after_in_parent=fork_lock.release, after_in_child=_in_child
)
