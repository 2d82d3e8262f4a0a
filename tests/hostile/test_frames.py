"""Hostile peers are refused, and the worker goes on; the long count is ``make long``."""

from __future__ import annotations

from tests.hostile.attack import attack
from tests.hostile.insiders import VISITS
from tests.hostile.last_words import ENDINGS
from tests.hostile.strangers import STRANGERS
from tests.laws.law import reached

FRAMES = 3_000


def test_workers_refuse_hostile_peers_and_go_on() -> None:
    """Trust: each is refused, announced and counted; nothing is unpickled before hello."""
    met = attack(FRAMES, 0)

    assert met["frames"] >= FRAMES
    kinds = {*STRANGERS, *VISITS, *ENDINGS, "a flood of links"}
    floors = {"links of their own": 300, "links": 200, "good calls answered": 40}
    reached(met, dict.fromkeys(kinds, 2) | floors | {"unpickled for insiders": 1_000})
