"""A web service whose handlers dispatch: FastAPI behind the middleware, as a server imports it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from fastapi import BackgroundTasks, Depends, FastAPI, WebSocket
from fastapi.responses import StreamingResponse

import catena
import catena.asgi

request_id = catena.ContextVar[str]("request_id", namespace="tests.web", default="-")
noted: list[str] = []


@catena.routine
async def double(number: int) -> tuple[int, int, str]:
    """Return twice a number, the process of the worker, and the id of the request."""
    return 2 * number, os.getpid(), request_id.get()


@catena.routine
async def count(to: int) -> AsyncGenerator[str, None]:
    """Count slowly."""
    for number in range(to):
        yield f"{number}\n"
        await asyncio.sleep(0.01)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Call a routine when the service starts and when it stops."""
    noted.append(f"started {(await double(1))[0]}")
    yield
    noted.append(f"stopped {(await double(2))[0]}")
    print(*noted, flush=True)


app = FastAPI(lifespan=lifespan)
app.add_middleware(catena.asgi.PoolMiddleware, pool=catena.WorkerPool(1))


@app.get("/double/{number}")
async def read_double(number: int, name: str = "-") -> tuple[int, int, str, int]:
    """Dispatch."""
    request_id.set(name)
    return *(await double(number)), os.getpid()


@app.get("/plain/{number}")
def read_plain(number: int, name: str = "-") -> tuple[int, int, str, int]:
    """Dispatch from the thread of a plain handler."""
    request_id.set(name)
    return *double.blocking(number), os.getpid()


@app.get("/plain-count/{to}")
def read_plain_count(to: int) -> StreamingResponse:
    """Answer with what a stream yields, step by step in threads of the server."""
    return StreamingResponse(count.blocking(to), media_type="text/plain")


async def note_request() -> None:
    """Set a variable in the task of the request."""
    request_id.set("dependency")


@app.get("/plain-armed", dependencies=[Depends(note_request)])
def read_plain_armed() -> str:
    """Return what a plain handler meets when a variable was set in the request's task."""
    try:
        return str(double.blocking(1))
    except catena.ChainContention as error:
        return type(error).__name__


@app.get("/plain-later")
def read_plain_later(tasks: BackgroundTasks) -> None:
    """Dispatch in a thread, after the answer has been sent."""

    def later() -> None:
        noted.append(f"later {double.blocking(3)[0]}")

    tasks.add_task(later)


@app.get("/count/{to}")
async def read_count(to: int) -> StreamingResponse:
    """Answer with what a stream yields."""
    return StreamingResponse(count(to), media_type="text/plain")


@app.get("/later")
async def read_later(tasks: BackgroundTasks) -> None:
    """Dispatch after the answer has been sent."""

    async def later() -> None:
        noted.append(f"later {(await double(3))[0]}")

    tasks.add_task(later)


@app.get("/noted")
async def read_noted() -> list[str]:
    """Return what was noted."""
    return noted


@app.get("/open")
async def read_open() -> int:
    """Return how many calls are open."""
    return catena.statistics().calls


@app.websocket("/doubles")
async def doubles(socket: WebSocket) -> None:
    """Double whatever comes."""
    await socket.accept()
    async for text in socket.iter_text():
        await socket.send_text(str((await double(int(text)))[0]))
