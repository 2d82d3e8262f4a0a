"""The store: where a snapshot is kept beside its task. Another engine needs another one of these.

It has two calls: a snapshot is saved before its task is added, and loaded before the task runs.
``DocketStore`` keeps it in the engine's Redis, under a key of its own for each submission, so that
nobody's snapshot is ever written over. The id of the submission goes along with the task; a task
that repeats itself loses it, so for such a one the store keeps which submission has run last.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, Protocol

from catena.background.docket_loading import Docket, RedisError
from catena.background.joining import JoinedDocket
from catena.background.snapshot import TaskContextSnapshot
from catena.background.transfers import on_the_way
from catena.errors import QueueUnreachable
from catena.events import announced
from catena.wording import reason

ANSWER_SECONDS = 10.0
"""How long the store may take to answer."""

_CONNECTIONS_MOST = 100
_MOMENT = 0.1

_LOAD_REPEATED = """
local submission, generation = ARGV[1], tonumber(ARGV[2])
if submission == '' then
    local kept = redis.call('GET', KEYS[1])
    if not kept then
        return {'', ''}
    end
    local last, found = string.match(kept, '^(%d+) (%x+)$')
    if not last or (tonumber(last) ~= generation and tonumber(last) + 1 ~= generation) then
        return {'', ''}
    end
    submission = found
end
redis.call('SET', KEYS[1], ARGV[2] .. ' ' .. submission, 'EX', ARGV[3])
local place = ARGV[4] .. submission
local text = redis.call('GET', place)
if not text then
    return {submission, ''}
end
redis.call('EXPIRE', place, ARGV[3])
return {submission, text}
"""
"""Loads the snapshot of a task that repeats itself, in one step.

