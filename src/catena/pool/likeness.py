"""What a worker inherits from its parent: interpreter, flags, environment, path, arguments.

These are the things that multiprocessing's spawn hands over, except for the main module, which a
worker never runs.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from catena.errors import WorkerStartError
from catena.grpc_loading import wanted

_ROOT = str(Path(__file__).parents[2])
_PYTHON = re.compile(r"python|pypy|graalpy", re.IGNORECASE)


def worker_command(worker: str) -> list[str]:
    """Return the command that starts a worker.

    Raises WorkerStartError where this process has no interpreter to run one with.
    """
    return [_find_interpreter(worker), *_list_flags(), "-P", "-m", "catena.pool.worker_main"]


def parent_environment() -> dict[str, str]:
    """Return the parent's environment, with Catena importable and gRPC's variables as wanted."""
    found = dict(os.environ)
    known = found.get("PYTHONPATH")
    found["PYTHONPATH"] = _ROOT + (os.pathsep + known if known else "")
    return found | wanted(found)


def restored_environment() -> dict[str, str | None]:
    """Return what the worker sets once it has started, so that its environment is its parent's."""
    changed = ("PYTHONPATH", *wanted(os.environ))
    return {name: os.environ.get(name) for name in changed}


def parent_path() -> list[str]:
    """Return ``sys.path`` for a worker.

    What is no text is left out, as Python's imports leave it out. An entry that is relative to the
    directory counts from the one in which this program began, then from the one it is in now.
    """
    found: list[str] = []
    for entry in sys.path:
        if isinstance(entry, str):  # pyright: ignore[reportUnnecessaryIsInstance] - anything may be
            found += _resolve_entry(entry)
    return found


def parent_arguments() -> list[str]:
    """Return ``sys.argv`` for a worker; what is no text is turned into it."""
    return [str(one) for one in getattr(sys, "argv", [])]


def _find_interpreter(worker: str) -> str:
    """Return the Python that runs workers: what multiprocessing was given, or this process's."""
    chosen = _given_to_multiprocessing()
    if chosen:
        return chosen
    found: str | None = sys.executable
    if getattr(sys, "frozen", False):
        cause = f"this is a frozen application, and {found} would start it once more"
    elif not found:
        cause = "this program is embedded, and sys.executable does not say where a Python is"
    elif not any(_PYTHON.search(Path(one).name) for one in (found, os.path.realpath(found))):
        cause = f"sys.executable is {found}, which is no Python and might start this program anew"
    else:
        return found
    remedy = "name one that has Catena installed: multiprocessing.set_executable(...)"
    raise WorkerStartError(worker=worker, cause=f"{cause}; {remedy}")


def _given_to_multiprocessing() -> str:
    """Return what ``multiprocessing.set_executable`` was given, empty where it was not called."""
    spawn: Any = sys.modules.get("multiprocessing.spawn")
    given: Any = spawn and spawn.get_executable()
    # Without a call it is what sys.executable was when that module was loaded.
    return "" if not given or os.fsdecode(given) == _EXECUTABLE else os.fsdecode(given)


def _list_flags() -> list[str]:
    """Return this interpreter's -X, -W and other flags, as multiprocessing takes them along."""
    flags: list[str] = getattr(subprocess, "_args_from_interpreter_flags")()  # noqa: B009
    # That passes on the -X options it knows; all of them are wanted, and twice does no harm.
    options: dict[str, str | bool] = getattr(sys, "_xoptions")  # noqa: B009
    for name, value in options.items():
        flags += ["-X", name if value is True else f"{name}={value}"]
    return flags


def _resolve_entry(entry: str) -> list[str]:
    if os.path.isabs(entry):  # noqa: PTH117 - not to be changed in any other way
        return [entry]
    directories = dict.fromkeys((_DIRECTORY, _current_directory()))
    return [os.path.join(one, entry) if entry else one for one in directories if one]  # noqa: PTH118


def _current_directory() -> str:
    """Return the directory that this process is in, empty when that was removed."""
    try:
        return os.getcwd()  # noqa: PTH109 - text is wanted
    except OSError:
        return ""


_DIRECTORY = _current_directory()
_EXECUTABLE = sys.executable
