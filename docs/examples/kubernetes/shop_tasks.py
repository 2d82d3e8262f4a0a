"""What the workers of the example run; both sides import it."""

from __future__ import annotations

import socket

import catena


@catena.routine
async def weigh(parcel: str) -> str:
    """Return what a parcel weighs, and where that was found out."""
    return f"{parcel}: {len(parcel)} kg, says {socket.gethostname()}"
