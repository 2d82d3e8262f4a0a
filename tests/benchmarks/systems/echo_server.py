"""The other side of the bare echo: one process, one stream, every frame sent back.

Prints its port, its id and its loop on one line and ends when its stdin does.
"""

from __future__ import annotations

import asyncio
import sys

from grpc import aio, method_handlers_generic_handler, stream_stream_rpc_method_handler

from .common import here, run_on
from .echo_wire import METHOD, Writer, unpack


async def echo(_: object, context: aio.ServicerContext[bytes, bytes]) -> None:
    """One stream: each frame goes back as it came."""
    writer = Writer(context.write)
    # The end of the stream is the one message that is not bytes.
    while isinstance(message := await context.read(), bytes):
        for number, value in unpack(message):
            writer.send(number, value)


async def serve() -> None:
    """Listen on a free port of the loopback until stdin ends."""
    _, service, method = METHOD.split("/")
    # Without (de)serializers a message is bytes on both sides.
    handlers = {method: stream_stream_rpc_method_handler(echo)}
    server = aio.server()
    server.add_generic_rpc_handlers((method_handlers_generic_handler(service, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, *here(), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await server.stop(grace=0.5)


if __name__ == "__main__":
    run_on(sys.argv[1], serve())
