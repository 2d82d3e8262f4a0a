"""Starts real programs for the tests beside it, and finds what they leave behind.

Its one rule: every wait has a deadline, and only what was started here is ended, by its id.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest

__all__ = ["Program", "alive", "run_source", "scratch_home", "until"]

_SLOW_STEP = re.compile(r"^Executing <.*> took [0-9.]+ seconds\n", re.MULTILINE)


def until(true: Callable[[], bool], seconds: float) -> bool:
    """Wait until something holds, at most so many seconds; return whether it does."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not waited for yet does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return Path("/proc/self").exists() is False


@pytest.fixture
def scratch_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A short, empty TMPDIR of its own: what a pool leaves behind is found in it.

    ``tmp_path`` is asked for because it must not be made inside.
    """
    path = Path(tempfile.mkdtemp(prefix="ct", dir="/tmp")).resolve()
    monkeypatch.setenv("TMPDIR", str(path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield path
    shutil.rmtree(path, ignore_errors=True)


class Program:
    """A Python program of ours; its standard output is read line by line in a thread."""

    def __init__(
        self, source: str, folder: Path, *flags: str, env: dict[str, str] | None = None
    ) -> None:
        self.path = folder / "program.py"
        self.path.write_text(textwrap.dedent(source))
        self.folder = folder
        # A process that was started in the background passes on that SIGINT is ignored.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            self.process = subprocess.Popen(
                [sys.executable, *flags, str(self.path)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=folder,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )
        finally:
            signal.signal(signal.SIGINT, before)
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._errors: list[str] = []
        self._readers = [
            threading.Thread(target=self._read_out, daemon=True),
            threading.Thread(target=self._read_err, daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait(10)
        for reader, stream in zip(
            self._readers, (self.process.stdout, self.process.stderr), strict=True
        ):
            reader.join(5)
            if stream is not None:
                stream.close()

    def facts(self, seconds: float = 30) -> Any:
        """Return the next line, which is JSON; other lines are passed over."""
        deadline = time.monotonic() + seconds
        while True:
            line = self._lines.get(timeout=max(0.01, deadline - time.monotonic()))
            if line is None:
                raise AssertionError(f"it ended without telling; {self.errors()}")
            with contextlib.suppress(json.JSONDecodeError):
                return json.loads(line)

    def ended(self, seconds: float = 30) -> int:
        """Wait for the end and return the exit code."""
        return self.process.wait(seconds)

    def errors(self) -> str:
        """What it wrote to its standard error, once it has ended or shortly before that."""
        self._readers[1].join(5)
        return "".join(self._errors)

    def _read_out(self) -> None:
        for line in self._pipe(self.process.stdout):
            self._lines.put(line)
        self._lines.put(None)

    def _read_err(self) -> None:
        self._errors.extend(self._pipe(self.process.stderr))

    @staticmethod
    def _pipe(stream: Any) -> Iterator[str]:
        for line in stream:
            yield line.decode("utf-8", "replace")


def run_source(
    source: str, folder: Path, *flags: str, env: dict[str, str] | None = None, seconds: float = 60
) -> str:
    """Run a program to its end and return what it printed; it must end well and say nothing else.

    Its standard error must be empty: a clean run is a silent one.
    """
    path = folder / "program.py"
    path.write_text(textwrap.dedent(source))
    done = subprocess.run(
        [sys.executable, *flags, str(path)],
        cwd=folder,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    # What a loop in debug mode says of a step that took long is about the machine.
    assert _SLOW_STEP.sub("", done.stderr) == ""
    return done.stdout
