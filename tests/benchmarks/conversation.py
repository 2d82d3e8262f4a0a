"""Talks with client processes that live at the same time, and gives them their turns.

Rule: whatever way `run_turns` is left, every client that it started is gone; nothing that it waits
for is waited for without a deadline.
"""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from subprocess import PIPE, TimeoutExpired
from tempfile import TemporaryFile
from time import monotonic
from typing import Any, Final

from .clients import GRACE, Block, command, end, sample, start, told
from .environment import last_lines
from .plan import ONCE, BenchmarkError, Sample, Variant
from .turns import END, Slice, Turn

# Far beyond what a working client needs for its start, or for a turn beside its own time.
PATIENCE: Final = 20.0
# How often the runner looks whether a silent client is alive, in seconds.
LOOK: Final = 0.2


def run_turns(python: Path, blocks: Sequence[Block], slices: Sequence[Slice]) -> list[Sample]:
    """Start a client for each block, give the turns in their order, and end them all.

    Raises:
        BenchmarkError: a client died, failed, told something else than what was asked, or was
            silent for too long.
    """
    clients: dict[Variant, Client] = {}
    samples: list[Sample] = []
    try:
        for block in blocks:
            clients[block.variant] = Client(block, command(python, block))
        for client in clients.values():
            client.await_ready()
        for one in slices:
            samples += clients[one.row].take(one.turn, one.round)
        # Nothing of the last answers is timed, so all of them may be given at once.
        for client in clients.values():
            client.tell(Turn(END))
        for client in clients.values():
            samples += client.hear(Turn(END))
            client.await_exit()
    finally:
        end(*(client.process for client in clients.values()))
        for client in clients.values():
            client.close()
    return samples


class Client:
    """The runner's end of one client: it tells turns, and hears lines with a deadline.

    The block's `timeout` bounds the whole conversation. Every method raises BenchmarkError.
    """

    def __init__(self, block: Block, arguments: Sequence[str]) -> None:
        self._block = block
        self._end = monotonic() + block.timeout
        self._unread = b""
        # A file, not a pipe: nobody reads it while the client has no turn.
        self._errors = TemporaryFile()  # noqa: SIM115
        self.process = start(arguments, stdin=PIPE, errors=self._errors)

    def await_ready(self) -> None:
        """Wait until the client has told its facts and has warmed up."""
        limit = self._limit(PATIENCE * 2)
        self._next("facts", limit)
        self._next("ready", limit)

    def take(self, turn: Turn, number: int = ONCE) -> list[Sample]:
        """Give a turn, in the round of that number, and wait for its samples."""
        self.tell(turn)
        return self.hear(turn, number)

    def tell(self, turn: Turn) -> None:
        """Give the turn."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(f"{turn}\n".encode())
            self.process.stdin.flush()
        except BrokenPipeError:
            # Its last words explain more than the broken pipe does.
            self._next("sample", self._limit(GRACE))
            raise self._died() from None

    def hear(self, turn: Turn, number: int = ONCE) -> list[Sample]:
        """Wait for the samples of a turn."""
        limit = self._limit(PATIENCE + 2 * turn.seconds)
        lines = [self._next("sample", limit) for _ in turn.metrics]
        samples = [sample(self._block, line, number) for line in lines]
        if tuple(one.metric for one in samples) != turn.metrics:
            raise self._failed(f"the answer to {str(turn)!r} were other samples")
        return samples

    def await_exit(self) -> None:
        """Wait until the client has ended, as it must after the last turn."""
        try:
            code = self.process.wait(timeout=max(0.0, self._limit(PATIENCE) - monotonic()))
        except TimeoutExpired:
            raise self._failed("it did not end") from None
        if code:
            raise self._died()

    def close(self) -> None:
        """Close the runner's ends of the pipes; the client has ended."""
        for pipe in (self.process.stdin, self.process.stdout, self._errors):
            with suppress(BrokenPipeError):
                if pipe is not None:
                    pipe.close()

    def _limit(self, seconds: float) -> float:
        return min(self._end, monotonic() + seconds)

    def _next(self, event: str, limit: float) -> dict[str, Any]:
        """The next line that is ours; it must tell this event."""
        fields = None
        while fields is None:
            fields = told(self._line(limit))
        if fields["event"] == "error":
            raise self._failed(fields["reason"])
        if fields["event"] != event:
            raise self._failed(f"it told {fields['event']!r} instead of {event!r}")
        return fields

    def _line(self, limit: float) -> str:
        assert self.process.stdout is not None
        while b"\n" not in self._unread:
            # Asked before the pipe is, so that what a client wrote before it died is read. A worker
            # may hold the pipe open for longer.
            is_over = self.process.poll() is not None
            wait = 0.0 if is_over else max(0.0, min(LOOK, limit - monotonic()))
            if select.select([self.process.stdout], [], [], wait)[0]:
                data = os.read(self.process.stdout.fileno(), 65536)
                if not data:
                    raise self._died()
                self._unread += data
            elif is_over:
                raise self._died()
            elif monotonic() >= limit:
                raise self._failed("no answer in time")
        line, _, self._unread = self._unread.partition(b"\n")
        return line.decode(errors="replace")

    def _died(self) -> BenchmarkError:
        with suppress(TimeoutExpired):
            self.process.wait(timeout=GRACE)
        code = self.process.returncode
        how = "closed its output" if code is None else f"died, exit code {code}"
        if code is not None and code < 0:
            how = f"died by {signal.Signals(-code).name}"
        self._errors.seek(0)
        errors = self._errors.read().decode(errors="replace")
        return self._failed(f"the client {how}: {last_lines(errors)}")

    def _failed(self, reason: str) -> BenchmarkError:
        return BenchmarkError(f"{self._block.variant}: {reason}")
