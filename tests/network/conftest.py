"""Fixtures of the folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.network.stage import Stage, staged


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A network with nothing on it yet, of which nothing is left afterwards."""
    with staged(tmp_path) as made:
        yield made
