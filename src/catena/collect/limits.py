"""What a receiver takes at most, and for how long it keeps a process that has become silent."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Limits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one receiver.

    ``message_bytes`` holds for one request, before and after it is unpacked. ``series`` is how many
    series one process may have, ``instances`` how many processes are kept. ``silence`` is after how
    many seconds without metrics a process is forgotten, ``grace`` how many seconds requests that
    are being served get when the receiver stops, ``read`` how long the body of one may take.
    """

    message_bytes: int = 16 << 20
    series: int = 10_000
    instances: int = 1_000
    silence: float = 300.0
    grace: float = 5.0
    read: float = 30.0
