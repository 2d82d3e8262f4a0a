"""The one place where the core and telemetry meet: whoever opens a pool lets telemetry look around.

It is imported by the package root, and imports telemetry when the first pool opens. What telemetry
was told in code reaches workers from here, too: neither the pool nor telemetry knows the other.
"""

from __future__ import annotations

import importlib
from types import ModuleType

from catena.events.bus import on_poll
from catena.pool.bootstrap import on_spawn

__all__ = ["start", "submodule"]

_LATE = ("logging", "telemetry")


def start() -> None:
    """Have telemetry asked whenever attendants are, and whenever a worker is started."""
    on_poll(_look)
    on_spawn(_hand_over)


def submodule(name: str) -> ModuleType:
    """Return what the package root offers and loads when it is first used.

    Raises AttributeError for anything else.
    """
    if name not in _LATE:
        raise AttributeError(f"module 'catena' has no attribute {name!r}")
    return importlib.import_module(f"catena.{name}")


def _look() -> None:
    from catena.telemetry.switch import ensure  # noqa: PLC0415 - `import catena` stays light

    ensure()


def _hand_over(environment: dict[str, str], _: str) -> None:
    from catena.telemetry.switch import handed  # noqa: PLC0415 - `import catena` stays light

    environment.update(handed())
