"""The connection between the core and telemetry: opening a pool starts telemetry.

The package root imports this module; telemetry is imported when the first pool opens. This module
also passes the options that telemetry was given in code to workers, so that neither the pool nor
telemetry has to import the other.
"""

from __future__ import annotations

from catena.events.bus import on_poll
from catena.pool.bootstrap import on_spawn


def register_telemetry() -> None:
    """Have telemetry asked whenever observers are looked for, and whenever a worker is started."""
    on_poll(_look_for_telemetry)
    on_spawn(_hand_over_options)


def _look_for_telemetry() -> None:
    from catena.telemetry.switch import ensure_recording  # noqa: PLC0415 - `import catena` stays light

    ensure_recording()


def _hand_over_options(environment: dict[str, str], _: str) -> None:
    from catena.telemetry.switch import options_for_workers  # noqa: PLC0415 - `import catena` stays light

    environment.update(options_for_workers())
