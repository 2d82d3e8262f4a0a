"""OTLP over gRPC: three methods that take bytes and answer with an empty message.

The server has threads and not an event loop: an exporter that blocks the event loop of the process
that it shares with the receiver is served all the same.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from catena.collect.addresses import Address, check_address, unlink_socket
from catena.collect.intake import Intake
from catena.collect.limits import Limits
from catena.collect.otlp import SIGNALS, Refused, from_bytes
from catena.errors import AddressRefused
from catena.grpc_loading import grpc
from catena.targets import unix_target

__all__ = ["GrpcServer"]

_THREADS = 4


class GrpcServer:
    """Serves at an address between ``start`` and ``stop``."""

    def __init__(self, address: Address, intake: Intake, limits: Limits) -> None:
        self._address = address
        self._grace = limits.grace
        self._threads = ThreadPoolExecutor(_THREADS, "catena-collect")
        self._server = grpc.server(
            self._threads,
            handlers=[_make_handler(signal, intake) for signal in SIGNALS],
            options=[
                ("grpc.max_receive_message_length", limits.message_bytes),
                # Two receivers at one address would share what arrives by chance.
                ("grpc.so_reuseport", 0),
            ],
        )

    async def start(self) -> Address:
        """Bind and listen; return the address with the port taken, or raise AddressRefused."""
        # gRPC's own error says only that it could not bind, and not why.
        check_address(self._address)
        path = self._address.path
        try:
            port = self._server.add_insecure_port(unix_target(path) if path else str(self._address))
        except RuntimeError as error:
            raise AddressRefused(address=str(self._address), cause=str(error)) from None
        self._server.start()
        if not path:
            return Address(self._address.host, port)
        Path(path).chmod(0o600)
        return self._address

    async def stop(self) -> None:
        """Stop listening, and let what is being served end within the grace."""
        await asyncio.to_thread(self._server.stop(self._grace).wait, self._grace + 1)
        self._threads.shutdown(wait=False)
        unlink_socket(self._address)


def _make_handler(signal: str, intake: Intake) -> grpc.GenericRpcHandler:
    # Bytes in and out: gRPC would answer INTERNAL for what its own deserializer does not take.
    make: Any = grpc.unary_unary_rpc_method_handler
    export = make(partial(_export, signal, intake))
    (service,) = SIGNALS[signal].DESCRIPTOR.file.services_by_name.values()
    return grpc.method_handlers_generic_handler(service.full_name, {"Export": export})


def _export(signal: str, intake: Intake, body: bytes, context: grpc.ServicerContext) -> bytes:
    try:
        intake.take_request(signal, from_bytes, body)
    except Refused as refused:
        intake.count_refusal(refused)
        context.abort(refused.code, str(refused))
    return b""
