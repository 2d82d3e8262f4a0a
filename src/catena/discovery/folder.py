"""The folder medium: records are files in a folder of this machine, or of a shared file system.

The system announces changes that are made on this machine. It does not announce those that another
machine makes in a shared folder, nor that a process has died, so the folder is also read at
intervals: each second where the file system may be shared.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar, cast

from catena.discovery.folder_reader import FolderReader, open_folder
from catena.discovery.mounts import is_local
from catena.facts import install_command
from catena.ids import MemberRecord
from catena.wording import reason

try:
    import watchfiles
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        f"{missing.name} is not installed: {install_command('discovery')}", name=missing.name
    ) from None

POLL_SECONDS = 1.0
"""How often a folder is read whose changes are not all announced."""

ANNOUNCED_POLL_SECONDS = 5.0
"""How often a folder is read whose changes are announced."""

READ_SECONDS = 10.0
"""How long reading a folder may take; a file server that is gone keeps its readers for ever."""

_STEP_MS, _GROUP_MS = 25, 50
"""How often the thread that watches looks for changes, and how long it gathers them at most."""

T = TypeVar("T")

_log = logging.getLogger("catena.discovery")


class FolderMedium:
    """A medium with the records of one folder, by its absolute path.

    With ``shared`` the folder and the records may be other users'. Raises ValueError for a path
    that is not absolute, PermissionError for a folder that others may change.
    """

    def __init__(self, path: Path, *, shared: bool = False) -> None:
        if not path.is_absolute():
            raise ValueError(f"the folder {path} is not an absolute path")
        _refuse_weak(path, shared=shared)
        self.title = f"the folder {path}"
        self._reader = FolderReader(path, shared=shared)
        self._changed = asyncio.Event()
        self._reading: Future[frozenset[MemberRecord]] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._watched: tuple[int, int] | None = None

    async def look(self) -> frozenset[MemberRecord]:
        """Return the members of the records that are right, and whose process may be alive.

        Raises OSError.
        """
        self._changed.clear()
        try:
            found = await self._read_apart()
        except OSError:
            # What was watched is gone, or may not be trusted.
            await self._stop_watching()
            raise
        if self._watched == self._reader.folder:
            return found
        # Only now is it known which folder it is; what changed before it was watched is read anew.
        await self._stop_watching()
        self._start_watching()
        await asyncio.sleep(0)
        return await self._read_apart()

    async def wait(self) -> None:
        """Return when the folder has changed, or has not been read for some time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._choose_pause()):
                await self._changed.wait()

    async def close(self) -> None:
        """Watch no more."""
        await self._stop_watching()

    async def _read_apart(self) -> frozenset[MemberRecord]:
        """Read in a thread, where a file system that is not there keeps nobody else waiting.

        One that waits for longer than its time is not joined by another one. Raises OSError.
        """
        if self._reading is None or self._reading.done():
            self._reading = _start_thread(self._reader.read_members)
        async with asyncio.timeout(READ_SECONDS):
            return await asyncio.wrap_future(self._reading)

    def _choose_pause(self) -> float:
        watched = self._watching is not None and not self._watching.done()
        folder = self._reader.folder
        announced = watched and folder is not None and is_local(folder[0])
        return ANNOUNCED_POLL_SECONDS if announced else POLL_SECONDS

    def _start_watching(self) -> None:
        self._watched = self._reader.folder
        self._watching = asyncio.get_running_loop().create_task(self._watch())

    async def _stop_watching(self) -> None:
        watching, self._watching, self._watched = self._watching, None, None
        if watching is not None:
            watching.cancel()
            await asyncio.wait({watching})

    async def _watch(self) -> None:
        """Set the event at each change of the folder, until that is not possible any more."""
        # Its types name a library that need not be there.
        watch = cast("Any", watchfiles).awatch
        try:
            async for _ in watch(
                self._reader.path,
                watch_filter=None,
                step=_STEP_MS,
                debounce=_GROUP_MS,
                recursive=False,
                ignore_permission_denied=True,
            ):
                self._changed.set()
        except (OSError, RuntimeError) as error:
            _log.warning(
                "changes of the folder %s are not announced, so it is read every %.0f second: %s",
                self._reader.path,
                POLL_SECONDS,
                reason(error),
            )


def _start_thread(work: Callable[[], T]) -> Future[T]:
    """Do something in a thread that does not keep the process from ending."""
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    Thread(target=run, name="catena-folder", daemon=True).start()
    return future


def _refuse_weak(path: Path, *, shared: bool) -> None:
    """Refuse a folder that is there and may not be used; one that is not there may come yet."""
    with suppress(FileNotFoundError):
        os.close(open_folder(path, shared=shared))
