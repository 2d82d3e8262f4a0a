"""A receiver for code that blocks: it runs in a thread with an event loop of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

from catena.collect.receiver import Receiver

__all__ = ["receiving"]

_DEADLINE = 30.0


@contextmanager
def receiving(**options: Any) -> Generator[Receiver]:
    """Receive while the block runs; the options and what may be raised are those of Receiver.

    Made for exporters of the process itself, which block the thread that flushes them.
    """
    receiver = Receiver(**options)
    serving = _Serving(receiver)
    thread = threading.Thread(target=serving.run, name="catena-collect", daemon=True)
    thread.start()
    try:
        serving.ready.result(_DEADLINE)
        yield receiver
    finally:
        serving.stop()
        thread.join(_DEADLINE)


class _Serving:
    """The life of the thread: open, tell so, wait for the end, close."""

    def __init__(self, receiver: Receiver) -> None:
        self.ready: Future[None] = Future()
        self._receiver = receiver
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()

    def run(self) -> None:
        """Serve until ``stop``."""
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    def stop(self) -> None:
        """End it, from any thread; once more is no mistake."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._over.set)

    async def _serve(self) -> None:
        try:
            async with self._receiver:
                self.ready.set_result(None)
                await self._over.wait()
        except BaseException as error:
            if self.ready.done():
                raise
            self.ready.set_exception(error)
