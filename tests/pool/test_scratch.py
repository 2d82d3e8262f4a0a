"""The directories of pools: whose are swept, and whose are left alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from catena.pool.scratch import Scratch, sweep


@pytest.mark.parametrize("name", ["catena-demo-abcdefgh", "catena-notes", "catena-7-x", "catena-"])
def test_what_is_no_pools_is_not_swept(scratch_home: Path, name: str) -> None:
    """A directory that only begins with the same word has no lock, and stays however old it is."""
    left, theirs = scratch_home / "catena-4194304-ab_def12", scratch_home / name
    for path in (left, theirs):
        path.mkdir()
        (path / "kept").touch()
        os.utime(path, (1, 1))
    living = Scratch()

    assert left in sweep()
    assert sorted(scratch_home.iterdir()) == sorted([living.path, theirs])
    assert (theirs / "kept").exists()
    living.remove()
