"""OTLP over HTTP, and the page that a scraper reads.

The rule: a body is counted while it is read and while it is unpacked, so that a small one cannot
become a large one.
"""

from __future__ import annotations

import asyncio
import zlib
from functools import partial

from aiohttp import web
from google.protobuf.json_format import MessageToJson
from google.rpc.status_pb2 import Status
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST

from catena.collect.addresses import Address, bind_socket, unlink_socket
from catena.collect.intake import Intake
from catena.collect.limits import Limits
from catena.collect.otlp import SIGNALS, Malformed, Refused, from_bytes, from_json
from catena.grpc_loading import grpc

__all__ = ["HttpServer", "make_metrics_app", "make_otlp_app"]

_PROTOBUF, _JSON = "application/x-protobuf", "application/json"
_PARSERS = {_PROTOBUF: from_bytes, _JSON: from_json}
_ENCODINGS = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
"""How a body may be packed, and what zlib calls that."""


class _Unsupported(Refused):
    """The headers announce a body that nobody here can read."""

    status = 415


class _Oversized(Refused):
    """The body is longer than the limit, packed or unpacked."""

    reason, code, status = "oversized", grpc.StatusCode.RESOURCE_EXHAUSTED, 413


class _TooSlow(Refused):
    """The body did not arrive in time."""

    code, status = grpc.StatusCode.DEADLINE_EXCEEDED, 408


class HttpServer:
    """Serves an application at an address between ``start`` and ``stop``."""

    def __init__(self, address: Address, app: web.Application, limits: Limits) -> None:
        self._address = address
        # Bodies are unpacked here: aiohttp takes a packed body that ends too early for a whole one.
        self._runner = web.AppRunner(
            app, access_log=None, auto_decompress=False, shutdown_timeout=limits.grace
        )

    async def start(self) -> Address:
        """Bind and listen; return the address with the port taken, or raise AddressRefused."""
        bound = bind_socket(self._address)
        await self._runner.setup()
        await web.SockSite(self._runner, bound).start()
        if self._address.path:
            return self._address
        return Address(self._address.host, bound.getsockname()[1])

    async def stop(self) -> None:
        """Stop listening, and let what is being served end within the grace."""
        await self._runner.cleanup()
        unlink_socket(self._address)


def make_otlp_app(intake: Intake, limits: Limits) -> web.Application:
    """Return the application that takes the three signals."""
    app = web.Application(client_max_size=limits.message_bytes)
    for signal in SIGNALS:
        app.router.add_post(f"/v1/{signal}", partial(_export, signal, intake, limits))
    return app


def make_metrics_app(intake: Intake) -> web.Application:
    """Return the application that shows the metrics."""

    async def show_page(request: web.Request) -> web.Response:
        openmetrics = "application/openmetrics-text" in request.headers.get("Accept", "")
        page = await asyncio.to_thread(intake.render_page, openmetrics=openmetrics)
        kind = CONTENT_TYPE_LATEST if openmetrics else CONTENT_TYPE_PLAIN_0_0_4
        answer = web.Response(body=page, headers={"Content-Type": kind})
        answer.enable_compression()
        return answer

    app = web.Application()
    app.router.add_get("/metrics", show_page)
    return app


async def _export(
    signal: str, intake: Intake, limits: Limits, request: web.Request
) -> web.Response:
    kind = request.content_type
    try:
        if kind not in _PARSERS:
            raise _Unsupported(f"the content type is {_PROTOBUF} or {_JSON}")
        body = await _read_body(request, limits)
        await asyncio.to_thread(intake.take_request, signal, _PARSERS[kind], body)
    except Refused as refused:
        intake.count_refusal(refused)
        return _answer_refusal(kind, refused)
    return web.Response(body=b"{}" if kind == _JSON else b"", content_type=kind)


async def _read_body(request: web.Request, limits: Limits) -> bytes:
    too_long = _Oversized(f"a request has at most {limits.message_bytes} bytes")
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in (*_ENCODINGS, "identity"):
        raise _Unsupported(f"the content encoding is one of {', '.join(_ENCODINGS)}, or none")
    if (request.content_length or 0) > limits.message_bytes:
        raise too_long
    try:
        async with asyncio.timeout(limits.read):
            body = await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise too_long from None
    except TimeoutError:
        raise _TooSlow(f"the body took longer than {limits.read:g} seconds") from None
    if encoding == "identity":
        return body
    most = limits.message_bytes + 1
    unpacked = await asyncio.to_thread(_unpack_body, body, _ENCODINGS[encoding], most)
    if len(unpacked) == most:
        raise too_long
    return unpacked


def _unpack_body(body: bytes, bits: int, most: int) -> bytes:
    """Unpack the members of a body, no more than ``most`` bytes of them."""
    unpacked, rest = bytearray(), body
    try:
        while rest and len(unpacked) < most:
            member = zlib.decompressobj(bits)
            unpacked += member.decompress(rest, most - len(unpacked))
            if not member.eof and len(unpacked) < most:
                raise Malformed("the packed body ends too early")
            rest = member.unused_data
    except zlib.error as error:
        raise Malformed(f"the body cannot be unpacked: {error}") from None
    return bytes(unpacked)


def _answer_refusal(kind: str, refused: Refused) -> web.Response:
    status = Status(code=refused.code.value[0], message=str(refused))
    if kind == _PROTOBUF:
        body = status.SerializeToString()
    else:
        body, kind = MessageToJson(status, indent=None).encode(), _JSON
    again = {"Retry-After": "1"} if refused.status == 503 else None
    return web.Response(status=refused.status, body=body, content_type=kind, headers=again)
