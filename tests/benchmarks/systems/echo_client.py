"""The client program of the bare echo: what grpc.aio gives when nothing but frames is moved.

No routine, no pickle, no context: the limit of any system that keeps one stream per worker and
gathers its frames. A generator stepped through is one echo per item here.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count, cycle

from grpc import aio

from .client import Options, System, client
from .echo_wire import METHOD, Writer, unpack

START_TIMEOUT = 15.0
STOP_TIMEOUT = 3.0


class Echo:
    """One stream to one server, with the calls that are under way on it."""

    def __init__(self, channel: aio.Channel) -> None:
        # The call is kept: grpc cancels one that nobody refers to.
        self._stream = channel.stream_stream(METHOD)()
        self._writer = Writer(self._stream.write)
        self._pending: dict[int, asyncio.Future[int]] = {}
        self._numbers = count()
        self._reader = asyncio.create_task(self._read())

    async def call(self, value: int) -> int:
        """The value, there and back."""
        number = next(self._numbers)
        answer = self._pending[number] = asyncio.get_running_loop().create_future()
        self._writer.send(number, value)
        return await answer

    async def close(self) -> None:
        """End the stream; what is still under way fails."""
        self._reader.cancel()
        await asyncio.wait([self._reader], timeout=STOP_TIMEOUT)
        self._stream.cancel()

    async def _read(self) -> None:
        try:
            while isinstance(message := await self._stream.read(), bytes):
                for number, value in unpack(message):
                    self._pending.pop(number).set_result(value)
        finally:
            for answer in self._pending.values():
                if not answer.done():
                    answer.set_exception(ConnectionError("the echo server is gone"))


@asynccontextmanager
async def server(loop: str) -> AsyncIterator[tuple[int, int, str]]:
    """One server process: its port, its id, its loop. It is gone when the block is left."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", f"{__package__}.echo_server", loop),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), START_TIMEOUT)
        port, pid, name = line.decode().split()
        yield int(port), int(pid), name
    finally:
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), STOP_TIMEOUT)
        except TimeoutError:
            process.kill()
            await process.wait()


@asynccontextmanager
async def opened(options: Options) -> AsyncIterator[System]:
    """The system with its workers answering; they are gone when the block is left."""
    async with AsyncExitStack() as stack:
        servers = [
            await stack.enter_async_context(server(options.loop)) for _ in range(options.workers)
        ]
        echoes: list[Echo] = []
        for port, _, _ in servers:
            channel = await stack.enter_async_context(aio.insecure_channel(f"127.0.0.1:{port}"))
            await asyncio.wait_for(channel.channel_ready(), START_TIMEOUT)
            echoes.append(Echo(channel))
            stack.push_async_callback(echoes[-1].close)
        turns = cycle(echo.call for echo in echoes)

        async def call(value: int) -> int:
            return await next(turns)(value)

        async def items(stop: int) -> AsyncIterator[int]:
            one = next(turns)
            for value in range(stop):
                yield await one(value)

        workers = {(pid, name) for _, pid, name in servers}
        limits = "no routine, no pickle, no context; one stream per worker, TCP on loopback"
        yield System(call, items, workers, limits)


if __name__ == "__main__":
    raise SystemExit(client(opened))
