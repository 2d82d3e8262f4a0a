"""The operator's end: a worker is asked for its status, or to stop, each over a channel of its own.

A channel of TLS that brings one call is what a worker's count of failed handshakes expects.
"""

from __future__ import annotations

from typing import Any

from catena.escape import printable
from catena.events import announced
from catena.grpc_loading import aio, grpc
from catena.link.channels import Destination
from catena.link.service import ASK, STOP
from catena.link_errors import refusal_from
from catena.wire import status
from catena.wire.status import StopAnswer, WorkerStatus

ANSWER_SECONDS = 5.0
"""How long a worker may take to answer."""

_TOO_OLD = "the worker there is of a version before 0.2, which answers no operators"
_SILENT = "the worker has not answered within %g s"


class WorkerTooOld(ConnectionError):
    """The worker is of a version before 0.2, which answers no operators."""

    def __init__(self) -> None:
        super().__init__(_TOO_OLD)


async def ask_status(worker: Destination, seconds: float = ANSWER_SECONDS) -> WorkerStatus:
    """Return the status of a worker, which may take so many seconds to answer.

    Raises ConnectionError where it cannot be reached, WorkerTooOld among them, TimeoutError where
    it does not answer in time, PeerRefused where it refuses who asks or cannot prove its name,
    CredentialsError, ProtocolError, and ValueError for what is no target.
    """
    return status.decode_status(await _ask(worker, ASK, status.encode_ask(), seconds))


async def ask_stop(worker: Destination, *, now: bool = False) -> StopAnswer:
    """Have a worker stop; ``now`` leaves it no time for its calls. Raises as ``ask_status``."""
    return status.decode_answer(await _ask(worker, STOP, status.encode_stop(now=now)))


async def _ask(
    worker: Destination, method: str, request: bytes, seconds: float = ANSWER_SECONDS
) -> bytes:
    channel = await worker.open_channel()
    try:
        call: Any = channel.unary_unary(
            method, request_serializer=bytes, response_deserializer=bytes
        )
        answer: bytes = await call(request, timeout=seconds)
    except aio.AioRpcError as error:
        raise _find_error(worker, error, seconds) from None
    finally:
        await channel.close(None)
    return answer


def _find_error(worker: Destination, error: aio.AioRpcError, seconds: float) -> Exception:
    details = error.details() or ""
    match error.code():
        case grpc.StatusCode.PERMISSION_DENIED:
            return announced(refusal_from(details, "the operator"), by=worker.target)
        case grpc.StatusCode.UNIMPLEMENTED:
            return WorkerTooOld()
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return TimeoutError(_SILENT % seconds)
        case code:
            text = f"{code.name.lower()}: {printable(details, 500)}"
            return worker.explain(ConnectionError(text))
