"""Where a worker's event loop is blocked: its stack, in a file that its pool reads.

The loop arms a timer of ``faulthandler`` at each beat, and disarms it by the next one. When a beat
does not come, a thread that needs no interpreter lock writes the stacks of all threads into the
file: also while C code holds that lock. A file takes it whether or not somebody reads.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import re
import threading
from pathlib import Path

_THREAD = re.compile(r"^(?:Current thread|Thread) 0x([0-9a-fA-F]+)\b")
_FRAMES = 40
"""How many frames of a stack are shown."""


class StackFile:
    """The file of one worker; ``seconds`` after the last beat the stacks are in it.

    It is made by the thread whose stack is wanted. Raises OSError.
    """

    def __init__(self, path: Path, seconds: float) -> None:
        self._seconds = seconds
        self._file = path.open("wb", buffering=0)
        self._empty = self._file.write(f"0x{threading.get_ident():x}\n".encode())

    def note_beat(self) -> None:
        """Arm the timer anew, and drop what is in the file."""
        faulthandler.cancel_dump_traceback_later()
        if os.fstat(self._file.fileno()).st_size > self._empty:
            self._file.truncate(self._empty)
            self._file.seek(self._empty)
        faulthandler.dump_traceback_later(self._seconds, file=self._file)

    def close(self) -> None:
        """Disarm the timer."""
        faulthandler.cancel_dump_traceback_later()
        self._file.close()


def stack_path(socket: Path) -> Path:
    """Return where the stacks of the worker with that socket are."""
    return socket.with_suffix(".stack")


def read_stack(path: Path) -> str:
    """Return the stack of a blocked loop, innermost call first; empty where it was not blocked."""
    with contextlib.suppress(OSError):
        first, *rest = path.read_text("utf-8", "replace").splitlines() or [""]
        return "\n".join(_lines_of(first, rest)[:_FRAMES])
    return ""


def _lines_of(ident: str, lines: list[str]) -> list[str]:
    """Return the lines of one thread, by its number, out of those of all threads."""
    found: list[str] = []
    inside = False
    for line in lines:
        thread = _THREAD.match(line)
        if thread is not None:
            inside = int(thread[1], 16) == int(ident, 16)
        elif inside and line.strip():
            found.append(line)
    return found


def is_stopped(pid: int) -> bool:
    """Say whether a process is stopped, as by SIGSTOP; False where that cannot be found out."""
    with contextlib.suppress(OSError, IndexError):
        status = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
        # The name of the program, in parentheses, may hold anything.
        return status.rpartition(")")[2].split()[0] in {"T", "t"}
    return False
