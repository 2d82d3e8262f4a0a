"""Watching the calls of a run: listeners of the seam in this process and on each worker.

No SDK is needed for it. The id of a call travels in its carrier, so a worker knows to which
dispatch an execution belongs; what it saw it leaves in a file when it ends. Its one rule: whatever
of that is missing is missing in the tree, and breaks no run.
"""

from __future__ import annotations

import contextlib
import contextvars
import json
import os
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import astuple
from functools import partial
from itertools import count
from pathlib import Path
from typing import NamedTuple

from catena.cli.demo.trace import Seen
from catena.events import Dispatch, Execution
from catena.events.bus import call_hook, end_of, observe
from catena.pool.bootstrap import BOOTSTRAP as ENVIRONMENT, Bootstrap, on_spawn
from catena.standing import worker_id

__all__ = ["BOOTSTRAP", "OTLP", "Told", "about", "begin", "watched"]

BOOTSTRAP = f"{__name__}:begin"
"""What workers of the demo run before they serve."""

SEEN, OTLP = "CATENA_DEMO_SEEN", "CATENA_DEMO_OTLP"
"""What the demo tells its workers: where to leave what they saw, and where spans are sent to."""

about: contextvars.ContextVar[str] = contextvars.ContextVar("catena.demo.about", default="")
"""What the calls of this Context are made for."""

_CALL = "catena.demo.call"
_here: contextvars.ContextVar[str] = contextvars.ContextVar(_CALL, default="")


class Told(NamedTuple):
    """What was seen of calls; ``gone`` is where workers told it, if that is not there any more."""

    seen: list[Seen]
    gone: Path | None = None


class _Watcher:
    """Everything that one process sees of calls."""

    def __init__(self, process: str) -> None:
        self.seen: list[Seen] = []
        self._ids = (f"{process}.{number}" for number in count())
        self._began: dict[Dispatch | Execution, tuple[str, str, str]] = {}

    def begin(self, event: Dispatch | Execution) -> None:
        """Give a call that is made here its id; to one that is run here belong those it makes."""
        mine = next(self._ids)
        if isinstance(event, Dispatch):
            event.carrier = {**(event.carrier or {}), _CALL: mine}
            self._began[event] = mine, _here.get(), about.get()
            return
        before = event.enter

        def enter() -> None:
            call_hook(before)
            _here.set(mine)

        # Here for the Context in which it begins, and there for those of a stream's later steps.
        _here.set(mine)
        event.enter = enter
        self._began[event] = mine, event.served.carrier.get(_CALL, ""), ""

    def end(self, event: Dispatch | Execution, error: BaseException | None, at: int) -> None:
        """A call has ended."""
        mine, parent, whatfor = self._began.pop(event)
        if isinstance(event, Dispatch):
            kind, worker = "dispatch", event.attempt.endpoints.worker if event.attempt else ""
        else:
            kind, worker = "execution", event.served.endpoints.worker
        seconds = (at - event.started) / 1e9
        self.seen.append(
            Seen(mine, parent, kind, event.routine, worker, seconds, end_of(error), whatfor)
        )


@contextmanager
def watched(otlp: str | None = None) -> Generator[Callable[[], Told]]:
    """Watch the calls of this process, and of workers that are started meanwhile with BOOTSTRAP.

    Yields what returns everything that was seen; complete when the workers have ended. With
    ``otlp``, workers send spans there.
    """
    watcher = _Watcher("here")

    def told(folder: Path) -> Told:
        try:
            return Told([*watcher.seen, *_left(folder)])
        except FileNotFoundError:
            return Told(watcher.seen, folder)

    with tempfile.TemporaryDirectory(prefix="catena-demo-") as folder:

        def edit(environment: dict[str, str], _: str) -> None:
            environment[SEEN] = folder
            if otlp is not None:
                environment[OTLP] = otlp

        end = on_spawn(edit)
        try:
            with observe(watcher, Dispatch):
                yield partial(told, Path(folder))
        finally:
            end()


def begin() -> Callable[[float], None] | None:
    """Watch the calls of this worker; return what leaves them where the demo looks.

    Returns None when no demo has started this process. A bootstrap that the environment names, as
    under ``opentelemetry-instrument``, is called first.
    """
    folder, otlp = os.environ.pop(SEEN, ""), os.environ.pop(OTLP, "")
    if not folder:
        return None
    # Before the listeners below: they add to what those of spans leave in an event.
    flush: Callable[[float], object] = Bootstrap(os.environ.get(ENVIRONMENT, "")).finish
    if otlp:
        from catena.cli.demo.exporting import export  # noqa: PLC0415 - an extra

        flush = export(otlp, worker_id())
    watcher = _Watcher(worker_id())
    observing = observe(watcher, Dispatch, Execution)

    def leave(seconds: float) -> None:
        observing.cancel()
        lines = [json.dumps(astuple(one)) for one in watcher.seen]
        # The tree counts the calls of which no worker told.
        with contextlib.suppress(OSError):
            Path(folder, worker_id()).write_text("\n".join(lines), "utf-8")
        flush(seconds)

    return leave


def _left(folder: Path) -> Iterator[Seen]:
    """Yield what workers left behind, up to a line that a worker could not end."""
    for path in sorted(folder.iterdir()):
        with contextlib.suppress(ValueError, TypeError):
            for line in path.read_text("utf-8").splitlines():
                yield Seen(*json.loads(line))
