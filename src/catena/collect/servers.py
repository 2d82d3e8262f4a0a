"""The servers of a receiver: OTLP over gRPC and over HTTP, and the page that a scraper reads.

They accept telemetry from anybody who can reach them, so an address that other machines can reach
is refused unless it was explicitly allowed.

The rule: the size of a body is checked while it is read and while it is decompressed, so that a
small body cannot become a large one. The gRPC server runs in threads, not on the event loop: an
exporter in the same process that blocks the loop is served all the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import zlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web
from google.protobuf.json_format import MessageToJson
from google.rpc.status_pb2 import Status
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST

from catena.collect.intake import Intake
from catena.collect.otlp import SIGNALS, Malformed, Refused, from_bytes, from_json
from catena.collect.registry import Limits
from catena.errors import AddressRefused
from catena.grpc_loading import grpc
from catena.targets import unix_target

_PROTOBUF, _JSON = "application/x-protobuf", "application/json"
_PARSERS = {_PROTOBUF: from_bytes, _JSON: from_json}
_MAX_LENGTH = "grpc.max_receive_message_length"
_ENCODINGS = ("identity", "gzip", "deflate")
_ANY_HEADER = 32 + zlib.MAX_WBITS
"""Lets zlib find out by itself whether a body is packed with gzip or deflate."""


class _Unsupported(Refused):
    """The headers announce a body that nobody here can read."""

    status = 415


class _Oversized(Refused):
    """The body is longer than the limit, packed or unpacked."""

    reason, code, status = "oversized", grpc.StatusCode.RESOURCE_EXHAUSTED, 413


class _TooSlow(Refused):
    """The body did not arrive in time."""

    code, status = grpc.StatusCode.DEADLINE_EXCEEDED, 408


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen: ``host`` and ``port`` (0 takes any), or the ``path`` of a Unix socket."""

    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"unix:{self.path}" if self.path else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The address as an exporter wants it."""
        return unix_target(self.path) if self.path else f"http://{self}"


def parse_address(text: str, *, insecure: bool = False) -> Address:
    """Parse ``HOST:PORT``, ``[HOST]:PORT`` or ``unix:PATH``.

    AddressRefused when it is none of them, and when other machines could reach it although
    ``insecure`` is not set.
    """
    scheme, _, path = text.partition(":")
    if scheme == "unix" and path:
        return Address(path=path)
    try:
        parts = urlsplit(f"//{text}")
        address = Address(parts.hostname or "", parts.port or 0)
    except ValueError:
        address = Address()
    if not address.host or str(address) != text.lower():
        raise AddressRefused(address=text, cause="it is not HOST:PORT, [IPV6]:PORT or unix:PATH")
    if not insecure and not _is_loopback(address.host):
        cause = "other machines can reach it; only insecure (--insecure) allows that"
        raise AddressRefused(address=text, cause=cause)
    return address


def _bind_socket(address: Address) -> socket.socket:
    """Bind a socket and listen; AddressRefused with the system's reason when that fails."""
    try:
        if address.path:
            return _bind_unix(address.path)
        (family, *_, where), *_ = socket.getaddrinfo(address.host, address.port)
        return socket.create_server(where[:2], family=family)
    except OSError as error:
        cause = (error.strerror or str(error)).lower()
        raise AddressRefused(address=str(address), cause=cause) from None


def _check_address(address: Address) -> None:
    """Raise AddressRefused when nobody could bind the address at this moment."""
    if address.path or address.port:
        _bind_socket(address).close()
        _unlink_socket(address)


def _unlink_socket(address: Address) -> None:
    """Remove the file of a Unix socket that nobody serves any more."""
    if address.path:
        Path(address.path).unlink(missing_ok=True)


