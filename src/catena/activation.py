"""The one place where the core and telemetry meet: whoever opens a pool lets telemetry look around.

It is imported by the package root, and imports telemetry when the first pool opens.
"""

from __future__ import annotations

from catena.observe import attendant

__all__ = ["start"]


def start() -> None:
    """Have telemetry asked whenever attendants are."""
    attendant(_look)


def _look() -> None:
    from catena.telemetry.switch import ensure  # noqa: PLC0415 - `import catena` stays light

    ensure()
