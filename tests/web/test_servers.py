"""FastAPI and uvicorn, as people run them: over a Unix socket, with real processes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx2 as httpx
import pytest
from fastapi.testclient import TestClient
from websockets.sync.client import unix_connect

import catena
from tests.integration.programs import until
from tests.web import app as web

ROOT = Path(__file__).parents[2]
SECONDS = 30.0


@contextmanager
def served(
    path: Path,
    *options: str,
    folder: Path = ROOT,
    app: str = "tests.web.app:app",
    environment: Mapping[str, str] | None = None,
) -> Generator[tuple[httpx.Client, subprocess.Popen[str]]]:
    """Run uvicorn on a Unix socket; yield a client and the server's process."""
    server = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", app, "--uds", str(path), *options],
        cwd=folder,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    transport = httpx.HTTPTransport(uds=str(path))
    with httpx.Client(transport=transport, base_url="http://service", timeout=SECONDS) as client:
        try:
            _wait_until_served(path, server)
            yield client, server
        finally:
            server.terminate()
            try:
                server.communicate(timeout=SECONDS)
            finally:
                server.kill()


def _wait_until_served(path: Path, server: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + SECONDS
    while True:
        assert server.poll() is None, server.communicate()[0]
        assert time.monotonic() < deadline
        # Not by a request: the client leaves its socket open where nobody listens yet.
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(path)) == 0:
                return
        time.sleep(0.05)


# ---- the test client


def test_the_test_client_has_the_pool_with_its_lifespan() -> None:
    """P10: `with TestClient(app)` starts the service; the request's context reaches the worker."""
    with TestClient(web.app) as client:
        number, worker, name, here = client.get("/double/21", params={"name": "a"}).json()
        assert (number, name) == (42, "a")
        assert worker != here
        assert client.get("/count/3").text == "0\n1\n2\n"


def test_the_test_client_without_its_lifespan_says_what_is_missing() -> None:
    """P10: NoPool, with the line to write."""
    with pytest.raises(catena.NoPool, match="with TestClient"):
        TestClient(web.app).get("/double/21")


# ---- uvicorn


def test_a_server_with_everything(tmp_path: Path) -> None:
    """P10: handlers, streams, background tasks, WebSockets, and the application's own lifespan."""
    path = tmp_path / "s"
    with served(path) as (client, server):
        assert client.get("/double/21", params={"name": "a"}).json()[0::2] == [42, "a"]
        assert client.get("/double/1").json()[2] == "-"
        assert client.get("/count/5").text == "0\n1\n2\n3\n4\n"
        client.get("/later")
        assert until(lambda: "later 6" in client.get("/noted").json(), SECONDS)
        with unix_connect(str(path), "ws://service/doubles") as doubles:
            for number in (1, 2):
                doubles.send(str(number))
                assert doubles.recv(timeout=SECONDS) == str(2 * number)
        server.send_signal(signal.SIGTERM)
        output, _ = server.communicate(timeout=SECONDS)
    assert "started 2 later 6 stopped 4" in output
    assert "Traceback" not in output


def test_plain_handlers(tmp_path: Path) -> None:
    """D1c: they run in threads with a copy of the request's context, and call with `blocking`."""
    with served(tmp_path / "s") as (client, server):
        number, worker, name, here = client.get("/plain/21", params={"name": "a"}).json()
        assert (number, name) == (42, "a")
        assert worker != here == server.pid
        # What it set was set in a copy.
        assert client.get("/double/1").json()[2] == "-"
        assert client.get("/plain-count/5").text == "0\n1\n2\n3\n4\n"
        assert client.get("/plain-armed").json() == "ChainContention"
        client.get("/plain-later")
        assert until(lambda: "later 6" in client.get("/noted").json(), SECONDS)
        assert client.get("/open").json() == 0


def test_a_client_that_leaves_ends_its_stream(tmp_path: Path) -> None:
    """D6: what it began is closed on the worker, and the service goes on."""
    with served(tmp_path / "s") as (client, _):
        with client.stream("GET", "/count/100000") as answer:
            assert next(answer.iter_lines()) == "0"
        assert until(lambda: client.get("/open").json() == 0, SECONDS)
        assert client.get("/double/4").json()[0] == 8


def test_each_process_of_a_server_has_a_pool(tmp_path: Path) -> None:
    """P10: two server workers, two pools; the workers of one do not serve the other."""
    with served(tmp_path / "s", "--workers", "2") as (client, _):
        deadline = time.monotonic() + SECONDS
        pairs: set[tuple[int, int]] = set()
        while len(pairs) < 2:
            assert time.monotonic() < deadline, pairs
            # A connection of its own each time: whoever accepts it answers.
            answer = client.get("/double/1", headers={"connection": "close"})
            _, worker, _, here = json.loads(answer.text)
            pairs.add((here, worker))
    assert len({here for here, _ in pairs}) == len({worker for _, worker in pairs}) == 2


def test_a_server_that_reloads_has_a_new_pool(tmp_path: Path) -> None:
    """P10: the old one is closed in time, and the new code is what workers run."""
    source = tmp_path / "service.py"
    shutil.copy(ROOT / "tests" / "web" / "app.py", source)
    with served(
        tmp_path / "s", "--reload", "--reload-delay", "0.05", folder=tmp_path, app="service:app"
    ) as (client, _):
        assert client.get("/double/21").json()[0] == 42
        source.write_text(source.read_text().replace("return 2 * number", "return 3 * number"))
        deadline = time.monotonic() + SECONDS
        while True:
            try:
                if client.get("/double/21").json()[0] == 63:
                    return
            except (httpx.TransportError, json.JSONDecodeError):
                # Between two servers.
                pass
            assert time.monotonic() < deadline
            time.sleep(0.05)
