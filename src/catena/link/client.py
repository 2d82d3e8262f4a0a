"""The caller's side of a link over gRPC."""

from __future__ import annotations

from typing import Any

from catena.grpc_loading import aio
from catena.link.channels import Destination
from catena.link.link import Link
from catena.link.service import METHOD, GrpcTransport
from catena.security.credentials import Credentials
from catena.targets import address_of


async def connect(  # noqa: PLR0913 - each is a fact of its own
    target: str,
    name: str,
    secret: bytes = b"",
    *,
    credentials: Credentials | None = None,
    verify: str = "",
    leaf: bytes | None = None,
    insecure: bool = False,
) -> Link:
    """Open a link to a worker at ``unix:/path`` or ``host:port``, and exchange Hello.

    ``secret`` is what the worker has to know, too; what else is proved ``Destination`` explains.

    Raises ConnectionError, ProtocolError, VersionRefused, PeerRefused, CredentialsError, ValueError
    for a target of another kind, or TimeoutError after ten seconds. Call it in an empty Context:
    gRPC's own tasks copy the one they are made in.
    """
    worker = Destination(target, credentials, verify, leaf, insecure)
    channel = await worker.open_channel()
    try:
        return await _open_link(channel, target, name, secret)
    except ConnectionError as error:
        explained = worker.explain(error)
        if explained is error:
            raise
        raise explained from None


async def _open_link(channel: aio.Channel, target: str, name: str, secret: bytes) -> Link:
    # The link encodes and decodes, because gRPC keeps to itself what a serializer raises.
    stream: Any = channel.stream_stream(
        METHOD, request_serializer=bytes, response_deserializer=bytes
    )
    transport = _ClientTransport(channel, stream(), name, target)
    link = Link(transport, name, address_of(target), secret)
    try:
        await link.exchange_hello(first=True)
    except BaseException:
        await transport.abort()
        raise
    return link


class _ClientTransport(GrpcTransport):
    """The client's end of one gRPC stream, and the channel that is its alone."""

    def __init__(self, channel: aio.Channel, stream: Any, name: str, target: str) -> None:
        super().__init__(stream, name, target)
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
