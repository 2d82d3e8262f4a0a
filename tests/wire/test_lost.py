"""What is lost with a peer that lacks a capability."""

from __future__ import annotations

from catena.wire.lost import LOST
from catena.wire.versions import CAPABILITIES, find_lacking


def test_each_capability_has_its_sentence() -> None:
    """V2: whoever adds one says what is lost without it."""
    assert list(LOST) == list(CAPABILITIES)
    assert all(text and text[0].islower() and text[-1] != "." for text in LOST.values())


def test_what_is_lacking_stands_in_its_order() -> None:
    """What only the peer knows is nothing that it lacks."""
    assert list(find_lacking(frozenset())) == list(CAPABILITIES)
    assert list(find_lacking(frozenset({*CAPABILITIES[1:], "later"}))) == [CAPABILITIES[0]]
