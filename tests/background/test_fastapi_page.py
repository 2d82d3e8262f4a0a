"""The service on the page about FastAPI, run as the page says, prints what the page says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import httpx2 as httpx
import redis

from tests.background.redis_server import RedisServer
from tests.web.test_servers import served

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "fastapi-background-tasks.md").read_text()
FILES = {
    name: textwrap.dedent(text)
    for name, text in re.findall(r"^`(\w+\.py)` .+:\n\n((?:    .*\n|\n)+)", PAGE, re.MULTILINE)
}
LOGGED = [line.strip() for line in re.findall(r"^    \{.+\}$", PAGE, re.MULTILINE)]
ANSWERS = re.findall(r'^    ("\S.*")$', PAGE, re.MULTILINE)
WORKERS = re.findall(r"^    \$ catena (worker .+)$", PAGE, re.MULTILINE)
HEADERS = {"Authorization": "Bearer a-token-of-ada"}
SECONDS = 45.0


@contextmanager
def working(arguments: str, folder: Path, environment: dict[str, str]) -> Iterator[Path]:
    """Run a worker as the page starts it; yield the file that has what it prints."""
    given = re.sub(r"\$(\w+)", lambda found: environment[found[1]], arguments)
    given = given.replace("/run/shop", str(folder))
    output = folder / f"worker-{len(list(folder.glob('worker-*')))}.txt"
    with output.open("w") as target:
        worker = subprocess.Popen(
            [sys.executable, "-m", "catena", *given.split()],
            cwd=folder,
            env={**os.environ, **environment},
            stdout=target,
            stderr=subprocess.STDOUT,
        )
    try:
        yield output
    finally:
        worker.terminate()
        try:
            worker.wait(SECONDS)
        finally:
            worker.kill()


def wait_for_line(file: Path, line: str) -> None:
    """Wait until a worker has printed a line."""
    until = time.monotonic() + SECONDS
    while line not in file.read_text().splitlines():
        assert time.monotonic() < until, file.read_text()
        time.sleep(0.05)


def read_all(server: RedisServer) -> bytes:
    """Return all that a server has, names and values, as it would write it to a file."""
    with closing(
        redis.Redis(unix_socket_path=str(server.socket), socket_timeout=SECONDS)
    ) as client:
        keys: Any = client.keys()
        values: Any = [client.dump(key) or b"" for key in keys]
    return b"\n".join([*keys, *values])


def test_the_page_has_all_its_parts() -> None:
    """What is not found is not run."""
    assert list(FILES) == ["shop_tasks.py", "shop_queue.py", "shop_service.py"]
    assert len(LOGGED) == len(ANSWERS) == len(WORKERS) == 2


def test_the_service_of_the_page_does_what_the_page_says(
    tmp_path: Path, shared_redis: RedisServer
) -> None:
    """Id and user arrive in the task, in its nested routine, and in the logs of both."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    place = tmp_path / "shop"
    place.mkdir(mode=0o700)
    environment = {
        "SHOP_QUEUE": shared_redis.url,
        "SHOP_POOL": f"dir:{place}",
        "SHOP_SECRET": "of this test, and long enough for one",
        "PYTHONPATH": str(tmp_path),
        "PYTHONUNBUFFERED": "1",
    }
    with ExitStack() as stack:
        outputs = [stack.enter_context(working(line, place, environment)) for line in WORKERS]
        socket = tmp_path / "service.sock"
        client, _ = stack.enter_context(
            served(socket, folder=tmp_path, app="shop_service:app", environment=environment)
        )
        placed = client.post("/orders/7", headers={**HEADERS, "X-Request-ID": "r-17"})
        found = client.get("/orders/7", headers=HEADERS)
        refused = client.post("/orders/8")
        for output, line in zip(outputs, LOGGED, strict=True):
            wait_for_line(output, line)

        stored = read_all(shared_redis)
    assert b"order-7" in stored
    assert b"a-token-of-ada" not in stored
    assert [placed.text, found.text] == ANSWERS
    assert placed.headers["x-request-id"] == "r-17"
    assert len(found.headers["x-request-id"]) == 32
    assert refused.status_code == httpx.codes.UNAUTHORIZED
