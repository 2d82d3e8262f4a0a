"""The pytest plugin of an observed run: the process of the tests tells as its workers do."""

from __future__ import annotations

from collections.abc import Iterator

import catena_observed
import pytest
from opentelemetry.instrumentation.catena import CatenaInstrumentor

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
def unobserved(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leave this process and its workers as they are for a few tests."""
    if not any(one in request.node.nodeid for one in UNOBSERVED):
        yield
        return
    monkeypatch.delenv("CATENA_WORKER_BOOTSTRAP")
    instrumentor = CatenaInstrumentor()
    instrumentor.uninstrument()
    yield
    instrumentor.instrument()
