"""A function that hands on what it came with, in a process that declares none of the variables."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from catena.engines.dask_tasks import with_context
from catena.engines.mounting import HeldFunction

__all__ = ["hand_on"]


def hand_on(payload: bytes) -> Any:
    """Make a task of a function that is opened later; return whether it was known, and its result.

    What ``payload`` stands for imports the module of the variables.
    """
    task = with_context(HeldFunction("tests.engines.tasks.read_all", payload))
    was_known = "tests.engines.tasks" in sys.modules
    result = task()
    return was_known, result, importlib.import_module("tests.engines.tasks").tenant.get()
