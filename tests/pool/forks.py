"""Programs that fork, for the tests beside it."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

from tests.integration.programs import run_source

__all__ = ["FORKS", "ROUTINES", "SEVEN", "ran"]

FORKS = 100
"""Children of each kind."""

ROUTINES = """
    import asyncio, json, logging, multiprocessing, os, signal, sys, time, warnings
    from concurrent.futures import ProcessPoolExecutor
    # From 3.12 on Python warns of every fork beside threads.
    warnings.simplefilter("ignore", DeprecationWarning)
    import catena

    # Forking blocks a loop, and workers are killed here, which a pool warns of.
    logging.getLogger("catena").setLevel(logging.ERROR)
    FORK = multiprocessing.get_context("fork")

    def plain():
        child = os.fork()
        if child == 0:
            os._exit(7)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    def process():
        child = FORK.Process(target=sys.exit, args=(7,))
        child.start()
        child.join(30)
        return child.exitcode

    def executor():
        with ProcessPoolExecutor(1, mp_context=FORK) as pool:
            return pool.submit(pow, 7, 1).result(30)

    WAYS = [plain, process, executor]
    # multiprocessing's child of a thread of asyncio fails by itself on 3.11.
    IN_A_THREAD = [plain, executor]

    def fork(times, ways=WAYS):
        return {way.__name__: sorted({way() for _ in range(times)}) for way in ways}

    @catena.routine
    async def there(times):
        return fork(times)

    @catena.routine
    async def there_in_a_thread(times):
        return await asyncio.to_thread(fork, times, IN_A_THREAD)

    @catena.routine
    async def one():
        return 1

    @catena.routine
    async def numbers():
        yield 1
        yield 2

    def child(do):
        pid = os.fork()
        if pid == 0:
            try:
                do()
            finally:
                sys.stdout.flush()
                os._exit(0)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def refusal(drive):
        try:
            drive()
        except catena.ForkedPool as error:
            return str(error)

    def step(coroutine):
        try:
            coroutine.send(None)
        finally:
            coroutine.close()
"""
SEVEN = {"plain": [7], "process": [7], "executor": [7]}


def ran(source: str, folder: Path, **options: Any) -> Any:
    """Run a program that has the routines; return the JSON that it printed last."""
    whole = textwrap.dedent(ROUTINES) + textwrap.dedent(source)
    return json.loads(run_source(whole, folder, **options).splitlines()[-1])
