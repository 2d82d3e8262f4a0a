"""How many objects of Catena are alive in this process: zero when nothing is under way."""

from __future__ import annotations

import gc
from dataclasses import dataclass

from catena.context.chain import UNMOUNTED, Chain
from catena.context.var import Token
from catena.dispatch.caller.connection import connections
from catena.dispatch.caller.stream import streams
from catena.dispatch.worker.sessions import all_sessions
from catena.link.link import links


@dataclass(frozen=True, slots=True)
class Statistics:
    """Counts of live objects in one process.

    ``calls``: opened here and not ended. ``sessions``: calls that run here for other processes.
    ``streams``: started here and not closed. ``links``: open ones. ``transfers``: frames that have
    arrived in part. ``chains`` and ``tokens``: those to which something still refers.
    """

    calls: int
    sessions: int
    streams: int
    links: int
    transfers: int
    chains: int
    tokens: int


def statistics() -> Statistics:
    """Count the live objects of this process. It walks the collector's lists: not for hot paths."""
    chains = tokens = 0
    for one in gc.get_objects():
        # The mark of a Context that is not mounted yet is the process's own.
        chains += type(one) is Chain and one is not UNMOUNTED
        tokens += type(one) is Token
    return Statistics(
        calls=sum(one.open_calls for one in connections),
        sessions=sum(sessions.open_calls for sessions in all_sessions),
        streams=len(streams),
        links=len(links),
        transfers=sum(link.transfers for link in links),
        chains=chains,
        tokens=tokens,
    )
