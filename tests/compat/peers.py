"""Processes of releases that were cut, played against this source, in both directions.

A release runs in an environment of its own, with the oldest packages that it works with. A worker
of it is started as its pool would start one; a caller of it reaches given workers through a proxy
of its own.
"""

from __future__ import annotations

import functools
import json
import os
import socket
import subprocess
import sys
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import catena
from catena.security.trust import NO_TRUST
from tests.house.imports import SOURCE

SECONDS = 30.0
HERE = Path(catena.__file__).parents[1]
SECRET = b"of the pool of both" * 2
SHARED = Path(__file__).parent / "skew"
"""What runs in processes of any release."""

Member = tuple[str, str]


@dataclass(frozen=True)
class Release:
    """A version and the interpreter that runs it, with variables of its environment."""

    version: str
    python: str
    environment: Mapping[str, str] = field(default_factory=dict[str, str])

    @functools.cached_property
    def path(self) -> list[str]:
        """Where it imports from, and nothing of this checkout but its own source."""
        if self.python == sys.executable:
            ours = (HERE, SOURCE.parent)
            return [
                str(HERE),
                *(one for one in sys.path if one and Path(one).resolve() not in ours),
            ]
        told = subprocess.run(
            [self.python, "-P", "-c", "import json, sys; print(json.dumps(sys.path))"],
            capture_output=True,
            check=True,
            timeout=SECONDS,
        )
        return json.loads(told.stdout)


def this_source(**environment: str) -> Release:
    """Return the source at hand."""
    return Release(catena.__version__, sys.executable, environment)


@functools.cache
def find_release(version: str) -> Release:
    """Return a release that was cut, in the environment that .ci/setup makes for it."""
    python = Path(sys.prefix) / f"release-{version}" / "bin" / "python"
    if not python.exists():
        raise FileNotFoundError(f"{python} is missing: `make dev` makes it")
    return Release(version, str(python))


class Worker:
    """A worker of a release, at ``address``, while it runs."""

    def __init__(
        self,
        release: Release,
        name: str,
        folder: Path,
        extra: Mapping[str, str] | None = None,
        secret: bytes = SECRET,
    ) -> None:
        self.release = release
        self.name = name
        self.address = f"unix:{folder / name}.sock"
        self._control, theirs = socket.socketpair()
        self._control.settimeout(SECONDS)
        self._output = folder / f"{name}.output"
        with theirs, self._output.open("a") as output:
            self.process = subprocess.Popen(
                [release.python, "-P", "-c", "import skew_process; skew_process.serve()"],
                stdin=theirs,
                stderr=output,
                env=environment_of(release, CATENA_WORKER_ID=name, **(extra or {})),
            )
        facts = _facts_of(release, name, folder / f"{name}.sock", secret)
        self._control.sendall(json.dumps(facts).encode() + b"\n")

    @property
    def member(self) -> Member:
        """Its name and its address."""
        return self.name, self.address

    def await_ready(self) -> None:
        """Wait until it serves."""
        said = self._control.recv(4096)
        assert said == b"ready", said + self._output.read_bytes()

    def drain(self) -> None:
        """Have it refuse new calls, and end when nobody calls it any more."""
        self._control.sendall(b"drain\n")

    def stop(self) -> None:
        """Let go of it, and wait for its end."""
        self._control.close()
        try:
            self.process.wait(SECONDS)
        finally:
            self.process.kill()
            self.process.wait()


@contextmanager
def workers_of(
    releases: Iterable[Release],
    folder: Path,
    extra: Mapping[str, str] | None = None,
    secret: bytes = SECRET,
) -> Generator[list[Member]]:
    """Run workers of releases, ``w0`` and so on; yield their names and addresses.

    Without a secret, pools can find them.
    """
    workers: list[Worker] = []
    try:
        for at, release in enumerate(releases):
            workers.append(Worker(release, f"w{at}", folder, extra, secret))
        for worker in workers:
            worker.await_ready()
        yield [one.member for one in workers]
    finally:
        for worker in workers:
            worker.stop()


def run_caller(release: Release, program: str, asked: Any, **extra: str) -> Any:
    """Run a program of a release, handed what it is asked as JSON; return what it prints."""
    done = subprocess.run(
        [release.python, "-P", "-c", program, json.dumps(asked)],
        env=environment_of(release, **extra),
        capture_output=True,
        text=True,
        timeout=4 * SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def environment_of(release: Release, **extra: str) -> dict[str, str]:
    """Return the environment of a process of a release."""
    ours = release.python == sys.executable
    path = os.pathsep.join([*([str(HERE)] if ours else []), str(SHARED)])
    return {
        **os.environ,
        "PYTHONPATH": path,
        "CATENA_TELEMETRY": "dispatch",
        **release.environment,
        **extra,
    }


def _facts_of(release: Release, name: str, path: Path, secret: bytes) -> dict[str, Any]:
    """Return what the worker of a pool is told."""
    return {
        "worker": name,
        "socket": str(path),
        "sys_path": [str(SHARED), *release.path],
        "argv": [""],
        "environment": {},
        "loop": "asyncio",
        "stop_timeout": 1.0,
        "strict": False,
        "drain_timeout": 1.0,
        "bootstrap": None,
        "gc_threshold": None,
        "slots": 1,
        "max_calls_in_flight": None,
        "refuse": None,
        "beat": 1.0,
        "records": None,
        "secret": secret.hex(),
        "trust": NO_TRUST.as_facts(),
    }
