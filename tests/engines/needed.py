"""Which engines are here: tests of one that is not are skipped, with a reason that helps."""

from __future__ import annotations

import importlib.util
import os

import pytest

__all__ = ["needs"]


def needs(*modules: str) -> list[pytest.MarkDecorator]:
    """Return the marks of tests that need an engine, which is installed as these modules.

    Where ENGINES is set, as `.ci/engines` does, all of them run, and fail where one is missing.
    """
    missing = [one for one in modules if importlib.util.find_spec(one) is None]
    skip = bool(missing) and not os.environ.get("ENGINES")
    reason = f"{' and '.join(missing)} is not installed; `make engines` runs these tests"
    return [pytest.mark.engines, pytest.mark.skipif(skip, reason=reason)]
