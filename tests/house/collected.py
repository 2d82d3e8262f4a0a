"""A pytest plugin that tells which tests are collected, and which of them would be skipped.

It is loaded by ``-p tests.house.collected`` and writes JSON to the file that COLLECTED names.
"""

from __future__ import annotations

import inspect
import json
import os
from pathlib import Path
from typing import Any

import pytest

__all__ = ["pytest_collection_finish"]

_CALLS = ("pytest.skip(", "pytest.importorskip(", "pytest.xfail(")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Write the ids and whether each is skipped."""
    found = {item.nodeid: _is_skipped(item) for item in session.items}
    Path(os.environ["COLLECTED"]).write_text(json.dumps(found), encoding="utf-8")


def _is_skipped(item: Any) -> bool:
    """Say whether marks or the test itself may keep it from running, or from failing."""
    if item.get_closest_marker("skip") or item.get_closest_marker("xfail"):
        return True
    if any(condition for mark in item.iter_markers("skipif") for condition in mark.args):
        return True
    source = inspect.getsource(inspect.unwrap(item.function))
    return any(call in source for call in _CALLS)
