"""The limits of a worker that hostile peers attack: where each stands, its name, its value."""

from __future__ import annotations

from typing import Any

__all__ = ["LIMITS", "limit"]

LIMITS: tuple[tuple[str, str, Any], ...] = (
    ("link.link", "HELLO_SECONDS", 2.0),
    ("link.server", "HELLO_SECONDS", 2.0),
    ("link.server", "LINK_LIMIT", 40),
    ("link.handshakes", "HANDSHAKE_SECONDS", 1.5),
    ("link.handshakes", "_LOOK_SECONDS", 0.1),
    ("link.congestion", "UNREAD", (1024, 1 << 20)),
    ("link.link", "UNREAD_LEAST", 1024 * 32),
    ("link.outbox", "FRAME_LIMIT", 4 << 20),
    ("link.outbox", "LINK_LIMIT", 8 << 20),
    ("link.outbox", "TRANSFER_LIMIT", 16),
    ("dispatch.worker.session", "FUNCTIONS", (16, 1 << 20)),
    ("dispatch.worker.sessions", "AHEAD", 64),
    ("dispatch.worker.sessions", "CALL_LIMIT", 16),
    ("dispatch.worker.restoring", "PROXY_LIMIT", 4096),
    ("dispatch.worker.sessions", "UNDRIVEN", (12, 1 << 16)),
    ("transfer.decode", "ENTRY_LIMIT", 64),
    ("transfer.decode", "STUB_LIMIT", 32),
    ("transfer.decode", "VALUE_LIMIT", 1 << 16),
)


def limit(where: str, name: str) -> Any:
    """Return the value of a limit."""
    return next(value for at, it, value in LIMITS if (at, it) == (where, name))
