"""Which chain is current, whose it is, and whether this is the Context it lives in.

The current chain is held in ONE stdlib context variable, so it follows every copy that asyncio
makes of a Context. ``Home`` tells such a copy from the original.
"""

from __future__ import annotations

import asyncio
import contextvars
import sys
from collections.abc import Callable
from gc import get_referents
from threading import get_ident
from types import FrameType
from typing import Any, Literal
from weakref import ref

from catena.context.chain import EMPTY, HIDDEN, Chain
from catena.context.ledger import Ledger
from catena.errors import ChainContention
from catena.events import announced

__all__ = [
    "UNMOUNTED",
    "Home",
    "Pin",
    "claimable",
    "contention",
    "context_of",
    "current",
    "lives",
    "new_chain",
    "running_loop",
    "running_task",
    "stamp",
    "task_of",
]

current: contextvars.ContextVar[Chain | None] = contextvars.ContextVar("catena.chain", default=None)


# Unlike the public ones they do not raise, and are no Python code on 3.11.
running_loop: Callable[[], asyncio.AbstractEventLoop | None] = getattr(  # noqa: B009
    asyncio, "_get_running_loop"
)
"""Return the loop that is running in this thread, None without one."""

task_of: Callable[[asyncio.AbstractEventLoop], asyncio.Task[Any] | None] = (
    asyncio.current_task
    if sys.version_info >= (3, 12)
    else getattr(asyncio.tasks, "_current_tasks").get  # noqa: B009
)
"""Return the task that a loop is running, None in a callback."""

_frames: Callable[[], dict[int, FrameType]] = getattr(sys, "_current_frames")  # noqa: B009


class Pin:
    """What the tokens of one Context hold on to while they may still be reset there."""

    __slots__ = ("__weakref__",)


class Home:
    """Proof of the one Context that a chain was put into.

    The proof is a weak reference: the Context refers to this, and were the reference strong, or a
    token, every forked chain would be a circle that only the garbage collector ends.
    """

    # Of the class, for most homes never have any of it: one is made for each call.
    ledger: Ledger | None = None
    """Of the tokens that have crossed; most Contexts never see one."""
    keeps_pins = False
    """Whether somebody asks what tokens do; most Contexts are kept by those who run in them."""
    proof: ref[contextvars.Context] | None = None
    """The Context; None when it is done with."""
    _pin: ref[Pin] | None = None

    def settle(self, chain: Chain) -> None:
        """Make the current Context home, and the chain current in it."""
        self.proof = ref(context_of(current.set(chain)))

    def is_here(self) -> bool:
        """Say whether the running code is in that very Context and not in a copy of it."""
        proof = self.proof
        return proof is not None and context_of(current.set(current.get())) is proof()

    def book(self) -> Ledger:
        """Return the ledger of this Context, opened when there was none."""
        if self.ledger is None:
            self.ledger = Ledger()
        return self.ledger

    def pin(self) -> Pin:
        """Return what a token holds for as long as it may be reset in this Context."""
        pin = self._pin and self._pin()
        if pin is None:
            pin = Pin()
            self._pin = ref(pin)
        return pin

    @property
    def pinned(self) -> bool:
        """Whether a token that was cut here, or has crossed, may still be reset."""
        if self._pin is not None and self._pin() is not None:
            return True
        return self.ledger is not None and self.ledger.opens_some()

    def release(self) -> bool:
        """Give up the proof, so that no Context is home; say whether there was one to give up."""
        proof, self.proof = self.proof, None
        return proof is not None


def context_of(token: contextvars.Token[Any]) -> contextvars.Context:
    """Return the Context that a token was made in: the stdlib hands out copies of it only."""
    found: contextvars.Context = get_referents(token)[0]
    return found


UNMOUNTED = Chain(b"", b"", 0, None, Home(), HIDDEN)
"""Current in a Context whose values are kept from an earlier call, until a chain is mounted there.

Whoever reads a variable before that finds none of them.
"""


def running_task() -> asyncio.Task[Any] | None:
    """Return the task that is running in this thread, None in a callback or outside a loop."""
    loop = running_loop()
    return None if loop is None else task_of(loop)


def claimable(chain: Chain) -> bool:
    """Say whether nobody runs the chain: no owner, or one that is done, gone or cannot run."""
    owner: asyncio.Task[Any] | None = chain.task and chain.task()
    return owner is None or owner.done() or not owner.get_loop().is_running()


def lives(thread: int) -> bool:
    """Say whether a thread with that id runs Python code; of no use where time counts.

    An id that the system has given to a later thread counts as the earlier one.
    """
    # Not threading.enumerate: that knows only the threads that threading started.
    return thread in _frames()


def contention(
    chain: Chain, kind: Literal["thread", "task"], task: asyncio.Task[Any] | None
) -> ChainContention:
    """Return the error for a chain that another one runs than this thread and task; announced."""
    owner: object = chain.task and chain.task()
    return announced(
        ChainContention(
            chain_id=chain.id.hex(),
            kind=kind,
            owner_thread=chain.thread,
            thread=get_ident(),
            owner_task=owner,
            task=task,
        )
    )


def stamp(chain: Chain, task: asyncio.Task[Any] | None) -> Chain:
    """Make the running thread, and the task, the owner of the current chain; return it."""
    owned = chain.owned_by(get_ident(), task and ref(task))
    current.set(owned)
    return owned


def new_chain(id: bytes) -> Chain:
    """Put a fresh chain into the current Context, owned by whoever runs here, and return it."""
    task, home = running_task(), Home()
    chain = Chain(id, b"", get_ident(), task and ref(task), home, EMPTY)
    home.settle(chain)
    return chain
