"""Forks: a branch of the call tree gets the values that were there, on a chain of its own."""

from __future__ import annotations

import asyncio
from threading import get_ident
from typing import Any
from weakref import ref

from catena.context.chain import Chain
from catena.context.home import Home
from catena.events import ChainForked
from catena.events.bus import announce
from catena.ids import new_id


def fork_here(chain: Chain, task: asyncio.Task[Any] | None = None) -> Chain:
    """Give the current Context a chain of its own that continues ``chain``, and return it.

    Without a task it has no owner yet: the first task that touches it claims it.
    """
    home = Home()
    forked = chain.fork(new_id(), get_ident(), task and ref(task), home)
    home.take_context(forked)
    if ChainForked.listeners:
        announce(ChainForked(forked.id, chain.id))
    return forked
