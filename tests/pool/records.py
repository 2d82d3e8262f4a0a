"""Records of pools in a folder of a test's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from catena.events.kept import forget_refusals
from catena.pool.record_folder import VARIABLE


def keep_records_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have pools leave their records in a folder of the test, with no refusals of other tests."""
    forget_refusals()
    folder = tmp_path / "records"
    monkeypatch.setenv(VARIABLE, str(folder))
    return folder
