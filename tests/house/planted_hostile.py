"""The faults that the count of hostile frames has to find; tests/house/planted.py takes them in.

They are planted in the workers that are attacked, which are processes of their own.
"""

from __future__ import annotations

import os
from unittest.mock import patch

from tests.hostile import peer
from tests.hostile.attack import attack
from tests.hostile.faults import FAULT, FAULTS
from tests.laws.fault import keep

__all__ = ["CHECKS"]

FRAMES = 1
"""All kinds of peers once, and no more."""


def a_siege() -> None:
    """Attack the workers for a short while."""
    attack(FRAMES, 0)


CHECKS = (a_siege,)


class _InWorkers:
    """Plants a fault in workers, and has the check wait only so long as it takes to see it."""

    def __init__(self, title: str) -> None:
        self._planted = patch.dict(os.environ, {FAULT: title})
        self._hasty = patch.object(peer, "seconds", 4.0)

    def __enter__(self) -> None:
        self._planted.__enter__()
        self._hasty.__enter__()

    def __exit__(self, *_: object) -> None:
        self._hasty.__exit__(None, None, None)
        self._planted.__exit__(None, None, None)


for _title in FAULTS:
    keep(_title, _InWorkers(_title), a_siege)
