"""``catena demo``: run, check, show, and say in one line when it did not end well.

Its one rule: whatever ends the run, its workers are gone when ``demo`` returns, and the exit code
is one of the four that the help names.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO, cast

from catena.cli.demo.arguments import Arguments
from catena.cli.demo.local import analyse
from catena.cli.demo.machine import machine
from catena.cli.demo.outcome import Check, Outcome, Progress, Report
from catena.cli.demo.progress import Display, display, so_far
from catena.cli.demo.report import show
from catena.cli.demo.rows import differences
from catena.cli.demo.run import ContextLost, run
from catena.cli.demo.state import RunState
from catena.cli.demo.target import Target, TargetRefused, choose
from catena.cli.demo.trace import Trace, trace_of
from catena.cli.demo.watching import watched
from catena.cli.demo.words import counted, shown
from catena.errors import CatenaError
from catena.ids import new_id

DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130

_PATIENCE = 5.0
"""Seconds from a first Ctrl-C until another one ends everything where it stands."""

_FLUSH = 5.0
"""Seconds for sending the last spans of this process."""

_TOLD = (CatenaError, ContextLost, OSError)
"""Errors whose own text says enough; any other is a mistake of ours and keeps its traceback."""


def demo(asked: Arguments) -> int:
    """Run the demo and return its exit code; only the report goes to standard output."""
    try:
        target = choose(asked.path, asked.skip)
    except TargetRefused as error:
        _say(str(error))
        return USAGE
    try:
        flush = _export(asked.otlp)
    except ModuleNotFoundError as missing:
        _say(str(missing))
        return USAGE
    except OSError as error:
        _say(f"failed: {error}")
        return FAILED
    work = _Demo(target, asked)
    try:
        with _held():
            report = work.report()
    except (KeyboardInterrupt, asyncio.CancelledError):
        _say(f"interrupted, {work.so_far()}")
        return INTERRUPTED
    except Exception as error:
        lines = _lines(error)
        if not lines:
            raise
        for line in lines:
            _say(f"failed: {line}")
        return FAILED
    finally:
        if not flush(_FLUSH):
            _say(f"not everything was sent to {asked.otlp} within {_FLUSH:g} seconds")
    if work.gone is not None:
        _say(f"what workers saw of their calls is lost: {work.gone} was removed during the run")
    return _hand_over(report, as_json=asked.json)


class _Demo:
    """One run and its check, and how far they are.

    ``gone`` is the folder of what workers saw, if somebody removed it.
    """

    def __init__(self, target: Target, asked: Arguments) -> None:
        self._target, self._asked = target, asked
        self._progress = Progress()
        self.gone: Path | None = None

    def report(self) -> Report:
        """Run on workers, then check when that was asked."""
        with display(sys.stderr) as shown_as:
            started = time.perf_counter()
            outcome, trace = self._run(shown_as)
            seconds = time.perf_counter() - started
            check = self._check(outcome, shown_as) if self._asked.check else None
        return Report(
            root=self._target.shown,
            workers=self._asked.workers,
            outcome=outcome,
            seconds=seconds,
            check=check,
            trace=trace,
        )

    def so_far(self) -> str:
        """How far it came, in words."""
        return so_far(self._progress) or "no file was read"

    def _run(self, shown_as: Display) -> tuple[Outcome, Trace | None]:
        shown_as.phase(f"starting {counted(self._asked.workers, 'worker')}")
        state = RunState(run=new_id().hex()[:12], skip=self._target.skip)
        report = self._teller(shown_as, f"reading on {counted(self._asked.workers, 'worker')}")
        with watched(self._asked.otlp) as seen:
            outcome = asyncio.run(_run(self._target, state, self._asked.workers, report))
            told = seen()
            self.gone = told.gone
            return outcome, trace_of(told.seen)

    def _check(self, outcome: Outcome, shown_as: Display) -> Check:
        started = time.perf_counter()
        report = self._teller(shown_as, "checking in this process")
        local = analyse(self._target, self._target.skip, report=report)
        return Check(
            rows=len(local.files) + len(local.functions) + len(local.problems),
            differences=differences(outcome.analysis, local),
            seconds=time.perf_counter() - started,
        )

    def _teller(self, shown_as: Display, phase: str) -> Callable[[Progress], None]:
        begun = False

        def tell(progress: Progress) -> None:
            nonlocal begun
            if not begun:
                shown_as.phase(phase)
                begun = True
            self._progress = progress
            shown_as.update(progress)

        return tell


def _export(endpoint: str | None) -> Callable[[float], bool]:
    """Begin to export, where that was asked for; return what sends the rest, if it can."""
    if endpoint is None:
        return lambda _: True
    from catena.cli.demo.exporting import export_run, reach  # noqa: PLC0415 - an extra

    reach(endpoint)
    return export_run(endpoint)


@contextmanager
def _held() -> Generator[None]:
    """Hold Ctrl-C back until the loop runs and can turn it into a cancellation (see ``_run``).

    An interrupt in the middle of making a loop would leave half of one, whose end is a traceback.
    Threads that are started meanwhile, such as that of the display, never see the signal.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


async def _run(
    target: Target, state: RunState, workers: int, report: Callable[[Progress], None]
) -> Outcome:
    interrupt = _Interrupt()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, interrupt.pressed)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    try:
        return await run(target, state, workers=workers, report=report)
    except Exception:
        # What breaks while Ctrl-C takes the run down is part of that, and not worth a word.
        if interrupt.was_pressed:
            raise asyncio.CancelledError from None
        raise


class _Interrupt:
    """Ctrl-C as a cancellation of the task that makes this, once.

    Whoever presses again while the workers are being stopped has nothing to gain: that has its own
    deadlines, and asyncio would break into the middle of it. When they are long over, it may.
    """

    def __init__(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("there is no task here to cancel")
        self.task = task
        self._first: float | None = None

    @property
    def was_pressed(self) -> bool:
        """Whether there was a Ctrl-C; ``cancelling()`` counts what a TaskGroup does as well."""
        return self._first is not None

    def pressed(self) -> None:
        """Cancel, or do nothing, or end at once."""
        now = self.task.get_loop().time()
        if self._first is None:
            self._first = now
            self.task.cancel()
        elif now - self._first > _PATIENCE:
            raise KeyboardInterrupt


def _lines(error: BaseException) -> list[str]:
    """One line for each error in ``error``; none at all when one of them does not tell enough."""
    leaves = list(_leaves(error))
    if not all(isinstance(leaf, _TOLD) for leaf in leaves):
        return []
    return list(dict.fromkeys(f"{type(leaf).__name__}: {leaf}" for leaf in leaves))


def _leaves(error: BaseException) -> Iterator[BaseException]:
    match error:
        case BaseExceptionGroup(exceptions=tuple(inside)):
            for each in cast("tuple[BaseException, ...]", inside):
                yield from _leaves(each)
        case _:
            yield error


def _hand_over(report: Report, *, as_json: bool) -> int:
    stream: TextIO = sys.stdout
    # A function may have a name that the terminal's encoding lacks.
    if (reconfigure := getattr(stream, "reconfigure", None)) is not None:
        reconfigure(errors="backslashreplace")
    try:
        if as_json:
            stream.write(machine(report) + "\n")
        else:
            show(report, stream)
        stream.flush()
    except BrokenPipeError:
        # The reader has gone (``| head``); Python would complain again when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return FAILED
    if report.failed:
        _say("failed: --check found a difference")
        return FAILED
    return DONE


def _say(text: str) -> None:
    sys.stderr.write(f"catena demo: {shown(text)}\n")
    sys.stderr.flush()
