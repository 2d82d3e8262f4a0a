"""Fixtures of the folder."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.background.redis_server import RedisServer, serving


@pytest.fixture(scope="session")
def shared_redis() -> Iterator[RedisServer]:
    """One server for all tests that only need one; each takes a queue name of its own."""
    with tempfile.TemporaryDirectory(prefix="catena-redis-") as folder, serving(Path(folder)) as up:
        yield up


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """A server that the test may stop."""
    with tempfile.TemporaryDirectory(prefix="catena-redis-") as folder, serving(Path(folder)) as up:
        yield up


@pytest.fixture(params=["redis", "memory"])
def url(request: pytest.FixtureRequest) -> str:
    """Where tasks are kept: a real server, or this process."""
    if request.param == "memory":
        return "memory://"
    server: RedisServer = request.getfixturevalue("shared_redis")
    return server.url
