"""The arguments of ``WorkerPool``: a wrong one is refused by name when the pool is constructed."""

from __future__ import annotations

import os
from typing import Any, Literal, cast, get_args

from catena.ids import MemberRecord
from catena.members import Launcher
from catena.pickling.references import find_reference
from catena.pool.bootstrap import split_name
from catena.pool.recycling import memory_is_known
from catena.security.credentials import Credentials
from catena.security.names import check_label
from catena.security.trust import Trust

Loop = Literal["auto", "asyncio", "uvloop"]
Restart = Literal["always", "never"]
Logging = Literal["worker", "parent"]
Where = str | tuple[str | MemberRecord, ...]
"""Where workers are found: one of the forms of ``catena.discovery``, or a list."""


def checked_number(name: str, value: object, *, least: int) -> int | None:
    """Return a whole number that is not below ``least``, or None.

    Raises TypeError for what is no whole number, and ValueError for a smaller one.
    """
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be a whole number, it is {value!r}")
    if value < least:
        wanted = "not be negative" if least == 0 else f"be at least {least}"
        raise ValueError(f"{name} must {wanted}, it is {value!r}")
    return value


def checked_memory(value: object) -> int | None:
    """Return a number of bytes, or None. Raises TypeError, and ValueError where it cannot hold."""
    checked = checked_number("max_memory", value, least=1)
    if checked is not None and not memory_is_known():
        raise ValueError("max_memory needs /proc, which this system does not have")
    return checked


def checked_patience(name: str, value: object) -> float:
    """Return a number of seconds above 0.

    Raises TypeError for what is no number, and ValueError for one that is not positive.
    """
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number of seconds, it is {value!r}")
    if not value > 0:
        raise ValueError(f"{name} must be positive, it is {value!r}")
    return value


def checked_end(name: str, value: object) -> float | None:
    """Return a number of seconds above 0, None for no end; raises as ``checked_patience`` does."""
    return None if value is None else checked_patience(name, value)


def checked_function(option: str, value: object) -> str | None:
    """Return the name of a function as ``module:function``, or None; ``option`` is what takes it.

    Raises TypeError for the function itself, with its name where it has one that can be imported,
    and ValueError for a name of another form.
    """
    if value is None:
        return None
    if callable(value):
        name = find_reference(value)
        advice = "define it in a module of its own and pass 'module:function'"
        raise TypeError(
            f"{option} must be the name of a function, because every worker imports it by that:"
            f" {advice if name is None else f'pass {name!r}'}"
        )
    if not isinstance(value, str):
        raise TypeError(f"{option} must be a text such as 'module:function', it is {value!r}")
    split_name(value, option)
    return value


def checked_discovery(value: object) -> Where | None:
    """Return where workers are found, or None.

    Raises TypeError for what is neither a text nor a list, and what ``discovery.source_of`` does.
    """
    if value is None:
        return None
    if not isinstance(value, str | list | tuple):
        raise TypeError(f"discovery must be a text or a list, it is {value!r}")
    from catena.discovery import source_of  # noqa: PLC0415 - only where it is asked for

    where = value if isinstance(value, str) else tuple(cast("list[Any]", value))
    # It opens and asks nothing before it is read.
    source_of(where)
    return where


def checked_launcher(value: object) -> Launcher | None:
    """Return what launches workers, or None. Raises TypeError for what cannot launch any."""
    needed = ("count", "launch", "members", "close")
    if value is not None and not all(hasattr(value, one) for one in needed):
        raise TypeError(f"launcher must have {', '.join(needed)}, it is {value!r}")
    return cast("Launcher | None", value)


def checked_trust(folder: Any, name: str, *, insecure: object) -> Trust:
    """Return how workers on other machines are called.

    Raises ValueError for credentials without the name of the pool that workers have to prove, and
    for a name that no certificate can have.
    """
    credentials = None if folder is None else Credentials(folder)
    if credentials is not None and not name:
        raise ValueError("credentials need the name of the pool that its workers have to prove")
    if credentials is not None:
        check_label(name, "the name of a pool with credentials")
    return Trust(credentials, name, insecure=checked_switch("insecure", insecure))


def checked_switch(name: str, value: object) -> bool:
    """Return True or False. Raises TypeError for anything else."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, it is {value!r}")
    return value


def checked_loop(value: object) -> str:
    """Return the name of an event loop; CATENA_LOOP stands in for "auto". Raises ValueError."""
    chosen = os.environ.get("CATENA_LOOP", "auto") if value == "auto" else value
    return checked_choice("loop", chosen, Loop)


def checked_choice(name: str, value: object, choices: object) -> str:
    """Return one of the words of a ``Literal``. Raises ValueError for anything else."""
    words = get_args(choices)
    if value not in words:
        raise ValueError(f"{name} must be one of {', '.join(words)}, it is {value!r}")
    return cast("str", value)


def count_processors() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def describe_route(discovery: Where | None, trust: Trust) -> dict[str, Any]:
    """Return how a pool is found from elsewhere, as JSON has it; empty where it cannot be.

    A list of targets is no way to find it later: it names workers that may be gone.
    """
    if not isinstance(discovery, str):
        return {}
    return {
        "discovery": discovery,
        "credentials": None if trust.credentials is None else str(trust.credentials.folder),
        "name": trust.pool,
        "insecure": trust.insecure,
    }
