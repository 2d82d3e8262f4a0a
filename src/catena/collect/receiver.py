"""The receiver: servers, file and registry, opened together and closed in reverse order.

Its one rule: when its block has been left, everything that was acknowledged is written.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Generator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

from catena.collect.files import LineFile
from catena.collect.intake import Counts, Intake
from catena.collect.registry import Limits
from catena.collect.servers import Address, make_server, parse_address

_DEADLINE = 30.0


class Receiver:
    """Receives OTLP while its ``async with`` block runs.

    ``listen`` is the address for gRPC, ``listen_http`` that for HTTP, ``metrics`` that of the page
    ``/metrics``: ``HOST:PORT`` (port 0 takes any free port), ``unix:PATH``, or None for none.
    Addresses that other machines can reach are refused without ``insecure``. ``out`` is a file for
    the lines, which is rotated (see LineFile), or a callable that gets each line; it is called from
    several threads, never from two at once. ``clock`` gives the seconds by which silent processes
    are forgotten.

    Entering raises AddressRefused or, for the file, OSError; nothing stays open then.
    """

    def __init__(  # noqa: PLR0913 - each has its default and is given by name
        self,
        *,
        listen: str | None = "127.0.0.1:0",
        listen_http: str | None = "127.0.0.1:0",
        metrics: str | None = None,
        out: Path | str | Callable[[str], object] | None = None,
        rotate_bytes: int = 100 << 20,
        keep: int = 10,
        insecure: bool = False,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._addresses = {
            name: parse_address(text, insecure=insecure)
            for name, text in (("metrics", metrics), ("http", listen_http), ("grpc", listen))
            if text is not None
        }
        self._out, self._rotation = out, {"rotate_bytes": rotate_bytes, "keep": keep}
        self._intake = Intake(limits or Limits(), clock)
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
            for name, address in self._addresses.items():
                server = make_server(name, address, self._intake)
                self._bound[name] = await server.start()
                stack.push_async_callback(server.stop)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    def _open_sink(self, stack: AsyncExitStack) -> Callable[[str], object] | None:
        if self._out is None or callable(self._out):
            return self._out
        file = LineFile(self._out, **self._rotation)
        stack.push_async_callback(asyncio.to_thread, file.close)
        return file.write


@contextmanager
def receiving(**options: Any) -> Generator[Receiver]:
    """Receive while the block runs; options and exceptions are those of Receiver.

    Made for code that blocks, such as exporters of the process itself: the receiver runs in a
    thread with an event loop of its own.
    """
    receiver, loop = Receiver(**options), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="catena-collect", daemon=True)

    def run_there(step: Coroutine[Any, Any, object]) -> None:
        asyncio.run_coroutine_threadsafe(step, loop).result(_DEADLINE)

    thread.start()
    try:
        run_there(receiver.__aenter__())
        try:
            yield receiver
        finally:
            run_there(receiver.__aexit__())
    finally:
        run_there(loop.shutdown_default_executor())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_DEADLINE)
        loop.close()
