"""What operators ask of a worker: its status, and that it stops.

They need no link for it, so that an operator need not be a caller, and a caller is no operator. Who
asks is held against the list of operators before anything that was sent is read. On a Unix socket
whoever can open it may ask, which is the user of the worker alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from catena.errors import PeerRefused, ProtocolError
from catena.events import announced
from catena.grpc_loading import aio, grpc
from catena.link.service import ASK, STOP
from catena.security.authorise import Authorisation, Identity
from catena.wire import status
from catena.wire.status import StopAnswer, WorkerStatus

_NAMELESS = "an operator"

_Context = aio.ServicerContext[Any, Any]


class Operated(Protocol):
    """A worker, as operators see it; called from its event loop."""

    def describe(self, address: str, /) -> WorkerStatus:
        """Return its status; it listens at that address."""
        ...

    def begin_stop(self, who: str, /, *, now: bool) -> str:
        """Begin to stop because somebody asks for it; return why that cannot be, empty if it can.

        ``now`` leaves no time for the calls that it has, also where it stops already.
        """
        ...


class OperatorMethods:
    """The methods of the service that are for operators; ``authorisation`` says who these are.

    Without one, whoever reaches the worker is one. ``address`` is where it listens.
    """

    def __init__(self, worker: Operated, address: str, authorisation: Authorisation | None) -> None:
        self._worker = worker
        self._address = address
        self._authorisation = authorisation
        self._methods: dict[str, Callable[[bytes, str], bytes]] = {
            ASK: self._answer_ask,
            STOP: self._answer_stop,
        }

    def find_handler(self, method: str) -> Any:
        """Return gRPC's handler of a method, None for one that is none of these."""
        make_answer = self._methods.get(method)
        if make_answer is None:
            return None

        async def answer(request: bytes, context: _Context) -> bytes:
            who = await self._name_operator(context)
            try:
                return make_answer(request, who)
            except ProtocolError as error:
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, error.text())

        return grpc.unary_unary_rpc_method_handler(
            answer, request_deserializer=bytes, response_serializer=bytes
        )

    async def _name_operator(self, context: _Context) -> str:
        """Return who asks; one that is no operator is refused, and nothing of it is looked at."""
        if self._authorisation is None:
            return _NAMELESS
        identity = Identity.read(context.auth_context())
        refusal = self._authorisation.find_operator_refusal(identity)
        if refusal:
            error = announced(PeerRefused(peer=str(identity), reason=refusal))
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, error.text())
        return str(identity)

    def _answer_ask(self, *_: object) -> bytes:
        return status.encode_status(self._worker.describe(self._address))

    def _answer_stop(self, request: bytes, who: str) -> bytes:
        refusal = self._worker.begin_stop(who, now=status.decode_stop(request))
        answer = StopAnswer(refusal, self._worker.describe(self._address))
        return status.encode_answer(answer)
