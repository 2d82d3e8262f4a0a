"""Posting: how one thread has the event loop of another one do something."""

from __future__ import annotations

import contextvars
from asyncio import AbstractEventLoop
from collections.abc import Callable
from typing import Any


def post(loop: AbstractEventLoop, do: Callable[..., object], *args: Any) -> bool:
    """Have another loop call something, in an empty Context; say whether that loop takes it."""
    try:
        loop.call_soon_threadsafe(do, *args, context=contextvars.Context())
    except RuntimeError:
        # It is closed.
        return False
    return True
