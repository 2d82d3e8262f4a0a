"""The caller's side of a link over gRPC."""

from __future__ import annotations

from typing import Any

from catena import grpc_loading as loading
from catena.grpc_loading import aio
from catena.link.link import Link
from catena.link.service import METHOD, OPTIONS, GrpcTransport
from catena.targets import address_of


async def connect(target: str, name: str, secret: bytes = b"") -> Link:
    """Open a link to a worker at a gRPC target such as ``unix:/path``, and exchange Hello.

    ``secret`` is what the worker has to know, too. Raises ConnectionError, ProtocolError,
    VersionRefused, PeerRefused, or TimeoutError after ten seconds. Call it in an empty Context:
    gRPC's own tasks copy the one they are made in.
    """
    loading.use()
    channel = aio.insecure_channel(target, options=OPTIONS)
    # The link encodes and decodes, because gRPC keeps to itself what a serializer raises.
    stream: Any = channel.stream_stream(
        METHOD, request_serializer=bytes, response_deserializer=bytes
    )
    transport = _ClientTransport(channel, stream())
    link = Link(transport, name, address_of(target), secret)
    try:
        await link.exchange_hello(first=True)
    except BaseException:
        await transport.abort()
        raise
    return link


class _ClientTransport(GrpcTransport):
    """The client's end of one gRPC stream, and the channel that is its alone."""

    def __init__(self, channel: aio.Channel, stream: Any) -> None:
        super().__init__(stream)
        self._channel = channel

    async def close(self) -> None:
        """End the sending half, and give the server a moment to end the other."""
        if not self.stream.done():
            await self.stream.done_writing()
        await self._channel.close(grace=0.2)

    async def abort(self) -> None:
        """Cut the stream."""
        self.stream.cancel()
        await self._channel.close(None)
