"""Token ledgers: which tokens that have crossed may be reset in a Context, and who was told so.

A ledger belongs to one Context and has no entry for a token that never crossed, so most Contexts
have none. Ids are live while they may be reset there; a fork starts without any. What is spent is
told to every open call that was told it was live, and to later calls while a token object with that
id is alive here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any
from weakref import WeakSet, ref

from catena.context.registry import departures, tokens
from catena.errors import ChainSerializationError

if TYPE_CHECKING:
    from catena.context.token import Token

__all__ = ["LEDGER_LIMIT", "CallLedger", "Ids", "Ledger", "spent_elsewhere"]

LEDGER_LIMIT = 4096
"""The most ids of one kind that a manifest may carry."""

Ids = tuple[bytes, ...]


class CallLedger:
    """What the other side of a call knows: ids ``told`` live; ``untold`` were spent since.

    ``number`` is when it was told last, among the departures of tokens.
    """

    __slots__ = ("__weakref__", "number", "told", "untold")

    def __init__(self, told: Iterable[bytes] = ()) -> None:
        self.number = 0
        self.told = set(told)
        self.untold: list[bytes] = []


class Ledger:
    """The ledger of one Context.

    ``live`` has a weak reference to the token of an id, None for one that a caller told: that stays
    for as long as its call, which is as long as the Context. ``fresh`` are ids of an answer whose
    tokens are about to be opened; those that are not found then are not kept. ``crossing`` are
    tokens that left the process and have yet to prove that they were minted in this very Context.
    """

    __slots__ = ("__weakref__", "calls", "crossing", "fresh", "live", "spent")

    def __init__(self) -> None:
        self.live: dict[bytes, ref[Token[Any]] | None] = {}
        self.crossing: dict[bytes, ref[Token[Any]]] = {}
        self.fresh: set[bytes] = set()
        self.spent: dict[bytes, ref[Token[Any]]] = {}
        self.calls: WeakSet[CallLedger] = WeakSet()

    def holds(self, id: bytes) -> bool:
        """Say whether a token of that id may be reset in this Context.

        It may as long as a call is open that was told so, though its object here may be gone: the
        other side may have another, and send that.
        """
        if id in self.live or id in self.fresh:
            return True
        return any(id in call.told for call in self.calls)

    def opens_some(self) -> bool:
        """Say whether a token that may be reset in this Context is alive here."""
        return any(id in tokens for id in (*self.live, *self.fresh))

    def crosses(self, token: Token[Any]) -> None:
        """Take up a token of this chain that is about to leave the process.

        It may do so in any Context, and may be from a copy of this one: the next frame's manifest,
        which is captured here, asks it.
        """
        table = self.spent if token.used else self.crossing
        if token.id not in table and token.id not in self.live:
            table[token.id] = self._weak(token, table)

    def spend(self, id: bytes, *, told_by: CallLedger | None = None) -> None:
        """Note that a token was reset, here or where ``told_by`` leads."""
        self.live.pop(id, None)
        self.crossing.pop(id, None)
        self.fresh.discard(id)
        token = tokens.get(id)
        if token is not None:
            self.spent[id] = self._weak(token, self.spent)
        for call in self.calls:
            if id in call.told:
                call.told.discard(id)
                if call is not told_by:
                    call.untold.append(id)

    # ``here`` is whether the running code is in the ledger's very Context: in a copy no id is live.

    def first(self, *, here: bool = True) -> tuple[Ids, Ids, CallLedger]:
        """Return what a new call is told: the ids spent and live, and the ledger of the call.

        Raises ChainSerializationError when they are too many.
        """
        if here:
            self._settle()
        spent, live = _within(tuple(self.spent), tuple(self.live) if here else ())
        call = CallLedger(live)
        call.number = next(departures) if here else 0
        self.calls.add(call)
        return spent, live, call

    def later(self, call: CallLedger, *, here: bool = True) -> tuple[Ids, Ids]:
        """Return what the other side of a call does not know yet: the ids spent and live.

        Raises ChainSerializationError, and takes nothing for told, when they are too many.
        """
        if here:
            self._settle()
        self.calls.add(call)
        # Each that left since, told or not: a caller forgets those whose tokens it does not hold.
        # First copied: a token may be collected, and forgotten, while the copy is sifted.
        live = tuple(self.live) if here else ()
        live = tuple(id for id in live if _left(id) > call.number)
        spent, live = _within(tuple(call.untold), live)
        call.untold = []
        if here:
            call.number = next(departures)
        call.told.update(live)
        return spent, live

    def told(
        self, spent: Ids, live: Ids, call: CallLedger, *, to_worker: bool, here: bool = True
    ) -> None:
        """Take what a frame told. An answer spends only what its call knows."""
        if here:
            self._settle()
        self.calls.add(call)
        for id in spent:
            if to_worker or id in call.told:
                spent_elsewhere(id)
                self.spend(id, told_by=call)
        for id in live if here else ():
            call.told.add(id)
            if to_worker:
                self.live[id] = None
            elif id not in self.live:
                self.fresh.add(id)

    def _settle(self) -> None:
        """Keep ids of answers whose tokens have arrived, and of tokens that open this Context.

        What a payload showed used, which may have been opened anywhere, is spent here too.
        """
        # First copied: a token may be collected meanwhile.
        for id, known in tuple(self.crossing.items()):
            token = known()
            if token is not None and token.opens_here():
                self.crossing.pop(id, None)
                self.live[id] = self._weak(token, self.live)
        fresh, self.fresh = self.fresh, set()
        for id in fresh:
            token = tokens.get(id)
            if token is not None:
                self.live[id] = self._weak(token, self.live)
        for id in tuple(self.live):
            token = tokens.get(id)
            if token is not None and token.used:
                self.spend(id)

    def _weak(self, token: Token[Any], table: dict[bytes, Any]) -> ref[Token[Any]]:
        id = token.id
        return ref(token, _forgetting(table, id))


def _left(id: bytes) -> int:
    token = tokens.get(id)
    return 0 if token is None else token.left


def spent_elsewhere(*ids: bytes) -> None:
    """Mark the tokens of ids that are alive here as used, whatever Context has them."""
    for id in ids:
        token = tokens.get(id)
        if token is not None:
            token.mark_used()


def _forgetting(table: dict[bytes, Any], id: bytes) -> Callable[[object], None]:
    def forget(gone: object) -> None:
        if table.get(id) is gone:
            del table[id]

    return forget


def _within(spent: Ids, live: Ids) -> tuple[Ids, Ids]:
    """Return the ids. Raises ChainSerializationError when there are more than may travel."""
    for ids in (spent, live):
        if len(ids) > LEDGER_LIMIT:
            raise ChainSerializationError(
                cause=f"{len(ids)} tokens have crossed, at most {LEDGER_LIMIT} do", doing="sent"
            )
    return spent, live
