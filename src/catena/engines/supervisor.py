"""What runs at an engine's end: it holds one worker process, and says where that is.

The engine's process starts the worker as its child, and learns at once when the child has ended.
The other way round, the child's standard input ends with the engine's process, and with that the
child finishes its calls and ends. No engine is imported here, and nothing here needs an event loop:
all methods may be called by any thread, and those that wait say so.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import selectors
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from catena.discovery.records import check_record
from catena.engines.plan import WorkerPlan
from catena.engines.private_folder import PrivateFolder
from catena.errors import WorkerStartError
from catena.ids import MemberRecord
from catena.pool import likeness
from catena.pool.exits import describe_exit
from catena.pool.following import Pauses
from catena.pool.socket_dir import remove_stale

STOP_SECONDS = 4.0
"""How long a worker may take to end after the calls that it has had their time."""

_LINE_LIMIT = 16 * 1024
_KEPT = 4096
"""The most bytes of a worker's last words that are quoted."""

# The path is not handed over in the environment, which the worker's own children inherit.
_PROGRAM = """\
import json, sys
sys.path[:] = json.loads(sys.argv.pop(1))
from catena.cli.main import main
sys.exit(main())
"""

_log = logging.getLogger("catena.engines")


class Supervisor:
    """Holds one worker process, which listens at any port of the ``host``, by its plan."""

    def __init__(self, plan: WorkerPlan, host: str) -> None:
        self.plan = plan
        self._host = host
        self._lock = threading.Lock()
        self._child: _Child | None = None
        self._stopping = threading.Event()

    @property
    def record(self) -> MemberRecord | None:
        """Where the worker is, None while it is not there."""
        child = self._child
        return child.record if child is not None and child.runs else None

    @property
    def pid(self) -> int:
        """The worker's process id, 0 while there is none."""
        child = self._child
        return child.process.pid if child is not None and child.runs else 0

    def start(self) -> MemberRecord:
        """Start the worker, wait until it listens, and return where.

        Raises WorkerStartError when it does not, in ``start_timeout`` seconds, or was stopped, and
        RuntimeError when it runs already.
        """
        with self._lock:
            if self._child is not None and self._child.runs:
                raise RuntimeError(f"worker {self.plan.id} runs already")
            if self._stopping.is_set():
                raise WorkerStartError(worker=self.plan.id, cause="it was stopped")
            child = self._child = _Child.start(self.plan, self._host)
        try:
            return child.await_record(self.plan)
        except BaseException:
            child.end(0)
            raise

    def wait_ended(self) -> str:
        """Wait until the worker has ended, and return how, in words; empty when none was started.

        The worker's folder is gone then.
        """
        child = self._child
        return "" if child is None else child.wait_ended()

    def keep(self, report: Callable[[MemberRecord | None], object]) -> None:
        """Keep the worker running until it is stopped; waits for that.

        It is started again whenever it has ended or could not be started, with growing pauses.
        ``report`` is called with its record when it listens, and with None when it has ended.
        """
        pauses = Pauses()
        while not self._stopping.is_set():
            pauses.note_lasted(self._keep_once(report))
            self._stopping.wait(pauses.draw())

    def _keep_once(self, report: Callable[[MemberRecord | None], object]) -> float:
        """Start the worker and wait for its end; return how many seconds it was there."""
        try:
            report(self.start())
        except WorkerStartError as error:
            if not self._stopping.is_set():
                _log.warning("%s; it is tried again", error.text())
            return 0
        began = time.monotonic()
        how = self.wait_ended()
        report(None)
        if not self._stopping.is_set():
            _log.warning("worker %s %s; it is started again", self.plan.id, how)
        return time.monotonic() - began

    def stop(self, patience: float | None = None) -> None:
        """End the worker, and wait for that; no other one is started.

        It has ``patience`` seconds, by default its ``drain_timeout``, for the calls that it has;
        then it is killed.
        """
        self._stopping.set()
        with self._lock:
            child = self._child
        if child is not None:
            seconds = self.plan.drain_timeout if patience is None else patience
            child.end(seconds + STOP_SECONDS)


