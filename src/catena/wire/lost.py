"""What is lost with a peer that lacks a capability: a sentence for each."""

from __future__ import annotations

from catena.wire.versions import (
    CARRIED,
    DELTA,
    KILL_AFTER,
    MEMBERS,
    NAMES,
    PINGS,
    PLAIN,
    PROXY,
    SLOTS,
    TAGS,
)

LOST: dict[str, str] = {
    DELTA: "each message carries all variables of the chain",
    NAMES: "each call carries all variables of its chain",
    PINGS: "a worker that does not answer is not suspect, and goes on getting calls",
    SLOTS: "a worker does not count slots: it takes every call at once",
    TAGS: "a worker has only the tags that the pool has found for it",
    PROXY: "the way to the pool goes in deprecated fields, with each call",
    MEMBERS: (
        "a worker learns of changes in its pool with the next call, at most 64 times on a link"
    ),
    KILL_AFTER: "no worker is killed because of `kill_after`",
    CARRIED: "carried variables are not bound on a worker",
    PLAIN: "plain functions are refused with a SerializationError",
}
