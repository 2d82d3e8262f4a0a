"""Another process, as an engine has it: what crosses is pickled with the standard library alone."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["call_elsewhere"]

_ROOT = Path(__file__).parents[2]
_PROGRAM = """
import inspect, asyncio, pickle, sys, warnings
warnings.simplefilter("error")
sys.path[:0] = [sys.argv[1]]
task, args = pickle.load(sys.stdin.buffer)
try:
    found = task(*args)
    if inspect.isawaitable(found):
        async def wait():
            return await found
        found = asyncio.run(wait())
except Exception as error:
    found = error
pickle.dump(found, sys.stdout.buffer)
"""


def call_elsewhere(task: Callable[..., Any], *args: Any) -> Any:
    """Call something in a new process; return what it returned, or raise what it raised.

    A warning is an error there.
    """
    ran = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(_ROOT)],
        input=pickle.dumps((task, args)),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr.decode()
    found = pickle.loads(ran.stdout)
    if isinstance(found, Exception):
        raise found
    return found
