"""Home: proof of the one Context that a chain was put into.

The current chain is held in a single stdlib context variable, so every copy that asyncio makes of a
Context holds the same chain. A chain's ``Home`` distinguishes the original from such a copy.
"""

from __future__ import annotations

import contextvars
from gc import get_referents
from typing import Any
from weakref import ref

from catena.context.ledger import Ledger

held_chain: contextvars.ContextVar[Any] = contextvars.ContextVar("catena.chain", default=None)
"""Holds the chain of each Context; ``chain.current`` is the same variable under its full type."""


class Pin:
    """What the tokens of one Context hold on to while they may still be reset there."""

    __slots__ = ("__weakref__",)


class Home:
    """Proof of the one Context that a chain was put into.

    The proof is a weak reference: the Context refers to this, and were the reference strong, or a
    token, every forked chain would be a circle that only the garbage collector ends.
    """

    # Defaults belong to the class, for one home is made for each call and most never need them.
    ledger: Ledger | None = None
    """Of the tokens that have crossed; most Contexts never see one."""
    keeps_pins = False
    """Whether somebody asks which tokens are alive: only a generator's Contexts need it."""
    proof: ref[contextvars.Context] | None = None
    """The Context; None when it is done with."""
    _pin: ref[Pin] | None = None

    def take_context(self, chain: object) -> None:
        """Make the current Context home, and the chain current in it."""
        self.proof = ref(context_of(held_chain.set(chain)))

    def is_here(self) -> bool:
        """Say whether the running code is in that very Context and not in a copy of it."""
        proof = self.proof
        return proof is not None and context_of(held_chain.set(held_chain.get())) is proof()

    def open_ledger(self) -> Ledger:
        """Return the ledger of this Context, a new one when there was none."""
        if self.ledger is None:
            self.ledger = Ledger()
        return self.ledger

    def share_pin(self) -> Pin:
        """Return what a token holds for as long as it may be reset in this Context."""
        pin = self._pin and self._pin()
        if pin is None:
            pin = Pin()
            self._pin = ref(pin)
        return pin

    @property
    def pinned(self) -> bool:
        """Whether a token that was minted here, or has crossed, may still be reset."""
        if self._pin is not None and self._pin() is not None:
            return True
        return self.ledger is not None and self.ledger.has_open_tokens()

    def give_up_proof(self) -> bool:
        """Make no Context home any more; say whether one was until now."""
        proof, self.proof = self.proof, None
        return proof is not None


def context_of(token: contextvars.Token[Any]) -> contextvars.Context:
    """Return the Context that a token was made in: the stdlib hands out copies of it only."""
    found: contextvars.Context = get_referents(token)[0]
    return found
