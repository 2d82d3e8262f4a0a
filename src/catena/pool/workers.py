"""The worker processes of one pool: started and ended, with all that is theirs.

That is the directory of their sockets and what copies their output.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import count
from typing import Any, cast

from catena.errors import WorkerStartError
from catena.pool.output import OutputRelay
from catena.pool.overtime import overtime_path
from catena.pool.process import Worker
from catena.pool.socket_dir import SocketDirectory, remove_stale
from catena.pool.stacks import stack_path
from catena.security.trust import NO_TRUST, Trust

_COPYING = 1.0
"""How many seconds what workers printed last may take to be copied."""


class LocalWorkers:
    """Workers on this machine.

    ``options`` is what each of them is given, as JSON has it; ``relay`` copies what they print, and
    is finished with them; ``start_timeout`` is how many seconds they may take to come up,
    ``stop_timeout`` how many they may take to clean up.
    ``all`` holds those that came up and have not ended since.
    """

    def __init__(
        self,
        options: dict[str, Any],
        relay: OutputRelay,
        *,
        start_timeout: float,
        stop_timeout: float,
    ) -> None:
        self.all: list[Worker] = []
        self.stopping = False
        self.stop_timeout = stop_timeout
        self._starting: list[Worker] = []
        self._numbers = count()
        self._options = {**options, "trust": NO_TRUST.as_facts()}
        self._start_timeout = start_timeout
        self._directory: SocketDirectory | None = None
        self._relay = relay

    def give_trust(self, trust: Trust) -> None:
        """Have those that are started from here on call workers on other machines in this way."""
        self._options = {**self._options, "trust": trust.as_facts()}

    async def start(self, many: int) -> list[Worker]:
        """Start so many and return them, in the order of their numbers.

        Raises an ExceptionGroup of WorkerStartError, one for each reason for which workers did not
        come up; those that did are to be ended by ``stop`` then.
        """
        if self._directory is None:
            await asyncio.to_thread(remove_stale)
            self._directory = _make_directory()
        made = [self._make_worker(self._directory) for _ in range(many)]
        waits = (worker.start(self._start_timeout) for worker in made)
        outcomes = await asyncio.gather(*waits, return_exceptions=True)
        failures = [one for one in outcomes if isinstance(one, BaseException)]
        for failure in failures:
            if not isinstance(failure, WorkerStartError):
                raise failure
        raise_failures(_one_a_cause(cast("list[WorkerStartError]", failures)))
        for worker in made:
            self._starting.remove(worker)
        self.all += made
        return made

    async def start_another(self) -> Worker:
        """Start one more and return it, which is not among ``all`` yet. Raises WorkerStartError."""
        worker = self._make_worker(cast("SocketDirectory", self._directory))
        try:
            await worker.start(self._start_timeout)
        except WorkerStartError:
            await self.discard(worker)
            raise
        return worker

    def admit(self, worker: Worker) -> None:
        """Have a worker that was started later be one of all."""
        self._starting.remove(worker)
        self.all.append(worker)

    async def discard(self, worker: Worker) -> None:
        """End one worker, and forget it."""
        worker.ask_to_end()
        await worker.wait_stopped(self.stop_timeout)
        self.forget(worker)

    def forget(self, worker: Worker) -> None:
        """Forget a worker that has ended, and take away what it left."""
        worker.ask_to_end()
        for left in (worker.socket, stack_path(worker.socket), overtime_path(worker.socket)):
            left.unlink(missing_ok=True)
        for some in (self.all, self._starting):
            if worker in some:
                some.remove(worker)

    def _make_worker(self, directory: SocketDirectory) -> Worker:
        number = next(self._numbers)
        name = f"{directory.path.name.rpartition('-')[2]}-{number}"
        worker = Worker(name, directory.socket_path(number), self._relay, self._options)
        self._starting.append(worker)
        return worker

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
        self.stopping = True
        for worker in self._list_processes():
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
        waits = (worker.wait_stopped(self.stop_timeout) for worker in self._list_processes())
        await asyncio.gather(*waits, return_exceptions=True)

    def _list_processes(self) -> list[Worker]:
        return [*self.all, *self._starting]

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
