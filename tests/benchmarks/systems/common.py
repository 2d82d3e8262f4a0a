"""What the routines of every system share: the value in the context, and what a worker tells."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from typing import Any, Final

MARK: Final = 20_011


class WrongContext(Exception):
    """The context variable did not reach the worker."""


def in_context(mark: int) -> None:
    """Raise `WrongContext` unless `mark` is the value that the client has set."""
    if mark != MARK:
        raise WrongContext(f"the worker saw {mark!r} instead of {MARK!r}")


def loop_name() -> str:
    """The family of the running event loop: `uvloop` or `asyncio`."""
    return type(asyncio.get_running_loop()).__module__.partition(".")[0]


def here() -> tuple[int, str]:
    """Id of this process and the name of its event loop."""
    return os.getpid(), loop_name()


def run_on(loop: str, main: Coroutine[Any, Any, None]) -> None:
    """Run `main` on the loop of that name; every name but `uvloop` is the standard library's."""
    if loop == "uvloop":
        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main)
    else:
        asyncio.run(main)
