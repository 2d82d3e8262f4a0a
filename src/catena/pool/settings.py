"""The settings of a pool: its options, checked once, in the form in which its parts take them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from catena.members import Launcher
from catena.pool.arguments import (
    Logging,
    Restart,
    Where,
    checked_choice,
    checked_discovery,
    checked_end,
    checked_function,
    checked_launcher,
    checked_loop,
    checked_memory,
    checked_number,
    checked_patience,
    checked_switch,
    checked_trust,
)
from catena.pool.heartbeat import SECONDS
from catena.pool.recycling import Recycling
from catena.pool.restarts import Restarts
from catena.proxy.watch import look_pause
from catena.security.trust import Trust

_PATIENCE = ("start_timeout", "stop_timeout", "drain_timeout", "restart_pause", "quorum_timeout")
_LEAST = {
    "gc_threshold": 0,
    "max_waiting": 0,
    "slots": 1,
    "restart_limit": 1,
    "max_calls": 1,
    "quorum": 0,
    "max_found": 1,
    "max_calls_in_flight": 1,
}


@dataclass(frozen=True, slots=True)
class Settings:
    """What a pool was asked for; ``WorkerPool`` explains the options.

    ``worker`` is what each worker is given, as JSON has it. ``beat`` is how many seconds pass
    between two looks at the workers. With ``forwards_records`` they send what they log. At most
    ``max_found`` of the workers that ``discovery`` names are used, None for all. ``quorum`` is how
    many of others' workers have to be there, None for those of the launcher, and one that is found.
    """

    worker: dict[str, Any]
    restarts: Restarts
    recycling: Recycling
    start_timeout: float
    stop_timeout: float
    drain_timeout: float
    unresponsive_after: float | None
    beat: float
    strict: bool
    max_waiting: int | None
    prefix: bool
    forwards_records: bool
    discovery: Where | None
    launcher: Launcher | None
    quorum: int | None
    quorum_timeout: float
    max_found: int | None
    trust: Trust

    def find_trust(self) -> Trust:
        """Return how workers on other machines are called: what a launcher says goes first."""
        made: Trust | None = getattr(self.launcher, "trust", None)
        return self.trust if made is None else made


def check_settings(**given: Any) -> Settings:
    """Return the settings for the options of a pool. Raises TypeError and ValueError."""
    seconds = {name: checked_patience(name, given[name]) for name in _PATIENCE}
    numbers = {name: checked_number(name, given[name], least=n) for name, n in _LEAST.items()}
    replaces = checked_choice("restart", given["restart"], Restart) == "always"
    limit = numbers["restart_limit"] or 1
    patience = checked_end("unresponsive_after", given["unresponsive_after"])
    beat = min(SECONDS, look_pause(patience))
    strict: bool = given["strict"]
    return Settings(
        worker={
            "loop": checked_loop(given["loop"]),
            "stop_timeout": seconds["stop_timeout"],
            "drain_timeout": seconds["drain_timeout"],
            "strict": strict,
            "beat": beat,
            "gc_threshold": numbers["gc_threshold"],
            "slots": numbers["slots"] or 1,
            "max_calls_in_flight": numbers["max_calls_in_flight"],
            **{name: checked_function(name, given[name]) for name in ("bootstrap", "refuse")},
        },
        restarts=Restarts(limit if replaces else 0, seconds["restart_pause"]),
        recycling=Recycling(numbers["max_calls"], checked_memory(given["max_memory"])),
        start_timeout=seconds["start_timeout"],
        stop_timeout=seconds["stop_timeout"],
        drain_timeout=seconds["drain_timeout"],
        unresponsive_after=patience,
        beat=beat,
        strict=strict,
        max_waiting=numbers["max_waiting"],
        prefix=checked_switch("prefix", given["prefix"]),
        forwards_records=checked_choice("logging", given["logging"], Logging) == "parent",
        discovery=checked_discovery(given["discovery"]),
        launcher=checked_launcher(given["launcher"]),
        quorum=numbers["quorum"],
        quorum_timeout=seconds["quorum_timeout"],
        max_found=numbers["max_found"],
        trust=checked_trust(given["credentials"], given["name"], insecure=given["insecure"]),
    )
