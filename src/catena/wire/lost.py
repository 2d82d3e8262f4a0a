"""What is lost with a peer that lacks a capability: a sentence for each."""

from __future__ import annotations

from catena.wire.versions import CAPABILITIES, DELTA, NAMES, PINGS, PROXY, SLOTS, TAGS

LOST: dict[str, str] = {
    DELTA: "each message carries all variables of the chain",
    NAMES: "each call carries all variables of its chain",
    PINGS: "a worker that does not answer is not suspect, and goes on getting calls",
    SLOTS: "a worker does not count slots: it takes every call at once",
    TAGS: "a worker has only the tags that the pool has found for it",
    PROXY: "the way to the pool goes in deprecated fields, with each call",
}


def list_lacking(known: frozenset[str]) -> list[str]:
    """Return the capabilities of this release that are not among those, in their order."""
    return [one for one in CAPABILITIES if one not in known]
