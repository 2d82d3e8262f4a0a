"""The receiver: servers, file and registry, opened together and closed in the other order.

Its one rule: when its block has been left, everything that was acknowledged is written.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Generator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

from catena.collect.addresses import Address, parse_address
from catena.collect.files import KEEP, ROTATE_BYTES, LineFile
from catena.collect.grpc_server import GrpcServer
from catena.collect.http_server import HttpServer, make_metrics_app, make_otlp_app
from catena.collect.intake import Counts, Intake, Sink
from catena.collect.limits import Limits
from catena.collect.registry import Registry

__all__ = ["Receiver", "receiving"]

ANY = "127.0.0.1:0"
_DEADLINE = 30.0


class Receiver:
    """Receives OTLP while its ``async with`` block runs.

    ``listen`` is the address for gRPC, ``listen_http`` that for HTTP, ``metrics`` that of the page
    ``/metrics``: ``HOST:PORT`` (port 0 takes any), ``unix:PATH``, or None for none. Addresses that
    other machines can reach want ``insecure``. ``out`` is a file for the lines, which is rotated
    (see LineFile), or a callable that gets each line; it is called from several threads, never from
    two at once. ``clock`` gives the seconds by which silent processes are forgotten.

    Entering raises AddressRefused or, for the file, OSError; nothing stays open then.
    """

    def __init__(  # noqa: PLR0913 - each has its default and is given by name
        self,
        *,
        listen: str | None = ANY,
        listen_http: str | None = ANY,
        metrics: str | None = None,
        out: Path | str | Callable[[str], object] | None = None,
        rotate_bytes: int = ROTATE_BYTES,
        keep: int = KEEP,
        insecure: bool = False,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._addresses = {
            name: parse_address(text, insecure=insecure)
            for name, text in (("grpc", listen), ("http", listen_http), ("metrics", metrics))
            if text is not None
        }
        self._out, self._rotation = out, (rotate_bytes, keep)
        self._limits = limits or Limits()
        self._intake = Intake(Registry(self._limits, clock))
        self._stack = AsyncExitStack()
        self._bound: dict[str, Address] = {}

    @property
    def endpoint(self) -> str:
        """Where gRPC is listened to, as OTEL_EXPORTER_OTLP_ENDPOINT takes it; empty without it."""
        return self._bound["grpc"].url if "grpc" in self._bound else ""

    @property
    def http_endpoint(self) -> str:
        """Where HTTP is listened to, without the path of a signal; empty without it."""
        return self._bound["http"].url if "http" in self._bound else ""

    @property
    def metrics_address(self) -> str:
        """``HOST:PORT`` of the page ``/metrics``, as a scraper takes it; empty without it."""
        return str(self._bound.get("metrics", ""))

    @property
    def counts(self) -> Counts:
        """What arrived so far."""
        return self._intake.counts

    def exposition(self, *, openmetrics: bool = True) -> str:
        """Return what ``/metrics`` shows, whether or not it is served."""
        return self._intake.render_page(openmetrics=openmetrics).decode()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            self._intake.sink = self._open_sink(stack)
            # The page is closed last, so that it can show what the others took to the end.
            for name in ("metrics", "http", "grpc"):
                if name in self._addresses:
                    server = self._make_server(name)
                    self._bound[name] = await server.start()
                    stack.push_async_callback(server.stop)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    def _open_sink(self, stack: AsyncExitStack) -> Sink | None:
        if self._out is None or callable(self._out):
            return self._out
        rotate_bytes, keep = self._rotation
        file = LineFile(self._out, rotate_bytes=rotate_bytes, keep=keep)
        stack.push_async_callback(asyncio.to_thread, file.close)
        return file.write

    def _make_server(self, name: str) -> GrpcServer | HttpServer:
        address = self._addresses[name]
        if name == "grpc":
            return GrpcServer(address, self._intake, self._limits)
        if name == "http":
            return HttpServer(address, make_otlp_app(self._intake, self._limits), self._limits)
        return HttpServer(address, make_metrics_app(self._intake), self._limits)


@contextmanager
def receiving(**options: Any) -> Generator[Receiver]:
    """Receive while the block runs; the options and what may be raised are those of Receiver.

    Made for code that blocks, such as exporters of the process itself: the receiver runs in a
    thread with an event loop of its own.
    """
    receiver = Receiver(**options)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=_run_loop, args=(loop,), name="catena-collect", daemon=True)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(receiver.__aenter__(), loop).result(_DEADLINE)
        try:
            yield receiver
        finally:
            closing = receiver.__aexit__(None, None, None)
            asyncio.run_coroutine_threadsafe(closing, loop).result(_DEADLINE)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_DEADLINE)


def _run_loop(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
    finally:
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
