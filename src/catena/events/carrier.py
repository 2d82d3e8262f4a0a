"""The carrier: what an observer wants to reach the other end of a call; the core never reads it."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from types import MappingProxyType

Carrier = Mapping[str, str]
"""An opaque map, such as the headers of a trace, that travels beside a chain."""

CARRIER_LIMIT = 8192
"""The most bytes that a carrier may take; a longer one is left out, and never fails a call."""

NO_CARRIER: Carrier = {}

OVERSIZED: Carrier = MappingProxyType({})
"""Stands for a carrier that came and exceeded the limit; distinguished by identity."""

relayed: ContextVar[Carrier | None] = ContextVar("catena.relayed_carrier", default=None)
"""What the call that runs here came with; its own calls take it along, unread, unless an observer
has another one for them."""
