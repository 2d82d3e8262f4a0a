"""One worker process: how it is started, how it says that it is ready, and how it is ended.

It inherits what ``likeness`` lists. Its standard input is a socket: everything else that it needs
is written there, and there it answers that it is ready. The socket stays open: when it ends, the
parent has died or closed the pool, and the worker ends too.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast
from weakref import WeakSet

from catena.errors import WorkerStartError
from catena.events import WorkerExited, WorkerStarted
from catena.events.bus import announce
from catena.pool import likeness
from catena.pool.bootstrap import worker_environment
from catena.pool.exits import Exit, describe_exit
from catena.pool.forking import fork_lock, in_child
from catena.pool.held import hold_descriptor, let_go
from catena.pool.output import OutputRelay, Pipe
from catena.standing import copy_members, count_with
from catena.targets import unix_target

_workers: WeakSet[Worker] = WeakSet()
"""Those that came up and of which nobody has taken note yet that they ended."""
_ended: Counter[str] = Counter()
"""How many have ended, of which note was taken."""


@count_with("workers")
def _count_workers() -> Iterator[tuple[str]]:
    for worker in copy_members(_workers):
        yield ("running" if worker.exit_code() is None else "exited",)
    for _ in range(_ended["workers"]):
        yield ("exited",)


def _have_none() -> None:
    _workers.clear()
    _ended.clear()


in_child(_have_none)


class Worker:
    """A spawned worker; ``id`` is what errors call it, ``target`` its gRPC address.

    ``options`` is what it needs beside that, as JSON has it.
    """

    def __init__(self, id: str, socket: Path, relay: OutputRelay, options: dict[str, Any]) -> None:
        self.id = id
        self.socket = socket
        self.target = unix_target(socket)
        self._relay = relay
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self._exit: Exit | None = None
        self._noted = False
        self._drained = False
        # Why the pool ended it, empty while it has not.
        self._given_up = ""
        self._control: socket.socket | None = None
        self._errors: Pipe | None = None
        self._records: dict[str, Any] | None = None

    @property
    def pid(self) -> int:
        """The process id, 0 before the start."""
        return self._process.pid if self._process else 0

    async def start(self, timeout: float) -> None:
        """Start the process and wait until it listens. Raises WorkerStartError, in time."""
        try:
            async with asyncio.timeout(timeout):
                said = await self._await_ready(self._spawn_process())
        except TimeoutError:
            raise self._start_error(f"it was not ready after {timeout:g} s") from None
        if said != b"ready":
            # What it printed says most about the cause, so that is read to its end first.
            await self.wait_exit(1.0)
            await self._wait_printed(1.0)
            raise self._start_error(said.decode("utf-8", "replace") or "it ended")
        _workers.add(self)
        if WorkerStarted.listeners:
            announce(WorkerStarted(self.id, self.pid))

    def _spawn_process(self) -> bytes:
        """Start the process; return what it waits for on its standard input."""
        command = likeness.worker_command(self.id)
        environment = worker_environment(likeness.parent_environment(), self.id)
        with fork_lock:
            try:
                self._open_process(command, environment)
            except OSError as error:
                raise WorkerStartError(worker=self.id, cause=str(error)) from error
        facts = {
            "worker": self.id,
            "socket": str(self.socket),
            "sys_path": likeness.parent_path(),
            "argv": likeness.parent_arguments(),
            "environment": likeness.restored_environment(),
            "records": self._records,
            **self._options,
        }
        return json.dumps(facts).encode() + b"\n"

    def _open_process(self, command: list[str], environment: dict[str, str]) -> None:
        self._control, theirs = socket.socketpair()
        hold_descriptor(self._control.fileno())
        self._control.setblocking(False)
        given: tuple[int, ...] = ()
        if self._relay.records is not None:
            fd, self._records = self._relay.records.open_channel(self.id)
            given = (fd,)
        with theirs, ExitStack() as stack:
            for fd in given:
                stack.callback(os.close, fd)
            # Whatever socket.setdefaulttimeout was given.
            theirs.setblocking(True)
            process = self._process = subprocess.Popen(  # noqa: S603 - our own command
                command,
                stdin=theirs.fileno(),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                pass_fds=given,
                # A group of its own: Ctrl-C at a terminal is the parent's to handle.
                process_group=0,
            )
        self._exit = Exit(process, self.id)
        pipes: list[Any] = [process.stdout, process.stderr]
        out, errors = [os.dup(pipe.fileno()) for pipe in pipes]
        for pipe in pipes:
            pipe.close()
        process.stdout = process.stderr = None
        self._relay.add(out, self.id, "stdout")
        self._errors = self._relay.add(errors, self.id, "stderr")

    async def _await_ready(self, facts: bytes) -> bytes:
        """Hand over what the worker waits for; return what it says then, nothing when it ended."""
        loop = asyncio.get_running_loop()
        control = cast("socket.socket", self._control)
        try:
            await loop.sock_sendall(control, facts)
            return await loop.sock_recv(control, 65536)
        except ConnectionError:
            # It ended before it had read everything.
            return b""

    def ask_to_end(self) -> None:
        """Ask the worker to end, by ending its standard input."""
        if self._control is not None:
            let_go(self._control.detach())
            self._control = None

    def begin_drain(self) -> None:
        """Have the worker refuse new calls, and end when nobody calls it any more."""
        self._drained = True
        if self._control is not None:
            # It fits into the socket's buffer. One that has died is known to be dead soon.
            with contextlib.suppress(OSError):
                self._control.send(b"drain\n")

    def give_up(self, reason: str, *, kill: bool = False) -> None:
        """End the worker for a reason, which its exit is described with: ask it, or ``kill``."""
        self._given_up = self._given_up or reason
        if kill and self._process is not None:
            self._process.kill()
        else:
            self.ask_to_end()

    async def wait_stopped(self, timeout: float) -> None:
        """Wait until the process has ended; after ``timeout`` seconds terminate, then kill it."""
        process = self._process
        if process is None:
            return
        for end, patience in ((process.terminate, timeout), (process.kill, 0.5)):
            if await self.wait_exit(patience):
                break
            end()
        else:
            await self.wait_exit(2.0)
        self.note_exit()

    def exit_code(self) -> int | None:
        """Return how the process ended, None while it runs."""
        return self._exit.code if self._exit else None

    def describe_exit(self) -> str:
        """Return in words how the process ended, empty while it runs."""
        code = self.exit_code()
        if self._given_up:
            return f"{'killed' if code else 'ended'} by the pool: {self._given_up}"
        if code is None:
            return ""
        if code == 0 and self._drained:
            return "ended when it had drained"
        return describe_exit(code) if self._control else "ended when the pool closed"

    def note_exit(self, follows: str = "", *, unexpected: bool = False) -> None:
        """Take note of the end of the process, once; it is announced.

        ``follows`` says what the pool does about it. Where the pool has ended it, that may be
        ``unexpected`` all the same, because calls were lost or nobody takes its place.
        """
        code, process = self.exit_code(), self._process
        if code is None or process is None or self._noted:
            return
        self._noted = True
        if self in _workers:
            _workers.discard(self)
            _ended["workers"] += 1
        if WorkerExited.listeners:
            words = self.describe_exit(), follows
            unexpected = unexpected or not self._was_ended(code)
            announce(WorkerExited(self.id, process.pid, code, *words, unexpected=unexpected))

    def _was_ended(self, code: int) -> bool:
        """Say whether a process that has ended with a code did so by the pool's doing."""
        return bool(self._given_up) or (code == 0 and self._drained) or self._control is None

    async def wait_exit(self, timeout: float | None = None) -> bool:
        """Wait until the process has ended, and return whether it has in so many seconds."""
        return self._exit is None or await self._exit.wait(timeout)

    async def _wait_printed(self, timeout: float) -> None:
        """Wait until all that the process has printed as errors is read."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while self._errors is not None and not self._errors.ended and loop.time() < deadline:
            await asyncio.sleep(0.002)

    def _start_error(self, cause: str) -> WorkerStartError:
        tail = "\n".join(self._errors.tail) if self._errors is not None else ""
        text = f"{cause}\n{tail}" if tail else cause
        return WorkerStartError(worker=self.id, cause=text, exit_code=self.exit_code())
