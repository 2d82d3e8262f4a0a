"""How a process ended: noticed at once, and said in words.

A thread waits for each process. So it is reaped as soon as it ends, on every system and whatever
event loop runs, and the pool learns it also where its own loop has ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
from concurrent.futures import Future
from threading import Thread

from catena.dispatch.posting import post

_CRASHES = {
    getattr(signal, name) for name in ("SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGABRT", "SIGSYS")
}
_SHELL = 128
"""What is added to the number of a signal where a process ends as if by that signal."""


class Exit:
    """The end of one process that this one has started."""

    def __init__(self, process: subprocess.Popen[bytes], name: str) -> None:
        self._process = process
        self._ended: Future[None] = Future()
        Thread(target=self._await_process, name=f"catena-reap-{name}", daemon=True).start()

    @property
    def code(self) -> int | None:
        """The exit code, negative for a signal, None while the process runs."""
        return self._process.returncode if self._ended.done() else None

    def _await_process(self) -> None:
        self._process.wait()
        self._ended.set_result(None)

    async def wait(self, timeout: float | None = None) -> bool:
        """Wait until the process has ended, and return whether it has in so many seconds."""
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        # A loop that was closed meanwhile has nobody who waits.
        self._ended.add_done_callback(lambda _: post(loop, _release, done))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await done
        return self._ended.done()


def _release(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)


def describe_exit(code: int) -> str:
    """Return in words how a process ended that nobody had asked to end."""
    if 0 <= code < _SHELL:
        return f"ended with exit code {code}, as by os._exit"
    number = -code if code < 0 else code - _SHELL
    try:
        name = signal.Signals(number).name
    except ValueError:
        return f"ended with exit code {code}"
    if number == signal.SIGKILL:
        return f"killed by {name}, perhaps out of memory"
    return f"crashed with {name}" if number in _CRASHES else f"ended by {name}"
