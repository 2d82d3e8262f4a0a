"""gRPC's standard health service, for whoever watches a worker from outside.

It says whether the worker serves, and nothing else: where the worker listens, and at an address of
its own in plain text, because probes such as Kubernetes' speak no TLS. Reflection goes with it, by
which tools list what there is.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator
from typing import Any

from catena import grpc_loading as loading
from catena.errors import install_command
from catena.grpc_loading import aio, grpc
from catena.link.service import SERVICE, SERVING

STREAM_LIMIT = 64
"""How many may watch, or use reflection, at a time: each of them keeps a task."""

_HEALTH = "grpc.health.v1.Health"
_NAMES = ("", SERVICE)
"""The services whose health it knows: the process as a whole, and the one that it serves."""

_MODULES = (
    "grpc_health.v1.health_pb2",
    "grpc_reflection.v1alpha.reflection",
    "grpc_reflection.v1alpha.reflection_pb2",
)


class Health:
    """Whether a worker serves: not before ``say_serving``, and no more from ``say_draining`` on.

    Raises ModuleNotFoundError, with the command that installs it, where the extra is missing.
    """

    def __init__(self) -> None:
        self._messages, self._reflection, self._reflected = map(_import_extra, _MODULES)
        loading.use()
        self._is_serving = False
        self._changed = asyncio.Event()
        self._streams = 0

    def say_serving(self) -> None:
        """Say from here on that the worker serves."""
        self._change_state(is_serving=True)

    def say_draining(self) -> None:
        """Say from here on that the worker takes no more calls."""
        self._change_state(is_serving=False)

    def _change_state(self, *, is_serving: bool) -> None:
        # Whoever watches waits for the event of the state that it has seen, and nobody waits for
        # those who watch: one that reads nothing must not keep the worker from ending.
        self._is_serving = is_serving
        self._changed.set()
        self._changed = asyncio.Event()

    def add_to(
        self, server: aio.Server, *services: str, note: Callable[[str], object] | None = None
    ) -> None:
        """Have a server answer; reflection also lists the services that are named.

        ``note`` is called with the address of whoever asks, each time.
        """
        answers = _Answers(self, note or _note_nothing)
        messages, reflected = self._messages, self._reflected
        listed = (_HEALTH, self._reflection.SERVICE_NAME, *services)
        answers.reflection = self._reflection.aio.ReflectionServicer(listed)
        request = messages.HealthCheckRequest.FromString
        response = messages.HealthCheckResponse.SerializeToString
        methods = {
            "Check": grpc.unary_unary_rpc_method_handler(answers.check, request, response),
            "Watch": grpc.unary_stream_rpc_method_handler(answers.watch, request, response),
        }
        # Older releases of the extra do not know it.
        if hasattr(messages, "HealthListRequest"):
            methods["List"] = grpc.unary_unary_rpc_method_handler(
                answers.list_all,
                messages.HealthListRequest.FromString,
                messages.HealthListResponse.SerializeToString,
            )
        reflect = grpc.stream_stream_rpc_method_handler(
            answers.reflect,
            reflected.ServerReflectionRequest.FromString,
            reflected.ServerReflectionResponse.SerializeToString,
        )
        name = self._reflection.SERVICE_NAME
        server.add_generic_rpc_handlers(
            (
                grpc.method_handlers_generic_handler(_HEALTH, methods),
                grpc.method_handlers_generic_handler(name, {"ServerReflectionInfo": reflect}),
            )
        )

    def find_state(self, service: str) -> Any:
        """Return the answer about a service, None for one that it does not know."""
        if service not in _NAMES:
            return None
        states = self._messages.HealthCheckResponse
        state = states.SERVING if self._is_serving else states.NOT_SERVING
        return states(status=state)

    def list_states(self) -> Any:
        """Return the answer about all services that it knows."""
        states = {name: self.find_state(name) for name in _NAMES}
        return self._messages.HealthListResponse(statuses=states)

    async def follow_state(self, service: str) -> AsyncIterator[Any]:
        """Yield the answer about a service, now and after each change."""
        unknown = self._messages.HealthCheckResponse(
            status=self._messages.HealthCheckResponse.SERVICE_UNKNOWN
        )
        while True:
            changed = self._changed
            yield self.find_state(service) or unknown
            await changed.wait()

    @contextlib.contextmanager
    def count_stream(self) -> Generator[bool]:
        """Count a stream as long as it is open; say whether there was room for it."""
        self._streams += 1
        try:
            yield self._streams <= STREAM_LIMIT
        finally:
            self._streams -= 1


class _Answers:
    """The methods of one server, in the form in which gRPC calls them."""

    def __init__(self, health: Health, note: Callable[[str], object]) -> None:
        self.reflection: Any = None
        self._health = health
        self._note = note

    async def check(self, request: Any, context: Any) -> Any:
        self._note(context.peer())
        found = self._health.find_state(request.service)
        if found is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "there is no such service")
        return found

    async def list_all(self, _: Any, context: Any) -> Any:
        self._note(context.peer())
        return self._health.list_states()

    async def watch(self, request: Any, context: Any) -> AsyncIterator[Any]:
        self._note(context.peer())
        async with self._admit_stream(context):
            async for answer in self._health.follow_state(request.service):
                yield answer

    async def reflect(self, requests: Any, context: Any) -> AsyncIterator[Any]:
        self._note(context.peer())
        async with self._admit_stream(context):
            async for answer in self.reflection.ServerReflectionInfo(requests, context):
                yield answer

    @contextlib.asynccontextmanager
    async def _admit_stream(self, context: Any) -> AsyncGenerator[None]:
        """Refuse a stream that is too many."""
        with self._health.count_stream() as has_room:
            if not has_room:
                reason = f"{STREAM_LIMIT} streams are open already"
                await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, reason)
            yield


class HealthServer:
    """Answers health checks at an address of their own, ``host:port``, in plain text."""

    def __init__(self, address: str, health: Health) -> None:
        self._server = aio.server(options=SERVING)
        health.add_to(self._server)
        self._address = address
        self.port = 0

    async def start(self) -> None:
        """Listen. Raises OSError where that fails."""
        try:
            self.port = self._server.add_insecure_port(self._address)
        except RuntimeError as error:
            raise OSError(f"health checks cannot be answered at {self._address}: {error}") from None
        await self._server.start()

    async def stop(self) -> None:
        """Answer no more."""
        await self._server.stop(0.2)


def _note_nothing(peer: str) -> None:
    """Stand in where nobody counts."""


def _import_extra(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as missing:
        text = f"{missing.name} is not installed: {install_command('health')}"
        raise ModuleNotFoundError(text, name=missing.name) from None
