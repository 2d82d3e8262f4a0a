"""The versions of the protocol and of the software, and whether those of two peers fit."""

from __future__ import annotations

import functools
import hmac
import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import Literal

from catena.errors import PeerRefused, VersionRefused
from catena.escape import printable
from catena.events import announced
from catena.standing import count_slots, list_tags
from catena.wire.emulated import VARIABLE, Spoken, find_emulated
from catena.wire.frames import Hello

_log = logging.getLogger("catena")

SOFTWARE = "0.4.0.dev0"
DELTA = "delta"
"""Manifests may hold only what changed since the last frame of the call."""

NAMES = "names"
"""The first manifest of a call may name a state that the link has carried before."""

PINGS = "pings"
"""A peer that does not answer a Ping counts as one that does not answer at all."""

SLOTS = "slots"
"""A worker counts the slots that its calls take; offers and wants of slots are understood."""

TAGS = "tags"
"""The tags in a worker's Hello are those that it has."""

PROXY = "proxy"
"""The way to the pool is read from the chain, where it is under a name; so this needs ``names``."""

MEMBERS = "members"
"""A worker learns by a frame of the link that the members of a pool are others now."""

KILL_AFTER = "kill_after"
"""A worker can be killed for a call that goes on when its time is up."""

CARRIED = "carried"
"""Variables of the standard library are bound on a worker, and come back."""

PLAIN = "plain"
"""A worker runs plain functions, on threads."""

_OWN = Spoken(1, (DELTA, NAMES, PINGS, SLOTS, TAGS, PROXY, MEMBERS, KILL_AFTER, CARRIED, PLAIN))

MAJOR = 1
MINOR, CAPABILITIES, _EMULATES = find_emulated() or _OWN
PROTOCOL = f"{MAJOR}.{MINOR}"

ProxyPath = Literal["chain", "fields"]

PROXY_LIMIT = 1 << 20
"""The most bytes of one proxy, whichever way it goes: 1 MiB."""

_BOOT = Path("/proc/sys/kernel/random/boot_id")


def proxy_path(capabilities: frozenset[str]) -> ProxyPath:
    """Return how the way to the pool goes to a peer: on the chain, or in fields of the Task."""
    return "chain" if capabilities >= {PROXY, NAMES} else "fields"


@functools.cache
def read_boot() -> str:
    """Return a name for this boot of this machine, empty where there is none.

    Who names the same one reads the same monotonic clock: a container may have an offset of its
    own, so that is named too.
    """
    with suppress(OSError):
        machine = _BOOT.read_text(encoding="ascii").strip()
        with suppress(OSError):
            machine += f" {Path('/proc/self/ns/time').readlink()}"
        return machine
    return ""


def make_hello(peer: str, secret: bytes = b"") -> Hello:
    """Return the first frame that the peer of that name sends; ``secret`` is its pool's."""
    known = (MAJOR, MINOR, SOFTWARE, CAPABILITIES, peer, os.getpid(), read_boot())
    if _EMULATES:
        _warn_of_emulation()
        return Hello(0, *known, secret=secret)
    return Hello(0, *known, tags=list_tags(), secret=secret, slots=count_slots())


@functools.cache
def _warn_of_emulation() -> None:
    """Log, once in a process, that it does not speak its own protocol."""
    _log.warning(
        "process %d speaks the protocol of release %s, because %s is set, and does without what"
        " came later",
        os.getpid(),
        _EMULATES,
        VARIABLE,
    )


def may_send(minor: int) -> bool:
    """Say whether this process may send what came with a minor version, to anybody."""
    return minor <= MINOR


def find_lacking(capabilities: frozenset[str]) -> tuple[str, ...]:
    """Return the capabilities of this process that a link, or a peer, does not have, in order."""
    return tuple(one for one in CAPABILITIES if one not in capabilities)


def agree_on_capabilities(theirs: Hello, secret: bytes = b"") -> frozenset[str]:
    """Return the capabilities both sides have; ``secret`` is what the peer has to know.

    Raises VersionRefused when the peer speaks another major version, and PeerRefused when it does
    not know the secret.
    """
    if theirs.major != MAJOR:
        refused = VersionRefused(local=PROTOCOL, remote=f"{theirs.major}.{theirs.minor}")
        raise announced(refused, peer=printable(theirs.peer))
    if not hmac.compare_digest(theirs.secret, secret):
        raise announced(PeerRefused(peer=printable(theirs.peer), pid=theirs.pid))
    return frozenset(CAPABILITIES) & frozenset(theirs.capabilities)
