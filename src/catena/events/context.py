"""Chains, variables and tokens as the core announces them. Keys are namespace and name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from catena.events.bus import Event, Operation
from catena.events.carrier import NO_CARRIER, Carrier
from catena.ids import ID_BYTES, Key


class Named(Protocol):
    """A variable, as far as it has a name."""

    @property
    def key(self) -> Key:
        """Namespace and name."""
        ...


class Mount(Operation):
    """A manifest is put into the current context, on the worker or back on the caller.

    It is announced when it is done, so its observers find the values that came. ``size`` is how
    many bytes its entries take, ``whole`` whether it describes all of the chain and not only
    changes, ``carrier`` the carrier that came with it; ``bound`` and ``unbound`` are the variables
    that the mount set and unset; ``span`` is for an observer to assign.
    """

    span: Any = None
    bound: Iterable[Named] = ()
    unbound: Iterable[Named] = ()

    def __init__(
        self,
        chain_id: bytes,
        parent_id: bytes = b"",
        *,
        to_worker: bool,
        size: int = 0,
        whole: bool = True,
        carrier: Carrier = NO_CARRIER,
    ) -> None:
        self.chain_id = chain_id
        self.parent_id = parent_id
        self.to_worker = to_worker
        self.size = size
        self.whole = whole
        self.carrier = carrier

    @property
    def keys_set(self) -> tuple[Key, ...]:
        """The keys of the variables that were bound, sorted."""
        return tuple(sorted([var.key for var in self.bound]))

    @property
    def keys_reset(self) -> tuple[Key, ...]:
        """The keys of the variables that were unbound, sorted."""
        return tuple(sorted([var.key for var in self.unbound]))

    def __repr__(self) -> str:
        direction = "to worker" if self.to_worker else "to caller"
        return f"<Mount {self.chain_id.hex()} {direction} bytes={self.size}>"


@dataclass(frozen=True, slots=True)
class Unmounted(Event):
    """A worker took a chain out of the Context that its call ran in."""

    chain_id: bytes


@dataclass(frozen=True, slots=True)
class TokenReset(Event):
    """A reset was tried; ``outcome`` is ok, used, foreign (other variable) or orphan (context)."""

    key: Key
    token_id: bytes
    outcome: str

    @property
    def minted_by(self) -> bytes:
        """The first half of the id, which all ids share that the minting process drew."""
        return self.token_id[: ID_BYTES // 2]


@dataclass(frozen=True, slots=True)
class ChainForked(Event):
    """A created task, or a thread, was given a chain of its own."""

    chain_id: bytes
    parent_id: bytes


@dataclass(frozen=True, slots=True)
class EntryLost(Event):
    """One entry of a manifest could not be written or read and was left out."""

    key: Key
    sending: bool
    cause: str


@dataclass(frozen=True, slots=True)
class ForwardDropped(Event):
    """A worker sent a forward-only variable back, and the caller dropped it."""

    key: Key


@dataclass(frozen=True, slots=True)
class KeysUndeclared(Event):
    """A chain ended on a worker where these variables were never declared; once for each key."""

    chain_id: bytes
    keys: tuple[Key, ...]
