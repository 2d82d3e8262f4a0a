"""What the other side of a call has: the point from which differences are counted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from catena.context.binding import Binding
from catena.context.chain import State
from catena.context.ledger import CallLedger
from catena.transfer.manifest import ChainManifest

NOTHING: Mapping[Any, Any] = {}


class Baseline(NamedTuple):
    """What the other side of a call has, as of the call's last frame in either direction.

    ``chain_id`` is the id that frame named; ``written`` is how this process encoded each value that
    can change in place, empty bytes for one that it could not; ``ledger`` has the tokens that the
    other side knows of, None while no token has crossed.
    """

    chain_id: bytes
    state: State
    written: Mapping[Binding, bytes] = NOTHING
    ledger: CallLedger | None = None


class Captured(NamedTuple):
    """A manifest, and what the other side has once it has mounted it."""

    manifest: ChainManifest
    baseline: Baseline