def _is_loopback(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def _bind_unix(path: str) -> socket.socket:
    """Bind where nothing is, or where a process that has ended left its socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        if Path(path).is_socket() and probe.connect_ex(path) != 0:
            Path(path).unlink()
    with contextlib.ExitStack() as stack:
        bound = stack.enter_context(socket.socket(socket.AF_UNIX))
        bound.bind(path)
        Path(path).chmod(0o600)
        bound.listen()
        stack.pop_all()
        return bound


class GrpcServer:
    """Serves at an address between ``start`` and ``stop``."""

    def __init__(self, address: Address, intake: Intake) -> None:
        self._address = address
        self._grace = intake.limits.grace
        self._threads = ThreadPoolExecutor(4, "catena-collect")
        # Two receivers at one address would share what arrives by chance.
        options = {"grpc.so_reuseport": 0, _MAX_LENGTH: intake.limits.message_bytes}
        handlers = [_make_grpc_handler(signal, intake) for signal in SIGNALS]
        self._server = grpc.server(self._threads, handlers, options=list(options.items()))

    async def start(self) -> Address:
        """Bind and listen; return the address with the port taken, or raise AddressRefused."""
        # gRPC's own error says only that it could not bind, and not why.
        _check_address(self._address)
        try:
            port = self._server.add_insecure_port(self._address.url.removeprefix("http://"))
        except RuntimeError as error:
            raise AddressRefused(address=str(self._address), cause=str(error)) from None
        self._server.start()
        if not self._address.path:
            return Address(self._address.host, port)
        await asyncio.to_thread(Path(self._address.path).chmod, 0o600)
        return self._address

    async def stop(self) -> None:
        """Stop listening, and let what is being served end within the grace."""
        await asyncio.to_thread(self._server.stop(self._grace).wait, self._grace + 1)
        self._threads.shutdown(wait=False)
        _unlink_socket(self._address)


def _make_grpc_handler(signal: str, intake: Intake) -> grpc.GenericRpcHandler:
    (service,) = SIGNALS[signal].DESCRIPTOR.file.services_by_name.values()
    # Bytes in and out: gRPC would answer INTERNAL for what its own deserializer does not take.
    make: Any = grpc.unary_unary_rpc_method_handler
    export = {"Export": make(partial(_export_grpc, signal, intake))}
    return grpc.method_handlers_generic_handler(service.full_name, export)


def _export_grpc(signal: str, intake: Intake, body: bytes, context: grpc.ServicerContext) -> bytes:
    try:
        intake.take_request(signal, from_bytes, body)
    except Refused as refused:
        intake.count_refusal(refused)
        context.abort(refused.code, str(refused))
    return b""


class HttpServer:
    """Serves routes at an address between ``start`` and ``stop``."""

    def __init__(self, address: Address, routes: Iterable[web.RouteDef], limits: Limits) -> None:
        self._address = address
        app = web.Application(client_max_size=limits.message_bytes)
        app.add_routes(routes)
        # Bodies are unpacked here: aiohttp takes a packed body that ends too early for a whole one.
        self._runner = web.AppRunner(
            app, access_log=None, auto_decompress=False, shutdown_timeout=limits.grace
        )

    async def start(self) -> Address:
        """Bind and listen; return the address with the port taken, or raise AddressRefused."""
        bound = _bind_socket(self._address)
        await self._runner.setup()
        await web.SockSite(self._runner, bound).start()
        if self._address.path:
            return self._address
        return Address(self._address.host, bound.getsockname()[1])

    async def stop(self) -> None:
        """Stop listening, and let what is being served end within the grace."""
        await self._runner.cleanup()
        _unlink_socket(self._address)


async def _show_page(intake: Intake, request: web.Request) -> web.Response:
    openmetrics = "application/openmetrics-text" in request.headers.get("Accept", "")
    page = await asyncio.to_thread(intake.render_page, openmetrics=openmetrics)
    kind = CONTENT_TYPE_LATEST if openmetrics else CONTENT_TYPE_PLAIN_0_0_4
    answer = web.Response(body=page, headers={"Content-Type": kind})
    answer.enable_compression()
    return answer


async def _export_http(signal: str, intake: Intake, request: web.Request) -> web.Response:
    kind = request.content_type
    try:
        if kind not in _PARSERS:
            raise _Unsupported(f"the content type is {_PROTOBUF} or {_JSON}")
        body = await _read_body(request, intake.limits)
        await asyncio.to_thread(intake.take_request, signal, _PARSERS[kind], body)
    except Refused as refused:
        intake.count_refusal(refused)
        return _answer_refusal(kind, refused)
    return web.Response(body=b"{}" if kind == _JSON else b"", content_type=kind)


async def _read_body(request: web.Request, limits: Limits) -> bytes:
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in _ENCODINGS:
        raise _Unsupported(f"the content encoding is one of {', '.join(_ENCODINGS)}")
    try:
        async with asyncio.timeout(limits.read):
            body = await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise _Oversized(f"a request has at most {limits.message_bytes} bytes") from None
    except TimeoutError:
        raise _TooSlow(f"the body took longer than {limits.read:g} seconds") from None
    if encoding == "identity":
        return body
    return await asyncio.to_thread(_unpack_body, body, limits.message_bytes)


def _unpack_body(body: bytes, most: int) -> bytes:
    """Return what a packed body holds, which is at most ``most`` bytes."""
    stream = zlib.decompressobj(_ANY_HEADER)
    try:
        unpacked = stream.decompress(body, most + 1)
    except zlib.error as error:
        raise Malformed(f"the body cannot be unpacked: {error}") from None
    if len(unpacked) > most:
        raise _Oversized(f"a request has at most {most} bytes, also when it is unpacked")
    if not stream.eof or stream.unused_data:
        raise Malformed("the packed body ends too early, or goes on after its end")
    return unpacked


def _answer_refusal(kind: str, refused: Refused) -> web.Response:
    status = Status(code=refused.code.value[0], message=str(refused))
    if kind == _PROTOBUF:
        body = status.SerializeToString()
    else:
        body, kind = MessageToJson(status, indent=None).encode(), _JSON
    again = {"Retry-After": "1"} if refused.status == 503 else None
    return web.Response(status=refused.status, body=body, content_type=kind, headers=again)


def make_server(name: str, address: Address, intake: Intake) -> GrpcServer | HttpServer:
    """Return the server of OTLP ("grpc" or "http"), or that of the page ("metrics")."""
    if name == "grpc":
        return GrpcServer(address, intake)
    routes = [web.post(f"/v1/{one}", partial(_export_http, one, intake)) for one in SIGNALS]
    if name == "metrics":
        routes = [web.get("/metrics", partial(_show_page, intake))]
    return HttpServer(address, routes, intake.limits)
