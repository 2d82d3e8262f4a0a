"""The middleware that says what is known of a request, alone and under FastAPI."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import pytest
from fastapi import FastAPI, WebSocket
from fastapi.testclient import TestClient

from catena import ChainContention
from catena.background.asgi import RequestContextMiddleware
from catena.background.request import (
    AccessToken,
    access_token,
    http_headers,
    origin_request_id,
    read_access_token,
    read_http_headers,
    read_origin_request_id,
)
from tests.support import isolated, run

Message = MutableMapping[str, Any]
Field = tuple[bytes, bytes]


class Connection:
    """Plays the server's part of one connection, and the application's, which notes what it is."""

    def __init__(self, *fields: Field, kind: str = "http", answer: tuple[Field, ...] = ()) -> None:
        self.scope: MutableMapping[str, Any] = {"type": kind, "headers": list(fields)}
        self.answer = answer
        self.seen: tuple[Any, ...] = ()
        self.sent: list[Message] = []

    async def app(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        """Note the variables and answer."""
        self.seen = access_token.get(), dict(http_headers.get()), origin_request_id.get()
        await send({"type": "http.response.start", "status": 200, "headers": list(self.answer)})
        await send({"type": "http.response.body", "body": b""})

    async def receive(self) -> Message:
        """Return what the server would send."""
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Note what the application has sent."""
        self.sent.append(message)

    def serve(self, **options: Any) -> Connection:
        """Have the middleware serve this connection."""
        middleware = RequestContextMiddleware(self.app, **options)
        run(_call(middleware, self))
        return self


async def _call(middleware: RequestContextMiddleware, connection: Connection) -> None:
    await middleware(connection.scope, connection.receive, connection.send)


@isolated
def test_a_connection_has_its_token_its_headers_and_its_id() -> None:
    """All three are there for the application, and the id is in the answer."""
    served = Connection(
        (b"Authorization", b"bEaReR  tok-7"),
        (b"X-Request-ID", b"r-17"),
        (b"Accept-Language", b"de"),
        (b"X-Other", b"no"),
    ).serve()

    assert served.seen == (AccessToken("tok-7"), {"accept-language": "de"}, "r-17")
    assert served.sent[0]["headers"] == [(b"x-request-id", b"r-17")]


@isolated
def test_a_websocket_has_them_too() -> None:
    """It begins with a request, with the same headers."""
    served = Connection((b"x-request-id", b"r-17"), kind="websocket").serve()

    assert served.seen[2] == "r-17"


@isolated
def test_the_lifespan_is_passed_on() -> None:
    """No request, no id: nothing is set."""
    served = Connection(kind="lifespan").serve()

    assert served.seen == (None, {}, None)
    assert served.sent[0]["headers"] == []


@isolated
@pytest.mark.parametrize("given", [None, b"", b"two words", b"r-17\nforged line", b"x" * 129])
def test_an_id_that_is_missing_or_strange_is_made_anew(given: bytes | None) -> None:
    """What a client writes into logs is short and plain; each request has an id of its own."""
    fields = [] if given is None else [(b"x-request-id", given)]

    first, second = (Connection(*fields).serve().seen[2] for _ in range(2))

    assert len(first) == len(second) == 32
    assert first != second


@isolated
def test_an_application_that_names_the_request_itself_is_left_alone() -> None:
    """No header comes twice."""
    served = Connection((b"x-id", b"r-17"), answer=((b"X-Id", b"own"),))
    served.serve(request_id_header="X-Id")

    assert served.seen[2] == "r-17"
    assert served.sent[0]["headers"] == [(b"X-Id", b"own")]


@isolated
@pytest.mark.parametrize("value", [b"Basic dXNlcg==", b"Bearer", b"Bearer  ", b"tok-7"])
def test_other_credentials_are_no_token(value: bytes) -> None:
    """Only a bearer token is one; a password never becomes one."""
    assert Connection((b"authorization", value)).serve().seen[0] is None


@isolated
def test_the_application_says_which_headers_and_which_token() -> None:
    """Names have no case; what finds the token sees the whole scope."""
    served = Connection((b"x-tenant", b"acme"), (b"user-agent", b"curl")).serve(
        headers=["X-Tenant"], find_token=lambda scope: AccessToken(scope["type"], 1.0)
    )

    assert served.seen[:2] == (AccessToken("http", 1.0), {"x-tenant": "acme"})


@pytest.mark.parametrize("name", ["Cookie", "authorization", "Set-Cookie", "proxy-authorization"])
def test_secrets_cannot_be_asked_for(name: str) -> None:
    """Misuse fails when the application is made, and not when a cookie lies in a store."""
    with pytest.raises(ValueError, match=f"never kept for tasks: {name.lower()}"):
        RequestContextMiddleware(Connection().app, headers=["x-tenant", name])


@isolated
def test_nothing_remains_after_a_connection() -> None:
    """A server that serves one connection after the other in one Context shows none the last."""
    connections = Connection((b"authorization", b"Bearer one"), (b"x-request-id", b"r-1"))
    left: list[object] = []

    async def main() -> None:
        await _call(RequestContextMiddleware(connections.app), connections)
        left.append((read_access_token(), dict(read_http_headers()), read_origin_request_id()))

    run(main())

    assert connections.seen[2] == "r-1"
    assert left == [(None, {}, None)]


@isolated
def test_a_failing_application_leaves_nothing_either() -> None:
    """Its error goes on to the server."""

    async def fail(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("of the application")

    async def main() -> object:
        connection = Connection((b"x-request-id", b"r-1"))
        with pytest.raises(RuntimeError, match="of the application"):
            await _call(RequestContextMiddleware(fail), connection)
        return read_origin_request_id()

    assert run(main()) is None


web = FastAPI()
web.add_middleware(RequestContextMiddleware, headers=["x-tenant"])


@web.get("/async")
async def read_in_task() -> list[object]:
    """Read the variables where the request's chain runs."""
    token = access_token.get()
    return [token and token.text, dict(http_headers.get()), origin_request_id.get()]


@web.get("/plain")
def read_in_thread() -> list[object]:
    """Read them on a thread of the server, where the variables themselves are refused."""
    try:
        origin_request_id.get()
    except ChainContention as error:
        refused = type(error).__name__
    else:
        refused = ""
    token = read_access_token()
    return [refused, token and token.text, dict(read_http_headers()), read_origin_request_id()]


@web.websocket("/socket")
async def read_in_socket(socket: WebSocket) -> None:
    """Read them where a WebSocket is served."""
    await socket.accept()
    await socket.send_json([origin_request_id.get(), dict(http_headers.get())])
    await socket.close()


HEADERS = {"authorization": "Bearer tok-7", "x-tenant": "acme", "x-request-id": "r-17"}


def test_handlers_of_fastapi_know_the_request() -> None:
    """Coroutine handlers by the variables, plain ones by the functions, sockets as well."""
    with TestClient(web, headers=HEADERS) as client:
        coroutine, plain = client.get("/async"), client.get("/plain")
        with client.websocket_connect("/socket") as socket:
            in_socket = socket.receive_json()

    assert coroutine.json() == ["tok-7", {"x-tenant": "acme"}, "r-17"]
    assert plain.json() == ["ChainContention", "tok-7", {"x-tenant": "acme"}, "r-17"]
    assert in_socket == ["r-17", {"x-tenant": "acme"}]
    assert coroutine.headers["x-request-id"] == "r-17"
