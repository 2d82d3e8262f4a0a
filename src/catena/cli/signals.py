"""Signals that have a command finish what it does."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def await_signals(over: asyncio.Event) -> Callable[[], None]:
    """Have the first SIGTERM or SIGINT set an event; return what does the same without a signal.

    The next one ends the process at once.
    """
    loop = asyncio.get_running_loop()

    def stop() -> None:
        over.set()
        for number in _SIGNALS:
            loop.remove_signal_handler(number)

    for number in _SIGNALS:
        loop.add_signal_handler(number, stop)
    return stop
