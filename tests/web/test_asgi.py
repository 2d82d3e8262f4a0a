"""The middleware, alone: what the application and the server see of each other."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import pytest

import catena
from catena.asgi import PoolMiddleware
from tests.support import run

Message = MutableMapping[str, Any]


@catena.routine
async def where() -> int:
    """Return the process of the worker."""
    return os.getpid()


class Server:
    """Plays the server's part of one connection: it says what it was given, and notes answers."""

    def __init__(self, *messages: str) -> None:
        self._messages = [{"type": one} for one in messages]
        self.heard: list[Message] = []

    async def receive(self) -> Message:
        """Say the next message."""
        return self._messages.pop(0)

    async def send(self, message: Message) -> None:
        """Hear a message."""
        self.heard.append(message)

    @property
    def types(self) -> list[str]:
        """What was heard, without its details."""
        return [one["type"] for one in self.heard]


Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
LIFESPAN = ("lifespan.startup", "lifespan.shutdown")
ANSWERS = ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def application(seen: list[Any], *, knows_lifespan: bool = True) -> Any:
    """Return an application that dispatches in its lifespan and for each connection."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            seen.append(await where())
            await send({"type": "http.response.start"})
            return
        if not knows_lifespan:
            raise KeyError(scope["type"])
        for answer in ANSWERS:
            await receive()
            seen.append(await where())
            await send({"type": answer})

    return app


async def _connect(app: Any) -> None:
    await app({"type": "http"}, Server().receive, Server().send)


def test_the_pool_lives_as_long_as_the_application() -> None:
    """P10: it is open before the application starts and until it has stopped."""
    seen: list[Any] = []
    pool = catena.WorkerPool(1)
    app = PoolMiddleware(application(seen), pool)

    async def main() -> None:
        server = Server(*LIFESPAN)
        await app({"type": "lifespan"}, server.receive, server.send)
        assert server.types == ANSWERS
        assert not pool.is_open
        assert len(seen) == 2
        assert seen[0] == seen[1]

    run(main())


@pytest.mark.parametrize("knows_lifespan", [True, False])
def test_each_connection_has_the_pool(knows_lifespan: bool) -> None:
    """P10: also where the application knows no lifespan, and the middleware answers for it."""
    seen: list[Any] = []
    pool = catena.WorkerPool(1)
    app = PoolMiddleware(application(seen, knows_lifespan=knows_lifespan), pool)

    class Serving(Server):
        async def send(self, message: Message) -> None:
            await super().send(message)
            if message["type"] == ANSWERS[0]:
                # In a task of its own, as servers do it.
                await _connect(app)

    async def main() -> None:
        server = Serving(*LIFESPAN)
        await app({"type": "lifespan"}, server.receive, server.send)
        assert server.types == ANSWERS
        assert not pool.is_open

    run(main())
    assert len(set(seen)) == 1


def test_a_pool_that_is_open_is_only_bound() -> None:
    """P10: who has opened it closes it."""
    seen: list[Any] = []

    async def main() -> None:
        pool = await catena.WorkerPool(1).open()
        app = PoolMiddleware(application(seen), pool)
        server = Server(*LIFESPAN)
        await app({"type": "lifespan"}, server.receive, server.send)
        assert server.types == ANSWERS
        assert pool.is_open
        await _connect(app)
        assert set(seen) == set(pool.pids.values())
        await pool.close()

    run(main())


def test_without_a_lifespan_the_error_says_so() -> None:
    """P10: a server that sends none opens no pool."""

    async def main() -> None:
        app = PoolMiddleware(application([]), catena.WorkerPool(1))
        with pytest.raises(catena.NoPool, match="the server has sent no lifespan startup"):
            await _connect(app)

    run(main())


def test_a_pool_that_does_not_start_fails_the_startup(monkeypatch: pytest.MonkeyPatch) -> None:
    """P10: the server is answered, and the error is raised as well."""
    monkeypatch.setenv("CATENA_WORKER_BOOTSTRAP", "no_such_module:f")

    async def main() -> None:
        server = Server(*LIFESPAN)
        app = PoolMiddleware(application([]), catena.WorkerPool(1))
        with pytest.raises(ExceptionGroup):
            await app({"type": "lifespan"}, server.receive, server.send)
        assert server.types == ["lifespan.startup.failed"]
        assert "workers did not start" in server.heard[0]["message"]

    run(main())


def test_an_application_that_fails_is_not_hidden() -> None:
    """P10: its error after the start reaches the server, and the pool is closed."""
    pool = catena.WorkerPool(1)

    async def failing(_: Message, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": ANSWERS[0]})
        await receive()
        raise ValueError("of the application")

    async def main() -> None:
        server = Server(*LIFESPAN)
        with pytest.raises(ValueError, match="of the application"):
            await PoolMiddleware(failing, pool)({"type": "lifespan"}, server.receive, server.send)
        assert not pool.is_open

    run(main())
