"""Workers that do not come up: an error that names worker and cause, within seconds."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import catena
from catena.pool import workers as workers_module
from catena.pool.socket_dir import SocketDirectory
from tests.integration.programs import alive, until


def failures(seconds: float = 10, spawn: int = 1, **options: Any) -> list[catena.WorkerStartError]:
    """Open a pool that cannot start; return the errors, all of them WorkerStartError."""

    async def main() -> None:
        async with catena.WorkerPool(spawn=spawn, **options):
            raise AssertionError("it started")

    began = time.monotonic()
    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(main())
    assert time.monotonic() - began < seconds
    errors = list(caught.value.exceptions)
    for error in errors:
        assert isinstance(error, catena.WorkerStartError)
        assert all(re.fullmatch(r"\w+-\d+", worker) for worker in error.worker.split(", "))
        assert error.worker in str(error)
    return errors  # type: ignore[return-value]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes every Python that is started from here run some code first."""

    def write(code: str) -> None:
        (tmp_path / "sitecustomize.py").write_text(code)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    return write


def test_a_worker_that_dies_at_once(site: Callable[[str], None], scratch_home: Path) -> None:
    """The exit code and what it last wrote to its standard error are in the text."""
    site("import os, sys\nsys.stderr.write('no licence found\\n')\nsys.stderr.flush()\nos._exit(3)")

    errors = failures(spawn=2)

    (error,) = errors
    assert error.worker.count(", ") == 1
    assert error.exit_code == 3
    assert str(error).count("no licence found") == 1
    assert list(scratch_home.iterdir()) == []


def test_a_worker_whose_imports_fail(site: Callable[[str], None]) -> None:
    """A traceback of the worker's start is part of the error."""
    site("import sys\nsys.modules['grpc'] = None")

    (error,) = failures()

    assert error.exit_code == 1
    assert "import of grpc halted" in str(error)


def test_a_sitecustomize_that_raises_is_only_a_remark(site: Callable[[str], None]) -> None:
    """Python goes on after a sitecustomize that raises, and so does the pool."""
    site("raise RuntimeError('broken customization')")

    async def main() -> int:
        async with catena.WorkerPool(spawn=1) as pool:
            return len(pool.pids)

    assert asyncio.run(main()) == 1


def test_a_sitecustomize_that_exits(site: Callable[[str], None]) -> None:
    """SystemExit does end an interpreter there; the error says so."""
    site("raise SystemExit('not on this machine')")

    (error,) = failures()

    assert error.exit_code == 1
    assert "not on this machine" in str(error)


def test_uvloop_asked_for_and_missing(site: Callable[[str], None]) -> None:
    """A loop that is not installed is named, with the command that installs it."""
    site("import sys\nsys.modules['uvloop'] = None")

    (error,) = failures(loop="uvloop")

    assert "uvloop" in str(error)
    assert catena.errors.install_command("uvloop") in str(error)


def test_auto_does_without_uvloop(site: Callable[[str], None]) -> None:
    """Contract of loop="auto": uvloop where it is installed, asyncio elsewhere."""
    site("import sys\nsys.modules['uvloop'] = None")

    async def main() -> int:
        async with catena.WorkerPool(spawn=1) as pool:
            return len(pool.pids)

    assert asyncio.run(main()) == 1


def test_an_interpreter_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the system says about the interpreter is the cause."""
    monkeypatch.setattr(sys, "executable", "/nowhere/python")

    (error,) = failures()

    assert "/nowhere/python" in str(error)


def test_a_flag_that_the_interpreter_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The interpreter's own complaint is in the text."""
    monkeypatch.setattr(subprocess, "_args_from_interpreter_flags", lambda: ["--no-such-flag"])

    (error,) = failures()

    assert error.exit_code == 2
    assert "no-such-flag" in str(error)


