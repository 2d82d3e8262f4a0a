"""What a worker imports that hostile peers attack: its witness, its ears, small limits, a fault.

It is imported with ``catena worker --import``, and by no test. The limits are small, so that a
flood is quick: whether they hold does not depend on how large they are.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from catena import events, telemetry
from catena.dispatch import payloads
from catena.dispatch.worker import restoring, session, sessions
from catena.events.bus import Event, Operation, subscribe
from catena.link import congestion, handshakes, link, outbox, server
from catena.transfer import decode
from tests.hostile import faults
from tests.hostile.limits import LIMITS
from tests.hostile.routines import MARK, heard, prepared, readers, witnessed

_open: Callable[..., Any] = pickle.loads


def _witness(data: Any, *args: Any, **options: Any) -> Any:
    """Note whose pickle is opened; one with a mark that nobody has prepared is not."""
    found = bytes(data)
    if MARK.encode() not in found:
        witnessed["ours"] += 1
    else:
        for whose in ("stranger", "insider"):
            witnessed[whose] += f"{MARK}{whose}".encode() in found
        if found not in prepared:
            raise pickle.UnpicklingError("it is not one of those that were prepared")
    return _open(data, *args, **options)


def _hear(event: Event) -> None:
    """Count an event, by what is known of its peer: a name before a ``#`` says what that does."""
    name = type(event).__name__
    if isinstance(event, events.PeerAccessRefused):
        heard[f"{name}: {_shorten(event.error.reason)}"] += 1
        return
    peer = getattr(event, "peer", "")
    parts = (getattr(event, one, "") for one in ("code", "ended", "kind"))
    said = [name, *filter(None, parts), *([peer.partition("#")[0]] if "#" in peer else [])]
    heard[" ".join(said)] += 1


def _shorten(reason: str) -> str:
    """Return the beginning of a reason, which is the same for all of a kind."""
    return reason.partition(":")[0].partition(" (")[0][:60]


def _prepare() -> None:
    pickle.loads = _witness
    payloads.unpickle_payload.__defaults__ = (_witness,)
    modules = (congestion, decode, handshakes, link, outbox, restoring, server, session, sessions)
    known = {one.__name__.removeprefix("catena."): one for one in modules}
    for where, name, value in LIMITS:
        if not hasattr(known[where], name):
            raise AttributeError(f"catena.{where} has no {name}")
        setattr(known[where], name, value)
    kinds = (getattr(events, name) for name in events.__all__)
    facts = [
        one
        for one in kinds
        if isinstance(one, type) and issubclass(one, Event) and not issubclass(one, Operation)
    ]
    subscribe(_hear, *facts)
    reader = InMemoryMetricReader()
    readers.append(reader)
    telemetry.install(meter_provider=MeterProvider([reader], shutdown_on_exit=False))
    faults.plant(os.environ.get(faults.FAULT, ""))


_prepare()
