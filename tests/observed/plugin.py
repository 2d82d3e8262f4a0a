"""The pytest plugin of an observed run: the process of the tests tells as its workers do."""

from __future__ import annotations

from collections.abc import Iterator

import catena_observed
import pytest

__all__ = ["observed", "unobserved"]

UNOBSERVED = ("test_likeness.py", "test_memory_after_many")
"""Tests that tell nothing: programs without the path that is added here; and forty thousand calls
within two minutes, which take longer when each of them makes a dozen spans and records."""

FLUSH = 30.0


@pytest.fixture(scope="session", autouse=True)
def observed() -> Iterator[None]:
    """Tell while the tests run; what waits is exported at their end."""
    flush = catena_observed.bootstrap()
    yield
    flush(FLUSH)


@pytest.fixture(autouse=True)
def unobserved(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the workers of a few tests as they are."""
    if any(one in request.node.nodeid for one in UNOBSERVED):
        monkeypatch.delenv("CATENA_WORKER_BOOTSTRAP")
