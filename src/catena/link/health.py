"""gRPC's standard health service, for whoever watches a worker from outside.

It stands at an address of its own and in plain text, because probes such as Kubernetes' speak no
TLS. It says whether the worker serves, and nothing else.
"""

from __future__ import annotations

import importlib
from typing import Any

from catena import grpc_loading as loading
from catena.errors import install_command
from catena.grpc_loading import aio
from catena.link.service import SERVICE

_NAMES = ("", SERVICE)
"""The services whose health it knows: the process as a whole, and the one that it serves."""

_MODULES = (
    "grpc_health.v1.health",
    "grpc_health.v1.health_pb2",
    "grpc_health.v1.health_pb2_grpc",
    "grpc_reflection.v1alpha.reflection",
)


class HealthServer:
    """Answers health checks at an address, ``host:port``.

    Raises ModuleNotFoundError, with the command that installs it, where the extra is missing.
    """

    def __init__(self, address: str) -> None:
        health, health_pb2, health_pb2_grpc, reflection = map(_import_extra, _MODULES)
        loading.use()
        self._states: Any = health_pb2.HealthCheckResponse
        self._servicer: Any = health.aio.HealthServicer()
        self._server = aio.server()
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, self._server)
        reflection.enable_server_reflection(
            (health.SERVICE_NAME, reflection.SERVICE_NAME), self._server
        )
        self._address = address
        self.port = 0

    async def start(self) -> None:
        """Listen, and say that the worker does not serve yet. Raises OSError where that fails."""
        try:
            self.port = self._server.add_insecure_port(self._address)
        except RuntimeError as error:
            raise OSError(f"health checks cannot be answered at {self._address}: {error}") from None
        await self._set_all(self._states.NOT_SERVING)
        await self._server.start()

    async def say_serving(self) -> None:
        """Say from here on that the worker serves."""
        await self._set_all(self._states.SERVING)

    async def _set_all(self, state: Any) -> None:
        for name in _NAMES:
            await self._servicer.set(name, state)

    async def say_draining(self) -> None:
        """Say from here on that the worker takes no more calls."""
        await self._servicer.enter_graceful_shutdown()

    async def stop(self) -> None:
        """Answer no more."""
        await self._server.stop(0.2)


def _import_extra(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as missing:
        text = f"{missing.name} is not installed: {install_command('health')}"
        raise ModuleNotFoundError(text, name=missing.name) from None
