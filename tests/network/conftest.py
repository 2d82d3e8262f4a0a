"""Fixtures of the folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.network.hosts import Network
from tests.network.stage import Stage


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A network with nothing on it yet, of which nothing is left afterwards."""
    network = Network()
    try:
        yield Stage(network, tmp_path)
    finally:
        network.close()
        assert (network.list_spaces(), network.list_pids()) == ([], [])
