"""Identifiers: 16 bytes, unique in the world, cheap to make; the keys of variables; member records.

The first eight bytes are random and belong to the process (drawn anew in a forked child), the last
eight count. That is 0.2 µs instead of the 1.3 µs of ``uuid4``; nothing relies on an id being
secret.
"""

from __future__ import annotations

import os
from itertools import count
from typing import NamedTuple

Key = tuple[str, str]
"""A variable's identity in every process: namespace and name."""

ID_BYTES = 16

_prefix = os.urandom(8)
_serial = count(1)


def new_id() -> bytes:
    """Return a fresh identifier of 16 bytes; safe to call from any thread."""
    return _prefix + next(_serial).to_bytes(8, "big")


class MemberRecord(NamedTuple):
    """What is known of a worker before a link to it is up: where it is, and whom to expect there.

    It is a hint. Who the worker is, and whether it may have calls, the link shows.
    """

    id: str
    """The worker's id, empty where only the worker itself can say it."""

    target: str
    """A target of gRPC: ``unix:/path`` or ``host:port``."""

    name: str = ""
    """The DNS name that the worker's certificate has to have, empty for none."""

    tags: frozenset[str] = frozenset()

    leaf: bytes | None = None
    """The one certificate (PEM) that the worker may show, None for any that is trusted."""


def _draw_prefix() -> None:
    global _prefix  # noqa: PLW0603 - the process's own
    _prefix = os.urandom(8)


os.register_at_fork(after_in_child=_draw_prefix)
