"""Another process that reads and writes with our serializer: the other end of what goes by value.

Its one rule: it knows nothing but what it was sent, and every wait for it has a deadline.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any, Self

import pytest

from catena.pickling import pickler

__all__ = ["Elsewhere", "elsewhere", "in_main"]

_SERVE = """
import sys
from catena.pickling import pickler
kept = []
while size := sys.stdin.buffer.read(8):
    try:
        function, args = pickler.loads(sys.stdin.buffer.read(int.from_bytes(size)))
        kept.append(function)
        outcome = True, function(*args)
        data = pickler.dumps(outcome)
    except Exception as error:
        data = pickler.dumps((False, f"{type(error).__name__}: {error}"))
    sys.stdout.buffer.write(len(data).to_bytes(8) + data)
    sys.stdout.buffer.flush()
"""


class Elsewhere:
    """A process that calls what it is sent; ``call`` returns what came back, read here."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SERVE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait(10)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call a function there and return its result; RuntimeError with the text of its error."""
        data = pickler.dumps((function, args))
        pipe: Any = self._process.stdin
        pipe.write(len(data).to_bytes(8) + data)
        came, result = pickler.loads(self._read(int.from_bytes(self._read(8))))
        if not came:
            raise RuntimeError(result)
        return result

    def _read(self, size: int) -> bytes:
        pipe: Any = self._process.stdout
        data = b""
        while len(data) < size:
            ready, _, _ = select.select([pipe], [], [], 30)
            assert ready, "the other process did not answer"
            part = pipe.read(size - len(data))
            assert part, "the other process has ended"
            data += part
        return data


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Elsewhere]:
    """One process for all tests of a file; each sends code of its own."""
    with Elsewhere() as process:
        yield process


def in_main(source: str, **names: Any) -> dict[str, Any]:
    """Run a script as the main module would be and return its names."""
    scope: dict[str, Any] = {"__name__": "__main__", **names}
    exec(compile(source, "script.py", "exec"), scope)
    return scope
