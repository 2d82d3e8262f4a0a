"""What the other side of a call has: the point from which differences are counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from catena.context.binding import Binding
from catena.context.chain import State
from catena.context.ledger import CallLedger
from catena.ids import Key
from catena.transfer.manifest import ChainManifest

NOTHING: Mapping[Any, Any] = {}

GONE: Any = object()
"""Stands for a value that is not held."""


class Mark(NamedTuple):
    """What the other side has of a carried variable.

    ``value`` is that value here, GONE for one that is not held or was lost; ``written`` is how this
    process wrote it where it can change in place. ``take_back`` unbinds it in the Context that it
    was mounted in.
    """

    value: Any
    written: bytes = b""
    forward: bool = True
    take_back: Callable[[], None] | None = None

    @property
    def is_lost(self) -> bool:
        """Whether the other side has no value, because this one could not be written."""
        return self.value is GONE and not self.written


Marks = Mapping[Key, Mark]


class Baseline(NamedTuple):
    """What the other side of a call has, as of the call's last frame in either direction.

    ``chain_id`` is the id that frame named; ``written`` is how this process encoded each value that
    can change in place, empty bytes for one that it could not; ``ledger`` has the tokens that the
    other side knows of, None while no token has crossed. ``carried`` is what it has of carried
    variables; a call without a chain has a baseline, with an empty id, only when there are some.
    """

    chain_id: bytes
    state: State
    written: Mapping[Binding, bytes] = NOTHING
    ledger: CallLedger | None = None
    carried: Marks = NOTHING


class Captured(NamedTuple):
    """A manifest, and what the other side has once it has mounted it."""

    manifest: ChainManifest
    baseline: Baseline
