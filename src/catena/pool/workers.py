"""The worker processes of one pool: started together, ended together, with all that is theirs.

That is the directory of their sockets and what copies their output.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

from catena.errors import WorkerStartError
from catena.pool.output import OutputRelay
from catena.pool.process import Worker
from catena.pool.socket_dir import SocketDirectory, remove_stale

_COPYING = 1.0
"""How many seconds what workers printed last may take to be copied."""


class LocalWorkers:
    """So many workers on this machine.

    ``options`` is what each of them is given, as JSON has it; ``start_timeout`` is how many seconds
    they may take to come up, ``stop_timeout`` how many they may take to clean up.
    """

    def __init__(
        self, count: int, options: dict[str, Any], *, start_timeout: float, stop_timeout: float
    ) -> None:
        self.all: list[Worker] = []
        self._count = count
        self._options = options
        self._start_timeout = start_timeout
        self._stop_timeout = stop_timeout
        self._directory: SocketDirectory | None = None
        self._relay = OutputRelay()

    async def start(self) -> tuple[tuple[str, str], ...]:
        """Start all of them; return the id and the address of each.

        Raises an ExceptionGroup of WorkerStartError, one for each reason for which workers did not
        come up; ``stop`` takes away what was made until then.
        """
        await asyncio.to_thread(remove_stale)
        directory = self._directory = _make_directory()
        label = directory.path.name.rpartition("-")[2]
        self.all = [
            Worker(f"{label}-{number}", directory.socket_path(number), self._relay, self._options)
            for number in range(self._count)
        ]
        waits = (worker.start(self._start_timeout) for worker in self.all)
        outcomes = await asyncio.gather(*waits, return_exceptions=True)
        failures = [one for one in outcomes if isinstance(one, BaseException)]
        for failure in failures:
            if not isinstance(failure, WorkerStartError):
                raise failure
        raise_failures(_one_a_cause(cast("list[WorkerStartError]", failures)))
        return tuple((worker.id, worker.target) for worker in self.all)

    async def stop(self) -> None:
        """End all of them, and take away what is theirs."""
        try:
            await self._stop_processes()
            await asyncio.to_thread(self._relay.finish_copying, _COPYING)
        finally:
            self._remove_directory()

    def find(self, id: str) -> Worker | None:
        """Return a worker by its id, None where there is no such one."""
        return next((one for one in self.all if one.id == id), None)

    def ask_to_end(self) -> None:
        """Ask all of them to end, and wait for none."""
        for worker in self.all:
            worker.ask_to_end()

    def stop_blocking(self) -> None:
        """Do what ``stop`` does where the pool's event loop has ended: this blocks the thread."""
        try:
            asyncio.run(self._stop_processes())
            self._relay.finish_copying(_COPYING)
        finally:
            self._remove_directory()

    async def _stop_processes(self) -> None:
        self.ask_to_end()
        waits = (worker.wait_stopped(self._stop_timeout) for worker in self.all)
        await asyncio.gather(*waits, return_exceptions=True)

    def _remove_directory(self) -> None:
        if self._directory is not None:
            self._directory.remove()


def raise_failures(failures: Sequence[BaseException]) -> None:
    """Raise an ExceptionGroup of the reasons for which workers did not start, if there are any."""
    if failures:
        raise BaseExceptionGroup("workers did not start", failures)


def _make_directory() -> SocketDirectory:
    try:
        return SocketDirectory()
    except OSError as error:
        raise WorkerStartError(worker="any", cause=str(error)) from error


def _one_a_cause(failures: list[WorkerStartError]) -> list[WorkerStartError]:
    """Return one error for all workers that did not start for the same reason."""
    first: dict[tuple[str, int | None], WorkerStartError] = {}
    for one in failures:
        same = first.setdefault((one.cause, one.exit_code), one)
        if same is not one:
            same.worker += f", {one.worker}"
    return list(first.values())
