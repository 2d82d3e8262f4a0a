"""Faults of a worker that the count of hostile frames has to find, each by its title.

The worker is a process of its own, so the title of the one that it is to have stands in its
environment; the worker plants it for as long as it lives.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from catena.dispatch.worker.sessions import Sessions
from catena.link import ending, server
from catena.link.link import Link
from catena.pickling import pickler
from catena.security.authorise import Permit
from catena.wire import codec, versions
from catena.wire.frames import Hello, Task

__all__ = ["FAULT", "FAULTS", "plant"]

FAULT = "CATENA_TESTS_FAULT"


def plant(title: str) -> None:
    """Plant the fault of that title; none where it is empty."""
    if title:
        FAULTS[title]()


def _skip_authorisation() -> None:
    Permit.find_refusal = lambda _: ""


def _demand_no_hello() -> None:
    exchange, read = Link.exchange_hello, codec.decode_message

    async def exchange_or_go_on(self: Any, *, first: bool) -> None:
        """Take a peer that says another thing for one that has said hello."""
        real, found = self._transport.read, list[bytes | None]()

        async def read_and_keep() -> bytes | None:
            found.append(await real())
            return found[-1]

        self._transport.read = read_and_keep
        try:
            await exchange(self, first=first)
            self._transport.read = real
        except Exception:
            if not found or not found[0]:
                raise
            self._note_peer(versions.make_hello("nobody"), "")
            frames = [one for one in read(found[0]).frames if not isinstance(one, Hello)]
            message = codec.encode_message(frames)
            self._transport.read = _once(message, real)

    Link.exchange_hello = exchange_or_go_on


def _once(message: bytes, then: Callable[[], Any]) -> Callable[[], Any]:
    left = [message]

    async def read() -> Any:
        return left.pop() if left else await then()

    return read


def _unpickle_at_once() -> None:
    decode = codec.decode_message

    def decode_and_open(data: bytes) -> codec.Batch:
        batch = decode(data)
        for frame in batch.frames:
            if isinstance(frame, Task):
                pickler.loads(frame.payload)
        return batch

    codec.decode_message = decode_and_open


def _announce_no_refusal() -> None:
    server.announced = lambda error: error


def _announce_no_breach() -> None:
    class Deaf:
        listeners = ()

    ending.ProtocolBroken = Deaf


def _let_calls_wait() -> None:
    Sessions._note_undriven = lambda *_: None


def _take_numbers_again() -> None:
    opened = Sessions._open_session

    def open_again(self: Any, task: Task) -> None:
        self._last = min(self._last, task.call - 1)
        opened(self, task)

    Sessions._open_session = open_again


def _go_on_for_nobody() -> None:
    Sessions.link_ended = lambda *_: None


def _keep_refused() -> None:
    async def forever(*_: Any, **__: Any) -> None:
        await asyncio.Event().wait()

    server._refuse = forever


FAULTS: dict[str, Callable[[], None]] = {
    "whoever has a certificate may call": _skip_authorisation,
    "nobody has to say hello": _demand_no_hello,
    "arguments are unpickled before hello": _unpickle_at_once,
    "a refusal is not announced": _announce_no_refusal,
    "a breach is not announced": _announce_no_breach,
    "any number of calls may wait for a drive": _let_calls_wait,
    "the number of a call may be used again": _take_numbers_again,
    "the calls of a link that has ended go on": _go_on_for_nobody,
    "a peer that is refused is kept": _keep_refused,
}
"""The faults by their titles."""
