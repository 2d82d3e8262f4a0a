"""The version of the protocol and the software, and what two peers make of each other's."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

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
    return Hello(0, MAJOR, MINOR, SOFTWARE, CAPABILITIES, peer, os.getpid(), boot())


def boot() -> str:
    """Return a name for this boot of this machine, empty where there is none.

    Who names the same one reads the same monotonic clock: a container may have an offset of its
    own, so that is named too.
    """
    with suppress(OSError):
        machine = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        with suppress(OSError):
            machine += f" {Path('/proc/self/ns/time').readlink()}"
        return machine
    return ""


def agree(theirs: Hello) -> frozenset[str]:
    """Return the capabilities both sides have.

    Raises VersionRefused when the peer speaks another major version.
    """
    if theirs.major != MAJOR:
        raise refused(VersionRefused(local=PROTOCOL, remote=f"{theirs.major}.{theirs.minor}"))
    return frozenset(CAPABILITIES) & frozenset(theirs.capabilities)
