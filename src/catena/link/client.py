"""The caller's side of a link over gRPC.

Before a Unix socket is used, its listener is asked for its user. Beyond this machine, the worker
has to prove its name by TLS, and the caller shows its own.
"""

from __future__ import annotations

from typing import Any

from catena import grpc_loading as loading
from catena.errors import CredentialsError, PeerRefused
from catena.events import announced
from catena.grpc_loading import aio
from catena.link.link import Link
from catena.link.listener import check_listener
from catena.link.service import KEEPALIVE, METHOD, OPTIONS, GrpcTransport
from catena.link.tls import open_channel
from catena.security.credentials import Credentials
from catena.targets import address_of, is_local, split_port

_NEEDED = (
    "a link to another machine needs credentials; call within `with catena.credentials(folder):`,"
    " or give the pool some"
)
_NAMELESS = "it is not known by which name the worker there has to prove itself"
_UNCONNECTED = "Failed to connect to remote host"
"""What stands there where nobody answers, so that nobody has looked at the certificate."""
_UNPROVEN = ("SSL_ERROR_SSL", "Hostname Verification")
"""What stands in gRPC's text where a worker has failed the handshake here, and not this process."""


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

    ``secret`` is what the worker has to know, too. At ``host:port`` it has to prove the DNS name
    ``verify``, or that its certificate is the ``leaf``, given as PEM; ``credentials`` are read anew
    for each link. Without any, ``insecure`` has to be true there.

    Raises ConnectionError, ProtocolError, VersionRefused, PeerRefused, CredentialsError, ValueError
    for a target of another kind, or TimeoutError after ten seconds. Call it in an empty Context:
    gRPC's own tasks copy the one they are made in.
    """
    loading.use()
    if is_local(target):
        await check_listener(address_of(target))
        channel = aio.insecure_channel(target, options=OPTIONS)
        return await _open_link(channel, target, name, secret)
    split_port(target)
    if credentials is None:
        if not insecure:
            raise announced(CredentialsError(where=target, cause=_NEEDED))
        channel = aio.insecure_channel(target, options=[*OPTIONS, *KEEPALIVE])
        return await _open_link(channel, target, name, secret)
    if not verify and leaf is None:
        raise announced(CredentialsError(where=target, cause=_NAMELESS))
    channel = await open_channel(target, credentials, verify, leaf)
    try:
        return await _open_link(channel, target, name, secret)
    except ConnectionError as error:
        if any(one in str(error) for one in _UNPROVEN) and "ALERT" not in str(error):
            proof = f"is {verify}" if verify else "has the certificate that is demanded"
            reason = f"it did not prove that it {proof} ({error})"
            raise announced(PeerRefused(peer=target, reason=reason)) from None
        if not str(error).startswith("unavailable") or _UNCONNECTED in str(error):
            raise
        hint = f"perhaps it refused the certificate in {credentials.folder}, as its log would say"
        raise ConnectionError(f"{error}; {hint}") from None


async def _open_link(channel: aio.Channel, target: str, name: str, secret: bytes) -> Link:
    # The link encodes and decodes, because gRPC keeps to itself what a serializer raises.
    stream: Any = channel.stream_stream(
        METHOD, request_serializer=bytes, response_deserializer=bytes
    )
    transport = _ClientTransport(channel, stream(), name)
    link = Link(transport, name, address_of(target), secret)
    try:
        await link.exchange_hello(first=True)
    except BaseException:
        await transport.abort()
        raise
    return link


class _ClientTransport(GrpcTransport):
    """The client's end of one gRPC stream, and the channel that is its alone."""

    def __init__(self, channel: aio.Channel, stream: Any, name: str) -> None:
        super().__init__(stream, name)
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
