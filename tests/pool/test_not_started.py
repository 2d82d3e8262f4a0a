"""Programs that have no interpreter to start, and starts that are given up: said, and quietly."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

import catena
from catena.errors import ProtocolError
from catena.proxy import member as proxy_module
from tests.integration.programs import Program, alive, until
from tests.pool.test_start import children, failures


@pytest.mark.parametrize(
    ("facts", "cause"),
    [
        ({"frozen": True}, "this is a frozen application"),
        ({"executable": None}, "sys.executable does not say where a Python is"),
        ({"executable": ""}, "sys.executable does not say where a Python is"),
        ({"executable": "/bin/cat"}, "sys.executable is /bin/cat, which is no Python"),
    ],
)
def test_a_program_that_is_its_own_interpreter(
    monkeypatch: pytest.MonkeyPatch, facts: dict[str, Any], cause: str
) -> None:
    """K11: frozen and embedded programs are not started once more; the remedy is named."""
    for name, value in facts.items():
        monkeypatch.setattr(sys, name, value, raising=False)
    before = children()

    errors = failures(spawn=2)

    assert children() == before
    for error in errors:
        assert cause in str(error)
        assert "multiprocessing.set_executable(" in str(error)


def test_the_interpreter_that_multiprocessing_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """K11: a frozen program that named a Python has workers."""
    from multiprocessing import spawn

    python = str(Path(sys.executable).with_name("python3"))
    monkeypatch.setattr(spawn, "_python_exe", os.fsencode(python))
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert python != sys.executable

    async def main() -> None:
        async with catena.WorkerPool(spawn=1) as pool:
            assert await name() == python
            assert len(pool.pids) == 1

    asyncio.run(main())


@catena.routine
async def name() -> str:
    """The interpreter of the worker."""
    return sys.executable


def test_a_program_that_takes_the_place_of_a_worker(tmp_path: Path) -> None:
    """K11: what looks like a Python and is the program itself is started once, and says so."""
    program, times = tmp_path / "program.py", tmp_path / "times"
    program.write_text(
        textwrap.dedent(f"""
            import asyncio, sys
            sys.executable = {str(tmp_path / "mypython")!r}
            with open({str(times)!r}, "a") as file:
                file.write("once\\n")
            import catena

            async def main():
                async with catena.WorkerPool(spawn=1):
                    pass

            asyncio.run(main())
        """)
    )
    script = tmp_path / "mypython"
    script.write_text(f"#!/bin/sh\nexec '{sys.executable}' '{program}'\n")
    script.chmod(0o755)

    done = subprocess.run([script], capture_output=True, text=True, timeout=60, check=False)

    assert times.read_text().splitlines() == ["once", "once"]
    assert "a program was started in its place that opens a pool itself" in done.stderr
    assert done.returncode == 1


SLOW = """
    import asyncio, json, os, sys, time
    import catena

    catena.pool.bootstrap.on_spawn(lambda environment, _: environment.update(SLOWLY="1"))

    async def main():
        async with catena.WorkerPool(spawn=2, stop_timeout=20) as pool:
            pass

    async def cancelled(seconds):
        try:
            async with asyncio.timeout(seconds):
                await main()
        except TimeoutError:
            pass
"""


@pytest.mark.parametrize("seconds", [0.0, 0.1, 0.3, 0.6])
def test_a_start_that_is_cancelled_is_quiet(scratch_home: Path, seconds: float) -> None:
    """K11: neither this process nor a worker complains, and nothing is left."""
    source = textwrap.dedent(SLOW) + f"\nasyncio.run(cancelled({seconds}))\n"
    with Program(source, scratch_home) as program:
        assert program.ended(40) == 0
        assert program.errors() == ""

    assert list(scratch_home.glob("catena-*")) == []


def test_a_start_that_is_interrupted_is_quiet(scratch_home: Path) -> None:
    """K11: Ctrl-C ends with KeyboardInterrupt alone, and nothing is left."""
    source = textwrap.dedent(SLOW) + textwrap.dedent("""
        real = catena.pool.process.Worker._spawn_process

        def spawn(self):
            facts = real(self)
            print(json.dumps(self.pid), flush=True)
            return facts

        catena.pool.process.Worker._spawn_process = spawn
        try:
            asyncio.run(main())
        except KeyboardInterrupt:
            sys.exit(9)
    """)
    with Program(source, scratch_home) as program:
        workers = [program.facts(), program.facts()]
        program.process.send_signal(signal.SIGINT)
        assert program.ended(40) == 9
        assert program.errors() == ""

    assert [pid for pid in workers if alive(pid)] == []
    assert list(scratch_home.glob("catena-*")) == []


def test_a_parent_that_is_killed_while_workers_start(scratch_home: Path) -> None:
    """R11: the workers end, and the last of them takes the directory away."""
    source = textwrap.dedent(SLOW) + textwrap.dedent("""
        real = catena.pool.process.Worker._await_ready

        def said(self, facts):
            print(json.dumps(self.pid), flush=True)
            return real(self, facts)

        catena.pool.process.Worker._await_ready = said
        asyncio.run(main())
    """)
    with Program(source, scratch_home) as program:
        workers = [program.facts(), program.facts()]
        program.process.kill()
        program.ended()
        assert until(lambda: not any(map(alive, workers)), 20)

    assert until(lambda: list(scratch_home.glob("catena-*")) == [], 5)


@pytest.mark.parametrize(
    "error",
    [
        ConnectionResetError("cut"),
        TimeoutError(),
        ProtocolError(reason="not allowed"),
        catena.PeerRefused(peer="somebody", pid=1),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_worker_that_cannot_be_reached(
    monkeypatch: pytest.MonkeyPatch, scratch_home: Path, error: Exception
) -> None:
    """R11: entering fails with WorkerStartError, whatever kept the links from being made."""

    async def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(proxy_module, "connect", refuse)

    errors = failures(spawn=2)

    assert [one.__cause__ for one in errors] == [error, error]
    assert all("no link to it" in str(one) for one in errors)
    assert list(scratch_home.iterdir()) == []
