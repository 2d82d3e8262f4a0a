"""What a pool does about workers that do not answer: it says why, and ends those that go on so."""

from __future__ import annotations

from collections.abc import Callable

from catena.events import WorkerGivenUp, WorkerRecovered, WorkerSuspected
from catena.events.bus import announce
from catena.pool.process import Worker
from catena.pool.stacks import is_stopped, read_stack, stack_path
from catena.proxy.member import Member

BLOCKED = "its event loop is blocked"
STOPPED = "its process is stopped"
ELSEWHERE = "why cannot be seen, because this pool has not started it"
UNKNOWN = "its event loop was not seen to be blocked"


class SilenceKeeper:
    """Announces which workers do not answer, with what blocks them, and kills those given up.

    Of one that the pool has found it cuts the link, and knows neither process nor stack.
    ``find_worker`` returns the process of a worker by its id, None for one that is gone.
    """

    def __init__(self, find_worker: Callable[[str], Worker | None]) -> None:
        self._find_worker = find_worker

    def worker_fell_silent(self, member: Member, seconds: float) -> None:
        """Announce that a worker is suspect, with the stack of its event loop."""
        pid, cause, stack = 0, UNKNOWN, ""
        worker = self._find_worker(member.worker)
        if worker is not None:
            pid, stack = worker.pid, read_stack(stack_path(worker.socket))
            cause = STOPPED if is_stopped(pid) else BLOCKED if stack else UNKNOWN
        elif member.found:
            cause = ELSEWHERE
        else:
            return
        if WorkerSuspected.listeners:
            announce(WorkerSuspected(member.worker, pid, seconds, cause, stack))

    def worker_answered(self, member: Member, seconds: float) -> None:
        """Announce that a worker answers again."""
        worker = self._find_worker(member.worker)
        if WorkerRecovered.listeners and (worker is not None or member.found):
            announce(WorkerRecovered(member.worker, worker.pid if worker else 0, seconds))

    def give_worker_up(self, member: Member, seconds: float) -> None:
        """Kill a worker; the calls that it has say why it was lost."""
        worker, reason = self._find_worker(member.worker), f"it did not answer for {seconds:.0f} s"
        if worker is None and not member.found:
            return
        if WorkerGivenUp.listeners:
            announce(WorkerGivenUp(member.worker, worker.pid if worker else 0, seconds))
        if worker is None:
            member.cut_link(reason)
        else:
            worker.give_up(reason, kill=True)