The generation is the engine's count of how often a task was scheduled; a repetition is the next
one. Any other has been scheduled by somebody else, and has nothing to do with the submission.
"""


class StoredTask(NamedTuple):
    """A task, as far as its snapshot is looked for.

    ``submission`` is the id that it came with, empty without one. ``generation`` counts how often
    it was scheduled; ``repeats`` says that it may have been scheduled by its own last run.
    """

    key: str
    submission: str
    generation: int = 0
    repeats: bool = False


class Loaded(NamedTuple):
    """What a store found: the text of a snapshot, empty for none, and the submission it is of."""

    text: str
    submission: str


class TaskStore(Protocol):
    """Where snapshots are kept."""

    async def save_snapshot(self, snapshot: TaskContextSnapshot, text: str, seconds: float) -> None:
        """Keep the text of a snapshot for so many seconds. Raises QueueUnreachable."""
        ...

    async def load_snapshot(self, task: StoredTask, seconds: float) -> Loaded:
        """Return the text of a task's snapshot, and keep it for so many seconds more.

        Raises QueueUnreachable.
        """
        ...


class DocketStore:
    """Keeps snapshots in the Redis of a docket."""

    def __init__(self, docket: Docket, *, is_local: bool) -> None:
        self._docket = docket
        self._is_local = is_local
        # Only code that awaits can read from this process's memory.
        self._transfers = on_the_way if is_local else None
        # A cluster takes no scripts in such a message, and within the process nothing is gained.
        self._joins = not is_local and "+cluster:" not in docket.url

    async def save_snapshot(self, snapshot: TaskContextSnapshot, text: str, seconds: float) -> None:
        """Keep the text of a snapshot for so many seconds; one that is there is never replaced."""
        place = self.name_snapshot(snapshot.task_key, snapshot.submission)
        async with self._reach("store a snapshot") as redis:
            is_saved = await redis.set(place, text, nx=True, ex=_whole(seconds))
        if not is_saved:
            raise QueueUnreachable(
                queue=self._docket.name,
                doing="store a snapshot",
                cause=f"there is one under {place} already",
            )
        if self._transfers is not None:
            self._transfers.put(place, text, seconds)

    async def join_snapshot(
        self, snapshot: TaskContextSnapshot, text: str, seconds: float
    ) -> Docket | JoinedDocket:
        """Return a docket whose next task is added right behind the text of its snapshot.

        Where the two cannot go in one message, the text is saved now. Raises QueueUnreachable.
        """
        if not self._joins:
            await self.save_snapshot(snapshot, text, seconds)
            return self._docket
        place = self.name_snapshot(snapshot.task_key, snapshot.submission)
        return JoinedDocket(self._docket, place, text, _whole(seconds))

    async def load_snapshot(self, task: StoredTask, seconds: float) -> Loaded:
        """Return the text of a task's snapshot, and keep it for so many seconds more."""
        if task.repeats:
            return await self._load_repeated(task, seconds)
        if not task.submission:
            return Loaded("", "")
        place = self.name_snapshot(task.key, task.submission)
        self._end_transfer(place)
        async with self._reach("load a snapshot") as redis:
            if not self._is_local:
                text = await redis.getex(place, ex=_whole(seconds))
            else:
                # What stands in for Redis has no command that does both.
                text = await redis.get(place)
                await redis.expire(place, _whole(seconds))
        return Loaded(_to_text(text), task.submission)

    async def _load_repeated(self, task: StoredTask, seconds: float) -> Loaded:
        kept = self._docket.key(f"last-submission:{task.key}")
        arguments = (
            task.submission,
            str(task.generation),
            str(_whole(seconds)),
            self.name_snapshot(task.key, ""),
        )
        async with self._reach("load a snapshot") as redis:
            submission, text = await redis.eval(_LOAD_REPEATED, 1, kept, *arguments)
        found = Loaded(_to_text(text), _to_text(submission))
        self._end_transfer(self.name_snapshot(task.key, found.submission))
        return found

    async def drop_snapshot(self, snapshot: TaskContextSnapshot) -> None:
        """Forget a snapshot whose task was not added."""
        place = self.name_snapshot(snapshot.task_key, snapshot.submission)
        self._end_transfer(place)
        async with self._reach("drop a snapshot") as redis:
            await redis.delete(place)

    async def open_connections(self, count: int) -> None:
        """Have so many connections open, at most a hundred. Raises QueueUnreachable.

        A connection keeps the Context in which it was opened. So those that tasks and submissions
        will use are opened beforehand, in a Context that holds nobody's variables.
        """
        if self._is_local:
            return
        async with asyncio.TaskGroup() as group:
            for _ in range(min(count, _CONNECTIONS_MOST)):
                group.create_task(self._open_connection())

    async def _open_connection(self) -> None:
        async with self._reach("be opened") as redis:
            # It takes a moment, in which the others have to open connections of their own.
            await redis.blpop([self._docket.key("snapshot:none")], timeout=_MOMENT)

    def end_transfers(self) -> None:
        """Let go of the snapshots that are on their way within this process."""
        if self._transfers is not None:
            self._transfers.take_all(self.name_snapshot("", "").removesuffix(":"))

    def name_snapshot(self, key: str, submission: str) -> str:
        """Return under which key of Redis the snapshot of a submission of a task is kept."""
        return self._docket.key(f"snapshot:{key}:{submission}")

    def _end_transfer(self, place: str) -> None:
        if self._transfers is not None:
            self._transfers.take(place)

    @asynccontextmanager
    async def _reach(self, doing: str) -> AsyncGenerator[Any]:
        async with reaching(self._docket.name, doing), self._docket.redis() as redis:
            yield redis


@asynccontextmanager
async def reaching(queue: str, doing: str) -> AsyncGenerator[None]:
    """Raise QueueUnreachable for what the store raises, and where it does not answer in time."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            yield
    except (RedisError, OSError) as error:
        failed = QueueUnreachable(queue=queue, doing=doing, cause=reason(error))
        raise announced(failed) from error


def _whole(seconds: float) -> int:
    """Return seconds as the store counts them: in whole ones, of which there is at least one."""
    return max(1, math.ceil(seconds))


def _to_text(found: bytes | str | None) -> str:
    return found.decode() if isinstance(found, bytes) else found or ""