def test_a_directory_that_vanishes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that cannot make its socket names the path."""

    class Vanishing(SocketDirectory):
        def socket_path(self, number: int) -> Path:
            return self.path / "gone" / f"{number}.sock"

    monkeypatch.setattr(workers_module, "SocketDirectory", Vanishing)

    (error,) = failures()

    assert "gone/0.sock" in str(error)


def test_a_worker_that_hangs(site: Callable[[str], None], scratch_home: Path) -> None:
    """Contract of start_timeout: after it the start is an error, and the process is gone."""
    site("import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(60)")
    before = children()

    (error,) = failures(start_timeout=0.8, stop_timeout=0.5)

    assert "not ready after 0.8 s" in str(error)
    assert until(lambda: children() == before, 2)
    assert list(scratch_home.iterdir()) == []


def test_one_of_two_that_does_not_start(site: Callable[[str], None], scratch_home: Path) -> None:
    """P8: one failure is the failure of the pool; the worker that did start is ended."""
    marker = scratch_home / "first"
    site(
        "import os, sys\n"
        f"try:\n    os.close(os.open({str(marker)!r}, os.O_CREAT | os.O_EXCL))\n"
        "except FileExistsError:\n    os._exit(9)\n"
    )
    before = children()

    (error,) = failures(spawn=2)

    assert error.exit_code == 9
    assert children() == before
    assert list(scratch_home.glob("catena-*")) == []


def test_cancelling_the_start_leaves_nothing(
    site: Callable[[str], None], scratch_home: Path
) -> None:
    """A start that is given up leaves no process and no directory."""
    site("import time\ntime.sleep(60)")
    before = children()

    async def main() -> None:
        async with asyncio.timeout(0.5), catena.WorkerPool(spawn=2, stop_timeout=0.5):
            raise AssertionError("it started")

    with pytest.raises(TimeoutError):
        asyncio.run(main())

    assert children() == before
    assert list(scratch_home.iterdir()) == []


def test_a_module_that_is_on_no_path(scratch_home: Path) -> None:
    """D3: what no worker could import goes by value."""
    name = "catena_is_here_only"
    module = type(sys)(name)
    source = "import catena\n@catena.routine\nasync def f():\n    return 1\n"
    exec(compile(source, f"{name}.py", "exec"), module.__dict__)
    sys.modules[name] = module

    async def main() -> int:
        async with catena.WorkerPool(spawn=1):
            return await module.f()

    try:
        assert asyncio.run(main()) == 1
    finally:
        del sys.modules[name]


@catena.routine
async def _one() -> int:
    return 1


def test_a_module_that_fails_while_it_is_imported(tmp_path: Path) -> None:
    """What the module's body raised in the worker is the cause; the next call tries anew."""
    name = "once_only_imported"
    (tmp_path / f"{name}.py").write_text(
        "import os, catena\n"
        f"if os.getpid() != {os.getpid()}:\n    raise ValueError('not in a worker')\n"
        "@catena.routine\nasync def f():\n    return 1\n"
    )
    sys.path.insert(0, str(tmp_path))

    async def main() -> None:
        f = __import__(name).f
        async with catena.WorkerPool(spawn=1):
            for _ in range(2):
                with pytest.raises(catena.SerializationError, match="ValueError: not in a worker"):
                    await asyncio.wait_for(f(), 5)

    try:
        asyncio.run(main())
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"spawn": 0}, "spawn must be at least 1"),
        ({"spawn": 1, "start_timeout": 0}, "must be positive"),
        ({"spawn": 1, "stop_timeout": -1}, "must be positive"),
        ({"spawn": 1, "loop": "trio"}, "loop must be one of auto, asyncio, uvloop"),
    ],
)
def test_senseless_options_fail_at_construction(options: dict[str, Any], text: str) -> None:
    """Contract: misuse fails where it is written, with the option's name."""
    with pytest.raises(ValueError, match=text):
        catena.WorkerPool(**options)


def test_an_open_pool_is_not_entered_again() -> None:
    """Contract: while it is open that is a RuntimeError, and the pool goes on."""

    async def main() -> None:
        pool = catena.WorkerPool(spawn=1)
        async with pool:
            with pytest.raises(RuntimeError, match="open already"):
                await pool.__aenter__()
            assert await _one() == 1

    asyncio.run(main())


def test_a_worker_started_by_hand(tmp_path: Path) -> None:
    """The module that pools start says to a person that it is not for people."""
    for arguments in ((), ("--help",)):
        done = subprocess.run(
            [sys.executable, "-m", "catena.pool.worker_main", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        assert done.returncode == 2
        assert "started by a pool, not by hand" in done.stderr


def children() -> set[int]:
    """Process ids of the children of this process that run."""
    listed = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid=,comm="], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    rows = [line.split(maxsplit=2) for line in listed]
    return {
        int(pid)
        for pid, parent, command in rows
        if int(parent) == os.getpid() and "ps" not in command and alive(int(pid))
    }
