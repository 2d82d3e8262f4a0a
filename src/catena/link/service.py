"""What client and server share: the methods' names, the options, and the transport of bytes.

The names are read from the proto's own descriptor; generic handlers take the place of stubs.
"""

from __future__ import annotations

import asyncio
from typing import Any

from catena.errors import PeerRefused
from catena.escape import printable
from catena.events import announced
from catena.grpc_loading import aio, grpc
from catena.link_errors import refusal_from
from catena.wire.v1 import catena_pb2 as pb

_EOF: Any = getattr(aio, "EOF")  # noqa: B009 - unknown to gRPC's stubs
"""What gRPC reads at the end of a stream."""

_GONE = (aio.AioRpcError, aio.BaseError, asyncio.InvalidStateError)
"""What gRPC raises on a stream that has ended."""

_service: Any = pb.DESCRIPTOR.services_by_name["Worker"]
SERVICE: str = _service.full_name
METHOD, ASK, STOP = (
    f"/{SERVICE}/{_service.methods_by_name[name].name}" for name in ("Link", "Ask", "Stop")
)

LINK_LIMIT = 512
"""The most links that a worker serves at a time."""

ALIVE_MS = 15_000
"""How long another machine may be silent before it is asked, and then until the link is cut."""

OPTIONS: list[tuple[str, Any]] = [
    # Messages are cut at half a MiB; whatever is much longer is not ours.
    ("grpc.max_receive_message_length", 4 << 20),
    ("grpc.max_send_message_length", 4 << 20),
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),
]

SERVING: list[tuple[str, Any]] = [
    *OPTIONS,
    # A connection that does not speak HTTP/2, or opens no stream, has as long as one without Hello.
    ("grpc.server_handshake_timeout_ms", 10_000),
    ("grpc.max_connection_idle_ms", 10_000),
    ("grpc.max_concurrent_streams", 8),
    # Two workers at one port would share its callers.
    ("grpc.so_reuseport", 0),
]

KEEPALIVE: list[tuple[str, Any]] = [
    # Of a machine that vanishes nobody says that it has. So gRPC asks, and the gRPC of the other
    # end answers by itself, also while Python is busy there.
    ("grpc.keepalive_time_ms", ALIVE_MS),
    # How long what was sent may take to arrive; the answer to a question would have a minute.
    ("grpc.keepalive_timeout_ms", ALIVE_MS),
    ("grpc.http2.ping_timeout_ms", ALIVE_MS),
    # Without these, gRPC might leave an idle peer alone, or be cut off for asking it.
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", ALIVE_MS // 3),
]
"""What is added at either end of a link to another machine."""


class GrpcTransport:
    """One end of a gRPC stream; ``name`` is who this process says it is, ``peer`` who is there."""

    def __init__(self, stream: Any, name: str, peer: str = "") -> None:
        self.stream = stream
        self._name = name
        self._peer = peer

    async def write(self, message: bytes) -> None:
        """Send one message. Raises ConnectionError when the other side is gone, and PeerRefused.

        That is for a caller which the worker does not serve.
        """
        try:
            await self.stream.write(message)
        except _GONE as error:
            raise self._find_error(error) from None

    async def read(self) -> bytes | None:
        """Return the next message, or None at the end. Raises as ``write`` does."""
        try:
            message = await self.stream.read()
        except _GONE as error:
            raise self._find_error(error) from None
        return None if message is _EOF else message

    async def close(self) -> None:
        """Leave the stream to its owner: at the server it ends when the handler returns."""

    async def abort(self) -> None:
        """Leave the stream to its owner, as ``close`` does."""

    def _find_error(self, error: Exception) -> ConnectionError | PeerRefused:
        if not isinstance(error, aio.AioRpcError):
            return ConnectionError(str(error))
        code: grpc.StatusCode = error.code()
        details = error.details() or ""
        if code is grpc.StatusCode.PERMISSION_DENIED:
            return announced(refusal_from(details, self._name), by=self._peer)
        return ConnectionError(f"{code.name.lower()}: {printable(details, 500)}")
