"""The worker's side of links over gRPC.

At an address that other machines reach, a caller has to show a certificate of an authority that is
trusted here, and a name in it that may call. That is known before anything of it is read.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections.abc import Callable
from typing import Any

from catena import grpc_loading as loading
from catena.errors import AddressRefused, CatenaError, CredentialsError, PeerRefused, ProtocolError
from catena.escape import printable
from catena.events import announced
from catena.grpc_loading import aio, grpc
from catena.link.handshakes import Handshakes
from catena.link.health import Health
from catena.link.link import HELLO_SECONDS, Link
from catena.link.operating import Operated, OperatorMethods
from catena.link.ports import Receiver
from catena.link.service import KEEPALIVE, LINK_LIMIT, METHOD, SERVICE, SERVING, GrpcTransport
from catena.link.tls import ServerFiles
from catena.security.authorise import Authorisation, Identity, Permit
from catena.security.credentials import Credentials
from catena.targets import address_of, is_local, split_port

_OPEN = (
    "whoever reaches this address could run code as this process; pass credentials, or write"
    " insecure=True where the network is as trusted as the process"
)

_FIRST_SECONDS = 1.0
"""How long a peer that is refused has for its first message."""


class Server:
    """Serves links at one address; ``accept`` makes the receiver of each.

    ``secret`` is what a caller has to know. An address other than a Unix socket's takes TLS with
    ``credentials``, and an ``authorisation`` that says who may call; or else ``insecure=True``.
    ``target`` is where it listens, with the port that the system has chosen in place of 0. Where
    ``health`` is given, it answers health checks and reflection as well, and that to all who get as
    far as to a call: names in certificates are not looked at for that. Operators may ask for what
    is ``operated``.
    """

    def __init__(  # noqa: PLR0913 - each is a fact of its own
        self,
        target: str,
        name: str,
        accept: Callable[[Link], Receiver],
        secret: bytes = b"",
        *,
        credentials: Credentials | None = None,
        authorisation: Authorisation | None = None,
        insecure: bool = False,
        health: Health | None = None,
        operated: Operated | None = None,
    ) -> None:
        """Bind the address. Raises CredentialsError, AddressRefused and ValueError."""
        local = is_local(target)
        files = self._handshakes = None
        if not local:
            split_port(target)
        if credentials is not None and not local:
            if authorisation is None:
                raise ValueError("a server with credentials needs an authorisation: who may call?")
            self._handshakes = Handshakes()
            files = ServerFiles(credentials, self._handshakes.note_begun)
        elif not (local or insecure):
            raise announced(CredentialsError(where=target, cause=_OPEN))
        else:
            authorisation = None
        loading.use()
        self._server = aio.server(options=SERVING if local else [*SERVING, *KEEPALIVE])
        self.target, self.port = target, 0
        self._bind(files)
        if health is not None:
            # Before the handler of links, which takes each call for the first of its connection.
            note = None if self._handshakes is None else self._handshakes.note_call
            health.add_to(self._server, SERVICE, note=note)
        address = address_of(self.target)
        handler = _Handler(name, address, accept, secret, authorisation)
        handler.handshakes = self._handshakes
        if operated is not None:
            handler.operators = OperatorMethods(operated, address, authorisation)
        self._server.add_generic_rpc_handlers((handler,))

    def _bind(self, files: ServerFiles | None) -> None:
        """Bind the address, and note the port. Raises AddressRefused for one that is taken."""
        target, server = self.target, self._server
        if is_local(target):
            server.add_insecure_port(target)
            return
        try:
            if files is None:
                self.port = server.add_insecure_port(target)
            else:
                self.port = server.add_secure_port(target, files.make_credentials())
        except RuntimeError as error:
            raise AddressRefused(address=target, cause=printable(str(error))) from error
        self.target = f"{split_port(target)[0]}:{self.port}"
        if self._handshakes is not None:
            self._handshakes.address = self.target

    async def start(self) -> None:
        """Begin to listen."""
        await self._server.start()
        if self._handshakes is not None:
            self._handshakes.watch(asyncio.get_running_loop())

    async def stop(self, grace: float | None) -> None:
        """Stop listening; streams that are open after ``grace`` seconds, or none, are cut."""
        if self._handshakes is not None:
            self._handshakes.stop()
        await self._server.stop(grace)


class _Handler(grpc.GenericRpcHandler):
    """Routes links, and operators' methods; everything else is unimplemented, as gRPC says it."""

    def __init__(
        self,
        name: str,
        address: str,
        accept: Callable[[Link], Receiver],
        secret: bytes,
        authorisation: Authorisation | None,
    ) -> None:
        self._name = name
        self._secret = secret
        self._address = address
        self._accept = accept
        self._authorisation = authorisation
        self.handshakes: Handshakes | None = None
        self.operators: OperatorMethods | None = None
        self._links = 0

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        if self.handshakes is not None:
            self.handshakes.note_call()
        method = handler_call_details.method
        if method != METHOD:
            return None if self.operators is None else self.operators.find_handler(method)
        return grpc.stream_stream_rpc_method_handler(
            self._serve_stream, request_deserializer=bytes, response_serializer=bytes
        )

    async def _serve_stream(self, _: object, context: aio.ServicerContext[Any, Any]) -> None:
        permit: Permit | None = None
        if self._authorisation is not None:
            permit = self._authorisation.permit(Identity.read(context.auth_context()))
            refusal = permit.find_refusal()
            if refusal:
                error = PeerRefused(peer=str(permit.identity), reason=refusal)
                await _refuse(context, error, grpc.StatusCode.PERMISSION_DENIED, error.text())
        if self._links >= LINK_LIMIT:
            reason = f"this worker serves {LINK_LIMIT} links already"
            error = PeerRefused(peer=_name_peer(context, permit), reason=reason)
            await _refuse(context, error, grpc.StatusCode.RESOURCE_EXHAUSTED, reason)
        self._links += 1
        try:
            await self._run_link(context, permit)
        finally:
            self._links -= 1

    async def _run_link(
        self, context: aio.ServicerContext[Any, Any], permit: Permit | None
    ) -> None:
        link = Link(GrpcTransport(context, self._name), self._name, self._address, self._secret)
        link.permit = permit
        try:
            await link.exchange_hello(first=False)
        except (CatenaError, ConnectionError, TimeoutError) as error:
            _announce_silent(error, _name_peer(context, permit))
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
        contextvars.Context().run(link.start, self._accept(link))
        try:
            await link.wait_ended()
        finally:
            link.fail(ConnectionAbortedError("the stream was cancelled"))


async def _refuse(
    context: aio.ServicerContext[Any, Any], error: PeerRefused, code: grpc.StatusCode, words: str
) -> None:
    """Refuse a peer, with those words; nothing that it has sent is looked at."""
    announced(error)
    # Its first message is taken off the stream: where a stream ends while a client of gRPC writes
    # to it, the client gets an error of its own, and never the status.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_FIRST_SECONDS):
            await context.read()
    await context.abort(code, words)


def _announce_silent(error: Exception, peer: str) -> None:
    """Announce that a peer was cut off which has not said hello; other refusals are announced."""
    if isinstance(error, TimeoutError):
        reason = f"it has not said hello within {HELLO_SECONDS:g} s"
        announced(PeerRefused(peer=peer, reason=reason))
    elif isinstance(error, ProtocolError):
        announced(PeerRefused(peer=peer, reason=f"it has not said hello: {error.text()}"))


def _name_peer(context: aio.ServicerContext[Any, Any], permit: Permit | None) -> str:
    """Return a peer's names where it has proved some, or else the address that it came from."""
    return str(permit.identity) if permit is not None else printable(str(context.peer()))
