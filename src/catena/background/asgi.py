"""The ASGI middleware that says what tasks and calls know of the request behind them.

It knows ASGI (https://asgi.readthedocs.io/en/latest/specs/www.html) and no framework. Its one rule:
what it does not keep is not looked at again, and nothing of one connection is there in the next.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Generator, Iterable, MutableMapping
from contextlib import contextmanager
from typing import Any

from catena.background.holding import HeldValues, held
from catena.background.request import (
    SECRET_HEADERS,
    AccessToken,
    Headers,
    access_token,
    http_headers,
    origin_request_id,
    read_expiry,
)
from catena.ids import new_id

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

_REQUEST_ID = re.compile(r"[\w.:/+=@-]{1,128}", re.ASCII)
_AUTHORIZATION = b"authorization"
_CONNECTIONS = ("http", "websocket")


def read_bearer_token(scope: Scope) -> AccessToken | None:
    """Return the token of a connection's ``Authorization: Bearer`` header, None without one.

    Its end is what ``read_expiry`` finds.
    """
    given = next((value for name, value in scope["headers"] if name.lower() == _AUTHORIZATION), b"")
    scheme, _, rest = given.decode("latin-1").partition(" ")
    text = rest.strip()
    if scheme.lower() != "bearer" or not text:
        return None
    return AccessToken(text, read_expiry(text))


class RequestContextMiddleware:
    """Sets ``access_token``, ``http_headers`` and ``origin_request_id`` for each connection.

    ``app`` is the application. ``headers`` are the names of the headers that tasks may know.
    ``request_id_header`` is where the id of a request is read; one that is missing, longer than 128
    characters or of others than letters, digits and ``._:/+=@-`` is made anew. The answer has
    the id under the same name, unless the application has put one there. ``find_token`` takes the
    connection's scope and returns its token, or None; it may be a function that keeps no token.

    Raises ValueError for a header that is never kept, which cookies and credentials are.
    """

    def __init__(
        self,
        app: Application,
        *,
        headers: Iterable[str] = ("accept-language", "user-agent"),
        request_id_header: str = "x-request-id",
        find_token: Callable[[Scope], AccessToken | None] = read_bearer_token,
    ) -> None:
        names = frozenset(name.lower() for name in headers)
        refused = sorted(names & SECRET_HEADERS)
        if refused:
            raise ValueError(f"these headers are never kept for tasks: {', '.join(refused)}")
        self._app = app
        self._names = names
        self._id_name = request_id_header.lower().encode("latin-1")
        self._find_token = find_token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection with the variables set, or pass the lifespan on."""
        if scope["type"] not in _CONNECTIONS:
            await self._app(scope, receive, send)
            return
        fields = [
            (name.decode("latin-1").lower(), value.decode("latin-1"))
            for name, value in scope["headers"]
        ]
        request_id = self._find_request_id(fields)
        kept = Headers(field for field in fields if field[0] in self._names)
        with _set_variables(self._find_token(scope), kept, request_id):
            await self._app(scope, receive, self._naming_request(send, request_id))

    def _find_request_id(self, fields: list[tuple[str, str]]) -> str:
        wanted = self._id_name.decode("latin-1")
        given = next((value for name, value in fields if name == wanted), "")
        return given if _REQUEST_ID.fullmatch(given) else new_id().hex()

    def _naming_request(self, send: Send, request_id: str) -> Send:
        """Return what sends the application's messages, the first one with the request's id."""

        async def send_named(message: Message) -> None:
            if message["type"] == "http.response.start":
                fields = list(message.get("headers", ()))
                if all(bytes(name).lower() != self._id_name for name, _ in fields):
                    fields.append((self._id_name, request_id.encode("latin-1")))
                    message = {**message, "headers": fields}
            await send(message)

        return send_named


@contextmanager
def _set_variables(token: AccessToken | None, headers: Headers, request_id: str) -> Generator[None]:
    """Set the variables in a block, and leave their values for threads of plain handlers."""
    values = {
        access_token.key: token,
        http_headers.key: headers,
        origin_request_id.key: request_id,
    }
    token_held = held.set(HeldValues("", lambda: values))
    with access_token.set(token), http_headers.set(headers), origin_request_id.set(request_id):
        try:
            yield
        finally:
            held.reset(token_held)
