"""A snapshot that goes to Redis together with its task: in one message, and before it.

The engine adds a task by one command. ``JoinedDocket`` hands it a client whose first command is
sent behind that which stores the snapshot, so that a submission asks Redis once, as it does without
a snapshot. Redis takes commands of one message in their order. Whatever the engine sends first, the
snapshot is stored before it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from catena.background.docket_loading import Docket


class JoinedDocket:
    """A docket, as the one submission sees it that stores a snapshot under a key of Redis.

    ``is_saved`` is None until something was sent; then it says whether there was none under it.
    """

    def __init__(self, docket: Docket, place: str, text: str, seconds: int) -> None:
        self.is_saved: bool | None = None
        self._docket = docket
        self._set = place, text, seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(self._docket, name)

    @asynccontextmanager
    async def redis(self) -> AsyncGenerator[Any]:
        """Provide a client, as the docket does."""
        async with self._docket.redis() as redis:
            yield redis if self.is_saved is not None else JoinedClient(self, redis)

    async def send(self, redis: Any, command: str, *args: Any, **kwargs: Any) -> Any:
        """Store the snapshot, send a command of a client behind it, and return its answer."""
        place, text, seconds = self._set
        async with redis.pipeline(transaction=False) as pipeline:
            pipeline.set(place, text, nx=True, ex=seconds)
            getattr(pipeline, command)(*args, **kwargs)
            saved, answer = await pipeline.execute(raise_on_error=False)
        if isinstance(saved, Exception):
            raise saved
        self.is_saved = bool(saved)
        if isinstance(answer, Exception):
            raise answer
        return answer


class JoinedClient:
    """A client of Redis whose first command brings the snapshot along."""

    def __init__(self, joined: JoinedDocket, redis: Any) -> None:
        self._joined = joined
        self._redis = redis

    async def evalsha(self, *args: Any) -> Any:
        """Run a script by its digest, which is how the engine adds a task."""
        if self._joined.is_saved is not None:
            return await self._redis.evalsha(*args)
        return await self._joined.send(self._redis, "evalsha", *args)

    async def script_load(self, script: Any) -> Any:
        """Load a script, which the server did not have."""
        return await self._redis.script_load(script)
