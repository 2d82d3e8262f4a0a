"""A file of lines that stays readable when its writer crashes: appended to, and rotated.

The rule: when ``write`` has returned, its text is in the file as a whole line, with nothing else on
that line.
"""

from __future__ import annotations

import fcntl
import logging
import os
from itertools import pairwise
from pathlib import Path

_log = logging.getLogger("catena.collect")


class LineFile:
    """Appends lines to ``path``; OSError when that cannot be opened or another writer has it.

    Before the file grows beyond ``rotate_bytes`` it becomes ``path.1``, what was ``path.1`` becomes
    ``path.2``, and so on; ``keep`` of them are kept, the oldest is removed. A line that is longer
    than ``rotate_bytes`` gets a file of its own. When a killed writer has left the last line
    without its end, the line is ended, so that the lines after it can be read, and a warning is
    logged.
    """

    def __init__(self, path: Path | str, *, rotate_bytes: int = 100 << 20, keep: int = 10) -> None:
        if rotate_bytes < 1 or keep < 1:
            raise ValueError("rotate_bytes and keep are at least 1")
        self.path = Path(path)
        self._rotate_bytes, self._keep = rotate_bytes, keep
        self._file, self._size = self._open()
        self._torn = False

    def write(self, line: str) -> None:
        """Append one line, its end not included; OSError when the system does not take it."""
        if self._file < 0:
            raise ValueError(f"{self.path} is closed")
        data = line.encode() + b"\n"
        if self._size and self._size + len(data) > self._rotate_bytes:
            self._rotate()
        left = b"\n" * self._torn + data
        while left:
            written = os.write(self._file, left)
            self._size, left = self._size + written, left[written:]
            # Should the next write fail, a part of a line stands there.
            self._torn = bool(left)

    def close(self) -> None:
        """Hand everything to the disk and close; once more is no mistake."""
        if self._file >= 0:
            file, self._file = self._file, -1
            _sync_and_close(file)

    def _open(self) -> tuple[int, int]:
        file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            size = os.fstat(file).st_size
            if size and os.pread(file, 1, size - 1) != b"\n":
                size += os.write(file, b"\n")
                _log.warning("the last line of %s was cut off; it is left as it is", self.path)
        except BaseException as error:
            os.close(file)
            if isinstance(error, BlockingIOError):
                raise OSError(error.errno, "another process writes it", str(self.path)) from None
            raise
        return file, size

    def _rotate(self) -> None:
        names = [self.path.with_name(f"{self.path.name}.{n + 1}") for n in range(self._keep)]
        for newer, older in reversed([*pairwise([self.path, *names])]):
            if newer.exists():
                newer.replace(older)
        old = self._file
        self._file, self._size = self._open()
        self._torn = False
        _sync_and_close(old)


def list_generations(path: Path | str) -> list[Path]:
    """Return the files that a LineFile of this path has left, the oldest first."""
    whole = Path(path)
    beside = whole.parent.glob("*")
    numbered = [one for one in beside if one.stem == whole.name and one.suffix[1:].isdigit()]
    numbered.sort(key=lambda one: int(one.suffix[1:]), reverse=True)
    return [*numbered, whole] if whole.exists() else numbered


def _sync_and_close(file: int) -> None:
    try:
        os.fsync(file)
    except OSError:
        # A pipe or a terminal has no disk behind it.
        _log.debug("could not be synchronised", exc_info=True)
    finally:
        os.close(file)
