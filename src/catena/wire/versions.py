"""The version of the protocol and the software, and what two peers make of each other's."""

from __future__ import annotations

import os

from catena.errors import VersionRefused
from catena.events import refused
from catena.wire.frames import Hello

__all__ = [
    "CAPABILITIES",
    "DELTA",
    "MAJOR",
    "MINOR",
    "NAMES",
    "PROTOCOL",
    "SOFTWARE",
    "agree",
    "hello",
]

SOFTWARE = "0.1.0.dev0"
MAJOR, MINOR = 1, 0
PROTOCOL = f"{MAJOR}.{MINOR}"
DELTA = "delta"
"""Manifests may tell what changed since the last frame of the call."""

NAMES = "names"
"""The first manifest of a call may name a state that the link has carried before."""

CAPABILITIES: tuple[str, ...] = (DELTA, NAMES)


def hello(peer: str) -> Hello:
    """Return the first frame that the peer of that name sends."""
    return Hello(0, MAJOR, MINOR, SOFTWARE, CAPABILITIES, peer, os.getpid())


def agree(theirs: Hello) -> frozenset[str]:
    """Return the capabilities both sides have.

    Raises VersionRefused when the peer speaks another major version.
    """
    if theirs.major != MAJOR:
        raise refused(VersionRefused(local=PROTOCOL, remote=f"{theirs.major}.{theirs.minor}"))
    return frozenset(CAPABILITIES) & frozenset(theirs.capabilities)
