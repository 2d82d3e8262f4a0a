"""Every way to touch a chain that the guard is asked about."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import catena
from catena.context.chain import current
from catena.dispatch.payloads import LENIENT
from catena.transfer.capture import capture_answer, capture_drive
from catena.transfer.manifest import ChainManifest
from catena.transfer.mount import mount

__all__ = ["TOUCHES", "facts_here"]

INCOMING = ChainManifest(bytes(range(16)))
Var = catena.ContextVar[Any]

TOUCHES: dict[str, Callable[[Var], Any]] = {
    "get": lambda var: var.get(),
    "get with a default": lambda var: var.get("default"),
    "set": lambda var: var.set("intruder"),
    "reset of no token": lambda var: var.reset(object()),  # type: ignore[arg-type]
    "capture": lambda _: capture_drive(LENIENT, None),
    "capture of an answer": lambda _: capture_answer(LENIENT, None),
    "mount": lambda _: mount(INCOMING, LENIENT, to_worker=True),
    "mount of an answer": lambda _: mount(INCOMING, LENIENT, to_worker=False),
}


def facts_here() -> tuple[Any, ...]:
    """Return what a refused touch must not change."""
    chain = current.get()
    assert chain is not None
    return chain, chain.thread, chain.task, chain.state
