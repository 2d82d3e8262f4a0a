"""The receiver: servers, file and registry, opened together and closed in the other order.

Its one rule: when its block has been left, everything that was acknowledged is where it belongs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from catena.collect.addresses import Address, parsed
from catena.collect.files import KEEP, ROTATE_BYTES, LineFile
from catena.collect.intake import Counts, Intake
from catena.collect.limits import Limits
from catena.collect.over_grpc import GrpcServer
from catena.collect.over_http import HttpServer, metrics_app, otlp_app
from catena.collect.registry import Registry

__all__ = ["Receiver"]

ANY = "127.0.0.1:0"


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
        self._addresses = [
            None if one is None else parsed(one, insecure=insecure)
            for one in (listen, listen_http, metrics)
        ]
        self._out, self._rotation = out, (rotate_bytes, keep)
        self._limits = limits or Limits()
        self._registry = Registry(self._limits, clock)
        self._stack = AsyncExitStack()
        self._at: list[Address | None] = [None, None, None]
        self._intake = Intake(None, self._registry)

    @property
    def endpoint(self) -> str:
        """Where gRPC is listened to, as OTEL_EXPORTER_OTLP_ENDPOINT takes it; empty without it."""
        return self._url(0)

    @property
    def http_endpoint(self) -> str:
        """Where HTTP is listened to, without the path of a signal; empty without it."""
        return self._url(1)

    @property
    def metrics_address(self) -> str:
        """``HOST:PORT`` of the page ``/metrics``, as a scraper takes it; empty without it."""
        at = self._at[2]
        return str(at) if at else ""

    @property
    def counts(self) -> Counts:
        """What arrived so far."""
        return self._intake.counts

    def exposition(self, *, openmetrics: bool = True) -> str:
        """Return what ``/metrics`` shows, whether or not it is served."""
        return self._intake.exposition(openmetrics=openmetrics)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            self._intake = Intake(self._sink(stack), self._registry)
            await self._listen(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    def _sink(self, stack: AsyncExitStack) -> Callable[[str], object] | None:
        if self._out is None or callable(self._out):
            return self._out
        rotate_bytes, keep = self._rotation
        file = LineFile(self._out, rotate_bytes=rotate_bytes, keep=keep)
        stack.push_async_callback(asyncio.to_thread, file.close)
        return file.write

    async def _listen(self, stack: AsyncExitStack) -> None:
        rpc, http, metrics = self._addresses
        # The page goes last, so that it can show what the others took to the end.
        if metrics:
            page = HttpServer(metrics, metrics_app(self._intake), self._limits)
            self._at[2] = await page.start()
            stack.push_async_callback(page.stop)
        if http:
            over_http = HttpServer(http, otlp_app(self._intake, self._limits), self._limits)
            self._at[1] = await over_http.start()
            stack.push_async_callback(over_http.stop)
        if rpc:
            over_grpc = GrpcServer(rpc, self._intake, self._limits)
            self._at[0] = over_grpc.start()
            stack.push_async_callback(over_grpc.stop)

    def _url(self, which: int) -> str:
        at = self._at[which]
        return at.url if at else ""
