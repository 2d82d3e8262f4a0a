"""Token ledgers: which tokens that have crossed to another process may be reset in a Context.

The problem: a token may be reset once, in the Context in which it was made; but copies of it may be
in several processes, and each process has to refuse every reset that the stdlib would refuse.

The idea: each Context keeps a ledger of ids. An id is *live* while its token may be reset there; a
fork starts without any. An id that was reset is *spent*. A frame takes along the ids that have
become live or spent since the last frame of its call; so both sides of a call agree, and whoever
receives a live id with a call may reset it there, which the answer then reports as spent.

An example, in which a caller hands a token to a routine, which resets it::

    token = color.set("red")
    await f(token)      first frame: live 1             the token is written: it has crossed
        color.reset(token)                              in the routine
                        answer: spent 1
    color.reset(token)  RuntimeError: it has already been used once

A Context has no ledger until the first of its tokens crosses, so most have none. A spent id is
reported to each open call that knows it as live, and to later calls while a token object with that
id is alive here.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any, Protocol
from weakref import WeakSet, WeakValueDictionary, ref

from catena.errors import ChainSerializationError

LEDGER_LIMIT = 4096
"""The most ids of one kind that a manifest may carry."""

Ids = tuple[bytes, ...]


class CrossedToken(Protocol):
    """A token that has crossed to or from another process."""

    @property
    def id(self) -> bytes:
        """The 16 bytes by which processes know it."""
        ...

    @property
    def used(self) -> bool:
        """Whether a reset has spent it."""
        ...

    @property
    def departure(self) -> int:
        """The number of its last departure to another process, 0 when there was none."""
        ...

    def mark_used(self) -> None:
        """Note that a reset has spent it."""
        ...

    def opens_here(self) -> bool:
        """Say whether it was minted in the current Context itself."""
        ...


tokens: WeakValueDictionary[bytes, CrossedToken] = WeakValueDictionary()
"""The tokens that have crossed to or from another process and are alive here, by id."""

departures: Iterator[int] = itertools.count(1)
"""Numbers in the order of what happens: a token is written, a frame takes ids along."""


class CallLedger:
    """What the other side of a call knows: ``known`` ids as live; ``unsent`` were spent since.

    ``number`` is when a frame last took ids along, among the departures of tokens.
    """

    def __init__(self) -> None:
        self.number = 0
        self.known: set[bytes] = set()
        self.unsent: list[bytes] = []


class Ledger:
    """The ledger of one Context.

    ``live`` has a weak reference to the token of an id, None for one that came from a caller: that
    stays for as long as its call, which is as long as the Context. ``fresh`` are ids of an answer
    whose tokens are about to be decoded; those that are not found then are not kept. ``crossing``
    are tokens that left the process and have yet to prove that they were minted in this very
    Context.
    """

    def __init__(self) -> None:
        self.live: dict[bytes, ref[CrossedToken] | None] = {}
        self.crossing: dict[bytes, ref[CrossedToken]] = {}
        self.fresh: set[bytes] = set()
        self.spent: dict[bytes, ref[CrossedToken]] = {}
        self.calls: WeakSet[CallLedger] = WeakSet()

    def is_live(self, id: bytes) -> bool:
        """Say whether a token of that id may be reset in this Context.

        It may as long as a call is open whose other side knows it, though its object here may be
        gone: the other side may have another, and send that.
        """
        if id in self.live or id in self.fresh:
            return True
        return any(id in call.known for call in self.calls)

    def has_open_tokens(self) -> bool:
        """Say whether a token that may be reset in this Context is alive here."""
        return any(id in tokens for id in (*self.live, *self.fresh))

    def note_departure(self, token: CrossedToken) -> None:
        """Take up a token of this chain that is about to leave the process.

        It may do so in any Context, and may be from a copy of this one: whether it was minted here
        is found out when the next frame's manifest is captured, for that happens in this Context.
        """
        table = self.spent if token.used else self.crossing
        if token.id not in table and token.id not in self.live:
            table[token.id] = _weakly(token, table)

    def note_spent(self, id: bytes, *, sent_by: CallLedger | None = None) -> None:
        """Note that a token was reset, here or on the other side of ``sent_by``."""
        self.live.pop(id, None)
        self.crossing.pop(id, None)
        self.fresh.discard(id)
        token = tokens.get(id)
        if token is not None:
            self.spent[id] = _weakly(token, self.spent)
        for call in self.calls:
            if id in call.known:
                call.known.discard(id)
                if call is not sent_by:
                    call.unsent.append(id)

    # ``here`` is whether the running code is in the ledger's very Context: in a copy no id is live.

    def for_frame(
        self, call: CallLedger | None, *, here: bool = True
    ) -> tuple[Ids, Ids, CallLedger]:
        """Return what a frame takes along: the ids spent and live, and the ledger of its call.

        Of a call's first frame, which has no ledger yet, these are all ids; of a later one those
        that the other side does not know yet. Raises ChainSerializationError, and counts nothing as
        sent, when they are too many.
        """
        if here:
            self._sort_arrivals()
        # First copied: a token may be collected, and forgotten, while the copy is sifted.
        live = tuple(self.live) if here else ()
        if call is None:
            call, spent = CallLedger(), tuple(self.spent)
        else:
            # All that left since, known ones too: a caller forgets ids whose tokens it lacks.
            live = tuple([id for id in live if _last_departure(id) > call.number])
            spent = tuple(call.unsent)
        self.calls.add(call)
        for ids in (spent, live):
            if len(ids) > LEDGER_LIMIT:
                raise ChainSerializationError(
                    cause=f"{len(ids)} tokens have crossed, at most {LEDGER_LIMIT} do", doing="sent"
                )
        call.unsent = []
        call.known.update(live)
        if here:
            call.number = next(departures)
        return spent, live, call

    def receive(
        self, spent: Ids, live: Ids, call: CallLedger, *, to_worker: bool, here: bool = True
    ) -> None:
        """Enter the ids that a frame brought. An answer spends only what its call knows."""
        if here:
            self._sort_arrivals()
        self.calls.add(call)
        for id in spent:
            if to_worker or id in call.known:
                spent_elsewhere(id)
                self.note_spent(id, sent_by=call)
        for id in live if here else ():
            call.known.add(id)
            if to_worker:
                self.live[id] = None
            elif id not in self.live:
                self.fresh.add(id)

    def _sort_arrivals(self) -> None:
        """Keep ids of answers whose tokens have arrived, and of tokens that open this Context.

        A token that arrived as used, in whatever Context it was decoded, is spent here too.
        """
        # First copied: a token may be collected meanwhile.
        for id, known in tuple(self.crossing.items()):
            token = known()
            if token is not None and token.opens_here():
                self.crossing.pop(id, None)
                self.live[id] = _weakly(token, self.live)
        fresh, self.fresh = self.fresh, set()
        for id in fresh:
            token = tokens.get(id)
            if token is not None:
                self.live[id] = _weakly(token, self.live)
        for id in tuple(self.live):
            token = tokens.get(id)
            if token is not None and token.used:
                self.note_spent(id)


def spent_elsewhere(*ids: bytes) -> None:
    """Mark the tokens of ids that are alive here as used, whatever Context has them."""
    for id in ids:
        token = tokens.get(id)
        if token is not None:
            token.mark_used()


def _last_departure(id: bytes) -> int:
    token = tokens.get(id)
    return 0 if token is None else token.departure


def _weakly(token: CrossedToken, table: dict[bytes, Any]) -> ref[CrossedToken]:
    """Return a reference to a token that takes its id out of the table when the token is gone."""
    return ref(token, _remover_from(table, token.id))


def _remover_from(table: dict[bytes, Any], id: bytes) -> Callable[[object], None]:
    # A function of its own, for the callback must not hold the token.
    def forget_token(gone: object) -> None:
        if table.get(id) is gone:
            del table[id]

    return forget_token
