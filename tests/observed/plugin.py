"""The pytest plugin of an observed run: the process of the tests tells as its workers do."""

from __future__ import annotations

from collections.abc import Iterator

import catena_observed
import pytest

__all__ = ["observed"]

FLUSH = 30.0


@pytest.fixture(scope="session", autouse=True)
def observed() -> Iterator[None]:
    """Tell while the tests run; what waits is exported at their end."""
    flush = catena_observed.bootstrap()
    yield
    flush(FLUSH)
