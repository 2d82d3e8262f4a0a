"""One worker process: how it is started, how it says that it is ready, and how it is ended.

It is started with the parent's interpreter, flags, environment and directory; the rest of what it
needs is written to its standard input, which stays open: when that ends, the parent is gone or
done, and the worker ends too, however it was left.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from catena.errors import WorkerStartError
from catena.events import WorkerExited, WorkerStarted
from catena.observe import announce
from catena.pool.bootstrap import edited
from catena.pool.relay import Pipe, Relay

__all__ = ["Worker"]

_PIPE_BYTES = 60_000
_ROOT = str(Path(__file__).parents[2])


class Worker:
    """A spawned worker; ``id`` is what errors call it, ``target`` its gRPC address."""

    def __init__(self, id: str, socket: Path, relay: Relay, options: dict[str, Any]) -> None:
        self.id = id
        self.socket = socket
        self.target = f"unix:{socket}"
        self._relay = relay
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self._ready = -1
        self._errors: Pipe | None = None

    @property
    def pid(self) -> int:
        """The process id, 0 before the start."""
        return self._process.pid if self._process else 0

    def spawn(self) -> None:
        """Start the process; ``ready`` waits until it listens. Raises WorkerStartError."""
        self._ready, ready_in_child = os.pipe()
        command: list[str] = [
            sys.executable,
            *_interpreter_flags(),
            "-P",
            "-m",
            "catena",
            "worker",
        ]
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=edited(_environment(), self.id),
                pass_fds=(ready_in_child,),
                # A group of its own: Ctrl-C at a terminal is the parent's to handle.
                process_group=0,
            )
            self._hand_over(ready_in_child)
        except OSError as error:
            raise WorkerStartError(worker=self.id, cause=str(error)) from error
        finally:
            os.close(ready_in_child)

    def _hand_over(self, ready: int) -> None:
        process = self._process
        if process is None or process.stdin is None:
            return
        if process.stdout is not None and process.stderr is not None:
            self._relay.add(os.dup(process.stdout.fileno()), self.id, error=False)
            self._errors = self._relay.add(os.dup(process.stderr.fileno()), self.id, error=True)
            process.stdout.close()
            process.stderr.close()
        facts = {
            "worker": self.id,
            "socket": str(self.socket),
            "ready": ready,
            "sys_path": sys.path,
            "pythonpath": os.environ.get("PYTHONPATH"),
            **self._options,
        }
        line = json.dumps(facts).encode() + b"\n"
        if len(line) > _PIPE_BYTES:
            raise WorkerStartError(worker=self.id, cause="sys.path does not fit into a pipe")
        try:
            process.stdin.write(line)
            process.stdin.flush()
        except BrokenPipeError:
            # It has ended already; whoever waits for it to be ready learns how.
            return

    async def start(self, timeout: float) -> None:
        """Start the process and wait until it listens. Raises WorkerStartError."""
        self.spawn()
        await self.ready(timeout)

    async def ready(self, timeout: float) -> None:
        """Wait until the worker listens. Raises WorkerStartError, at the latest in time."""
        loop = asyncio.get_running_loop()
        readable = loop.create_future()
        loop.add_reader(self._ready, _settle, readable)
        try:
            async with asyncio.timeout(timeout):
                await readable
            said = os.read(self._ready, 65536)
        except TimeoutError:
            raise self._failed(f"it was not ready after {timeout:g} s") from None
        finally:
            loop.remove_reader(self._ready)
            os.close(self._ready)
            self._ready = -1
        if said != b"ready":
            # Until all it wrote has been read, too: that tells most.
            await self._wait(1.0, lambda: self._errors is None or self._errors.ended)
            raise self._failed(said.decode("utf-8", "replace") or "it ended")
        if WorkerStarted.listeners:
            announce(WorkerStarted(self.id, self.pid))

    def release(self) -> None:
        """Ask the worker to end, by ending its standard input."""
        if self._process is not None and self._process.stdin is not None:
            try:
                self._process.stdin.close()
            except BrokenPipeError:
                # It is gone already, which is what was asked for.
                return

    async def stopped(self, timeout: float) -> None:
        """Wait until the process has ended; after ``timeout`` seconds terminate, then kill it."""
        process = self._process
        if process is None:
            return
        if self._ready >= 0:
            os.close(self._ready)
            self._ready = -1
        for end, patience in ((process.terminate, timeout), (process.kill, 0.5)):
            if await self._wait(patience):
                break
            end()
        else:
            await self._wait(2.0)
        if WorkerExited.listeners and process.returncode is not None:
            announce(WorkerExited(self.id, process.pid, process.returncode))

    def exit_code(self) -> int | None:
        """Return how the process ended, None while it runs."""
        return self._process.poll() if self._process else None

    async def _wait(self, timeout: float, read: Callable[[], bool] = lambda: True) -> bool:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        pause = 0.001
        while self.exit_code() is None or not read():
            if loop.time() >= deadline:
                return False
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, 0.02)
        return True

    def _failed(self, cause: str) -> WorkerStartError:
        tail = "\n".join(self._errors.tail) if self._errors is not None else ""
        text = f"{cause}\n{tail}" if tail else cause
        return WorkerStartError(worker=self.id, cause=text, exit_code=self.exit_code())


def _interpreter_flags() -> list[str]:
    """Return this interpreter's -X, -W and other flags, as multiprocessing takes them along."""
    flags: list[str] = getattr(subprocess, "_args_from_interpreter_flags")()  # noqa: B009
    # That passes on the -X options it knows; all of them are wanted, and twice does no harm.
    options: dict[str, str | bool] = getattr(sys, "_xoptions")  # noqa: B009
    for name, value in options.items():
        flags += ["-X", name if value is True else f"{name}={value}"]
    return flags


def _environment() -> dict[str, str]:
    """Return the parent's environment, with Catena importable; the worker restores PYTHONPATH."""
    environment = dict(os.environ)
    known = environment.get("PYTHONPATH")
    environment["PYTHONPATH"] = _ROOT + (os.pathsep + known if known else "")
    return environment


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
