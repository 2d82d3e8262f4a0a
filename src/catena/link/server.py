"""The worker's side of links over gRPC."""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from typing import Any

from catena import grpc_loading as loading
from catena.errors import CatenaError
from catena.grpc_loading import aio, grpc
from catena.link.link import Link
from catena.link.ports import Receiver
from catena.link.service import LINK_LIMIT, METHOD, SERVING, GrpcTransport
from catena.targets import address_of


class Server:
    """Serves links at one address; ``accept`` makes the receiver of each.

    ``secret`` is what a caller has to know.
    """

    def __init__(
        self, target: str, name: str, accept: Callable[[Link], Receiver], secret: bytes = b""
    ) -> None:
        loading.use()
        self._server = aio.server(options=SERVING)
        self._server.add_generic_rpc_handlers((_Handler(name, target, accept, secret),))
        self._server.add_insecure_port(target)

    async def start(self) -> None:
        """Begin to listen."""
        await self._server.start()

    async def stop(self, grace: float | None) -> None:
        """Stop listening; streams that are open after ``grace`` seconds, or none, are cut."""
        await self._server.stop(grace)


class _Handler(grpc.GenericRpcHandler):
    """Routes the one method there is; everything else is unimplemented, as gRPC says it."""

    def __init__(
        self, name: str, target: str, accept: Callable[[Link], Receiver], secret: bytes
    ) -> None:
        self._name = name
        self._secret = secret
        self._address = address_of(target)
        self._accept = accept
        self._links = 0

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        if handler_call_details.method != METHOD:
            return None
        return grpc.stream_stream_rpc_method_handler(
            self._serve_stream, request_deserializer=bytes, response_serializer=bytes
        )

    async def _serve_stream(self, _: object, context: aio.ServicerContext[Any, Any]) -> None:
        if self._links >= LINK_LIMIT:
            reason = f"this worker serves {LINK_LIMIT} links already"
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, reason)
        self._links += 1
        try:
            await self._run_link(context)
        finally:
            self._links -= 1

    async def _run_link(self, context: aio.ServicerContext[Any, Any]) -> None:
        link = Link(GrpcTransport(context), self._name, self._address, self._secret)
        try:
            await link.exchange_hello(first=False)
        except (CatenaError, ConnectionError, TimeoutError) as error:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
        contextvars.Context().run(link.start, self._accept(link))
        try:
            await link.wait_ended()
        finally:
            link.fail(ConnectionAbortedError("the stream was cancelled"))
