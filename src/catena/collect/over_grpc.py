"""OTLP over gRPC: three methods that take bytes and answer with an empty message.

A server with threads and not one of asyncio: an exporter that blocks the event loop of the process
that it shares with the receiver is served all the same.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from catena.collect import otlp
from catena.collect.addresses import Address, free, released
from catena.collect.intake import Intake, NotWritten
from catena.collect.limits import Limits
from catena.errors import AddressRefused
from catena.grpc_loading import grpc
from catena.targets import unix_target

__all__ = ["GrpcServer"]

_THREADS = 4
_METHODS = {signal.method: signal for signal in otlp.SIGNALS.values()}


class GrpcServer:
    """Serves at an address between ``start`` and ``stop``."""

    def __init__(self, address: Address, intake: Intake, limits: Limits) -> None:
        self._address = address
        self._grace = limits.grace
        self._threads = ThreadPoolExecutor(_THREADS, "catena-collect")
        self._server = grpc.server(
            self._threads,
            handlers=[_Handler(intake)],
            options=[
                ("grpc.max_receive_message_length", limits.message_bytes),
                # Two receivers at one address would share what arrives by chance.
                ("grpc.so_reuseport", 0),
            ],
        )

    def start(self) -> Address:
        """Bind and listen; return the address with the port taken, or raise AddressRefused."""
        # gRPC would say no more than that it could not.
        free(self._address)
        path = self._address.path
        target = unix_target(path) if path else str(self._address)
        try:
            port = self._server.add_insecure_port(target)
        except RuntimeError as error:
            raise AddressRefused(address=str(self._address), cause=str(error)) from None
        self._server.start()
        if not self._address.path:
            return Address(self._address.host, port)
        Path(self._address.path).chmod(0o600)
        return self._address

    async def stop(self) -> None:
        """Stop listening, and let what is being served end within the grace."""
        await asyncio.to_thread(self._server.stop(self._grace).wait, self._grace + 1)
        self._threads.shutdown(wait=False)
        released(self._address)


class _Handler(grpc.GenericRpcHandler):
    """Routes the three methods; everything else is unimplemented, as gRPC says it."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        signal = _METHODS.get(handler_call_details.method)
        if signal is None:
            return None
        # Bytes in and out: an error of gRPC's own deserializer would be told as INTERNAL.
        make: Any = grpc.unary_unary_rpc_method_handler
        return make(partial(self._export, signal))

    def _export(self, signal: otlp.Signal, data: bytes, context: grpc.ServicerContext) -> bytes:
        try:
            self._intake.take(signal, partial(otlp.from_bytes, signal, data))
        except otlp.Malformed as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except NotWritten as error:
            context.abort(grpc.StatusCode.UNAVAILABLE, f"could not be written: {error}")
        return b""
