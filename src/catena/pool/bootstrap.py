"""What a worker runs before it serves and before it ends, and what its environment says.

A pool knows nothing of telemetry or of anything else that a process wants to have set up: it calls
a function by its name. What that function returns is called once before the worker ends, and gets
no more time than the worker has left.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

from catena.errors import WorkerStartError
from catena.pickling.references import look_up
from catena.standing import WORKER

BOOTSTRAP = "CATENA_WORKER_BOOTSTRAP"

Edit = Callable[[dict[str, str], str], object]
"""Changes the environment of a worker that is about to be started; it is given the worker's id."""

_log = logging.getLogger("catena")
_edits: list[Edit] = []


def on_spawn(edit: Edit) -> Callable[[], None]:
    """Have ``edit`` change the environment of every worker started from here on.

    Returns what ends that. The environment of this process, and of others that it starts, stays.
    """
    _edits.append(edit)

    def end() -> None:
        if edit in _edits:
            _edits.remove(edit)

    return end


def worker_environment(environment: dict[str, str], worker: str) -> dict[str, str]:
    """Return a worker's environment: its id is put in, then every edit changes it in turn.

    An edit that raises is logged, and the worker is started all the same.
    """
    environment[WORKER] = worker
    for edit in tuple(_edits):
        try:
            edit(environment, worker)
        except Exception:
            _log.exception("a function that changes a worker's environment raised")
    return environment


def check_started_as() -> None:
    """Raise WorkerStartError where this process was to be a worker, and is a program of its own."""
    worker = os.environ.get(WORKER, "")
    if worker:
        raise WorkerStartError(
            worker=worker,
            cause=f"a program was started in its place that opens a pool itself: {sys.executable}"
            " is no Python interpreter; name one that has Catena installed with"
            " multiprocessing.set_executable(...)",
        )


def split_name(name: str, option: str = "bootstrap") -> tuple[str, str]:
    """Return module and function of ``module:function``. Raises ValueError for another form."""
    module, _, path = (part.strip() for part in name.partition(":"))
    if not (module and path):
        raise ValueError(f"{option} must be module:function, it is {name!r}")
    return module, path


def import_function(name: str) -> Callable[..., Any]:
    """Return the function that ``module:function`` names.

    Raises ValueError for a name of another form and for one that names nothing to call, and what
    importing the module raises.
    """
    module, path = split_name(name)
    found = look_up(importlib.import_module(module), path)
    if not callable(found):
        raise ValueError(  # noqa: TRY004 - it is the name that is wrong
            f"{name!r} names nothing that can be called"
        )
    return found


class Bootstrap:
    """What was set up in this worker by a function's name; an empty name sets up nothing.

    The function is called without arguments. If it returns a callable, that is called before the
    worker ends, with the seconds that it may take, in a thread of its own.

    Raises what importing and calling raise.
    """

    def __init__(self, name: str) -> None:
        left = import_function(name)() if name else None
        self._left: Callable[[float], object] | None = left if callable(left) else None
        self._lock = threading.Lock()
        self._ending: threading.Thread | None = None
        self._reported = False

    def finish_worker(self, seconds: float) -> None:
        """Call what the bootstrap returned, and wait so many seconds at most; from any thread.

        A second call waits for what the first began.
        """
        if self._left is None:
            return
        with self._lock:
            if self._ending is None:
                self._ending = threading.Thread(
                    target=_call_last, args=(self._left, seconds), name="catena-finish", daemon=True
                )
                self._ending.start()
        self._ending.join(seconds)
        if self._ending.is_alive() and not self._reported:
            self._reported = True
            sys.stderr.write(f"catena: the worker ended, its bootstrap took over {seconds:.1f} s\n")


def _call_last(left: Callable[[float], object], seconds: float) -> None:
    try:
        left(seconds)
    except Exception:
        _log.exception("the function that a worker's bootstrap returned raised")
