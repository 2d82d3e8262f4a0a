"""The faults that the law of slots has to find: an offer that is lost, a slot that stays taken."""

from __future__ import annotations

from unittest.mock import patch

from catena.dispatch.caller.line import Line
from catena.dispatch.holding import Holding
from tests.laws.fault import keep
from tests.laws.test_slots import test_every_call_gets_its_turn as a_script

__all__ = ["CHECKS"]

CHECKS = (a_script,)

keep(
    "a queue entry is lost at a cancel",
    patch.object(Line, "pass_on", lambda *_: None),
    a_script,
)
keep(
    "a slot is not given back",
    patch.object(Holding, "end", lambda _: None),
    a_script,
)