@dataclass(slots=True)
class _Child:
    """The process, the folder of its credentials, and what it has said."""

    process: subprocess.Popen[bytes]
    folder: PrivateFolder | None
    announced: IO[bytes]
    words: _LastWords
    ended: threading.Event
    record: MemberRecord | None = None

    @classmethod
    def start(cls, plan: WorkerPlan, host: str) -> _Child:
        """Start the process. Raises WorkerStartError."""
        remove_stale()
        try:
            folder = None if plan.files is None else PrivateFolder(plan.files)
        except (OSError, subprocess.SubprocessError) as error:
            raise WorkerStartError(worker=plan.id, cause=str(error)) from error
        reading, writing = os.pipe()
        certs = Path(plan.certs) if folder is None else folder.path
        given = (writing,) if folder is None else (writing, folder.lifeline)
        try:
            process = subprocess.Popen(  # noqa: S603 - our own command
                _make_command(plan.list_arguments(host, certs, writing)),
                stdin=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=given,
                # A group of its own: what ends the engine's group leaves time for the calls.
                process_group=0,
            )
        except OSError as error:
            os.close(reading)
            if folder is not None:
                folder.remove()
            raise WorkerStartError(worker=plan.id, cause=str(error)) from error
        finally:
            os.close(writing)
        words = _LastWords(cast("IO[bytes]", process.stderr))
        child = cls(process, folder, os.fdopen(reading, "rb"), words, threading.Event())
        threading.Thread(target=child.reap, name=f"catena-reap-{plan.id}", daemon=True).start()
        return child

    @property
    def runs(self) -> bool:
        """Whether the process has not ended."""
        return not self.ended.is_set()

    def await_record(self, plan: WorkerPlan) -> MemberRecord:
        """Wait until it has announced where it listens. Raises WorkerStartError."""
        with self.announced as pipe:
            line = _read_line(pipe, plan.start_timeout)
        if line is None:
            raise WorkerStartError(
                worker=plan.id, cause=f"it was not ready after {plan.start_timeout:g} s"
            )
        if not line:
            self.ended.wait(STOP_SECONDS)
            code = self.process.returncode
            raise WorkerStartError(
                worker=plan.id, cause=self.words.read() or "it ended", exit_code=code
            )
        try:
            facts: dict[str, Any] = json.loads(line)
            self.record = check_record(plan.make_record(facts["target"]))
        except (ValueError, KeyError, TypeError) as error:
            raise WorkerStartError(worker=plan.id, cause=f"it announced {error}") from error
        return self.record

    def wait_ended(self) -> str:
        """Wait for the end, and return how it was."""
        self.ended.wait()
        return describe_exit(self.process.returncode)

    def end(self, patience: float) -> None:
        """Ask it to end; kill it after so many seconds."""
        self._close_stdin()
        if not self.ended.wait(patience):
            self.process.kill()
            self.ended.wait()

    def reap(self) -> None:
        """Wait for the end of the process, and take away what was made for it."""
        self.process.wait()
        self._close_stdin()
        if self.folder is not None:
            self.folder.remove()
        self.ended.set()

    def _close_stdin(self) -> None:
        if self.process.stdin is not None:
            self.process.stdin.close()


class _LastWords:
    """What a process writes to its standard error: passed on, and the last of it kept."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._kept = b""
        self._thread = threading.Thread(target=self._pass_on, name="catena-errors", daemon=True)
        self._thread.start()

    def read(self) -> str:
        """Return the last of it; waits for its end, at most a second."""
        self._thread.join(1.0)
        return self._kept.decode("utf-8", "replace").strip()

    def _pass_on(self) -> None:
        with self._pipe as pipe:
            while data := os.read(pipe.fileno(), 65536):
                self._kept = (self._kept + data)[-_KEPT:]
                # Nobody may read what this process writes; the worker goes on all the same.
                with contextlib.suppress(OSError, ValueError):
                    sys.stderr.write(data.decode("utf-8", "replace"))
                    sys.stderr.flush()


def _make_command(arguments: list[str]) -> list[str]:
    path = json.dumps(likeness.parent_path())
    return [sys.executable, "-c", _PROGRAM, path, "worker", *arguments]


def _read_line(pipe: IO[bytes], seconds: float) -> bytes | None:
    """Return the first line, nothing where the pipe ends before it, None when it takes longer."""
    until, found = time.monotonic() + seconds, b""
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while b"\n" not in found and len(found) < _LINE_LIMIT:
            if not selector.select(max(0, until - time.monotonic())):
                return None
            data = os.read(pipe.fileno(), _LINE_LIMIT)
            if not data:
                return b""
            found += data
    return found
