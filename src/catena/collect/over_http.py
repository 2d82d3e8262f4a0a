"""OTLP over HTTP, and the page that a scraper reads.

The rule: a body is counted while it is read and while it is unpacked, so that a small one cannot
become a large one.
"""

from __future__ import annotations

import asyncio
import socket
import zlib
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from aiohttp import web
from google.protobuf.json_format import MessageToJson
from google.rpc.code_pb2 import Code
from google.rpc.status_pb2 import Status

from catena.collect import otlp
from catena.collect.addresses import Address, bound, released
from catena.collect.exposition import CONTENT_TYPE, PLAIN_TYPE
from catena.collect.intake import Intake, NotWritten
from catena.collect.limits import Limits

__all__ = ["HttpServer", "metrics_app", "otlp_app"]

_PROTOBUF, _JSON = "application/x-protobuf", "application/json"
_PACKED = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
_CODES = {
    400: Code.INVALID_ARGUMENT,
    408: Code.DEADLINE_EXCEEDED,
    413: Code.RESOURCE_EXHAUSTED,
    415: Code.INVALID_ARGUMENT,
    503: Code.UNAVAILABLE,
}


class _Refused(Exception):
    """The request gets an answer with this status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(status, message)
        self.status, self.message = status, message


class HttpServer:
    """Serves an application at an address between ``start`` and ``stop``."""

    def __init__(self, address: Address, app: web.Application, limits: Limits) -> None:
        self._address = address
        # Unpacking is done here, within the limits.
        self._runner = web.AppRunner(
            app, access_log=None, auto_decompress=False, shutdown_timeout=limits.grace
        )

    async def start(self) -> Address:
        """Bind and listen; return the address with the port taken, or raise AddressRefused."""
        taken = bound(self._address)
        try:
            await self._runner.setup()
            await web.SockSite(self._runner, taken).start()
        except BaseException:
            taken.close()
            raise
        if taken.family == socket.AF_UNIX:
            return self._address
        return Address(self._address.host, taken.getsockname()[1])

    async def stop(self) -> None:
        """Stop listening, and let what is being served end within the grace."""
        await self._runner.cleanup()
        released(self._address)


def otlp_app(intake: Intake, limits: Limits) -> web.Application:
    """Return the application that takes the three signals."""
    app = web.Application(client_max_size=limits.message_bytes)
    for signal in otlp.SIGNALS.values():
        app.router.add_post(f"/v1/{signal.name}", _handler(signal, intake, limits))
    return app


def metrics_app(intake: Intake) -> web.Application:
    """Return the application that shows the metrics."""

    async def show(request: web.Request) -> web.Response:
        openmetrics = "application/openmetrics-text" in request.headers.get("Accept", "")
        shown = await asyncio.to_thread(intake.exposition, openmetrics=openmetrics)
        kind = CONTENT_TYPE if openmetrics else PLAIN_TYPE
        answer = web.Response(body=shown.encode(), headers={"Content-Type": kind})
        answer.enable_compression()
        return answer

    app = web.Application()
    app.router.add_get("/metrics", show)
    return app


def _handler(
    signal: otlp.Signal, intake: Intake, limits: Limits
) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def export(request: web.Request) -> web.Response:
        try:
            read = _reader(request.content_type)
            body = await _body(request, limits)
            await asyncio.to_thread(intake.take, signal, partial(read, signal, body))
        except otlp.Malformed as error:
            return _error(request, 400, str(error))
        except NotWritten as error:
            return _error(request, 503, f"could not be written: {error}")
        except _Refused as refused:
            intake.refused("oversized" if refused.status == 413 else "malformed")
            return _error(request, refused.status, refused.message)
        answer = b"{}" if request.content_type == _JSON else b""
        return web.Response(body=answer, content_type=request.content_type)

    return export


def _reader(kind: str) -> Callable[[otlp.Signal, bytes], Any]:
    match kind:
        case "application/x-protobuf":
            return otlp.from_bytes
        case "application/json":
            return otlp.from_json
        case _:
            raise _Refused(415, f"the content type is {_PROTOBUF} or {_JSON}")


async def _body(request: web.Request, limits: Limits) -> bytes:
    too_large = _Refused(413, f"a request has at most {limits.message_bytes} bytes")
    packed = request.headers.get("Content-Encoding", "identity").strip().lower()
    if packed not in (*_PACKED, "identity"):
        raise _Refused(415, f"the content encoding is one of {', '.join(_PACKED)}, or none")
    if (request.content_length or 0) > limits.message_bytes:
        raise too_large
    try:
        async with asyncio.timeout(limits.read):
            body = await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise too_large from None
    except TimeoutError:
        raise _Refused(408, f"the body took longer than {limits.read:g} seconds") from None
    if packed == "identity":
        return body
    whole = await asyncio.to_thread(_unpacked, body, _PACKED[packed], limits.message_bytes + 1)
    if len(whole) > limits.message_bytes:
        raise too_large
    return whole


def _unpacked(body: bytes, bits: int, most: int) -> bytes:
    """Unpack the members of a body, no more than ``most`` bytes of them."""
    whole, rest = bytearray(), body
    try:
        while rest and len(whole) < most:
            member = zlib.decompressobj(bits)
            whole += member.decompress(rest, most - len(whole))
            if not member.eof and len(whole) < most:
                raise _Refused(400, "the packed body ends too early")
            rest = member.unused_data
    except zlib.error as error:
        raise _Refused(400, f"the body cannot be unpacked: {error}") from None
    return bytes(whole)


def _error(request: web.Request, status: int, message: str) -> web.Response:
    told = Status(code=_CODES[status], message=message)
    headers = {"Retry-After": "1"} if status == 503 else None
    if request.content_type == _PROTOBUF:
        body, kind = told.SerializeToString(), _PROTOBUF
    else:
        body, kind = MessageToJson(told, indent=None).encode(), _JSON
    return web.Response(status=status, body=body, content_type=kind, headers=headers)
