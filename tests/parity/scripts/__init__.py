"""All scripts, grouped by what runs the code."""

from __future__ import annotations

from tests.parity.run import Script
from tests.parity.scripts import (
    arguments,
    async_generators,
    callbacks,
    generators,
    hand_over,
    other_threads,
    task_ends,
    tasks,
    threads,
    tokens,
    transports,
    variables,
    wakings,
)

__all__ = ["SCRIPTS"]

GROUPS = (
    variables,
    arguments,
    tokens,
    generators,
    async_generators,
    tasks,
    task_ends,
    callbacks,
    wakings,
    transports,
    hand_over,
    threads,
    other_threads,
)

SCRIPTS: list[Script] = [one for group in GROUPS for one in group.SCRIPTS]
