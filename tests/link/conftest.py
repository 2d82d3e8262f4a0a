"""Fixtures of the folder."""

from __future__ import annotations

import pytest

from tests.security.ends import witness


@pytest.fixture
def unpickled(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """A witness: whatever is unpickled at the worker."""
    return witness(monkeypatch)
