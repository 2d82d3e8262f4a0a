"""``catena worker --background``: one worker that runs the tasks of a queue until it is stopped."""

from __future__ import annotations

import asyncio
import importlib
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

from catena.cli.ending import FAILED, USAGE, CommandEnded, report_line
from catena.cli.signals import await_signals
from catena.errors import CatenaError
from catena.pickling.references import load_reference
from catena.wording import reason

if TYPE_CHECKING:
    from catena.background.queue import BackgroundQueue


class TaskOptions(NamedTuple):
    """What the command line says of a worker that runs tasks.

    ``background`` is the URL of a queue's server, of which ``queue`` is the name; or it names a
    queue, as "module:name".
    """

    background: str
    queue: str
    modules: tuple[str, ...]
    slots: int
    redelivery_timeout: float
    lifespan: str | None


def run_tasks(options: TaskOptions) -> None:
    """Run tasks until a signal comes. Raises CommandEnded."""
    try:
        queue = _find_queue(options)
        names = queue.import_tasks(options.modules)
    except (TypeError, ValueError, ModuleNotFoundError) as error:
        raise CommandEnded("worker", str(error), USAGE) from None
    except Exception as error:
        raise CommandEnded("worker", f"failed: {reason(error)}", FAILED) from None
    if not names:
        raise CommandEnded("worker", "there is no routine in what --import names", USAGE)
    report_line("worker", f"it runs the tasks of queue {queue.name}: {', '.join(names)}")
    try:
        asyncio.run(_serve(queue, options))
    except (CatenaError, OSError, TypeError, ValueError) as error:
        raise CommandEnded("worker", f"failed: {reason(error)}", FAILED) from None


def _find_queue(options: TaskOptions) -> BackgroundQueue:
    """Return the queue. Raises what an import raises, TypeError and ValueError."""
    # An extra, which only this way of the command needs.
    module: Any = importlib.import_module("catena.background.queue")
    named = options.background
    if "://" in named:
        made: BackgroundQueue = module.BackgroundQueue(named, name=options.queue or "catena")
        return made
    if ":" not in named or options.queue:
        raise ValueError(
            "--background takes a URL, to which --queue adds a name, or MODULE:NAME of a queue,"
            f" not {named!r}"
        )
    found = load_reference(named)
    if not isinstance(found, module.BackgroundQueue):
        raise TypeError(f"{named} is no BackgroundQueue, it is {found!r}")
    return found


async def _serve(queue: BackgroundQueue, options: TaskOptions) -> None:
    over = asyncio.Event()
    await_signals(over)
    worker_module: Any = importlib.import_module("catena.background.worker")
    async with AsyncExitStack() as stack:
        if options.lifespan is not None:
            await stack.enter_async_context(load_reference(options.lifespan)())
        await stack.enter_async_context(queue)
        worker = worker_module.BackgroundWorker(
            queue, slots=options.slots, redelivery_timeout=options.redelivery_timeout
        )
        await stack.enter_async_context(worker)
        report_line("worker", "it is ready")
        waits = [asyncio.ensure_future(worker.wait()), asyncio.ensure_future(over.wait())]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        waits[1].cancel()
        report_line("worker", "it finishes its tasks")
    report_line("worker", "it has stopped")
