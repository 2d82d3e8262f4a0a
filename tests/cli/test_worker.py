"""``catena worker``: real processes, started and stopped as systemd or a scheduler does it."""

from __future__ import annotations

import asyncio
import importlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import catena
from catena.cli.main import main
from catena.dispatch.dispatcher import dispatcher
from catena.ids import new_id
from catena.proxy.balance import Proxy
from tests.support import isolated, run

SECONDS = 30

MODULE = """
import asyncio
import os
import catena

@catena.routine
async def identify() -> int:
    return os.getpid()

@catena.routine
async def rest(seconds: float) -> int:
    await asyncio.sleep(seconds)
    return os.getpid()
"""


@contextmanager
def started(folder: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """Start a worker in a folder with a module of routines; yield it and what it announces."""
    (folder / "shop_tasks.py").write_text(MODULE)
    command = [sys.executable, "-m", "catena", "worker", "--listen", f"unix:{folder}/w1.sock"]
    process = subprocess.Popen(
        [*command, "--announce", "stdout", "--import", "shop_tasks", *options],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate(timeout=SECONDS)[1]
        yield process, json.loads(line)
    finally:
        process.kill()
        process.communicate(timeout=SECONDS)


@contextmanager
def routines(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Import the module here as well, from the same folder."""
    monkeypatch.syspath_prepend(str(folder))
    sys.modules.pop("shop_tasks", None)
    yield importlib.import_module("shop_tasks")
    del sys.modules["shop_tasks"]


async def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait until a process has ended; return its exit code and what it has written as errors."""
    _, errors = await asyncio.to_thread(process.communicate, timeout=SECONDS)
    return process.returncode, errors


@isolated
@pytest.mark.parametrize("way", ["eof", "SIGTERM", "SIGINT"])
def test_it_serves_until_it_is_stopped(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P12: the call that it has is finished, the socket is gone, and the exit code is 0."""

    async def main() -> None:
        stopping = ["--stop-on", "stdin-eof"] if way == "eof" else []
        with (
            started(tmp_path, "--id", "w1", "--tags", "gpu, large", *stopping) as (process, said),
            routines(tmp_path, monkeypatch) as module,
        ):
            assert (said["id"], said["tags"]) == ("w1", ["gpu", "large"])
            proxy = Proxy(new_id(), ((said["id"], said["target"]),), "test")
            dispatcher.set(proxy)
            assert await module.identify() == process.pid == said["pid"]
            call = asyncio.ensure_future(module.rest(0.5))
            await asyncio.sleep(0.1)
            if way == "eof":
                assert process.stdin is not None
                process.stdin.close()
                process.stdin = None
            else:
                process.send_signal(signal.Signals[way])
            await asyncio.sleep(0.1)
            with pytest.raises(catena.WorkerLost) as lost:
                await module.identify()
            assert lost.value.begun is False
            assert await call == process.pid
            code, errors = await ended(process)
            assert code == 0, errors
            assert "w1 listens at unix:" in errors
            assert "w1 has stopped" in errors
            assert not (tmp_path / "w1.sock").exists()
            await proxy.close()

    run(main())


@isolated
def test_a_second_signal_ends_it_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """P12: whoever does not want to wait for the calls need not."""

    async def main() -> None:
        with started(tmp_path) as (process, said), routines(tmp_path, monkeypatch) as module:
            proxy = Proxy(new_id(), ((said["id"], said["target"]),), "test")
            dispatcher.set(proxy)
            call = asyncio.ensure_future(module.rest(60))
            await asyncio.sleep(0.3)
            process.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.3)
            assert process.poll() is None
            process.send_signal(signal.SIGTERM)
            code, _ = await ended(process)
            assert code == -signal.SIGTERM
            await asyncio.wait((call,))
            assert call.exception() is not None
            await proxy.close()

    run(main())


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--listen", "nowhere"], 2, "listen must be unix:PATH"),
        (["--listen", "unix:/w.sock", "--slots", "0"], 2, "slots must be at least 1"),
        (["--listen", "unix:/w.sock", "--stop-on", "whim"], 2, "stop-on"),
        (["--listen", "unix:/w.sock", "--import", "no_such_module"], 1, "no_such_module"),
        (["--listen", "unix:/no/such/folder/w.sock"], 1, "failed: "),
        ([], 2, "--listen"),
    ],
)
def test_what_is_wrong_is_said(
    options: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit code and one sentence, and no traceback."""
    assert main(["worker", *options]) == code
    errors = capsys.readouterr().err
    assert said in errors
    assert "Traceback" not in errors
