"""The ASGI middleware: a pool for the lifetime of a web service, bound for each connection.

It knows ASGI (https://asgi.readthedocs.io/en/latest/specs/lifespan.html) and no framework. The pool
opens while the server starts the application, before the application's own lifespan begins, and
closes after that has ended.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from catena.errors import NoPool
from catena.pool.pool import WorkerPool
from catena.wording import reason

__all__ = ["PoolMiddleware"]

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

_log = logging.getLogger("catena")

_NOT_OPEN = (
    "the pool of PoolMiddleware is not open, because the server has sent no lifespan startup; turn"
    " the lifespan on (with Starlette's TestClient: `with TestClient(app):`), or open the pool"
    " yourself"
)


class PoolMiddleware:
    """Opens a pool with an ASGI application, and has the calls of each connection go to it.

    ``app`` is the application. ``pool`` is opened at the lifespan's startup and closed at its
    shutdown; one that is open by then is only bound, and stays open. A connection without an open
    pool raises NoPool, which says why.
    """

    def __init__(self, app: Application, pool: WorkerPool) -> None:
        self._app = app
        self._pool = pool

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve one connection, or the lifespan."""
        if scope["type"] == "lifespan":
            await _Lifespan(self._app, self._pool, receive, send).serve(scope)
            return
        if not self._pool.is_open:
            raise NoPool(routine="", reason=_NOT_OPEN)
        with self._pool.bound():
            await self._app(scope, receive, send)


class _Lifespan:
    """One lifespan of the application, around which the pool is open.

    The application sees every message of the server, and the server every message of the
    application. An application that knows no lifespan ends at once; then the server is answered in
    its place.
    """

    def __init__(self, app: Application, pool: WorkerPool, receive: Receive, send: Send) -> None:
        self._app = app
        self._pool = pool
        self._receive = receive
        self._send = send
        self._opened = False
        self._answered = False

    async def serve(self, scope: MutableMapping[str, Any]) -> None:
        """Open the pool, run the application's lifespan, and close the pool."""
        first = await self._receive()
        try:
            if not self._pool.is_open:
                await self._pool.open()
                self._opened = True
        except BaseException as error:
            await self._send({"type": "lifespan.startup.failed", "message": str(error)})
            raise
        try:
            with self._pool.bound():
                await self._run_app(scope, first)
        finally:
            await self._close()

    async def _run_app(self, scope: MutableMapping[str, Any], first: Message) -> None:
        waiting = [first]

        async def receive() -> Message:
            return waiting.pop() if waiting else await self._receive()

        try:
            await self._app(scope, receive, self._pass_on)
        except Exception as error:
            if self._answered:
                raise
            _log.info("the application has no lifespan: it ended with %s", reason(error))
        if not self._answered:
            await self._stand_in()

    async def _stand_in(self) -> None:
        """Answer the server in the place of an application that knows no lifespan."""
        await self._send({"type": "lifespan.startup.complete"})
        await self._receive()
        await self._close()
        await self._send({"type": "lifespan.shutdown.complete"})

    async def _pass_on(self, message: Message) -> None:
        self._answered = True
        if message["type"].startswith("lifespan.shutdown"):
            # The server may end the process as soon as it hears that the application is done.
            await self._close()
        await self._send(message)

    async def _close(self) -> None:
        if self._opened:
            self._opened = False
            await self._pool.close()
